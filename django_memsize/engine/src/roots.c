#include "roots.h"

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
add_class(roots *from, size_t *room, address_set *met, PyObject *found)
{
    int is_new = PyType_Check(found) ? addresses_add(met, found) : 0;
    if (is_new > 0 && from->class_count == *room) {
        size_t more = *room ? 2 * *room : 1024;
        PyTypeObject **moved = PyMem_RawRealloc(from->classes, more * sizeof(PyTypeObject *));
        if (moved) {
            from->classes = moved;
            *room = more;
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

/* List the type tree, from object on. A metaclass's own __subclasses__ is not asked. */
static int
list_classes(roots *from)
{
    size_t room = 0;
    address_set met;
    addresses_init(&met);
    int failed = add_class(from, &room, &met, (PyObject *)&PyBaseObject_Type);
    for (size_t at = 0; !failed && at < from->class_count; at++) {
        PyObject *below = PyObject_CallOneArg(list_subclasses, (PyObject *)from->classes[at]);
        if (!below) {
            failed = -1;
            break;
        }
        for (Py_ssize_t each = 0; !failed && each < PyList_GET_SIZE(below); each++) {
            failed = add_class(from, &room, &met, PyList_GET_ITEM(below, each));
        }
        Py_DECREF(below);
    }
    addresses_clear(&met);
    return failed;
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
    return list_classes(from);
}

void
roots_clear(roots *from)
{
    Py_CLEAR(from->listed);
    PyMem_RawFree(from->classes);
    from->classes = NULL;
    from->class_count = 0;
}

/* Immortal tuples of built-in classes. CPython 3.12 freezes what is immortal when it collects. */
typedef struct {
    address_set tuples;
    Py_ssize_t unlisted; /* how many of them it set aside, once the others are listed */
} own_tuples;

typedef struct listing listing;

struct listing {
    walk *pass;
    own_tuples *own;
    int (*with_each)(const listing *under_way, PyObject *listed);
    int failed;
};

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
add_own(own_tuples *own, PyObject *held)
{
    bool is_own = held && PyObject_GC_IsTracked(held) && walk_is_immortal(held);
    return is_own ? add(&own->tuples, held, &own->unlisted) : 0;
}

/* Find them: they are not the program's frozen objects. -1 with an exception. */
static int
find_own(const roots *from, own_tuples *own)
{
    for (size_t at = 0; at < from->class_count; at++) {
        PyTypeObject *type = from->classes[at];
        if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)
            && (add_own(own, type->tp_bases) < 0 || add_own(own, type->tp_mro) < 0))
        {
            return -1;
        }
    }
    return 0;
}

static void
strike(own_tuples *own, PyObject *listed)
{
    if (addresses_have(&own->tuples, listed)) {
        own->unlisted--;
    }
}

static int
mark(const listing *under_way, PyObject *listed)
{
    Py_ssize_t marked = 0;
    if (walk_is_immortal(listed)) {
        strike(under_way->own, listed);
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
        strike(under_way->own, listed);
        under_way->pass->frozen_met--;
        return walk_visit(listed, under_way->pass);
    }
    return walk_take(under_way->pass, listed);
}

#if PY_VERSION_HEX < 0x030C0000
#define AHEAD 8

/* The last pass gives each reference back while its object is in the processor's cache. */
static int
for_each_listed(const roots *from, listing *under_way)
{
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
for_each_listed(const roots *from, listing *under_way)
{
    (void)from;
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
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        Py_VISIT(type->tp_mro);
        Py_VISIT(type->tp_bases);
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
    Py_ssize_t at = 0;
    PyObject *name, *module;
    while (PyDict_Next(modules, &at, &name, &module)) {
        if (walk_visit(module, pass) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Whether what the collector tracks is listed, but for the immortal: then the list needs no marks
   to be told from the frozen. gc.freeze() sets aside all that there is at the time, which is more
   than built-in classes have tuples. Within a finaliser that the collector calls, the garbage that
   it holds is on no list, and left out. */
static bool
lists_all(const roots *from, const own_tuples *own)
{
#if PY_VERSION_HEX < 0x030C0000
    (void)from, (void)own;
    return false; /* to mark is cheaper, too: it takes a look at the list, not at its objects */
#elif PY_VERSION_HEX < 0x030E0000
    return from->frozen <= own->unlisted;
#else
    (void)from, (void)own;
    return true;
#endif
}

static int
walk_with(const roots *from, walk *pass, own_tuples *own)
{
    listing under_way = {.pass = pass, .own = own, .with_each = mark};
    if (find_own(from, own) < 0) {
        return -1;
    }
    pass->is_census = true;
    pass->leaves_tracked = lists_all(from, own);
    if (!pass->leaves_tracked && for_each_listed(from, &under_way) < 0) {
        return -1;
    }
    under_way.with_each = pass->leaves_tracked ? take_unmarked : take_marked;
    if (visit_unlisted(from, pass) < 0 || for_each_listed(from, &under_way) < 0) {
        return -1;
    }
    return walk_finish(pass);
}

int
roots_walk(roots *from, walk *pass)
{
    own_tuples own = {.unlisted = 0};
    addresses_init(&own.tuples);
    int failed = walk_with(from, pass, &own);
    addresses_clear(&own.tuples);
    from->frozen -= own.unlisted;
    pass->frozen_met -= (size_t)own.unlisted;
    return failed;
}
