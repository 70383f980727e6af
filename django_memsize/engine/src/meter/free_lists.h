/* CPython keeps freed objects of some types for the next of the same type. What is taken from there
   reaches no allocator, so nobody sees it: a window takes all there is when it opens. */
#ifndef MEMSIZE_FREE_LISTS_H
#define MEMSIZE_FREE_LISTS_H

#include "platform.h"

typedef struct {
    PyObject **taken;
    size_t count, room;
} free_lists;

/* Take what is on them, until each type's next object comes from the allocator; the hooks must be
   in place. Raises nothing: without memory some may be left. */
void free_lists_drain(free_lists *drained);

/* Let it go: little of it returns to the lists. */
void free_lists_release(free_lists *drained);

#endif
