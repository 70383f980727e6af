#include "meter/free_lists.h"

#include "collector.h"
#include "cpython.h"
#include "meter/hooks.h"

typedef PyObject *(*maker)(Py_ssize_t length);

static PyObject *
make_tuple(Py_ssize_t length)
{
    PyObject *made = PyTuple_New(length);
    for (Py_ssize_t at = 0; made && at < length; at++) {
        PyTuple_SET_ITEM(made, at, Py_NewRef(Py_None));
    }
    return made;
}

static PyObject *
make_list(Py_ssize_t Py_UNUSED(length))
{
    return PyList_New(0);
}

static PyObject *
make_dict(Py_ssize_t Py_UNUSED(length))
{
    return PyDict_New();
}

static PyObject *
make_float(Py_ssize_t Py_UNUSED(length))
{
    return PyFloat_FromDouble(0.5);
}

static PyObject *
make_int(Py_ssize_t Py_UNUSED(length))
{
    return PyLong_FromLong(1 << 20);
}

/* Store an object, untracked: no walk of the heap is to find it. False without memory. */
static bool
store_drained(object_array *drained, PyObject *made)
{
    if (!array_append(drained, made)) {
        return false;
    }
    if (PyObject_IS_GC(made)) {
        PyObject_GC_UnTrack(made);
    }
    return true;
}

/* Make objects until one is allocated. That one is stored as well: freed, it would be the first on
   the free list. */
static void
drain_type(object_array *drained, maker make, Py_ssize_t length)
{
    bool was_free = true;
    for (int left = CPYTHON_FREE_LIST_MOST; left && was_free; left--) {
        size_t before = hooks_lookups();
        PyObject *made = make(length);
        was_free = made && hooks_lookups() == before;
        if (made && !store_drained(drained, made)) {
            Py_DECREF(made);
            was_free = false;
        }
    }
}

/* Drain the tables of keys with which dicts of text begin: give a key to each drained dict, from
   the first one on, and to new dicts after these. */
static void
drain_keys(object_array *drained, size_t first_dict)
{
    PyObject *key = PyUnicode_InternFromString("key");
    bool was_free = key != NULL;
    size_t at = first_dict;
    for (int left = CPYTHON_FREE_LIST_MOST; left && was_free; left--, at++) {
        if (at == drained->count) {
            PyObject *made = PyDict_New();
            if (!made || !store_drained(drained, made)) {
                Py_XDECREF(made);
                break;
            }
        }
        size_t before = hooks_lookups();
        was_free
            = PyDict_SetItem(drained->items[at], key, Py_None) == 0 && hooks_lookups() == before;
    }
    Py_XDECREF(key);
}

void
free_lists_drain(object_array *drained)
{
    int was_enabled = collector_pause();
    for (Py_ssize_t length = 1; length <= CPYTHON_FREE_TUPLES_LENGTH; length++) {
        drain_type(drained, make_tuple, length);
    }
    drain_type(drained, make_list, 0);
    drain_type(drained, make_float, 0);
    drain_type(drained, make_int, 0);
    size_t first_dict = drained->count;
    drain_type(drained, make_dict, 0);
    drain_keys(drained, first_dict);
    collector_resume(was_enabled);
    PyErr_Clear(); /* without memory, objects are left */
}

/* Free the table of keys of a dict with the one item that drain_keys() set. */
static void
free_drained_keys(PyObject *dict)
{
    Py_ssize_t at = 0;
    PyObject *key, *value;
    if (PyDict_Next(dict, &at, &key, &value)) {
        cpython_free_keys((PyDictObject *)dict);
        Py_DECREF(value);
        Py_DECREF(key);
    }
}

/* Free an object without putting it on its free list, for the next window to drain. That is safe
   because nothing else ever referred to the object, and it is untracked. */
static void
free_drained(PyObject *made)
{
#if !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS)
    if (PyTuple_CheckExact(made)) {
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(made); at++) {
            Py_DECREF(PyTuple_GET_ITEM(made, at));
        }
        PyObject_GC_Del(made);
        return;
    }
    if (PyList_CheckExact(made)) {
        PyObject_GC_Del(made); /* it was always empty, and has no buffer */
        return;
    }
    if (PyDict_CheckExact(made)) {
        free_drained_keys(made);
        PyObject_GC_Del(made);
        return;
    }
    if (PyFloat_CheckExact(made)) {
        PyObject_Free(made);
        return;
    }
#endif
    Py_DECREF(made);
}

void
free_lists_release(object_array *drained)
{
    while (drained->count) {
        free_drained(drained->items[--drained->count]);
    }
    array_clear(drained);
}
