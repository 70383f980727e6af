#include "analysis/taken.h"

/* Whether an object of a type is held from outside of the window. */
static bool
is_held(const allocations *all, const allocation *one, const PyTypeObject *type)
{
    return one->state == ALLOCATION_OBJECT && one->gc_refs > 0
           && allocation_type(all, one)->type == type;
}

/* The items of a list that was taken have a buffer of the other thread, or none. */
static bool
is_taken_list(const allocations *all, const allocation *one)
{
    return is_held(all, one, &PyList_Type)
           && !allocations_find(all, &all->buffers,
                                ((PyListObject *)allocation_object(one))->ob_item);
}

/* Mark a list, whose references to objects of the window are ones from outside. */
static void
mark_list(const allocations *all, allocation *one)
{
    PyObject *list = allocation_object(one);
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(list); at++) {
        allocation *item = allocations_find_object(all, PyList_GET_ITEM(list, at));
        if (item) {
            item->gc_refs++;
        }
    }
    one->state = ALLOCATION_FREED;
}

static bool
is_taken_tuple(const allocations *all, const allocation *one)
{
    if (!is_held(all, one, &PyTuple_Type)) {
        return false;
    }
    PyObject *tuple = allocation_object(one);
    Py_ssize_t left = PyTuple_GET_SIZE(tuple);
    if (left > CPYTHON_FREE_TUPLES_LENGTH) {
        return false;
    }
    while (left && !allocations_find_object(all, PyTuple_GET_ITEM(tuple, left - 1))) {
        left--;
    }
    return !left;
}

void
taken_mark(allocations *all)
{
    for (size_t at = 0; at < all->count; at++) {
        if (is_taken_list(all, all->items + at)) {
            mark_list(all, all->items + at);
        }
    }
    for (size_t at = 0; at < all->count; at++) {
        if (is_taken_tuple(all, all->items + at)) {
            all->items[at].state = ALLOCATION_FREED;
        }
    }
}
