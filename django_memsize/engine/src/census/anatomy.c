#include "census/anatomy.h"

#include "census/names.h"

#include <datetime.h>

static PyObject *sizeof_name;
static PyCFunction sizeof_of_object, sizeof_of_bytes_io, sizeof_of_struct;
static PyTypeObject *datetime_type, *time_type, *date_type;

/* The C function of a type's own __sizeof__. NULL with an exception. */
static PyCFunction
own_sizeof(PyTypeObject *type)
{
    PyObject *method = names_find(type, sizeof_name);
    if (method && Py_IS_TYPE(method, &PyMethodDescr_Type)) {
        return ((PyMethodDescrObject *)method)->d_method->ml_meth;
    }
    if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ImportError, "%s has no __sizeof__ in C", type->tp_name);
    }
    return NULL;
}

/* The C function of the __sizeof__ of a type in a module. NULL with an exception. */
static PyCFunction
sizeof_in_module(const char *module_name, const char *type_name)
{
    PyCFunction found = NULL;
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *type = module ? PyObject_GetAttrString(module, type_name) : NULL;
    if (type && PyType_Check(type)) {
        found = own_sizeof((PyTypeObject *)type);
    }
    else if (type) {
        PyErr_Format(PyExc_ImportError, "%s.%s is no type", module_name, type_name);
    }
    Py_XDECREF(module);
    Py_XDECREF(type);
    return found;
}

/* -1 with an exception. */
static int
prepare_exceptions(void)
{
#if CPYTHON_SHOWS_BYTES_IO
    sizeof_of_bytes_io = sizeof_in_module("_io", "BytesIO");
    if (!sizeof_of_bytes_io) {
        return -1;
    }
#endif
#if CPYTHON_STRUCT_SIZE_CRASHES
    sizeof_of_struct = sizeof_in_module("_struct", "Struct");
    if (!sizeof_of_struct) {
        return -1;
    }
#endif
    return 0;
}

/* Find the types of datetime; leave them NULL if the module is not the one in C. -1 with an
   exception. */
static int
prepare_datetime(void)
{
    PyDateTime_IMPORT;
    if (!PyDateTimeAPI) {
        if (PyErr_ExceptionMatches(PyExc_MemoryError)) {
            return -1;
        }
        PyErr_Clear();
        return 0;
    }
    /* The types themselves: a walk may run after the module is gone. */
    datetime_type = PyDateTimeAPI->DateTimeType;
    time_type = PyDateTimeAPI->TimeType;
    date_type = PyDateTimeAPI->DateType;
    return 0;
}

int
anatomy_prepare(void)
{
    /* Never released. Looked up at each import: the interpreter of the last one may have ended. */
    sizeof_name = PyUnicode_InternFromString("__sizeof__");
    if (!sizeof_name) {
        return -1;
    }
    sizeof_of_object = own_sizeof(&PyBaseObject_Type);
    if (!sizeof_of_object || prepare_exceptions() < 0 || prepare_datetime() < 0) {
        return -1;
    }
    return 0;
}

/* Whether a __sizeof__ need not be called, because the fixed part is right. That of BytesIO adds
   the bytes of an object that the walk counts by itself (CPYTHON_SHOWS_BYTES_IO); that of Struct
   may crash (CPYTHON_STRUCT_SIZE_CRASHES). */
static bool
is_fixed_part_enough(PyCFunction sizeof_function)
{
    return sizeof_function == sizeof_of_object || sizeof_function == sizeof_of_bytes_io
           || sizeof_function == sizeof_of_struct;
}

/* The nearest __sizeof__ that is in C, borrowed. One in Python is never called. NULL without an
   exception if the fixed part is enough; with an exception without memory. */
static PyObject *
nearest_sizeof(PyTypeObject *type)
{
    PyObject *mro = type->tp_mro;
    for (Py_ssize_t at = 0; mro && at < PyTuple_GET_SIZE(mro); at++) {
        PyObject *ancestor = PyTuple_GET_ITEM(mro, at);
        PyObject *found
            = PyType_Check(ancestor) ? names_find((PyTypeObject *)ancestor, sizeof_name) : NULL;
        if (found && Py_IS_TYPE(found, &PyMethodDescr_Type)
            && PyType_IsSubtype(type, PyDescr_TYPE(found)))
        {
            return is_fixed_part_enough(((PyMethodDescrObject *)found)->d_method->ml_meth) ? NULL
                                                                                           : found;
        }
        if (!found && PyErr_Occurred()) {
            return NULL;
        }
    }
    return NULL;
}

static size_rule
size_rule_of(PyTypeObject *type, PyObject *sizeof_method)
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
    if (type == datetime_type) {
        return SIZE_OF_DATETIME;
    }
    if (type == time_type) {
        return SIZE_OF_TIME;
    }
    if (sizeof_method) {
        return SIZE_BY_SIZEOF;
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
    if (cpython_is_dict(type)) {
        return cpython_is_exact_dict(type) ? SHAPE_DICT : SHAPE_DICT_SUBCLASS;
    }
    if (type == &PyTuple_Type) {
        return SHAPE_TUPLE;
    }
    if (type == &PyList_Type) {
        return SHAPE_LIST;
    }
    if (type == &PySet_Type) {
        return SHAPE_SET;
    }
    if (type == &PyFrozenSet_Type) {
        return SHAPE_FROZENSET;
    }
    return type == &PyModule_Type ? SHAPE_MODULE : SHAPE_TRAVERSED;
}

/* Bytes of members that a subclass adds. The __sizeof__ of int and str omit these: they use the
   basic size of int or str, whatever the type. */
static Py_ssize_t
members_left_out(PyTypeObject *type, PyObject *sizeof_method)
{
    PyTypeObject *ancestor
        = sizeof_method && is_heap_type(type) ? PyDescr_TYPE(sizeof_method) : NULL;
    bool is_constant = ancestor == &PyLong_Type || ancestor == &PyUnicode_Type;
    return is_constant ? type->tp_basicsize - ancestor->tp_basicsize : 0;
}

int
anatomy_of(PyTypeObject *type, anatomy *found)
{
    PyObject *sizeof_method = nearest_sizeof(type);
    if (!sizeof_method && PyErr_Occurred()) {
        return -1;
    }
    int is_standard = sizeof_method ? names_is_standard(PyDescr_TYPE(sizeof_method)) : true;
    if (is_standard < 0) {
        return -1;
    }
    bool is_class = type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS;
    bool is_heap = is_heap_type(type);
    Py_ssize_t item = type->tp_itemsize;
    *found = (anatomy){
        .size = size_rule_of(type, sizeof_method),
        .shape = shape_rule_of(type),
        .is_class = is_class,
        .is_method = type == &PyMethod_Type,
        .has_foreign_sizeof = !is_standard,
        .has_attributes = type->tp_flags & Py_TPFLAGS_MANAGED_DICT,
        .is_padded = is_heap && item % (Py_ssize_t)sizeof(void *),
        .item = (uint32_t)item,
        .sizeof_method = sizeof_method,
    };
    if (found->size <= SIZE_OF_LIST) {
        found->fixed = type->tp_basicsize;
    }
    else if (found->size == SIZE_BY_SIZEOF) {
        found->fixed = members_left_out(type, sizeof_method);
    }
    found->fixed += cpython_header_bytes(type) + cpython_sentinel_bytes(type);
    found->is_fixed = found->size == SIZE_FIXED && !is_class && !found->has_attributes
                      && found->shape != SHAPE_DICT_SUBCLASS;
    return 0;
}

bool
anatomy_may_refer(PyTypeObject *type)
{
    return shape_rule_of(type) != SHAPE_LEAF || type == datetime_type || type == time_type;
}

bool
anatomy_may_own(PyTypeObject *type)
{
    return type->tp_basicsize > (Py_ssize_t)sizeof(PyObject) && type != &PyTuple_Type
           && type != &PyLong_Type && type != &PyBytes_Type && type != &PyFloat_Type
           && type != datetime_type && type != time_type && type != date_type
           && !cpython_ends_with_frame(type);
}

PyObject *
anatomy_timezone(const anatomy *kind, PyObject *measured)
{
    PyObject *zone = kind->size == SIZE_OF_DATETIME ? PyDateTime_DATE_GET_TZINFO(measured)
                     : kind->size == SIZE_OF_TIME   ? PyDateTime_TIME_GET_TZINFO(measured)
                                                    : Py_None;
    return zone == Py_None ? NULL : zone;
}

Py_ssize_t
anatomy_datetime_bytes(const anatomy *kind, PyObject *measured)
{
    bool has_timezone = anatomy_timezone(kind, measured) != NULL;
    if (kind->size == SIZE_OF_DATETIME) {
        return (Py_ssize_t)(has_timezone ? sizeof(PyDateTime_DateTime)
                                         : offsetof(PyDateTime_DateTime, tzinfo));
    }
    return (Py_ssize_t)(has_timezone ? sizeof(PyDateTime_Time) : offsetof(PyDateTime_Time, tzinfo));
}

Py_ssize_t
anatomy_least_bytes(PyTypeObject *type)
{
    if (type == datetime_type) {
        return (Py_ssize_t)offsetof(PyDateTime_DateTime, tzinfo);
    }
    return type == time_type ? (Py_ssize_t)offsetof(PyDateTime_Time, tzinfo) : 0;
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
