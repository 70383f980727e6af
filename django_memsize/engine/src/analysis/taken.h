/* Containers that another thread took from a free list.

   CPython keeps 2,000 freed tuples of each length, and some lists, dicts and tables of keys, for
   whoever makes the next one. One that the window's request had freed may be another request's by
   now. No hook sees it taken, and so the window would be said to retain it. */
#ifndef MEMSIZE_TAKEN_H
#define MEMSIZE_TAKEN_H

#include "analysis/allocations.h"

/* Mark, as on a free list, the retained lists, dicts and short tuples that are held from outside
   and have nothing of the window but others of this kind, and the small tables of keys that no dict
   of the window has. Trial deletion must be over, and the GIL was not given back since.

   What the program retains looks the same if it was made of older objects and constants alone. So
   call this only where other threads may have taken objects. More dicts, tables or lists without
   items than several free lists have are the program's. */
void taken_mark(allocations *all);

#endif
