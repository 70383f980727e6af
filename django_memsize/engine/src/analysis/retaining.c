#include "analysis/retaining.h"

void
retaining_add(trial *under_way, allocation *own)
{
    if (!own->is_retained) {
        own->is_retained = true;
        if (allocation_type(under_way->all, own)->may_refer) {
            trial_follow_later(under_way, allocation_object(own));
        }
    }
}

void
retaining_add_external(trial *under_way, external_object *external)
{
    if (!external->is_retained) {
        external->is_retained = true;
        trial_follow_later(under_way, external->object);
    }
}

void
retaining_add_referent(trial *under_way, PyObject *referent)
{
    allocation *own = allocations_find_object(under_way->all, referent);
    if (own) {
        retaining_add(under_way, own);
        return;
    }
    external_object *external = external_find(&under_way->external, referent);
    if (external && external_is_accounted(external)) {
        retaining_add_external(under_way, external);
    }
}

int
retaining_visit(PyObject *visited, void *arg)
{
    PyObject *referent = trial_note_visited(arg, visited);
    if (referent) {
        retaining_add_referent(arg, referent);
    }
    return trial_is_given_up(arg);
}
