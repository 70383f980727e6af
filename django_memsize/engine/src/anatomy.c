#include "anatomy.h"

#include "attributes.h"

/* Two words stand before what the collector tracks, and two more before instances with a dict or
   a list of weak references: Include/internal/pycore_gc.h, Objects/typeobject.c. */
#define COLLECTOR_HEADER ((Py_ssize_t)(2 * sizeof(void *)))
#define PRE_HEADER ((Py_ssize_t)(2 * sizeof(void *)))

#if PY_VERSION_HEX >= 0x030C0000
#define HAS_PRE_HEADER (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF)
#else
#define HAS_PRE_HEADER Py_TPFLAGS_MANAGED_DICT
#endif

#define LEAST_KEPT (-5)
#define MOST_KEPT 256

/* An int of one digit takes 28 bytes or 32, by the function that made it, and says 28. */
#define ONE_DIGIT 28
#define ONE_DIGIT_ON_AVERAGE 30

static PyObject *kept_ints[MOST_KEPT - LEAST_KEPT + 1];
static uintptr_t lowest_kept, highest_kept;
static PyObject *sizeof_name, *module_name;
static PyCFunction sizeof_of_object;

/* Whether a key of a namespace is that name, which is interned. */
static bool
is_named(PyObject *key, PyObject *name)
{
    return key == name
           || (PyUnicode_CheckExact(key) && !PyUnicode_CHECK_INTERNED(key)
               && PyUnicode_Compare(key, name) == 0);
}

/* What a type itself has by that name, borrowed. NULL without an exception where it has nothing,
   with one for want of memory. */
static PyObject *
found_in(PyTypeObject *type, PyObject *name)
{
    PyObject *namespace = type_namespace(type);
    if (!namespace) {
        return NULL;
    }
    PyObject *found = NULL;
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        /* No look-up: a key may be of a subclass of str, with an __eq__ in Python. */
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
anatomy_prepare(void)
{
    lowest_kept = UINTPTR_MAX;
    for (long value = LEAST_KEPT; value <= MOST_KEPT; value++) {
        PyObject *kept = PyLong_FromLong(value);
        if (!kept) {
            return -1;
        }
        kept_ints[value - LEAST_KEPT] = kept;
        lowest_kept = Py_MIN(lowest_kept, (uintptr_t)kept);
        highest_kept = Py_MAX(highest_kept, (uintptr_t)kept);
        Py_DECREF(kept);
    }
    /* Kept for good. Learnt anew at each import: an interpreter may have ended in between. */
    sizeof_name = PyUnicode_InternFromString("__sizeof__");
    module_name = PyUnicode_InternFromString("__module__");
    if (!sizeof_name || !module_name) {
        return -1;
    }
    PyObject *method = found_in(&PyBaseObject_Type, sizeof_name);
    if (!method) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_ImportError, "object has no __sizeof__");
        }
        return -1;
    }
    sizeof_of_object = ((PyMethodDescrObject *)method)->d_method->ml_meth;
    return 0;
}

/* Whether CPython keeps this int for good. */
static bool
is_kept(PyObject *number)
{
    if ((uintptr_t)number < lowest_kept || (uintptr_t)number > highest_kept) {
        return false;
    }
    for (size_t at = 0; at < Py_ARRAY_LENGTH(kept_ints); at++) {
        if (kept_ints[at] == number) {
            return true;
        }
    }
    return false;
}

/* The nearest __sizeof__ in C, borrowed: one in Python is never called. NULL without an exception
   where it is object's own, with one for want of memory. */
static PyObject *
nearest_sizeof(PyTypeObject *type)
{
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t at = 0; mro && at < PyTuple_GET_SIZE(mro); at++) {
        PyObject *ancestor = PyTuple_GET_ITEM(mro, at);
        PyObject *found
            = PyType_Check(ancestor) ? found_in((PyTypeObject *)ancestor, sizeof_name) : NULL;
        if (found && Py_IS_TYPE(found, &PyMethodDescr_Type)
            && PyType_IsSubtype(type, PyDescr_TYPE(found)))
        {
            bool is_objects = ((PyMethodDescrObject *)found)->d_method->ml_meth == sizeof_of_object;
            return is_objects ? NULL : found;
        }
        if (!found && PyErr_Occurred()) {
            return NULL;
        }
    }
    return NULL;
}

static size_rule
size_rule_of(PyTypeObject *type, PyObject *asked)
{
    if (type == &PyUnicode_Type) {
        return SIZE_OF_TEXT;
    }
    if (type == &PyLong_Type) {
        return SIZE_OF_INT;
    }
    if (type == &PyList_Type) {
        return SIZE_OF_LIST;
    }
    if (asked) {
        return SIZE_ASKED;
    }
    return type->tp_itemsize ? SIZE_OF_ITEMS : SIZE_FIXED;
}

static shape_rule
shape_rule_of(PyTypeObject *type)
{
    if (type == &PyCode_Type) {
        return SHAPE_CODE;
    }
    if (!(type->tp_flags & Py_TPFLAGS_HAVE_GC) || !type->tp_traverse) {
        return SHAPE_LEAF;
    }
    if (type->tp_flags & Py_TPFLAGS_DICT_SUBCLASS) {
        return type == &PyDict_Type ? SHAPE_DICT : SHAPE_DICT_SUBCLASS;
    }
    if (type == &PyTuple_Type) {
        return SHAPE_TUPLE;
    }
    if (type == &PyList_Type) {
        return SHAPE_LIST;
    }
    if (type == &PySet_Type || type == &PyFrozenSet_Type) {
        return SHAPE_SET;
    }
    return type == &PyModule_Type ? SHAPE_MODULE : SHAPE_TRAVERSED;
}

int
anatomy_of(PyTypeObject *type, anatomy *found)
{
    PyObject *asked = nearest_sizeof(type);
    if (!asked && PyErr_Occurred()) {
        return -1;
    }
    bool is_class = type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS;
    Py_ssize_t item = type->tp_itemsize;
    *found = (anatomy){
        .size = size_rule_of(type, asked),
        .shape = shape_rule_of(type),
        .is_collectable = type->tp_flags & Py_TPFLAGS_HAVE_GC,
        .is_class = is_class,
        .is_method = type == &PyMethod_Type,
        .has_attributes = type->tp_flags & Py_TPFLAGS_MANAGED_DICT,
        .item = (uint32_t)item,
        .block = attributes_block(type),
        .asked = asked,
    };
    if (found->size <= SIZE_OF_LIST) {
        found->fixed = type->tp_basicsize;
    }
    if (found->is_collectable) {
        found->fixed += COLLECTOR_HEADER;
    }
    if (type->tp_flags & HAS_PRE_HEADER) {
        found->fixed += PRE_HEADER;
    }
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE || is_class) {
        /* One sentinel item stands behind the items: PyType_GenericAlloc. */
        found->fixed += item;
    }
    return 0;
}

bool
anatomy_stops(PyTypeObject *type)
{
    return type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS || type == &PyFunction_Type
           || type == &PyCFunction_Type || type == &PyCode_Type || type == &PyFrame_Type
           || type == &PyMethodDescr_Type || type == &PyWrapperDescr_Type
           || type == &PyClassMethodDescr_Type || type == &PyGetSetDescr_Type
           || type == &PyMemberDescr_Type || PyType_IsSubtype(type, &PyModule_Type);
}

/* Ask the function in C. Where it fails, the fixed part is all that is known. */
static Py_ssize_t
ask(const anatomy *kind, PyObject *measured)
{
    PyMethodDef *method = ((PyMethodDescrObject *)kind->asked)->d_method;
    PyObject *answer = (method->ml_flags & ~METH_COEXIST) == METH_NOARGS
                           ? method->ml_meth(measured, NULL)
                           : PyObject_CallOneArg(kind->asked, measured);
    Py_ssize_t bytes = answer ? PyLong_AsSsize_t(answer) : -1;
    Py_XDECREF(answer);
    if (bytes < 0) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
            return -1;
        }
        PyErr_Clear();
        bytes = Py_TYPE(measured)->tp_basicsize;
    }
    return bytes;
}

static Py_ssize_t
bytes_of_text(PyObject *text)
{
    if (PyUnicode_IS_COMPACT_ASCII(text)) {
        return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(text) + 1;
    }
    PyCompactUnicodeObject *compact = (PyCompactUnicodeObject *)text;
    Py_ssize_t characters = (PyUnicode_GET_LENGTH(text) + 1) * PyUnicode_KIND(text);
    bool has_encoded = compact->utf8 != NULL;
    Py_ssize_t bytes;
    if (PyUnicode_IS_COMPACT(text)) {
        bytes = (Py_ssize_t)sizeof(PyCompactUnicodeObject) + characters;
    }
    else {
        void *data = ((PyUnicodeObject *)text)->data.any;
        bytes = (Py_ssize_t)sizeof(PyUnicodeObject) + (data ? characters : 0);
        has_encoded = has_encoded && (void *)compact->utf8 != data;
    }
    return bytes + (has_encoded ? compact->utf8_length + 1 : 0);
}

static Py_ssize_t
bytes_of_int(const anatomy *kind, PyObject *number)
{
    if (is_kept(number)) {
        return 0;
    }
    Py_ssize_t bytes = ask(kind, number);
    return bytes >= 0 && bytes <= ONE_DIGIT ? ONE_DIGIT_ON_AVERAGE : bytes;
}

Py_ssize_t
anatomy_bytes(const anatomy *kind, PyObject *measured)
{
    Py_ssize_t bytes = 0;
    switch (kind->size) {
    case SIZE_FIXED:
        break;
    case SIZE_OF_ITEMS:
        bytes = Py_ABS(Py_SIZE(measured)) * (Py_ssize_t)kind->item;
        break;
    case SIZE_OF_LIST:
        /* None are allocated, or -1, while the list is being sorted. */
        bytes = Py_MAX(((PyListObject *)measured)->allocated, 0) * (Py_ssize_t)sizeof(PyObject *);
        break;
    case SIZE_OF_TEXT:
        bytes = bytes_of_text(measured);
        break;
    case SIZE_OF_INT:
        bytes = bytes_of_int(kind, measured);
        break;
    case SIZE_ASKED:
        bytes = ask(kind, measured);
        break;
    }
    if (MEMSIZE_RARELY(bytes < 0)) {
        return -1;
    }
    if (kind->is_class && !(((PyTypeObject *)measured)->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        return bytes;
    }
    if (kind->shape == SHAPE_DICT || kind->shape == SHAPE_DICT_SUBCLASS) {
        bytes += attributes_left_out(measured);
    }
    if (kind->block && attributes_owned(measured)) {
        bytes += kind->block;
    }
    return kind->fixed + bytes;
}

/* The text itself, a copy of an instance of a subclass, "?" for all else. */
static PyObject *
plain_text(PyObject *value)
{
    return value && PyUnicode_Check(value) ? PyUnicode_FromObject(value)
                                           : PyUnicode_FromString("?");
}

static PyObject *
module_of(PyTypeObject *type)
{
    if (type->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyObject *found = found_in(type, module_name);
        return found || !PyErr_Occurred() ? plain_text(found) : NULL;
    }
    const char *dot = strrchr(type->tp_name, '.');
    return dot ? PyUnicode_FromStringAndSize(type->tp_name, dot - type->tp_name)
               : PyUnicode_FromString("builtins");
}

PyObject *
anatomy_name(PyTypeObject *type)
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
