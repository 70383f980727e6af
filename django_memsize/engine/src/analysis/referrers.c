#include "analysis/referrers.h"

#include "analysis/external.h"
#include "analysis/reachability.h"
#include "census/roots.h"

typedef struct {
    PyObject *around; /* a list of what is known to lead there */
    Py_ssize_t most;  /* that may be on it */
    guest_list known; /* the same, and tuples, which are on no list */
    guest_list alive; /* the dicts of modules */
    size_t new_tuples;
    bool leads; /* what is being shown */
} search;

/* -1 with an exception. */
static int
learn(guest_list *known, PyObject *object)
{
    if (guest_may_be(object) && !guests_meet(known, object)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static int
learn_living(PyObject *module, void *arg)
{
    search *under_way = arg;
    return PyModule_Check(module) ? learn(&under_way->alive, PyModule_GetDict(module)) : 0;
}

static int
meets(PyObject *referent, void *arg)
{
    search *under_way = arg;
    under_way->leads = under_way->leads || guests_find(&under_way->known, referent);
    return 0;
}

static bool
is_class_or_module(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS || PyType_IsSubtype(type, &PyModule_Type);
}

/* Look at one that the collector lists. A reference of ours to a tuple that is still being made
   would break it: roots.py. */
static int
look_at(PyObject *listed, void *arg)
{
    search *under_way = arg;
    under_way->leads = false;
    (void)Py_TYPE(listed)->tp_traverse(listed, meets, under_way);
    if (!under_way->leads || listed == under_way->around || is_class_or_module(listed)
        || guests_find(&under_way->known, listed) || guests_find(&under_way->alive, listed))
    {
        return 0;
    }
    if (PyTuple_CheckExact(listed)) {
        under_way->new_tuples++;
    }
    else if (PyList_GET_SIZE(under_way->around) >= under_way->most) {
        return 1; /* ends it */
    }
    else if (PyList_Append(under_way->around, listed) < 0) {
        return -1;
    }
    return learn(&under_way->known, listed);
}

/* Go through the heap once; again for what leads to a tuple met on the way. 1 where it ended
   early, with too many. -1 with an exception. */
static int
look_everywhere(search *under_way)
{
    int ended;
    do {
        under_way->new_tuples = 0;
        ended = roots_visit_listed(look_at, under_way);
    } while (!ended && under_way->new_tuples);
    return ended;
}

PyDoc_STRVAR(
    find_referrers_doc,
    "find_referrers(objects, limit, /)\n--\n\n"
    "Add to a list, up to so many, what the collector knows to refer to the objects on\n"
    "it. Tell whether to look again may find more: not where all that refers to them is\n"
    "on the list.\n\n"
    "Classes, modules and their dicts are left out: they live. So are tuples, but for what\n"
    "leads through them.");

static PyObject *
find_referrers(PyObject *Py_UNUSED(module), PyObject *args)
{
    search under_way = {.around = NULL};
    if (!PyArg_ParseTuple(args, "O!n:find_referrers", &PyList_Type, &under_way.around,
                          &under_way.most))
    {
        return NULL;
    }
    Py_ssize_t before = PyList_GET_SIZE(under_way.around);
    int was_enabled = PyGC_Disable();
    int failed = 0;
    for (Py_ssize_t at = 0; !failed && at < before; at++) {
        failed = learn(&under_way.known, PyList_GET_ITEM(under_way.around, at));
    }
    failed = failed ? failed : roots_visit_modules(learn_living, &under_way);
    int ended = failed ? -1 : look_everywhere(&under_way);
    bool is_more = !ended && PyList_GET_SIZE(under_way.around) > before;
    int closed = is_more ? reachability_is_closed(under_way.around) : 1;
    guests_clear(&under_way.known);
    guests_clear(&under_way.alive);
    if (was_enabled) {
        PyGC_Enable();
    }
    return ended < 0 || closed < 0 ? NULL : PyBool_FromLong(!closed);
}

static PyMethodDef upstream_functions[] = {
    {"find_referrers", find_referrers, METH_VARARGS, find_referrers_doc},
    {NULL, NULL, 0, NULL},
};

int
upstream_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, upstream_functions);
}
