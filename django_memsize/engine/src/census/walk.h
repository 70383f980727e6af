/* One pass over objects and all that they refer to, each counted once.

   Nothing that is met is referred to, and no code of the program runs, from the first object to the
   last: the GIL is held throughout, the collector is off, and an object is touched through its
   type's C slots and through public struct members only. */
#ifndef MEMSIZE_WALK_H
#define MEMSIZE_WALK_H

#include "census/addresses.h"
#include "census/tally.h"

/* Objects met wait a little for their memory to reach the processor's cache. */
#define WALK_WAITING 8

typedef struct walk walk;

struct walk {
    address_set own_met;
    address_set *met; /* own_met, unless several walks are to count each object once together */
    tally counts;
    PyObject *waiting[WALK_WAITING];
    unsigned next_waiting;
    PyObject **pending; /* counted, and still to be followed */
    size_t pending_count, pending_room;
    unsigned nesting;
    bool has_failed; /* there is an exception, whatever a tp_traverse makes of it */
    unsigned own_traversing;
    unsigned
        *traversing; /* how many foreign functions are on the stack; an inner walk: its outer's */
    PyObject **unsized; /* counted, and to be asked for their sizes when there are none */
    size_t unsized_count, unsized_room;
    bool is_census;      /* what the collector lists is followed by itself, and either met by now */
    bool leaves_tracked; /* or left alone where it is met, but for the immortal */
    size_t frozen_met;   /* what it tracks and did not list */
    walk *inner;         /* for each of the wanted types: a walk from its instances */
    size_t instances;    /* from how many an inner walk began */
};

/* CPython never counts so many references. */
#define WALK_IMMORTAL ((Py_ssize_t)1 << 30)

/* Whether CPython, from 3.12 on, keeps an object for good. */
static inline bool
walk_is_immortal(PyObject *object)
{
    return PY_VERSION_HEX >= 0x030C0000 && Py_REFCNT(object) > WALK_IMMORTAL;
}

/* Make ready; set what else is wanted in ``counts`` before the first object. */
void walk_init(walk *pass);

/* Give back all memory. */
void walk_clear(walk *pass);

/* Meet an object: count it, if it is new, and put it by to be followed. A visitproc; -1 with an
   exception. */
int walk_visit(PyObject *found, void *pass);

/* Count an object whether or not it was met before, unless its type is left out, and follow it at
   once. -1 with an exception. */
int walk_take(walk *pass, PyObject *taken);

/* Follow all that is put by, until nothing is left. Not within a tp_traverse. -1 with an
   exception. */
int walk_finish(walk *pass);

/* Show each referent of an object to a visitproc, as a walk does. Anything but 0 ends it. */
int walk_referents(PyObject *measured, visitproc visit, void *arg);

/* Show the members of a code object, which does not show them to the collector. */
MEMSIZE_INLINE int
walk_follow_code(PyObject *measured, visitproc visit, void *arg)
{
    const PyCodeObject *code = (const PyCodeObject *)measured;
    Py_VISIT(code->co_consts);
    Py_VISIT(code->co_names);
    Py_VISIT(code->co_localsplusnames);
    Py_VISIT(code->co_localspluskinds);
    Py_VISIT(code->co_filename);
    Py_VISIT(code->co_name);
    Py_VISIT(code->co_qualname);
    Py_VISIT(code->co_linetable);
    Py_VISIT(code->co_exceptiontable);
    return 0;
}

/* Whether a module's tp_traverse shows objects that are freed: it is not to be called. */
bool walk_shows_freed(PyObject *module);

#endif
