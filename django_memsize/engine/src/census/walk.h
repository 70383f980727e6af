/* One pass over objects and all that they refer to, which counts each object once.

   A walk takes no reference to an object, and runs no code of the program: from the first object to
   the last the GIL is held, the collector is off, and an object is touched only through the C slots
   of its type and through public members of its struct. */
#ifndef MEMSIZE_WALK_H
#define MEMSIZE_WALK_H

#include "array.h"
#include "census/addresses.h"
#include "census/tally.h"

/* An object is prefetched when it is visited, and counted so many visits later. */
#define WALK_AHEAD 8

typedef struct walk walk;

struct walk {
    address_set own_seen;
    address_set *seen; /* own_seen, or that of several walks that count each object once together */
    tally counts;
    PyObject *prefetched[WALK_AHEAD]; /* visited for the first time, not counted yet; or NULL */
    unsigned next_prefetched;
    object_array pending; /* counted, not followed yet */
    unsigned nesting;
    bool has_failed; /* an exception is set, whatever a tp_traverse returned */
    unsigned own_traversing;
    unsigned *traversing; /* foreign tp_traverse calls on the C stack; an inner walk uses its outer
                             walk's number */
    object_array unsized; /* counted, and to be sized when no tp_traverse is on the stack */
    bool is_census;       /* each object that the collector lists is given to walk_count() */
    bool skips_tracked;   /* a visit ignores tracked objects, except immortal ones */
    size_t frozen_seen;   /* tracked objects that were visited and not listed */
    walk *inner;          /* for each of the wanted types, a walk that begins at its instances */
    size_t instances;     /* of an inner walk: the instances that it began at */
};

/* Make a walk ready. Set what else is wanted in ``counts`` before the first object. */
void walk_init(walk *pass);

/* Free all memory. */
void walk_clear(walk *pass);

/* Visit an object: if it is new, count it (soon) and follow it (later). A visitproc. -1 with an
   exception. */
int walk_visit(PyObject *visited, void *pass);

/* Count an object, new or not, unless its type is excluded, and follow it at once. -1 with an
   exception. */
int walk_count(walk *pass, PyObject *listed);

/* Follow all pending objects, until none are left. Not inside a tp_traverse. -1 with an
   exception. */
int walk_finish(walk *pass);

/* Visit each referent of an object, as a walk does. Anything but 0 from the visitproc ends it. */
int walk_referents(PyObject *measured, visitproc visit, void *arg);

#endif
