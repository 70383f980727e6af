/* The owner of each buffer: the object whose members, or whose buffers, point to it.

   Memory that is not initialised may hold pointers to buffers of other objects. So an object owns
   a buffer only through a member that can do so, and where several objects point to a buffer, the
   surest is its owner: first texts, bytearrays and classes, then lists, dicts, sets, decimals and
   instances with attributes, whose structs are known, and last objects of other types in C, whose
   members are scanned. */
#ifndef MEMSIZE_OWNERS_H
#define MEMSIZE_OWNERS_H

#include "analysis/allocations.h"

/* Set the owners of buffers. May give the GIL back. -1 with an exception. */
int owners_find(allocations *all, steps *under_way);

#endif
