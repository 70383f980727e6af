/* The owner of each buffer: the object whose members, or whose buffers, point to it. */
#ifndef MEMSIZE_OWNERS_H
#define MEMSIZE_OWNERS_H

#include "analysis/allocations.h"

/* Set the owners of buffers. -1 with an exception. */
int owners_find(allocations *all);

#endif
