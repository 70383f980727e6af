/* Lists the allocations of a window, and distinguishes objects from buffers. */
#ifndef MEMSIZE_LISTING_H
#define MEMSIZE_LISTING_H

#include "analysis/allocations.h"

/* List the live blocks of a window and of the windows in it, and recognise objects. May give the
   GIL back. -1 with an exception; allocations_clear() is due either way. */
int listing_make(allocations *all, steps *under_way);

/* Mark what is on free lists: buffers that no object owns and that look like it, and objects that
   other windows drained from free lists. Call once buffers have owners. May give the GIL back. -1
   with an exception. */
int listing_mark_freed(allocations *all, steps *under_way);

#endif
