/* Which of a window's objects are retained, and which are garbage: trial deletion, as CPython's
   collector does it (Modules/gcmodule.c, Python/gc.c: deduce_unreachable).

   An object whose references are not all accounted for by other objects of the window is held from
   outside. It is retained, and so is what it refers to. The rest is unreachable. */
#ifndef MEMSIZE_REACHABILITY_H
#define MEMSIZE_REACHABILITY_H

#include "analysis/survivors.h"

typedef struct {
    PyObject *external;     /* a list of external objects, or NULL for none */
    size_t most_blocks;     /* that may be alive; 0 is no limit */
    bool shares_free_lists; /* other threads may have taken what the window's had freed */
    survivors_question survivors;
} reachability_question;

/* Set ``is_retained`` of each object. Objects must be indexed. The GIL is held throughout, because
   reference counts and references are compared: callers limit the number of allocations. A list of
   few allocations may have any number of references, and so these are limited as well: beyond 16
   times ``most_blocks``, which is no limit if 0, the analysis is given up, and where external
   objects take more memory than the meter may.

   With ``shares_free_lists`` taken_mark() is called in the end (taken.h).

   Reference counts are read again if the GIL was given back since objects were recognised. The
   state becomes stale if an object has another type than then.

   ``external`` refer to the window's objects and may be unreachable themselves. The list itself
   accounts for one reference to each of its objects. The window's ``external_is_held`` is set to
   whether one of them was found retained: something else outside leads to it, which may be
   unreachable itself. -1 with an exception. */
int reachability_find(allocations *all, const reachability_question *question, steps *under_way);

#endif
