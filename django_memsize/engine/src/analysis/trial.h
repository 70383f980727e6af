/* Following references between a window's objects, and to others: every reference is handed to a
   visitor, and the objects that it adds are followed in turn. For trial deletion (reachability.c),
   and bounded by a number of references and by memory. */
#ifndef MEMSIZE_TRIAL_H
#define MEMSIZE_TRIAL_H

#include "analysis/allocations.h"
#include "analysis/external.h"
#include "analysis/references.h"
#include "array.h"
#include "census/tally.h"

/* References wait for a few others, while the processor fetches what is known of their objects:
   first the head of the chain, half-way the allocation. */
#define REFERENTS_AHEAD 16

typedef struct {
    allocations *all;
    PyObject *waiting[REFERENTS_AHEAD]; /* or NULL */
    unsigned next_waiting;
    tally types; /* what is known of types; counts nothing */
    external_set external;
    object_array pending;         /* to be followed */
    object_array registered;      /* finalizers.h: retained if what they wait for is alive */
    references_progress progress; /* of the object that is followed */
    Py_ssize_t work_left;         /* references that may be followed; below 0: given up */
    size_t most_bytes;            /* that external objects may take; 0 is no limit */
    int32_t mark;                 /* of the current round: registered.c, retain_holding() */
    bool has_failed;              /* no memory */
    bool is_too_large;            /* the external objects */
} trial;

typedef void (*referent_function)(trial *under_way, PyObject *referent);

/* Follow an object later. Sets ``has_failed`` without memory. */
void trial_follow_later(trial *under_way, PyObject *object);

/* Follow an object now. -1 with an exception, or if it is given up, as the functions below. */
int trial_follow(trial *under_way, PyObject *object, visitproc visit);

/* Follow all pending objects. */
int trial_follow_pending(trial *under_way, visitproc visit);

/* Follow until nothing is pending or waiting. */
int trial_finish(trial *under_way, visitproc visit, referent_function with_referent);

void trial_clear(trial *under_way);

/* Add a referent, or NULL, to those that wait; return the one that waited longest, or NULL. */
MEMSIZE_INLINE PyObject *
trial_exchange_waiting(trial *under_way, PyObject *referent)
{
    const allocations *all = under_way->all;
    unsigned turn = under_way->next_waiting++;
    PyObject **place = under_way->waiting + turn % REFERENTS_AHEAD;
    PyObject *half_way = under_way->waiting[(turn + REFERENTS_AHEAD / 2) % REFERENTS_AHEAD];
    PyObject *next = *place;
    *place = referent;
    allocations_prefetch_chain(&all->objects, referent);
    allocations_prefetch_first(all, &all->objects, half_way);
    return next;
}

/* Whether there are too many references. The visits of the current object end then. */
MEMSIZE_INLINE bool
trial_is_given_up(const trial *under_way)
{
    return under_way->work_left < 0;
}

/* Note a referent that is visited. Returns the referent to be handled now, or NULL. One that may be
   in the window waits for its turn; any other is returned at once. */
MEMSIZE_INLINE PyObject *
trial_note_visited(trial *under_way, PyObject *referent)
{
    references_note(&under_way->progress, referent);
    under_way->work_left--;
    return allocations_enclose(under_way->all, referent)
               ? trial_exchange_waiting(under_way, referent)
               : referent;
}

#endif
