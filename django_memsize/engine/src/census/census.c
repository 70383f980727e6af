#include "census/census.h"

#include "census/names.h"
#include "census/roots.h"
#include "collector.h"

/* Classes that a caller passed. Referred to, because their list belongs to the program, which may
   change it from an audit hook. */
typedef struct {
    PyTypeObject **items;
    Py_ssize_t count;
} class_list;

static void
class_list_clear(class_list *classes)
{
    while (classes->count) {
        Py_DECREF(classes->items[--classes->count]);
    }
    PyMem_RawFree(classes->items);
    classes->items = NULL;
}

/* Copy the classes of a tuple or list. -1 with an exception; class_list_clear() is due either
   way. */
static int
class_list_init(class_list *classes, PyObject *sequence)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    classes->items = PyMem_RawMalloc((size_t)(count + 1) * sizeof(PyTypeObject *));
    if (!classes->items) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, at);
        if (!PyType_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "expected classes");
            return -1;
        }
        classes->items[classes->count++] = (PyTypeObject *)Py_NewRef(item);
    }
    return 0;
}

/* How many frozen objects a walk did not reach. */
static Py_ssize_t
frozen_not_reached(const roots *from, const walk *pass)
{
    return CPYTHON_VISITS_FROZEN ? 0 : Py_MAX(from->frozen - (Py_ssize_t)pass->frozen_seen, 0);
}

/* What census() returns. NULL with an exception. */
static PyObject *
census_result(roots *from, walk *pass)
{
    PyObject *counts, *sizes;
    if (roots_list(from) < 0 || roots_walk(from, pass) < 0) {
        return NULL;
    }
    roots_clear(from);
    if (tally_by_name(&pass->counts, &counts, &sizes) < 0) {
        return NULL;
    }
    return Py_BuildValue("NNnn", counts, sizes, Py_MAX(from->frozen, 0),
                         frozen_not_reached(from, pass));
}

PyDoc_STRVAR(census_doc,
             "census(exclude=(), /)\n--\n\n"
             "Count every object on the heap, each once, by type.\n\n"
             "Returns a dict of type name -> objects, a dict of type name -> bytes, the number of\n"
             "objects that gc.freeze() set aside, and how many of these were not reached.\n"
             "Instances of exactly the classes in exclude are left out, and so are methods bound\n"
             "to them, and objects that only they refer to and the collector does not track.");

static PyObject *
engine_census(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *exclude = NULL, *result = NULL;
    class_list excluded = {.items = NULL};
    if (!PyArg_ParseTuple(args, "|O:census", &exclude)) {
        return NULL;
    }
    exclude = exclude ? PySequence_Fast(exclude, "expected classes") : PyTuple_New(0);
    if (!exclude) {
        return NULL;
    }
    roots from = {.listed = NULL};
    walk pass;
    walk_init(&pass);
    int was_enabled = collector_pause();
    if (class_list_init(&excluded, exclude) == 0) {
        pass.counts.excluded = excluded.items;
        pass.counts.excluded_count = excluded.count;
        result = census_result(&from, &pass);
    }
    roots_clear(&from);
    walk_clear(&pass);
    collector_resume(was_enabled);
    class_list_clear(&excluded);
    Py_DECREF(exclude);
    return result;
}

/* Walk the heap, and from the instances of each class an inner walk, without freeing anything in
   between. -1 with an exception. */
static int
walk_instances(const class_list *classes, walk *inner)
{
    roots from = {.listed = NULL};
    walk pass;
    walk_init(&pass);
    pass.counts.wanted = classes->items;
    pass.counts.wanted_count = classes->count;
    pass.inner = inner;
    for (Py_ssize_t at = 0; at < classes->count; at++) {
        walk_init(inner + at);
        inner[at].traversing = &pass.own_traversing;
        inner[at].counts.is_deep_size = true;
    }
    int failed = roots_list(&from) < 0 || roots_walk(&from, &pass) < 0 ? -1 : 0;
    for (Py_ssize_t at = 0; !failed && at < classes->count; at++) {
        failed = walk_finish(inner + at);
    }
    roots_clear(&from);
    walk_clear(&pass);
    return failed;
}

static PyObject *
instances_row(PyTypeObject *class, const walk *inner)
{
    PyObject *name = names_full(class);
    return name ? Py_BuildValue("Nnn", name, (Py_ssize_t)inner->instances,
                                tally_total(&inner->counts))
                : NULL;
}

static PyObject *
instances_rows(const class_list *classes, const walk *inner)
{
    PyObject *rows = PyList_New(classes->count);
    for (Py_ssize_t at = 0; rows && at < classes->count; at++) {
        PyObject *row = instances_row(classes->items[at], inner + at);
        if (!row) {
            Py_CLEAR(rows);
            break;
        }
        PyList_SET_ITEM(rows, at, row);
    }
    return rows;
}

/* What instances() returns. NULL with an exception. */
static PyObject *
instances_result(const class_list *classes)
{
    walk *inner = PyMem_RawCalloc((size_t)classes->count + 1, sizeof(walk));
    if (!inner) {
        return PyErr_NoMemory();
    }
    PyObject *rows = walk_instances(classes, inner) < 0 ? NULL : instances_rows(classes, inner);
    for (Py_ssize_t at = 0; at < classes->count; at++) {
        walk_clear(inner + at);
    }
    PyMem_RawFree(inner);
    return rows;
}

PyDoc_STRVAR(instances_doc,
             "instances(classes, /)\n--\n\n"
             "Return (name, instances alive, bytes) for each class, subclasses included.\n\n"
             "The bytes are those of the instances and all that they refer to, each object once.");

static PyObject *
engine_instances(PyObject *Py_UNUSED(module), PyObject *argument)
{
    PyObject *rows = NULL;
    class_list classes = {.items = NULL};
    PyObject *sequence = PySequence_Fast(argument, "expected classes");
    if (!sequence) {
        return NULL;
    }
    int was_enabled = collector_pause();
    if (class_list_init(&classes, sequence) == 0) {
        rows = instances_result(&classes);
    }
    collector_resume(was_enabled);
    class_list_clear(&classes);
    Py_DECREF(sequence);
    return rows;
}

static PyMethodDef census_functions[] = {
    {"census", engine_census, METH_VARARGS, census_doc},
    {"instances", engine_instances, METH_O, instances_doc},
    {NULL, NULL, 0, NULL},
};

int
census_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, census_functions);
}
