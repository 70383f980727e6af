#include "meter/free_lists.h"

#include "meter/hooks.h"

#define TUPLES_UP_TO 20
#define MOST_OF_A_KIND 4000 /* more than any version keeps: an end in any case */

typedef PyObject *(*maker)(Py_ssize_t number);

static PyObject *
made_tuple(Py_ssize_t size)
{
    PyObject *made = PyTuple_New(size);
    for (Py_ssize_t at = 0; made && at < size; at++) {
        PyTuple_SET_ITEM(made, at, Py_NewRef(Py_None));
    }
    return made;
}

static PyObject *
made_list(Py_ssize_t Py_UNUSED(number))
{
    return PyList_New(0);
}

static PyObject *
made_dict(Py_ssize_t Py_UNUSED(number))
{
    return PyDict_New();
}

static PyObject *
made_float(Py_ssize_t Py_UNUSED(number))
{
    return PyFloat_FromDouble(0.5);
}

static PyObject *
made_int(Py_ssize_t Py_UNUSED(number))
{
    return PyLong_FromLong(1 << 20);
}

/* Keep an object until it is given back; no walk of the heap is to find it. */
static bool
hold(free_lists *drained, PyObject *made)
{
    if (drained->count == drained->room) {
        size_t more = drained->room ? 2 * drained->room : 256;
        PyObject **moved = PyMem_RawRealloc(drained->taken, more * sizeof(PyObject *));
        if (!moved) {
            return false;
        }
        drained->taken = moved;
        drained->room = more;
    }
    drained->taken[drained->count++] = made;
    if (PyObject_IS_GC(made)) {
        PyObject_GC_UnTrack(made);
    }
    return true;
}

/* Make objects until the allocator is asked for one. */
static void
drain(free_lists *drained, maker make, Py_ssize_t number)
{
    bool was_kept = true;
    for (int most = MOST_OF_A_KIND; most && was_kept; most--) {
        size_t before = hooks_count();
        PyObject *made = make(number);
        was_kept = made && hooks_count() == before;
        /* The last one as well: let go of, it would be the first on the list. */
        if (made && !hold(drained, made)) {
            Py_DECREF(made);
            was_kept = false;
        }
    }
}

/* The same for the tables of keys that dicts of text begin with: the dicts from there on, which are
   empty, take them, and more where these are not enough. */
static void
drain_keys(free_lists *drained, size_t at)
{
    PyObject *key = PyUnicode_InternFromString("key");
    bool was_kept = key != NULL;
    for (int most = MOST_OF_A_KIND; most && was_kept; most--, at++) {
        if (at == drained->count) {
            PyObject *made = PyDict_New();
            if (!made || !hold(drained, made)) {
                Py_XDECREF(made);
                break;
            }
        }
        size_t before = hooks_count();
        was_kept = PyDict_SetItem(drained->taken[at], key, Py_None) == 0 && hooks_count() == before;
    }
    Py_XDECREF(key);
}

void
free_lists_drain(free_lists *drained)
{
    int was_enabled = PyGC_Disable();
    for (Py_ssize_t size = 1; size <= TUPLES_UP_TO; size++) {
        drain(drained, made_tuple, size);
    }
    drain(drained, made_list, 0);
    drain(drained, made_float, 0);
    drain(drained, made_int, 0);
    size_t others = drained->count;
    drain(drained, made_dict, 0);
    drain_keys(drained, others);
    if (was_enabled) {
        PyGC_Enable();
    }
    PyErr_Clear(); /* for want of memory: no more is taken */
}

/* Let an object of ours go: not to its free list, which may have had thousands, for the next window
   to take them all again. Nobody else ever had it, and what the collector tracks is untracked. */
static void
let_go(PyObject *made)
{
#if !defined(Py_REF_DEBUG) && !defined(Py_TRACE_REFS)
    if (PyTuple_CheckExact(made)) {
        for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(made); at++) {
            Py_DECREF(PyTuple_GET_ITEM(made, at));
        }
        PyObject_GC_Del(made);
        return;
    }
    if (PyList_CheckExact(made) || (PyDict_CheckExact(made) && !PyDict_GET_SIZE(made))) {
        PyObject_GC_Del(made); /* they never had anything in them */
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
free_lists_release(free_lists *drained)
{
    while (drained->count) {
        let_go(drained->taken[--drained->count]);
    }
    PyMem_RawFree(drained->taken);
    *drained = (free_lists){.taken = NULL};
}
