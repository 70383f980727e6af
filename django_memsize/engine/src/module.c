/* What Python sees of the engine. */
#include "census/attributes.h"
#include "census/names.h"
#include "census/roots.h"
#include "meter/stream.h"
#include "analysis/referrers.h"
#include "window.h"

/* While a walk lasts the collector is paused, so that it is never us who set it off. */
static void
resume_collector(int was_enabled)
{
    if (was_enabled) {
        PyGC_Enable();
    }
}

/* Classes that were asked for. They are held: a list of them is the program's, which may change it
   from an audit hook. */
typedef struct {
    PyTypeObject **at;
    Py_ssize_t count;
} class_list;

static void
classes_clear(class_list *classes)
{
    while (classes->count) {
        Py_DECREF(classes->at[--classes->count]);
    }
    PyMem_RawFree(classes->at);
    classes->at = NULL;
}

/* Copy the classes in a tuple or list; -1 with an exception. classes_clear is due either way. */
static int
classes_in(PyObject *sequence, class_list *classes)
{
    Py_ssize_t count = PySequence_Fast_GET_SIZE(sequence);
    classes->at = PyMem_RawMalloc((size_t)(count + 1) * sizeof(PyTypeObject *));
    if (!classes->at) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        PyObject *item = PySequence_Fast_GET_ITEM(sequence, at);
        if (!PyType_Check(item)) {
            PyErr_SetString(PyExc_TypeError, "expected classes");
            return -1;
        }
        classes->at[classes->count++] = (PyTypeObject *)Py_NewRef(item);
    }
    return 0;
}

/* The frozen objects that a walk of 3.11 to 3.13 did not reach; later versions list them. */
static Py_ssize_t
unreached(const roots *from, const walk *pass)
{
#if PY_VERSION_HEX >= 0x030E0000
    (void)from, (void)pass;
    return 0;
#else
    return Py_MAX(from->frozen - (Py_ssize_t)pass->frozen_met, 0);
#endif
}

PyDoc_STRVAR(census_doc,
             "census(exclude=(), /)\n--\n\n"
             "Count every object on the heap, each once, by type name.\n\n"
             "Returns name -> objects, name -> bytes, the number of objects that gc.freeze() set\n"
             "aside, and how many of these were not reached. Instances of exactly the exclude\n"
             "classes are left out, methods bound to them, and what only they refer to and the\n"
             "collector does not track.");

static PyObject *
engine_census(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *exclude = NULL, *counts = NULL, *sizes = NULL, *result = NULL;
    class_list excluded = {.at = NULL};
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
    int was_enabled = PyGC_Disable();
    if (classes_in(exclude, &excluded) == 0) {
        pass.counts.excluded = excluded.at;
        pass.counts.excluded_count = excluded.count;
        if (roots_list(&from) == 0 && roots_walk(&from, &pass) == 0) {
            roots_clear(&from);
            if (tally_columns(&pass.counts, &counts, &sizes) == 0) {
                result = Py_BuildValue("NNnn", counts, sizes, Py_MAX(from.frozen, 0),
                                       unreached(&from, &pass));
            }
        }
    }
    roots_clear(&from);
    walk_clear(&pass);
    resume_collector(was_enabled);
    classes_clear(&excluded);
    Py_DECREF(exclude);
    return result;
}

/* Add the bytes of an object that was itself asked for, where a deep size stops. -1 with an
   exception. */
static int
meet_alone(walk *pass, PyObject *asked, Py_ssize_t *alone)
{
    int is_new = addresses_add(pass->met, asked);
    if (is_new < 0) {
        PyErr_NoMemory();
    }
    if (is_new <= 0) {
        return is_new;
    }
    anatomy kind;
    Py_ssize_t bytes = anatomy_of(Py_TYPE(asked), &kind) < 0 ? -1 : anatomy_bytes(&kind, asked);
    *alone += bytes;
    return bytes < 0 ? -1 : 0;
}

/* Count objects that were asked for, and all that they refer to. -1 with an exception. */
static int
meet(walk *pass, PyObject *const *asked, Py_ssize_t count, bool stops_count, Py_ssize_t *alone)
{
    /* First these: others refer to them, and meet them for nothing. */
    for (Py_ssize_t at = 0; stops_count && at < count; at++) {
        if (anatomy_stops(Py_TYPE(asked[at])) && meet_alone(pass, asked[at], alone) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        if (walk_visit(asked[at], pass) < 0) {
            return -1;
        }
    }
    return walk_finish(pass);
}

/* The deep bytes of objects; those at addresses in ``met``, if given, are left out and new ones
   added to it. -1 with an exception. */
static Py_ssize_t
deep_size(PyObject *const *asked, Py_ssize_t count, bool stops_count, address_set *met)
{
    Py_ssize_t alone = 0;
    walk pass;
    walk_init(&pass);
    if (met) {
        pass.met = met;
    }
    pass.counts.stops = true;
    int failed = meet(&pass, asked, count, stops_count, &alone);
    Py_ssize_t total = failed ? -1 : tally_total(&pass.counts) + alone;
    walk_clear(&pass);
    return total;
}

PyDoc_STRVAR(sizeof_doc,
             "sizeof(objects, /)\n--\n\n"
             "Return the bytes of the objects and all that they refer to, each referent once.\n\n"
             "A class, module, function, code object or frame is not followed, and counts only if\n"
             "it is itself asked for.");

static Py_ssize_t
size_of_all(PyObject *objects, bool stops_count, address_set *met)
{
    PyObject *asked = PySequence_Fast(objects, "expected a sequence of objects");
    if (!asked) {
        return -1;
    }
    int was_enabled = PyGC_Disable();
    Py_ssize_t total = deep_size(PySequence_Fast_ITEMS(asked), PySequence_Fast_GET_SIZE(asked),
                                 stops_count, met);
    resume_collector(was_enabled);
    Py_DECREF(asked);
    return total;
}

static PyObject *
engine_sizeof(PyObject *Py_UNUSED(module), PyObject *objects)
{
    Py_ssize_t total = size_of_all(objects, true, NULL);
    return total < 0 ? NULL : PyLong_FromSsize_t(total);
}

PyDoc_STRVAR(instances_doc,
             "instances(classes, /)\n--\n\n"
             "Return (name, instances alive, their deep bytes) of each class, its subclasses\n"
             "included.");

/* Walk the heap, and in it from the instances of each class, all while nothing can go away. -1 with
   an exception. */
static int
find_instances(const class_list *classes, walk *inner)
{
    roots from;
    walk pass;
    walk_init(&pass);
    pass.counts.wanted = classes->at;
    pass.counts.wanted_count = classes->count;
    pass.inner = inner;
    for (Py_ssize_t at = 0; at < classes->count; at++) {
        walk_init(inner + at);
        inner[at].traversing = &pass.own_traversing;
        inner[at].counts.stops = true;
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
rows_of(const class_list *classes, const walk *inner)
{
    PyObject *rows = PyList_New(classes->count);
    for (Py_ssize_t at = 0; rows && at < classes->count; at++) {
        PyObject *name = names_full(classes->at[at]);
        PyObject *row = name ? Py_BuildValue("Nnn", name, (Py_ssize_t)inner[at].instances,
                                             tally_total(&inner[at].counts))
                             : NULL;
        if (!row) {
            Py_CLEAR(rows);
            break;
        }
        PyList_SET_ITEM(rows, at, row);
    }
    return rows;
}

static PyObject *
engine_instances(PyObject *Py_UNUSED(module), PyObject *sequence)
{
    PyObject *rows = NULL;
    class_list classes = {.at = NULL};
    PyObject *asked = PySequence_Fast(sequence, "expected classes");
    if (!asked) {
        return NULL;
    }
    int was_enabled = PyGC_Disable();
    if (classes_in(asked, &classes) == 0) {
        walk *inner = PyMem_RawCalloc((size_t)classes.count + 1, sizeof(walk));
        if (!inner) {
            PyErr_NoMemory();
        }
        else {
            if (find_instances(&classes, inner) == 0) {
                rows = rows_of(&classes, inner);
            }
            for (Py_ssize_t at = 0; at < classes.count; at++) {
                walk_clear(inner + at);
            }
            PyMem_RawFree(inner);
        }
    }
    resume_collector(was_enabled);
    classes_clear(&classes);
    Py_DECREF(asked);
    return rows;
}

/* Sizes that count each object once together. */
typedef struct {
    PyObject_HEAD
    address_set met;
} sizing;

static PyObject *
sizing_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Sizing") || (kwargs && PyDict_GET_SIZE(kwargs))) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "Sizing takes no arguments");
        }
        return NULL;
    }
    sizing *self = (sizing *)type->tp_alloc(type, 0);
    if (self) {
        addresses_init(&self->met);
    }
    return (PyObject *)self;
}

static void
sizing_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    addresses_clear(&((sizing *)self)->met);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(meet_doc, "meet(measured, /)\n--\n\n"
                       "Add an object to those that count no more; tell whether it did before.");

static PyObject *
sizing_meet(PyObject *self, PyObject *measured)
{
    int is_new = addresses_add(&((sizing *)self)->met, measured);
    return is_new < 0 ? PyErr_NoMemory() : PyBool_FromLong(is_new);
}

PyDoc_STRVAR(flat_doc, "flat(measured, /)\n--\n\nReturn the bytes of the object alone.");

static PyObject *
sizing_flat(PyObject *Py_UNUSED(self), PyObject *measured)
{
    anatomy kind;
    Py_ssize_t bytes
        = anatomy_of(Py_TYPE(measured), &kind) < 0 ? -1 : anatomy_bytes(&kind, measured);
    return bytes < 0 ? NULL : PyLong_FromSsize_t(bytes);
}

PyDoc_STRVAR(deep_doc, "deep(objects, /)\n--\n\n"
                       "Return the bytes of those of the objects, and of what they refer to, that\n"
                       "were not met before.");

static PyObject *
sizing_deep(PyObject *self, PyObject *objects)
{
    Py_ssize_t total = size_of_all(objects, false, &((sizing *)self)->met);
    return total < 0 ? NULL : PyLong_FromSsize_t(total);
}

PyDoc_STRVAR(referents_doc, "referents(measured, /)\n--\n\n"
                            "Return what the object directly refers to, as a walk sees it.");

static int
append_referent(PyObject *found, void *list)
{
    return PyList_Append(list, found);
}

static PyObject *
sizing_referents(PyObject *Py_UNUSED(self), PyObject *measured)
{
    PyObject *found = PyList_New(0);
    int was_enabled = PyGC_Disable();
    if (found && (walk_referents(measured, append_referent, found), PyErr_Occurred())) {
        Py_CLEAR(found); /* whatever a tp_traverse made of it */
    }
    resume_collector(was_enabled);
    return found;
}

static PyMethodDef sizing_methods[] = {
    {"meet", sizing_meet, METH_O, meet_doc},
    {"flat", sizing_flat, METH_O, flat_doc},
    {"deep", sizing_deep, METH_O, deep_doc},
    {"referents", sizing_referents, METH_O, referents_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(sizing_doc,
             "Sizing()\n--\n\n"
             "Sizes that count each object once together. Keeps addresses, no objects.");

static PyType_Slot sizing_slots[] = {
    {Py_tp_doc, (void *)sizing_doc},
    {Py_tp_new, sizing_new},
    {Py_tp_dealloc, sizing_dealloc},
    {Py_tp_methods, sizing_methods},
    {0, NULL},
};

static PyType_Spec sizing_spec = {
    .name = "django_memsize.engine.compiled.Sizing",
    .basicsize = sizeof(sizing),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = sizing_slots,
};

static PyMethodDef engine_methods[] = {
    {"census", engine_census, METH_VARARGS, census_doc},
    {"sizeof", engine_sizeof, METH_O, sizeof_doc},
    {"instances", engine_instances, METH_O, instances_doc},
    {NULL, NULL, 0, NULL},
};

static int
engine_exec(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "a walk covers the main interpreter only");
        return -1;
    }
    int proven = names_prepare() < 0 || anatomy_prepare() < 0 || roots_prepare() < 0
                     ? -1
                     : attributes_prove();
    if (proven < 0
        || PyModule_AddObjectRef(module, "counts_instance_values", proven ? Py_True : Py_False) < 0)
    {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &sizing_spec, NULL);
    int added = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return added < 0 || window_add_to(module) < 0 || upstream_add_to(module) < 0
               ? -1
               : stream_add_to(module);
}

static PyModuleDef_Slot engine_slots[] = {
    {Py_mod_exec, engine_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef engine_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "django_memsize.engine.compiled",
    .m_doc = PyDoc_STR("The engine in C."),
    .m_size = 0,
    .m_methods = engine_methods,
    .m_slots = engine_slots,
};

PyMODINIT_FUNC
PyInit_compiled(void)
{
    return PyModuleDef_Init(&engine_module);
}
