/* An array that grows, written once, and the one that is used most: of objects. */
#ifndef MEMSIZE_ARRAY_H
#define MEMSIZE_ARRAY_H

#include "platform.h"

#define ARRAY_FIRST_CAPACITY 64

/* The items with room for twice as many of them (which updates the capacity), or NULL without
   memory, with no exception: the items stay valid then. */
static inline void *
array_grow(void *items, size_t item_bytes, size_t *capacity)
{
    size_t grown = *capacity ? 2 * *capacity : ARRAY_FIRST_CAPACITY;
    void *moved = PyMem_RawRealloc(items, grown * item_bytes);
    if (moved) {
        *capacity = grown;
    }
    return moved;
}

/* Objects, borrowed or not: the array neither takes nor drops references. */
typedef struct {
    PyObject **items;
    size_t count, capacity;
} object_array;

/* Append an object. False without memory, with no exception. */
MEMSIZE_INLINE bool
array_append(object_array *array, PyObject *object)
{
    if (MEMSIZE_UNLIKELY(array->count == array->capacity)) {
        PyObject **grown = array_grow(array->items, sizeof(PyObject *), &array->capacity);
        if (!grown) {
            return false;
        }
        array->items = grown;
    }
    array->items[array->count++] = object;
    return true;
}

/* Free the memory: the array is empty afterwards. */
static inline void
array_clear(object_array *array)
{
    PyMem_RawFree(array->items);
    *array = (object_array){.items = NULL};
}

#endif
