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

/* Visit a tuple of a built-in class. CPython may have set it aside by itself. */
static int
visit_own(roots *from, walk *pass, PyObject *held)
{
    if (!held) {
        return 0;
    }
    size_t frozen_met = pass->frozen_met;
    if (walk_visit(held, pass) < 0 || walk_finish(pass) < 0) {
        return -1;
    }
    if (pass->frozen_met > frozen_met && Py_REFCNT(held) > IMMORTAL) {
        from->frozen--;
        pass->frozen_met--;
    }
    return 0;
}

static int
visit_class(roots *from, walk *pass, PyTypeObject *type)
{
    PyObject *namespace = type_namespace(type);
    int failed = namespace ? walk_visit(namespace, pass) : 0;
    Py_XDECREF(namespace);
    if (failed || walk_visit((PyObject *)type, pass) < 0) {
        return -1;
    }
    if (!(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        return visit_own(from, pass, type->tp_mro) < 0 ? -1 : visit_own(from, pass, type->tp_bases);
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
    for (size_t at = 0; at < from->class_count; at++) {
        if (visit_class(from, pass, from->classes[at]) < 0) {
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
    return for_each_listed(from, pass, walk_take) < 0 ? -1 : walk_finish(pass);
}
