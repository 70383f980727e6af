/* Objects that a window's own refer to and that were not allocated in it: the request itself, which
   was there before, or what was made in the place of an object on a free list.

   One all of whose references come from the window's objects, or from others of its kind, belongs
   with them: what it refers to is not held from outside. It is followed once that is known; of a
   circle it would never be, so what may be part of one is presumed to belong, and followed at once.
 */
#ifndef MEMSIZE_GUESTS_H
#define MEMSIZE_GUESTS_H

#include "platform.h"

typedef struct {
    PyObject *object;      /* NULL: empty */
    Py_ssize_t references; /* that are accounted for */
    bool is_presumed;
    bool is_retained;
} guest;

typedef struct {
    guest *table;
    unsigned room_bits;
    size_t used;
} guest_list;

void guests_clear(guest_list *guests);

/* Whether an object may be a guest. */
static inline bool
guest_may_be(PyObject *object)
{
    unsigned long flags = Py_TYPE(object)->tp_flags;
    return flags & Py_TPFLAGS_HAVE_GC && !(flags & Py_TPFLAGS_TYPE_SUBCLASS)
           && !Py_IS_TYPE(object, &PyModule_Type);
}

/* The guest that an object is, made so if it may be one: only of what the collector knows. Valid
   until the next is made. NULL, with no exception, if it cannot be one or for want of memory. */
guest *guests_meet(guest_list *guests, PyObject *object);

/* The guest that an object is already, or NULL. */
guest *guests_find(const guest_list *guests, PyObject *object);

/* Whether all references to it are accounted for. */
static inline bool
guest_is_ours(const guest *one)
{
    return one->references == Py_REFCNT(one->object);
}

#endif
