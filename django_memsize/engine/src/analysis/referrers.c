#include "analysis/referrers.h"

#include "analysis/external.h"
#include "analysis/reachability.h"
#include "census/roots.h"
#include "collector.h"

typedef struct {
    PyObject *objects;  /* a list of the objects, and of the referrers that were found */
    Py_ssize_t limit;   /* of its length */
    external_set found; /* the same, and tuples, which are not on the list */
    external_set alive; /* the dicts of modules */
    size_t new_tuples;  /* found in this pass */
    bool is_referrer;   /* of what was found: the object that is traversed */
} referrer_search;

/* Add an object to a set, if it is possible. -1 with an exception. */
static int
add_to_set(external_set *set, PyObject *object)
{
    if (external_is_possible(object) && !external_add(set, object)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
add_module_dict(PyObject *module, void *arg)
{
    referrer_search *under_way = arg;
    return PyModule_Check(module) ? add_to_set(&under_way->alive, PyModule_GetDict(module)) : 0;
}

static int
visit_referent_of_listed(PyObject *referent, void *arg)
{
    referrer_search *under_way = arg;
    under_way->is_referrer = under_way->is_referrer || external_find(&under_way->found, referent);
    return 0;
}

static bool
is_class_or_module(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS || PyType_IsSubtype(type, &PyModule_Type);
}

/* Whether an object that the collector lists is a referrer that was not found yet. */
static bool
is_new_referrer(referrer_search *under_way, PyObject *listed)
{
    under_way->is_referrer = false;
    (void)Py_TYPE(listed)->tp_traverse(listed, visit_referent_of_listed, under_way);
    return under_way->is_referrer && listed != under_way->objects && !is_class_or_module(listed)
           && !external_find(&under_way->found, listed)
           && !external_find(&under_way->alive, listed);
}

/* Add an object that the collector lists if it is a new referrer. A tuple is not put on the list: a
   reference to a tuple that is being built breaks it (Objects/tupleobject.c: _PyTuple_Resize). 1 if
   the limit is reached. -1 with an exception. */
static int
add_if_referrer(PyObject *listed, void *arg)
{
    referrer_search *under_way = arg;
    if (!is_new_referrer(under_way, listed)) {
        return 0;
    }
    if (PyTuple_CheckExact(listed)) {
        under_way->new_tuples++;
    }
    else if (PyList_GET_SIZE(under_way->objects) >= under_way->limit) {
        return 1;
    }
    else if (PyList_Append(under_way->objects, listed) < 0) {
        return -1;
    }
    return add_to_set(&under_way->found, listed);
}

/* Pass over the heap; again for the referrers of tuples that were found. 1 if the limit was
   reached. -1 with an exception. */
static int
search_heap(referrer_search *under_way)
{
    int ended;
    do {
        under_way->new_tuples = 0;
        ended = roots_visit_listed(add_if_referrer, under_way);
    } while (!ended && under_way->new_tuples);
    return ended;
}

/* Add the referrers of the objects on the list to it. 1 if another search may find more, 0 if not.
   -1 with an exception. */
static int
add_referrers(referrer_search *under_way)
{
    Py_ssize_t before = PyList_GET_SIZE(under_way->objects);
    for (Py_ssize_t at = 0; at < before; at++) {
        if (add_to_set(&under_way->found, PyList_GET_ITEM(under_way->objects, at)) < 0) {
            return -1;
        }
    }
    if (roots_visit_modules(add_module_dict, under_way) < 0) {
        return -1;
    }
    int ended = search_heap(under_way);
    if (ended || PyList_GET_SIZE(under_way->objects) == before) {
        return ended < 0 ? -1 : 0;
    }
    int is_closed = reachability_is_closed(under_way->objects);
    return is_closed < 0 ? -1 : !is_closed;
}

PyDoc_STRVAR(
    find_referrers_doc,
    "find_referrers(objects, limit, /)\n--\n\n"
    "Append the objects that directly refer to those on a list, until it has limit objects.\n\n"
    "Returns whether another call may find more: not if the limit is reached, nothing was\n"
    "found, or only objects on the list refer to these.\n\n"
    "Only objects that the collector tracks are found. Classes, modules and the dicts of\n"
    "modules are left out, because they are alive. A tuple is left out as well, and what\n"
    "refers to the tuple is found in its place.");

static PyObject *
find_referrers(PyObject *Py_UNUSED(module), PyObject *args)
{
    referrer_search under_way = {.objects = NULL};
    if (!PyArg_ParseTuple(args, "O!n:find_referrers", &PyList_Type, &under_way.objects,
                          &under_way.limit))
    {
        return NULL;
    }
    int was_enabled = collector_pause();
    int may_find_more = add_referrers(&under_way);
    external_clear(&under_way.found);
    external_clear(&under_way.alive);
    collector_resume(was_enabled);
    return may_find_more < 0 ? NULL : PyBool_FromLong(may_find_more);
}

static PyMethodDef referrers_functions[] = {
    {"find_referrers", find_referrers, METH_VARARGS, find_referrers_doc},
    {NULL, NULL, 0, NULL},
};

int
referrers_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, referrers_functions);
}
