/* CPython keeps freed objects of some types on free lists, for the next object of the type. An
   object from a free list is not allocated, and so is not seen. Therefore an outermost window
   drains the free lists when it opens. */
#ifndef MEMSIZE_FREE_LISTS_H
#define MEMSIZE_FREE_LISTS_H

#include "array.h"

/* Take objects from the free lists until the next of each type is allocated. The hooks must be
   installed, and crediting paused. Sets no exception: without memory, objects may be left. */
void free_lists_drain(object_array *drained);

/* Free the objects; few of them return to the free lists. */
void free_lists_release(object_array *drained);

#endif
