#include "analysis/registered.h"

#include "analysis/finalizers.h"
#include "analysis/retaining.h"

/* Whether an object that something waits for is not known to be garbage. */
static bool
is_alive(const trial *under_way, PyObject *referent)
{
    const allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        return own->is_retained;
    }
    const external_object *external = external_find(&under_way->external, referent);
    return !external || !external_is_accounted(external) || external->is_retained;
}

/* One pass over what is registered, to and fro: in most orders a chain of finalisers takes two.
   What waits for the end of an object that is freed, retained, or not known is retained. Returns
   whether there was any, or -1. */
static int
retain_registered(trial *under_way, bool backwards)
{
    object_array *registered = &under_way->registered;
    size_t count = registered->count, left = 0;
    for (size_t turn = 0; turn < count; turn++) {
        PyObject **place = registered->items + (backwards ? count - 1 - turn : turn);
        PyObject *referent = finalizers_referent(*place);
        if (!referent || is_alive(under_way, referent)) {
            retaining_add(under_way, allocations_find_object(under_way->all, *place));
            *place = NULL;
            if (trial_finish(under_way, retaining_visit, retaining_add_referent) < 0) {
                return -1;
            }
        }
    }
    for (size_t at = 0; at < count; at++) {
        if (registered->items[at]) {
            registered->items[left++] = registered->items[at];
        }
    }
    under_way->work_left -= (Py_ssize_t)count;
    registered->count = left;
    return left < count;
}

/* Mark what is not retained. gc_refs of such objects are at most 0, and not asked for any more. */
static void
mark_referent(trial *under_way, PyObject *referent)
{
    allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        if (!own->is_retained && own->gc_refs != under_way->mark) {
            own->gc_refs = under_way->mark;
            if (allocation_type(under_way->all, own)->may_refer) {
                trial_follow_later(under_way, referent);
            }
        }
        return;
    }
    external_object *external = external_find(&under_way->external, referent);
    if (external && external_is_accounted(external) && !external->is_retained
        && external->mark != under_way->mark)
    {
        external->mark = under_way->mark;
        trial_follow_later(under_way, referent);
    }
}

static int
visit_mark(PyObject *visited, void *arg)
{
    PyObject *referent = trial_note_visited(arg, visited);
    if (referent) {
        mark_referent(arg, referent);
    }
    return trial_is_given_up(arg);
}

static bool
is_marked(const trial *under_way, PyObject *referent)
{
    const allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        return own->gc_refs == under_way->mark;
    }
    const external_object *external = external_find(&under_way->external, referent);
    return external && external->mark == under_way->mark;
}

/* Leave those registered that refer, or of which others do, to what they wait for. */
static void
drop_unmarked(trial *under_way)
{
    object_array *registered = &under_way->registered;
    size_t left = 0;
    for (size_t at = 0; at < registered->count; at++) {
        if (is_marked(under_way, finalizers_referent(registered->items[at]))) {
            registered->items[left++] = registered->items[at];
        }
    }
    registered->count = left;
}

/* Beyond so many rounds, what is left is taken for a chain of finalisers that is garbage: each
   round drops the first of it. */
#define MOST_ROUNDS 8

/* Retain finalisers that have what they wait for, as by weakref.finalize(obj, obj.close): the
   registry refers to these, so that the end never comes. */
static int
retain_holding(trial *under_way)
{
    const object_array *registered = &under_way->registered;
    size_t before;
    under_way->mark = INT32_MIN;
    do {
        if (under_way->mark++ == INT32_MIN + MOST_ROUNDS) {
            return 0;
        }
        before = registered->count;
        for (size_t at = 0; at < before; at++) {
            mark_referent(under_way, registered->items[at]);
        }
        if (trial_finish(under_way, visit_mark, mark_referent) < 0) {
            return -1;
        }
        drop_unmarked(under_way);
    } while (registered->count && registered->count < before);
    for (size_t at = 0; at < registered->count; at++) {
        retaining_add(under_way, allocations_find_object(under_way->all, registered->items[at]));
    }
    return trial_finish(under_way, retaining_visit, retaining_add_referent);
}

int
registered_retain(trial *under_way)
{
    int found;
    bool backwards = false;
    while ((found = retain_registered(under_way, backwards)) > 0) {
        backwards = !backwards;
    }
    return found < 0 ? -1 : retain_holding(under_way);
}
