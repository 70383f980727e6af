#include "census/roots.h"

static PyObject *count_frozen, *list_tracked, *list_subclasses, *modules;

/* Set what is kept from now on. What was kept before is not let go of: its interpreter may have
   ended. */
static int
keep(PyObject **kept, PyObject *found)
{
    if (!found) {
        return -1;
    }
    *kept = found;
    return 0;
}

int
roots_prepare(void)
{
    PyObject *collector = PyImport_ImportModule("gc");
    int failed = -1;
    if (collector && keep(&count_frozen, PyObject_GetAttrString(collector, "get_freeze_count")) == 0
        && keep(&list_tracked, PyObject_GetAttrString(collector, "get_objects")) == 0
        && keep(&list_subclasses,
                PyObject_GetAttrString((PyObject *)&PyType_Type, "__subclasses__"))
               == 0
        /* While the interpreter ends there comes a time when asking for it is a fatal error. */
        && keep(&modules, Py_XNewRef(PyImport_GetModuleDict())) == 0)
    {
        failed = 0;
    }
    Py_XDECREF(collector);
    return failed;
}

static int
add_class(roots *from, address_set *met, PyObject *found)
{
    bool is_wanted
        = PyType_Check(found) && (from->has_frozen || !is_heap_type((PyTypeObject *)found));
    int is_new = is_wanted ? addresses_add(met, found) : 0;
    if (is_new > 0 && from->class_count == from->class_room) {
        size_t more = from->class_room ? 2 * from->class_room : 1024;
        PyTypeObject **moved = PyMem_RawRealloc(from->classes, more * sizeof(PyTypeObject *));
        if (moved) {
            from->classes = moved;
            from->class_room = more;
        }
        is_new = moved ? 1 : -1;
    }
    if (is_new > 0) {
        from->classes[from->class_count++] = (PyTypeObject *)found;
    }
    if (is_new < 0) {
        PyErr_NoMemory();
    }
    return is_new < 0 ? -1 : 0;
}

/* List the type tree, from object on. A metaclass's own __subclasses__ is not asked. Unless some
   may be frozen, classes made at run time are left out: the collector lists them, and the first
   base of a static class is static. */
static int
list_classes(roots *from)
{
    address_set met;
    addresses_init(&met);
    from->class_count = 0;
    int failed = add_class(from, &met, (PyObject *)&PyBaseObject_Type);
    for (size_t at = 0; !failed && at < from->class_count; at++) {
        PyObject *below = PyObject_CallOneArg(list_subclasses, (PyObject *)from->classes[at]);
        if (!below) {
            failed = -1;
            break;
        }
        for (Py_ssize_t each = 0; !failed && each < PyList_GET_SIZE(below); each++) {
            failed = add_class(from, &met, PyList_GET_ITEM(below, each));
        }
        Py_DECREF(below);
    }
    addresses_clear(&met);
    return failed;
}

int
roots_list_classes(roots *from)
{
    *from = (roots){.has_frozen = true};
    return list_classes(from);
}

/* Add an address. -1 with an exception. */
static int
add(address_set *set, PyObject *object, Py_ssize_t *added)
{
    int is_new = addresses_add(set, object);
    if (MEMSIZE_RARELY(is_new < 0)) {
        PyErr_NoMemory();
        return -1;
    }
    *added += is_new;
    return 0;
}

/* -1 with an exception. */
static int
add_own(roots *from, PyObject *held)
{
    bool is_own = held && PyObject_GC_IsTracked(held) && walk_is_immortal(held);
    return is_own ? add(&from->own_tuples, held, &from->own_frozen) : 0;
}

/* Find the immortal tuples of static classes. -1 with an exception. */
static int
find_own(roots *from)
{
    for (size_t at = 0; at < from->class_count; at++) {
        PyTypeObject *type = from->classes[at];
        if (!is_heap_type(type)
            && (add_own(from, type->tp_bases) < 0 || add_own(from, type->tp_mro) < 0))
        {
            return -1;
        }
    }
    return 0;
}

/* Whether there may be mortal objects that the collector tracks and does not list: only these have
   to be told from the listed. gc.freeze() sets aside all that there is at the time, which is more
   than built-in classes have tuples. Within a finaliser that the collector calls, the garbage that
   it holds is on no list, and left out. */
static bool
may_have_frozen(const roots *from)
{
#if PY_VERSION_HEX < 0x030E0000
    return from->frozen > from->own_frozen;
#else
    (void)from;
    return false;
#endif
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
#if PY_VERSION_HEX < 0x030C0000
    from->listed = PyObject_CallNoArgs(list_tracked);
    if (!from->listed || !PyList_CheckExact(from->listed)) {
        if (from->listed) {
            PyErr_SetString(PyExc_TypeError, "gc.get_objects() returned no list");
        }
        return -1;
    }
#endif
    if (list_classes(from) < 0 || find_own(from) < 0) {
        return -1;
    }
    from->has_frozen = may_have_frozen(from);
    return from->has_frozen ? list_classes(from) : 0;
}

void
roots_clear(roots *from)
{
    Py_CLEAR(from->listed);
    PyMem_RawFree(from->classes);
    from->classes = NULL;
    from->class_count = from->class_room = 0;
    addresses_clear(&from->own_tuples);
}

typedef struct listing listing;

struct listing {
    walk *pass;
    roots *from;
    int (*with_each)(const listing *under_way, PyObject *listed);
    int failed;
};

static void
strike(roots *from, PyObject *listed)
{
    if (addresses_have(&from->own_tuples, listed)) {
        from->own_frozen--;
    }
}

static int
mark(const listing *under_way, PyObject *listed)
{
    Py_ssize_t marked = 0;
    if (walk_is_immortal(listed)) {
        strike(under_way->from, listed);
    }
    return add(under_way->pass->met, listed, &marked);
}

static int
take_marked(const listing *under_way, PyObject *listed)
{
    return walk_take(under_way->pass, listed);
}

static int
take_unmarked(const listing *under_way, PyObject *listed)
{
    if (MEMSIZE_RARELY(walk_is_immortal(listed))) {
        /* It was met, or is now, as if it were frozen. */
        strike(under_way->from, listed);
        under_way->pass->frozen_met--;
        return walk_visit(listed, under_way->pass);
    }
    return walk_take(under_way->pass, listed);
}

#if PY_VERSION_HEX < 0x030C0000
#define AHEAD 8

/* The last pass gives each reference back while its object is in the processor's cache. */
static int
for_each_listed(listing *under_way)
{
    const roots *from = under_way->from;
    PyObject **items = ((PyListObject *)from->listed)->ob_item;
    bool is_last = under_way->with_each != mark;
    for (Py_ssize_t at = 0, count = PyList_GET_SIZE(from->listed); at < count; at++) {
        if (is_last && at + AHEAD < count) {
            MEMSIZE_PREFETCH(items[at + AHEAD]);
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
#else
static int
next_listed(PyObject *listed, void *arg)
{
    listing *under_way = arg;
    under_way->failed = under_way->with_each(under_way, listed);
    return !under_way->failed; /* 0 ends it */
}

static int
for_each_listed(listing *under_way)
{
    PyUnstable_GC_VisitObjects(next_listed, under_way);
    return under_way->failed;
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

int
roots_visit_modules(visitproc visit, void *arg)
{
    Py_ssize_t at = 0;
    PyObject *name, *module;
    while (PyDict_Next(modules, &at, &name, &module)) {
        if (visit(module, arg) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Visit what leads to what is not listed. */
static int
visit_unlisted(const roots *from, walk *pass)
{
    for (size_t at = 0; at < from->class_count; at++) {
        if (visit_class(pass, from->classes[at]) < 0) {
            return -1;
        }
    }
    return roots_visit_modules(walk_visit, pass);
}

int
roots_walk(roots *from, walk *pass)
{
    listing under_way = {.from = from, .pass = pass, .with_each = mark};
    pass->is_census = true;
#if PY_VERSION_HEX >= 0x030C0000
    pass->leaves_tracked = !from->has_frozen;
#endif
    /* On 3.11 to mark is cheaper, too: it looks at the list and not at what is on it. */
    if (!pass->leaves_tracked && for_each_listed(&under_way) < 0) {
        return -1;
    }
    under_way.with_each = pass->leaves_tracked ? take_unmarked : take_marked;
    if (visit_unlisted(from, pass) < 0 || for_each_listed(&under_way) < 0 || walk_finish(pass) < 0)
    {
        return -1;
    }
    from->frozen -= from->own_frozen;
    pass->frozen_met -= (size_t)from->own_frozen;
    return 0;
}

#if PY_VERSION_HEX < 0x030C0000
int
roots_visit_listed(visitproc visit, void *arg)
{
    PyObject *listed = PyObject_CallNoArgs(list_tracked);
    int failed = listed && PyList_CheckExact(listed) ? 0 : -1;
    for (Py_ssize_t at = 0; !failed && at < PyList_GET_SIZE(listed); at++) {
        failed = visit(PyList_GET_ITEM(listed, at), arg);
    }
    Py_XDECREF(listed);
    return failed;
}
#else
typedef struct {
    visitproc visit;
    void *arg;
    int failed;
} visiting;

static int
visit_listed(PyObject *listed, void *arg)
{
    visiting *under_way = arg;
    under_way->failed = under_way->visit(listed, under_way->arg);
    return !under_way->failed; /* 0 ends it */
}

int
roots_visit_listed(visitproc visit, void *arg)
{
    visiting under_way = {.visit = visit, .arg = arg};
    PyUnstable_GC_VisitObjects(visit_listed, &under_way);
    return under_way.failed;
}
#endif
