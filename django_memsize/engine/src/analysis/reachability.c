#include "analysis/reachability.h"

#include "analysis/finalizers.h"
#include "analysis/registered.h"
#include "analysis/retaining.h"
#include "analysis/taken.h"
#include "meter/crediting.h"

/* The limit of allocations is one of references as well: so many for each. An external object takes
   as long as some references. */
#define REFERENCES_EACH 16
#define EXTERNAL_AS_REFERENCES 32

/* Bytes of the table of external objects for each, at most: it doubles when a quarter is used. */
#define EXTERNAL_BYTES_EACH (8 * sizeof(external_object))

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
            trial_follow_later(under_way, referent);
        }
    }
}

static int
visit_subtract_ref(PyObject *visited, void *arg)
{
    PyObject *referent = trial_note_visited(arg, visited);
    if (referent) {
        subtract_ref(arg, referent);
    }
    return trial_is_given_up(arg);
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
        trial_follow_later(under_way, listed);
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
            && trial_follow(under_way, allocation_object(one), visit_subtract_ref) < 0)
        {
            return -1;
        }
    }
    return trial_finish(under_way, visit_subtract_ref, subtract_ref);
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
retain_roots(trial *under_way, PyObject *external)
{
    allocations *all = under_way->all;
    int failed = 0;
    for (Py_ssize_t at = 0; external && !failed && at < PyList_GET_SIZE(external); at++) {
        external_object *held = wrongly_presumed(under_way, PyList_GET_ITEM(external, at));
        if (held) {
            retaining_add_external(under_way, held);
            failed = trial_follow_pending(under_way, retaining_visit);
        }
    }
    for (size_t at = 0; !failed && at < all->count; at++) {
        allocation *one = all->items + at;
        if (one->state == ALLOCATION_OBJECT && one->gc_refs > 0) {
            retaining_add(under_way, one);
            failed = trial_follow_pending(under_way, retaining_visit);
        }
    }
    return failed ? -1 : trial_finish(under_way, retaining_visit, retaining_add_referent);
}

/* The same, and what waits for the end of any of it. */
static int
retain_reachable(trial *under_way, PyObject *external)
{
    if (!finalizers_account(under_way->all, &under_way->registered)) {
        PyErr_NoMemory();
        return -1;
    }
    if (retain_roots(under_way, external) < 0) {
        return -1;
    }
    return registered_retain(under_way);
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
    if (trial_is_given_up(&under_way) && !PyErr_Occurred()) {
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
