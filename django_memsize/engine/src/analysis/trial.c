#include "analysis/trial.h"

/* The first reads of most objects are between these offsets. */
#define HEAD_FROM (-32)
#define HEAD_TO 16

void
trial_follow_later(trial *under_way, PyObject *object)
{
    MEMSIZE_PREFETCH((char *)object + HEAD_FROM);
    MEMSIZE_PREFETCH((char *)object + HEAD_TO);
    under_way->has_failed |= !array_append(&under_way->pending, object);
}

int
trial_follow(trial *under_way, PyObject *object, visitproc visit)
{
    const tally_row *row = tally_row_of(&under_way->types, Py_TYPE(object));
    if (!row) {
        return -1;
    }
    references_visit(&row->kind, object, visit, under_way, &under_way->progress);
    return trial_is_given_up(under_way) ? -1 : 0;
}

/* Take the first of the last few pending objects: it was fetched by now. */
static PyObject *
take_pending(object_array *pending)
{
    size_t at = pending->count - Py_MIN(pending->count, ALLOCATIONS_AHEAD);
    PyObject *taken = pending->items[at];
    pending->items[at] = pending->items[--pending->count];
    return taken;
}

int
trial_follow_pending(trial *under_way, visitproc visit)
{
    while (under_way->pending.count) {
        if (trial_follow(under_way, take_pending(&under_way->pending), visit) < 0) {
            return -1;
        }
    }
    if (under_way->has_failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

int
trial_finish(trial *under_way, visitproc visit, referent_function with_referent)
{
    bool is_over;
    do {
        if (trial_follow_pending(under_way, visit) < 0) {
            return -1;
        }
        is_over = true;
        for (size_t at = 0; at < REFERENTS_AHEAD; at++) {
            PyObject *referent = trial_exchange_waiting(under_way, NULL);
            if (referent) {
                is_over = false;
                with_referent(under_way, referent);
            }
        }
    } while (!is_over);
    return 0;
}

void
trial_clear(trial *under_way)
{
    external_clear(&under_way->external);
    tally_clear(&under_way->types);
    array_clear(&under_way->pending);
    array_clear(&under_way->registered);
}
