/* Which of a window's live objects are retained, and which only wait for the collector: trial
   deletion. An object with more references than those that other objects of the window account for
   is held from outside; so is what such objects refer to. The rest holds itself up, if anything. */
#ifndef MEMSIZE_REACHABILITY_H
#define MEMSIZE_REACHABILITY_H

#include "analysis/allocations.h"

/* Set ``is_retained`` of each object, once objects are indexed. Changes nothing but the parts.

   What refers to them from outside, and may itself be dead, is in the list ``around``, which
   accounts for one reference to each: any list will do, the more is on it the more is known to be
   dead. NULL is an empty one. -1 with an exception. */
int reachability_tell(parts *found, PyObject *around);

/* Whether nothing else refers to the objects of such a list. -1 with an exception. */
int reachability_is_closed(PyObject *around);

#endif
