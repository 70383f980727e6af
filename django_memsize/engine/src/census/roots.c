#include "census/roots.h"

static PyObject *count_frozen, *list_tracked, *list_subclasses, *modules;

/* Store a reference for good. The one stored before is not released: its interpreter may have
   ended. -1, with the exception of the look-up, if nothing was found. */
static int
store(PyObject **stored, PyObject *found)
{
    if (!found) {
        return -1;
    }
    *stored = found;
    return 0;
}

int
roots_prepare(void)
{
    PyObject *collector = PyImport_ImportModule("gc");
    int failed = -1;
    if (collector
        && store(&count_frozen, PyObject_GetAttrString(collector, "get_freeze_count")) == 0
        && store(&list_tracked, PyObject_GetAttrString(collector, "get_objects")) == 0
        && store(&list_subclasses,
                 PyObject_GetAttrString((PyObject *)&PyType_Type, "__subclasses__"))
               == 0
        /* Looked up now: while the interpreter ends, PyImport_GetModuleDict is a fatal error. */
        && store(&modules, Py_XNewRef(PyImport_GetModuleDict())) == 0)
    {
        failed = 0;
    }
    Py_XDECREF(collector);
    return failed;
}

/* Add a class to the list if it is wanted and new. -1 with an exception. */
static int
add_class(roots *from, address_set *seen, PyObject *found)
{
    bool is_wanted
        = PyType_Check(found) && (from->has_frozen || !is_heap_type((PyTypeObject *)found));
    int is_new = is_wanted ? addresses_add(seen, found) : 0;
    if (is_new < 0 || (is_new && !array_append(&from->classes, found))) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* -1 with an exception. */
static int
add_subclasses(roots *from, address_set *seen, PyObject *class)
{
    PyObject *subclasses = PyObject_CallOneArg(list_subclasses, class);
    int failed = subclasses ? 0 : -1;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(subclasses); at++) {
        failed = add_class(from, seen, PyList_GET_ITEM(subclasses, at));
    }
    Py_XDECREF(subclasses);
    return failed;
}

/* List the tree of classes from object on, by type.__subclasses__: a metaclass's own is not called.
   Unless some objects may be frozen, classes made at run time are left out: the collector lists
   them, and the first base of a static class is static. -1 with an exception. */
static int
list_classes(roots *from)
{
    address_set seen;
    addresses_init(&seen);
    from->classes.count = 0;
    int failed = add_class(from, &seen, (PyObject *)&PyBaseObject_Type);
    for (size_t at = 0; !failed && at < from->classes.count; at++) {
        failed = add_subclasses(from, &seen, from->classes.items[at]);
    }
    addresses_clear(&seen);
    return failed;
}

int
roots_list_classes(roots *from)
{
    *from = (roots){.has_frozen = true};
    return list_classes(from);
}

/* Add an address, and 1 to the number if it is new. -1 with an exception. */
static int
add_address(address_set *set, PyObject *object, Py_ssize_t *added)
{
    int is_new = addresses_add(set, object);
    if (MEMSIZE_UNLIKELY(is_new < 0)) {
        PyErr_NoMemory();
        return -1;
    }
    *added += is_new;
    return 0;
}

/* -1 with an exception. */
static int
add_type_tuple(roots *from, PyObject *tuple)
{
    bool is_frozen = tuple && PyObject_GC_IsTracked(tuple) && cpython_is_immortal(tuple);
    return is_frozen ? add_address(&from->type_tuples, tuple, &from->own_frozen) : 0;
}

/* Find the immortal tuples of static classes. -1 with an exception. */
static int
find_type_tuples(roots *from)
{
    for (size_t at = 0; at < from->classes.count; at++) {
        PyTypeObject *type = (PyTypeObject *)from->classes.items[at];
        if (!is_heap_type(type)
            && (add_type_tuple(from, type->tp_bases) < 0 || add_type_tuple(from, type->tp_mro) < 0))
        {
            return -1;
        }
    }
    return 0;
}

/* Whether there may be mortal objects that the collector tracks and does not list; only then must
   a visit distinguish them from listed objects. gc.freeze() sets aside all tracked objects, which
   are more than static classes have tuples. The garbage that a running collection holds, inside a
   finaliser that it calls, is on no list either, and is not counted. */
static bool
may_have_frozen(const roots *from)
{
    return !CPYTHON_VISITS_FROZEN && from->frozen > from->own_frozen;
}

int
roots_list(roots *from)
{
    *from = (roots){.listed = NULL};
    PyObject *frozen = PyObject_CallNoArgs(count_frozen);
    if (!frozen) {
        return -1;
    }
    from->frozen = PyLong_AsSsize_t(frozen);
    Py_DECREF(frozen);
    if (from->frozen < 0 && PyErr_Occurred()) {
        return -1;
    }
#if !CPYTHON_VISITS_TRACKED
    from->listed = PyObject_CallNoArgs(list_tracked);
    if (!from->listed || !PyList_CheckExact(from->listed)) {
        if (from->listed) {
            PyErr_SetString(PyExc_TypeError, "gc.get_objects() returned no list");
        }
        return -1;
    }
#endif
    if (list_classes(from) < 0 || find_type_tuples(from) < 0) {
        return -1;
    }
    from->has_frozen = may_have_frozen(from);
    return from->has_frozen ? list_classes(from) : 0;
}

void
roots_clear(roots *from)
{
    Py_CLEAR(from->listed);
    array_clear(&from->classes);
    addresses_clear(&from->type_tuples);
}

/* One pass over what the collector lists. */
typedef struct tracked_pass tracked_pass;

struct tracked_pass {
    walk *pass;
    roots *from;
    int (*with_each)(const tracked_pass *under_way, PyObject *listed);
    int failed;
};

static void
discount_if_type_tuple(roots *from, PyObject *listed)
{
    if (addresses_contain(&from->type_tuples, listed)) {
        from->own_frozen--;
    }
}

/* First of two passes: mark what is listed as seen, so that a visit from elsewhere ignores it. */
static int
mark_seen(const tracked_pass *under_way, PyObject *listed)
{
    Py_ssize_t marked = 0;
    if (cpython_is_immortal(listed)) {
        discount_if_type_tuple(under_way->from, listed);
    }
    return add_address(under_way->pass->seen, listed, &marked);
}

/* Second of two passes. */
static int
count_marked(const tracked_pass *under_way, PyObject *listed)
{
    return walk_count(under_way->pass, listed);
}

/* The only pass, where a visit ignores all tracked objects but immortal ones. */
static int
count_unmarked(const tracked_pass *under_way, PyObject *listed)
{
    if (MEMSIZE_UNLIKELY(cpython_is_immortal(listed))) {
        /* A visit counts it, now or before, and counts it as frozen as well. */
        discount_if_type_tuple(under_way->from, listed);
        under_way->pass->frozen_seen--;
        return walk_visit(listed, under_way->pass);
    }
    return walk_count(under_way->pass, listed);
}

#if CPYTHON_VISITS_TRACKED
static int
visit_next_listed(PyObject *listed, void *arg)
{
    tracked_pass *under_way = arg;
    under_way->failed = under_way->with_each(under_way, listed);
    return !under_way->failed; /* 0 ends it */
}

static int
for_each_listed(tracked_pass *under_way)
{
    PyUnstable_GC_VisitObjects(visit_next_listed, under_way);
    return under_way->failed;
}
#else
#define LISTED_AHEAD 8

/* The last pass releases each reference of the list while the object is in the processor's
   cache. */
static int
for_each_listed(tracked_pass *under_way)
{
    const roots *from = under_way->from;
    PyObject **items = ((PyListObject *)from->listed)->ob_item;
    bool is_last = under_way->with_each != mark_seen;
    for (Py_ssize_t at = 0, count = PyList_GET_SIZE(from->listed); at < count; at++) {
        if (is_last && at + LISTED_AHEAD < count) {
            MEMSIZE_PREFETCH(items[at + LISTED_AHEAD]);
        }
        if (under_way->with_each(under_way, items[at]) < 0) {
            return -1;
        }
        if (is_last && Py_REFCNT(items[at]) > 1) {
            Py_CLEAR(items[at]);
        }
    }
    return 0;
}
#endif

static int
visit_class(walk *pass, PyTypeObject *type)
{
    const visitproc visit = walk_visit;
    void *arg = pass;
    PyObject *namespace = type_namespace(type);
    int failed = namespace ? walk_visit(namespace, pass) : 0;
    Py_XDECREF(namespace);
    if (failed || walk_visit((PyObject *)type, pass) < 0) {
        return -1;
    }
    if (!is_heap_type(type)) {
        Py_VISIT(type->tp_mro);
        Py_VISIT(type->tp_bases);
    }
    return 0;
}

/* Visit classes and modules, which lead to objects that are not listed. */
static int
visit_unlisted(const roots *from, walk *pass)
{
    for (size_t at = 0; at < from->classes.count; at++) {
        if (visit_class(pass, (PyTypeObject *)from->classes.items[at]) < 0) {
            return -1;
        }
    }
    Py_ssize_t at = 0;
    PyObject *name, *module;
    while (PyDict_Next(modules, &at, &name, &module)) {
        if (walk_visit(module, pass) < 0) {
            return -1;
        }
    }
    return 0;
}

int
roots_walk(roots *from, walk *pass)
{
    tracked_pass under_way = {.from = from, .pass = pass, .with_each = mark_seen};
    pass->is_census = true;
    /* On 3.11 two passes are faster as well: the first reads the list, not what is on it. */
    pass->skips_tracked = CPYTHON_VISITS_TRACKED && !from->has_frozen;
    if (!pass->skips_tracked && for_each_listed(&under_way) < 0) {
        return -1;
    }
    under_way.with_each = pass->skips_tracked ? count_unmarked : count_marked;
    if (visit_unlisted(from, pass) < 0 || for_each_listed(&under_way) < 0 || walk_finish(pass) < 0)
    {
        return -1;
    }
    from->frozen -= from->own_frozen;
    pass->frozen_seen -= (size_t)from->own_frozen;
    return 0;
}
