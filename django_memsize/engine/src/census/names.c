#include "census/names.h"

static PyObject *module_name, *standard_modules;

int
names_prepare(void)
{
    /* Never released. Looked up at each import: the interpreter of the last one may have ended. */
    module_name = PyUnicode_InternFromString("__module__");
    if (!module_name) {
        return -1;
    }
    standard_modules = PySys_GetObject("stdlib_module_names");
    if (!standard_modules || !PyFrozenSet_CheckExact(standard_modules)) {
        PyErr_SetString(PyExc_ImportError, "sys.stdlib_module_names is not known");
        return -1;
    }
    Py_INCREF(standard_modules);
    return 0;
}

/* Whether a key of a namespace equals a name, which is interned. */
static bool
is_named(PyObject *key, PyObject *name)
{
    return key == name
           || (PyUnicode_CheckExact(key) && !PyUnicode_CHECK_INTERNED(key)
               && PyUnicode_Compare(key, name) == 0);
}

PyObject *
names_find(PyTypeObject *type, PyObject *name)
{
    PyObject *namespace = type_namespace(type);
    if (!namespace) {
        return NULL;
    }
    PyObject *found = NULL;
    if (is_heap_type(type)) {
        /* Not PyDict_GetItem: a key may be an instance of a subclass of str with an __eq__ in
           Python. */
        Py_ssize_t at = 0;
        PyObject *key, *value;
        while (!found && PyDict_Next(namespace, &at, &key, &value)) {
            found = is_named(key, name) ? value : NULL;
        }
    }
    else {
        found = PyDict_GetItemWithError(namespace, name);
    }
    Py_DECREF(namespace);
    return found;
}

int
names_is_standard(PyTypeObject *type)
{
    const char *name = type->tp_name;
    if (is_heap_type(type)) {
        PyObject *module = names_find(type, module_name);
        name = module && PyUnicode_CheckExact(module) ? PyUnicode_AsUTF8(module) : NULL;
        if (!name) {
            return PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_MemoryError) ? -1 : 0;
        }
    }
    else if (!strchr(name, '.')) {
        return true;
    }
    PyObject *root = PyUnicode_FromStringAndSize(name, (Py_ssize_t)strcspn(name, "."));
    int found = root ? PySet_Contains(standard_modules, root) : -1;
    Py_XDECREF(root);
    return found;
}

/* A str as it is; an instance of a subclass copied as a str; "?" for any other object. */
static PyObject *
plain_text(PyObject *value)
{
    return value && PyUnicode_Check(value) ? PyUnicode_FromObject(value)
                                           : PyUnicode_FromString("?");
}

static PyObject *
module_of(PyTypeObject *type)
{
    if (is_heap_type(type)) {
        PyObject *found = names_find(type, module_name);
        return found || !PyErr_Occurred() ? plain_text(found) : NULL;
    }
    const char *dot = strrchr(type->tp_name, '.');
    return dot ? PyUnicode_FromStringAndSize(type->tp_name, dot - type->tp_name)
               : PyUnicode_FromString("builtins");
}

PyObject *
names_full(PyTypeObject *type)
{
    PyObject *name = NULL;
    PyObject *qualname = NULL;
    PyObject *module = module_of(type);
    PyObject *found = module ? PyType_GetQualName(type) : NULL;
    if (!found) {
        goto done;
    }
    qualname = plain_text(found);
    Py_DECREF(found);
    if (!qualname) {
        goto done;
    }
    if (PyUnicode_CompareWithASCIIString(module, "builtins") == 0) {
        name = Py_NewRef(qualname);
    }
    else {
        name = PyUnicode_FromFormat("%U.%U", module, qualname);
    }
done:
    Py_XDECREF(module);
    Py_XDECREF(qualname);
    return name;
}
