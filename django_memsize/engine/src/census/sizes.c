#include "census/sizes.h"

/* No object has more; sums of larger answers of __sizeof__ could overflow. */
#define MOST_BYTES (PY_SSIZE_T_MAX >> 16)

static long greatest_cached_int;
static uintptr_t lowest_cached_int, highest_cached_int; /* addresses */

/* Whether CPython caches the int of a value; if so, include it in the range of addresses. -1 with
   an exception. */
static int
add_if_cached(long value)
{
    PyObject *first = PyLong_FromLong(value);
    PyObject *second = first ? PyLong_FromLong(value) : NULL;
    int is_cached = second ? first == second : -1;
    if (is_cached == 1) {
        lowest_cached_int = Py_MIN(lowest_cached_int, (uintptr_t)first);
        highest_cached_int = Py_MAX(highest_cached_int, (uintptr_t)first);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return is_cached;
}

int
sizes_prepare(void)
{
    lowest_cached_int = UINTPTR_MAX;
    highest_cached_int = 0;
    greatest_cached_int = CPYTHON_LEAST_CACHED_INT - 1;
    int is_cached = 1;
    while (is_cached == 1 && greatest_cached_int < CPYTHON_CACHED_INTS_LIMIT) {
        is_cached = add_if_cached(greatest_cached_int + 1);
        greatest_cached_int += is_cached == 1;
    }
    return is_cached < 0 ? -1 : 0;
}

/* Call __sizeof__. If it fails, return the basic size. */
static Py_ssize_t
call_sizeof(const anatomy *kind, PyObject *measured)
{
    PyMethodDef *method = ((PyMethodDescrObject *)kind->sizeof_method)->d_method;
    PyObject *answer = (method->ml_flags & ~METH_COEXIST) == METH_NOARGS
                           ? method->ml_meth(measured, NULL)
                           : PyObject_CallOneArg(kind->sizeof_method, measured);
    Py_ssize_t bytes = answer ? PyLong_AsSsize_t(answer) : -1;
    Py_XDECREF(answer);
    if (bytes < 0 || bytes > MOST_BYTES) {
        if (bytes < 0 && PyErr_ExceptionMatches(PyExc_MemoryError)) {
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

/* Whether an int of one digit is one of those that CPython caches. */
static bool
is_cached_int(PyObject *number)
{
    if ((uintptr_t)number < lowest_cached_int || (uintptr_t)number > highest_cached_int) {
        return false;
    }
    long value = PyLong_AsLong(number);
    if (value < CPYTHON_LEAST_CACHED_INT || value > greatest_cached_int) {
        return false;
    }
    PyObject *cached = PyLong_FromLong(value); /* a cached int: allocates nothing */
    Py_DECREF(cached);
    return cached == number;
}

static Py_ssize_t
bytes_of_int(const anatomy *kind, PyObject *number)
{
    if (!cpython_int_has_one_digit(number)) {
        return call_sizeof(kind, number);
    }
    return is_cached_int(number) ? 0 : CPYTHON_INT_OF_ONE_DIGIT;
}

Py_ssize_t
sizes_bytes_of_any(const anatomy *kind, PyObject *measured)
{
    Py_ssize_t bytes = 0;
    switch (kind->size) {
    case SIZE_FIXED:
        break;
    case SIZE_OF_ITEMS:
        bytes = Py_ABS(Py_SIZE(measured)) * (Py_ssize_t)kind->item;
        break;
    case SIZE_OF_LIST:
        bytes = cpython_list_capacity(measured) * (Py_ssize_t)sizeof(PyObject *);
        break;
    case SIZE_OF_DATETIME:
    case SIZE_OF_TIME:
        bytes = anatomy_datetime_bytes(kind, measured);
        break;
    case SIZE_OF_TEXT:
        bytes = bytes_of_text(measured);
        break;
    case SIZE_OF_INT:
        bytes = bytes_of_int(kind, measured);
        break;
    case SIZE_BY_SIZEOF:
    default:
        bytes = call_sizeof(kind, measured);
        break;
    }
    if (MEMSIZE_UNLIKELY(bytes < 0)) {
        return -1;
    }
    if (kind->is_class && !is_heap_type((PyTypeObject *)measured)) {
        return bytes;
    }
    if (kind->shape == SHAPE_DICT || kind->shape == SHAPE_DICT_SUBCLASS) {
        bytes += cpython_dict_sizeof_lacks(measured);
    }
    if (kind->has_attributes) {
        bytes += cpython_values_bytes(measured);
    }
    return kind->is_padded ? round_up_to_words(kind->fixed + bytes) : kind->fixed + bytes;
}
