/* Which of a window's objects are retained, and which are garbage: trial deletion, as CPython's
   collector does it (Modules/gcmodule.c, Python/gc.c: deduce_unreachable).

   An object whose references are not all accounted for by other objects of the window is held from
   outside. It is retained, and so is what it refers to. The rest is unreachable. */
#ifndef MEMSIZE_REACHABILITY_H
#define MEMSIZE_REACHABILITY_H

#include "analysis/allocations.h"

/* Set ``is_retained`` of each object. Objects must be indexed, and gc_refs be reference counts.

   ``external`` is a list of external objects that refer to the window's objects and may be
   unreachable themselves; NULL is an empty list. The list itself accounts for one reference to each
   of its objects. The more of these objects it has, the more is known to be unreachable. -1 with an
   exception. */
int reachability_find(allocations *all, PyObject *external);

/* Whether only the objects on such a list, and what they alone hold, refer to them. -1 with an
   exception. */
int reachability_is_closed(PyObject *external);

#endif
