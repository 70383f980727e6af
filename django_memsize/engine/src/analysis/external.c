#include "analysis/external.h"

void
external_clear(external_set *set)
{
    hashtable_clear(&set->objects);
}

external_object *
external_find(const external_set *set, PyObject *object)
{
    return hashtable_find(&set->objects, sizeof(external_object), (uintptr_t)object);
}

external_object *
external_add(external_set *set, PyObject *object)
{
    return external_is_possible(object)
               ? hashtable_add(&set->objects, sizeof(external_object), (uintptr_t)object)
               : NULL;
}
