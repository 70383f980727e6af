#include "analysis/reachability.h"

#include "analysis/external.h"
#include "analysis/references.h"
#include "analysis/taken.h"
#include "array.h"
#include "census/tally.h"
#include "meter/crediting.h"

/* The first reads of most objects are between these offsets. */
#define HEAD_FROM (-32)
#define HEAD_TO 16

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
    references_progress progress; /* of the object that is followed */
    Py_ssize_t work_left;         /* references that may be followed; below 0: given up */
    size_t most_bytes;            /* that external objects may take; 0 is no limit */
    bool has_failed;              /* no memory */
    bool is_too_large;            /* the external objects */
} trial;

/* The limit of allocations is one of references as well: so many for each. An external object takes
   as long as some references. */
#define REFERENCES_EACH 16
#define EXTERNAL_AS_REFERENCES 32

/* Bytes of the table of external objects for each, at most: it doubles when a quarter is used. */
#define EXTERNAL_BYTES_EACH (8 * sizeof(external_object))

static void
follow_object_later(trial *under_way, PyObject *object)
{
    MEMSIZE_PREFETCH((char *)object + HEAD_FROM);
    MEMSIZE_PREFETCH((char *)object + HEAD_TO);
    under_way->has_failed |= !array_append(&under_way->pending, object);
}

/* Add a referent, or NULL, to those that wait; return the one that waited longest, or NULL. */
MEMSIZE_INLINE PyObject *
exchange_waiting(trial *under_way, PyObject *referent)
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
is_given_up(const trial *under_way)
{
    return under_way->work_left < 0;
}

/* Note a referent that is visited. Returns the referent to be handled now, or NULL. One that may be
   in the window waits for its turn; any other is returned at once. */
MEMSIZE_INLINE PyObject *
note_visited(trial *under_way, PyObject *referent)
{
    references_note(&under_way->progress, referent);
    under_way->work_left--;
    return allocations_enclose(under_way->all, referent) ? exchange_waiting(under_way, referent)
                                                         : referent;
}

static void
count_new_external(trial *under_way)
{
    size_t bytes = under_way->external.objects.used * EXTERNAL_BYTES_EACH;
    under_way->work_left -= EXTERNAL_AS_REFERENCES;
    if (under_way->most_bytes && bytes > under_way->most_bytes) {
        under_way->is_too_large = true;
        under_way->work_left = -1;
    }
}

static void
subtract_ref(trial *under_way, PyObject *referent)
{
    allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        own->gc_refs--;
        return;
    }
    external_object *external = external_add(&under_way->external, referent);
    if (external) {
        if (!external->accounted++) {
            count_new_external(under_way);
        }
        if (external_is_accounted(external) && !external->is_presumed) {
            follow_object_later(under_way, referent);
        }
    }
}

static int
visit_subtract_ref(PyObject *visited, void *arg)
{
    PyObject *referent = note_visited(arg, visited);
    if (referent) {
        subtract_ref(arg, referent);
    }
    return is_given_up(arg);
}

static void
retain(trial *under_way, allocation *own)
{
    if (!own->is_retained) {
        own->is_retained = true;
        if (allocation_type(under_way->all, own)->may_refer) {
            follow_object_later(under_way, allocation_object(own));
        }
    }
}

static void
retain_external(trial *under_way, external_object *external)
{
    if (!external->is_retained) {
        external->is_retained = true;
        follow_object_later(under_way, external->object);
    }
}

static void
retain_referent(trial *under_way, PyObject *referent)
{
    allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        retain(under_way, own);
        return;
    }
    external_object *external = external_find(&under_way->external, referent);
    if (external && external_is_accounted(external)) {
        retain_external(under_way, external);
    }
}

static int
visit_retain(PyObject *visited, void *arg)
{
    PyObject *referent = note_visited(arg, visited);
    if (referent) {
        retain_referent(arg, referent);
    }
    return is_given_up(arg);
}

/* -1 with an exception, or if it is given up. */
static int
follow_object(trial *under_way, PyObject *object, visitproc visit)
{
    const tally_row *row = tally_row_of(&under_way->types, Py_TYPE(object));
    if (!row) {
        return -1;
    }
    references_visit(&row->kind, object, visit, under_way, &under_way->progress);
    return is_given_up(under_way) ? -1 : 0;
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

/* Follow all pending objects. -1 as above, as all that follow others. */
static int
follow_all_pending(trial *under_way, visitproc visit)
{
    while (under_way->pending.count) {
        if (follow_object(under_way, take_pending(&under_way->pending), visit) < 0) {
            return -1;
        }
    }
    if (under_way->has_failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

typedef void (*referent_function)(trial *under_way, PyObject *referent);

/* Follow until nothing is pending or waiting. */
static int
finish_trial(trial *under_way, visitproc visit, referent_function with_referent)
{
    bool is_over;
    do {
        if (follow_all_pending(under_way, visit) < 0) {
            return -1;
        }
        is_over = true;
        for (size_t at = 0; at < REFERENTS_AHEAD; at++) {
            PyObject *referent = exchange_waiting(under_way, NULL);
            if (referent) {
                is_over = false;
                with_referent(under_way, referent);
            }
        }
    } while (!is_over);
    return 0;
}

/* Account for the list's reference to an object, which is presumed to be held by the window. An
   object that cannot be an external one (external_is_possible()) is left out. */
static void
presume(trial *under_way, PyObject *listed)
{
    allocation *own = allocations_find_object(under_way->all, listed);
    if (own) {
        own->gc_refs--;
        return;
    }
    external_object *external = external_add(&under_way->external, listed);
    if (!external) {
        under_way->has_failed |= external_is_possible(listed);
        return;
    }
    external->accounted++;
    if (!external->is_presumed) {
        external->is_presumed = true;
        follow_object_later(under_way, listed);
    }
}

static bool
may_refer(const allocations *all, const allocation *one)
{
    return one->state == ALLOCATION_OBJECT && allocation_type(all, one)->may_refer;
}

/* Account for every reference of the window's objects, and of external objects that they hold. */
static int
subtract_refs(trial *under_way, PyObject *external)
{
    const allocations *all = under_way->all;
    for (Py_ssize_t at = 0; external && at < PyList_GET_SIZE(external); at++) {
        presume(under_way, PyList_GET_ITEM(external, at));
    }
    for (size_t at = 0; at < all->count; at++) {
        size_t ahead = at + ALLOCATIONS_AHEAD;
        if (ahead < all->count && may_refer(all, all->items + ahead)) {
            allocation_prefetch(all->items + ahead);
        }
        const allocation *one = all->items + at;
        if (may_refer(all, one)
            && follow_object(under_way, allocation_object(one), visit_subtract_ref) < 0)
        {
            return -1;
        }
    }
    return finish_trial(under_way, visit_subtract_ref, subtract_ref);
}

/* The entry of an object on the external list, if the presumption was wrong; otherwise NULL. */
static external_object *
wrongly_presumed(const trial *under_way, PyObject *listed)
{
    external_object *external = external_find(&under_way->external, listed);
    return external && external->is_presumed && !external_is_accounted(external) ? external : NULL;
}

/* Retain what is held from outside, and all that it refers to. */
static int
retain_reachable(trial *under_way, PyObject *external)
{
    allocations *all = under_way->all;
    int failed = 0;
    for (Py_ssize_t at = 0; external && !failed && at < PyList_GET_SIZE(external); at++) {
        external_object *held = wrongly_presumed(under_way, PyList_GET_ITEM(external, at));
        if (held) {
            retain_external(under_way, held);
            failed = follow_all_pending(under_way, visit_retain);
        }
    }
    for (size_t at = 0; !failed && at < all->count; at++) {
        allocation *one = all->items + at;
        if (one->state == ALLOCATION_OBJECT && one->gc_refs > 0) {
            retain(under_way, one);
            failed = follow_all_pending(under_way, visit_retain);
        }
    }
    return failed ? -1 : finish_trial(under_way, visit_retain, retain_referent);
}

/* Whether an object on the external list was retained, be it of the window or not. */
static bool
is_any_retained(const trial *under_way, PyObject *listed)
{
    for (Py_ssize_t at = 0; listed && at < PyList_GET_SIZE(listed); at++) {
        PyObject *object = PyList_GET_ITEM(listed, at);
        const allocation *own = allocations_find_object(under_way->all, object);
        const external_object *external = external_find(&under_way->external, object);
        if ((own && own->is_retained) || (external && external->is_retained)) {
            return true;
        }
    }
    return false;
}

static void
trial_clear(trial *under_way)
{
    external_clear(&under_way->external);
    tally_clear(&under_way->types);
    array_clear(&under_way->pending);
}

/* Read the reference counts of all objects again. Objects that are on a free list by now are no
   objects any more. False if one has another type. */
static bool
renew_refs(const allocations *all)
{
    for (size_t at = 0; at < all->count; at++) {
        if (at + ALLOCATIONS_AHEAD < all->count) {
            allocation_prefetch(all->items + at + ALLOCATIONS_AHEAD);
        }
        allocation *one = all->items + at;
        if (one->state != ALLOCATION_OBJECT) {
            continue;
        }
        PyObject *object = allocation_object(one);
        if (cpython_state_of(object) != CPYTHON_ALIVE) {
            one->state = ALLOCATION_FREED;
        }
        else if (!allocation_is_unchanged(all, one)) {
            return false;
        }
        else {
            one->gc_refs = (int32_t)Py_MIN(Py_REFCNT(object), INT32_MAX);
        }
    }
    return true;
}

int
reachability_find(allocations *all, const reachability_question *question, steps *with)
{
    PyObject *external = question->external;
    size_t most_blocks = question->most_blocks;
    if (with->was_given_back && !renew_refs(all)) {
        steps_spoil(with);
        return 0;
    }
    trial under_way = {
        .all = all,
        .work_left = most_blocks && most_blocks < PY_SSIZE_T_MAX / REFERENCES_EACH
                         ? (Py_ssize_t)most_blocks * REFERENCES_EACH
                         : PY_SSIZE_T_MAX,
        .most_bytes = crediting.blocks.most_bytes,
    };
    int failed
        = subtract_refs(&under_way, external) < 0 ? -1 : retain_reachable(&under_way, external);
    if (is_given_up(&under_way) && !PyErr_Occurred()) {
        steps_give_up(with, under_way.is_too_large ? STEPS_TOO_LARGE : STEPS_TOO_LONG);
        failed = 0;
    }
    else if (!failed && question->shares_free_lists) {
        taken_mark(all);
    }
    with->analysed->external_is_held = is_any_retained(&under_way, external);
    trial_clear(&under_way);
    return failed;
}
