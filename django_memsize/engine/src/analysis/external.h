/* External objects: objects that a window's objects refer to and that were not allocated in the
   window. Examples: the request, which was made before, and objects from a free list.

   If all references to an external object are accounted for, only the window's objects (and other
   such external objects) hold it, and what it refers to is not held from outside. It is followed
   once that is known. In a cycle it would never be known: so an external object that may be part of
   one is presumed to be held by the window, and followed at once. */
#ifndef MEMSIZE_EXTERNAL_H
#define MEMSIZE_EXTERNAL_H

#include "hashtable.h"

typedef struct {
    PyObject *object;
    Py_ssize_t accounted; /* references */
    bool is_presumed;     /* to be held by the window alone */
    bool is_retained;
    int32_t mark; /* registered.c: retain_holding() */
} external_object;

typedef struct {
    hashtable objects; /* of external_object */
} external_set;

void external_clear(external_set *set);

/* Whether an object may be an external one: only what the collector knows, without classes and
   modules, which are alive. */
static inline bool
external_is_possible(PyObject *object)
{
    unsigned long flags = Py_TYPE(object)->tp_flags;
    return flags & Py_TPFLAGS_HAVE_GC && !(flags & Py_TPFLAGS_TYPE_SUBCLASS)
           && !Py_IS_TYPE(object, &PyModule_Type);
}

/* The entry of an object, added if it is possible. Valid until the next is added. NULL, with no
   exception, if it is not possible, or without memory. */
external_object *external_add(external_set *set, PyObject *object);

/* The entry of an object, or NULL. */
external_object *external_find(const external_set *set, PyObject *object);

/* Whether all references to an external object are accounted for. */
static inline bool
external_is_accounted(const external_object *one)
{
    return one->accounted == Py_REFCNT(one->object);
}

#endif
