#include "analysis/finalizers.h"

/* Lib/weakref.py: finalize._registry has a finalize for each _Info, and nothing else refers to an
   _Info. Its slot "weakref" refers to the object, with the finalize as the callback. */
static PyTypeObject *finalize_type, *info_type;
static Py_ssize_t reference_offset;

/* Lib/weakref.py, Lib/_weakrefset.py: the callbacks by which entries are removed. */
#define REMOVERS 3
static PyObject *removers[REMOVERS]; /* their code */

/* The code of the function that an instance has as an attribute. NULL with an exception. */
static PyObject *
code_of_remover(PyObject *module, const char *type)
{
    PyObject *code = NULL;
    PyObject *made = PyObject_CallMethod(module, type, NULL);
    PyObject *function = made ? PyObject_GetAttrString(made, "_remove") : NULL;
    if (function) {
        code = PyObject_GetAttrString(function, "__code__");
    }
    Py_XDECREF(function);
    Py_XDECREF(made);
    return code;
}

static int
find_removers(PyObject *module)
{
    static const char *const types[REMOVERS]
        = {"WeakSet", "WeakKeyDictionary", "WeakValueDictionary"};
    for (size_t at = 0; at < REMOVERS; at++) {
        PyObject *code = code_of_remover(module, types[at]);
        if (!code) {
            return -1;
        }
        Py_XSETREF(removers[at], code);
    }
    return 0;
}

static int
find_finalize(PyObject *module)
{
    PyObject *info = NULL, *slot = NULL;
    PyObject *finalize = PyObject_GetAttrString(module, "finalize");
    if (finalize) {
        info = PyObject_GetAttrString(finalize, "_Info");
    }
    if (info) {
        slot = PyObject_GetAttrString(info, "weakref");
    }
    if (slot && PyType_Check(finalize) && PyType_Check(info)
        && Py_IS_TYPE(slot, &PyMemberDescr_Type))
    {
        reference_offset = ((PyMemberDescrObject *)slot)->d_member->offset;
        finalize_type = (PyTypeObject *)Py_NewRef(finalize);
        info_type = (PyTypeObject *)Py_NewRef(info);
    }
    Py_XDECREF(slot);
    Py_XDECREF(info);
    Py_XDECREF(finalize);
    return PyErr_Occurred() ? -1 : 0;
}

/* What a later version does not have any more is not recognised. */
static int
without_attribute_error(int failed)
{
    if (failed && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
        return 0;
    }
    return failed;
}

int
finalizers_prepare(void)
{
    PyObject *module = PyImport_ImportModule("weakref");
    int failed = !module || without_attribute_error(find_finalize(module)) < 0
                 || without_attribute_error(find_removers(module)) < 0;
    Py_XDECREF(module);
    return failed ? -1 : 0;
}

static bool
has_remover(PyObject *reference)
{
    PyObject *callback = ((PyWeakReference *)reference)->wr_callback;
    if (!callback || !PyFunction_Check(callback)) {
        return false;
    }
    PyObject *code = PyFunction_GET_CODE(callback);
    size_t at = 0;
    while (at < REMOVERS && removers[at] != code) {
        at++;
    }
    return at < REMOVERS;
}

/* The weak reference of a registered object, or NULL. */
static PyWeakReference *
reference_of(PyObject *registered)
{
    PyObject *reference = registered;
    if (Py_IS_TYPE(registered, info_type)) {
        reference = *(PyObject **)((char *)registered + reference_offset);
    }
    return reference && PyWeakref_Check(reference) ? (PyWeakReference *)reference : NULL;
}

/* Whether an object has one reference that is not accounted for: that of a registry, if it is of
   such a type. */
static bool
may_be_registered(const allocations *all, const allocation *one)
{
    if (one->state != ALLOCATION_OBJECT || one->gc_refs != 1) {
        return false;
    }
    PyTypeObject *type = allocation_type(all, one)->type;
    return type == info_type
           || (PyType_IsSubtype(type, &_PyWeakref_RefType) && has_remover(allocation_object(one)));
}

/* The registry of finalisers has the finalize as well. */
static void
account_for_callback(const allocations *all, PyObject *registered)
{
    const PyWeakReference *reference = reference_of(registered);
    PyObject *callback = reference ? reference->wr_callback : NULL;
    allocation *own = callback ? allocations_find_object(all, callback) : NULL;
    if (own && PyObject_TypeCheck(callback, finalize_type) && own->gc_refs > 0) {
        own->gc_refs--;
    }
}

bool
finalizers_account(const allocations *all, object_array *registered)
{
    for (size_t at = 0; at < all->count; at++) {
        allocation *one = all->items + at;
        if (may_be_registered(all, one)) {
            if (!array_append(registered, allocation_object(one))) {
                return false;
            }
            one->gc_refs--;
            account_for_callback(all, allocation_object(one));
        }
    }
    return true;
}

PyObject *
finalizers_referent(PyObject *registered)
{
    const PyWeakReference *reference = reference_of(registered);
    PyObject *referent = reference ? reference->wr_object : Py_None;
    return referent == Py_None ? NULL : referent;
}
