#include "roots.h"

/* CPython 3.12 freezes what is immortal when it collects. */
#define IMMORTAL ((Py_ssize_t)1 << 30)

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

int
roots_list_classes(roots *from)
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
    return roots_list_classes(from);
}

void
roots_clear(roots *from)
{
    Py_CLEAR(from->listed);
    PyMem_RawFree(from->classes);
    from->classes = NULL;
    from->class_count = 0;
}

typedef struct {
    walk *pass;
    int (*with_each)(walk *pass, PyObject *listed);
    int failed;
} listing;

static int
mark(walk *pass, PyObject *listed)
{
    if (addresses_add(pass->met, listed) < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

#if PY_VERSION_HEX < 0x030C0000
#define AHEAD 8

static int
for_each_listed(roots *from, walk *pass, int (*with_each)(walk *pass, PyObject *listed))
{
    PyListObject *list = (PyListObject *)from->listed;
    for (Py_ssize_t at = 0, count = Py_SIZE(list); at < count; at++) {
        if (at + AHEAD < count) {
            MEMSIZE_PREFETCH(list->ob_item[at + AHEAD]);
        }
        if (with_each(pass, list->ob_item[at]) < 0) {
            return -1;
        }
    }
    return 0;
}
#else
static int
next_listed(PyObject *listed, void *arg)
{
    listing *under_way = arg;
    under_way->failed = under_way->with_each(under_way->pass, listed);
    return !under_way->failed; /* 0 ends it */
}

static int
for_each_listed(roots *from, walk *pass, int (*with_each)(walk *pass, PyObject *listed))
{
    (void)from;
    listing under_way = {.pass = pass, .with_each = with_each, .failed = 0};
    PyUnstable_GC_VisitObjects(next_listed, &under_way);
    return under_way.failed;
}
#endif

/* Whether CPython by itself set a tuple of a built-in class aside. */
static int
add_own(address_set *own, const walk *pass, PyObject *held)
{
    bool is_own = held && PyObject_GC_IsTracked(held) && Py_REFCNT(held) > IMMORTAL
                  && !addresses_have(pass->met, held);
    return is_own ? addresses_add(own, held) : 0;
}

/* Count them, once all that is listed is marked: they are not the program's frozen objects. -1 with
   an exception. */
static Py_ssize_t
count_own(const roots *from, const walk *pass)
{
    address_set own;
    Py_ssize_t count = 0;
    int failed = 0;
    addresses_init(&own);
    for (size_t at = 0; at < from->class_count && failed >= 0; at++) {
        PyTypeObject *type = from->classes[at];
        if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
            int bases = add_own(&own, pass, type->tp_bases);
            int mro = add_own(&own, pass, type->tp_mro);
            failed = Py_MIN(bases, mro);
            count += bases + mro;
        }
    }
    addresses_clear(&own);
    if (failed < 0) {
        PyErr_NoMemory();
        return -1;
    }
    return count;
}

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

int
roots_walk(roots *from, walk *pass)
{
    pass->is_census = true;
    if (for_each_listed(from, pass, mark) < 0) {
        return -1;
    }
    Py_ssize_t own = count_own(from, pass);
    if (own < 0) {
        return -1;
    }
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
    if (for_each_listed(from, pass, walk_take) < 0 || walk_finish(pass) < 0) {
        return -1;
    }
    from->frozen -= own;
    pass->frozen_met -= (size_t)own;
    return 0;
}
