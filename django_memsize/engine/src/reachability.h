/* Which of a window's live objects are retained, and which only wait for the collector: trial
   deletion. An object with more references than those that other objects of the window account for
   is held from outside; so is what such objects refer to. The rest holds itself up, if anything. */
#ifndef MEMSIZE_REACHABILITY_H
#define MEMSIZE_REACHABILITY_H

#include "parts.h"

/* Set ``is_retained`` of each object, once objects are indexed. Changes nothing but the parts. -1
   with an exception. */
int reachability_tell(parts *found);

#endif
