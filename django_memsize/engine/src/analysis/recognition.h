/* Recognition: whether a block is an object.

   A block is read before it is known what it holds. So it is an object only if everything fits: the
   allocator's domain, the class, the size, the words in front of it, the reference count. */
#ifndef MEMSIZE_RECOGNITION_H
#define MEMSIZE_RECOGNITION_H

#include "analysis/allocations.h"

/* One pass over the blocks of a window. */
typedef struct {
    allocations *all;
    const void *suspect; /* what may be a class that is not listed; NULL: nothing */
    bool has_failed;     /* an exception is set */
} recognition;

/* If the block of an allocation is an object, set its type, state, header and gc_refs. */
bool recognition_try(recognition *under_way, allocation *one);

/* Whether a block, which no object owns, is on a free list though it does not look like an object:
   a float, or a table of keys of a dict. */
bool recognition_is_freed(const allocation *buffer);

/* List the classes again, because of a suspect. Remembers a suspect that is not a class. -1 with an
   exception. */
int recognition_update_classes(const void *suspect);

/* Forget the suspects that were not classes, because new classes may be where they were. */
void recognition_forget_suspects(void);

#endif
