/* Which object each buffer belongs to: what is an object's is found in the object's own words. */
#ifndef MEMSIZE_OWNERS_H
#define MEMSIZE_OWNERS_H

#include "analysis/allocations.h"

/* Give buffers their owners. -1 with an exception. */
int owners_find(parts *found);

#endif
