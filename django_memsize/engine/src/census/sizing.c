#include "census/sizing.h"

#include "census/sizes.h"
#include "census/walk.h"
#include "collector.h"

/* The bytes of an object alone. -1 with an exception. */
static Py_ssize_t
flat_size(PyObject *measured)
{
    anatomy kind;
    return anatomy_of(Py_TYPE(measured), &kind) < 0 ? -1 : sizes_bytes(&kind, measured);
}

/* Add the bytes of an object at which a deep size stops, because it was passed itself. -1 with an
   exception. */
static int
add_alone(walk *pass, PyObject *passed, Py_ssize_t *total)
{
    int is_new = addresses_add(pass->seen, passed);
    if (is_new < 0) {
        PyErr_NoMemory();
    }
    if (is_new <= 0) {
        return is_new;
    }
    Py_ssize_t bytes = flat_size(passed);
    *total += bytes;
    return bytes < 0 ? -1 : 0;
}

/* Count the objects that were passed, and all that they refer to. With ``adds_stops``, objects at
   which a deep size stops are added to a total of their own. -1 with an exception. */
static int
walk_passed(walk *pass, PyObject *const *passed, Py_ssize_t count, bool adds_stops,
            Py_ssize_t *stops)
{
    /* These first: another object may refer to one, and a visit would mark it as seen. */
    for (Py_ssize_t at = 0; adds_stops && at < count; at++) {
        if (anatomy_stops(Py_TYPE(passed[at])) && add_alone(pass, passed[at], stops) < 0) {
            return -1;
        }
    }
    for (Py_ssize_t at = 0; at < count; at++) {
        if (walk_visit(passed[at], pass) < 0) {
            return -1;
        }
    }
    return walk_finish(pass);
}

/* The deep bytes of objects. Objects in ``seen``, if given, are left out, and new ones added to it.
   -1 with an exception. */
static Py_ssize_t
deep_size(PyObject *const *passed, Py_ssize_t count, bool adds_stops, address_set *seen)
{
    Py_ssize_t stops = 0;
    walk pass;
    walk_init(&pass);
    if (seen) {
        pass.seen = seen;
    }
    pass.counts.is_deep_size = true;
    int failed = walk_passed(&pass, passed, count, adds_stops, &stops);
    Py_ssize_t total = failed ? -1 : tally_total(&pass.counts) + stops;
    walk_clear(&pass);
    return total;
}

/* The same of the objects in a sequence. */
static Py_ssize_t
deep_size_of_sequence(PyObject *objects, bool adds_stops, address_set *seen)
{
    PyObject *passed = PySequence_Fast(objects, "expected a sequence of objects");
    if (!passed) {
        return -1;
    }
    int was_enabled = collector_pause();
    Py_ssize_t total = deep_size(PySequence_Fast_ITEMS(passed), PySequence_Fast_GET_SIZE(passed),
                                 adds_stops, seen);
    collector_resume(was_enabled);
    Py_DECREF(passed);
    return total;
}

PyDoc_STRVAR(sizeof_doc,
             "sizeof(objects, /)\n--\n\n"
             "Return the bytes of the objects and all that they refer to, each object once.\n\n"
             "Classes, modules, functions, code objects and frames are not followed, and count\n"
             "only if they are in the sequence themselves.");

static PyObject *
engine_sizeof(PyObject *Py_UNUSED(module), PyObject *objects)
{
    Py_ssize_t total = deep_size_of_sequence(objects, true, NULL);
    return total < 0 ? NULL : PyLong_FromSsize_t(total);
}

typedef struct {
    PyObject_HEAD
    address_set seen;
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
        addresses_init(&self->seen);
    }
    return (PyObject *)self;
}

static void
sizing_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    addresses_clear(&((sizing *)self)->seen);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(meet_doc, "meet(measured, /)\n--\n\n"
                       "Mark an object as counted. Return whether it was not marked before.");

static PyObject *
sizing_meet(PyObject *self, PyObject *measured)
{
    int is_new = addresses_add(&((sizing *)self)->seen, measured);
    return is_new < 0 ? PyErr_NoMemory() : PyBool_FromLong(is_new);
}

PyDoc_STRVAR(flat_doc, "flat(measured, /)\n--\n\nReturn the bytes of the object alone.");

static PyObject *
sizing_flat(PyObject *Py_UNUSED(self), PyObject *measured)
{
    Py_ssize_t bytes = flat_size(measured);
    return bytes < 0 ? NULL : PyLong_FromSsize_t(bytes);
}

PyDoc_STRVAR(deep_doc,
             "deep(objects, /)\n--\n\n"
             "Return the bytes of the objects and all that they refer to. Objects that are\n"
             "marked as counted are left out, and all others are marked.");

static PyObject *
sizing_deep(PyObject *self, PyObject *objects)
{
    Py_ssize_t total = deep_size_of_sequence(objects, false, &((sizing *)self)->seen);
    return total < 0 ? NULL : PyLong_FromSsize_t(total);
}

PyDoc_STRVAR(referents_doc, "referents(measured, /)\n--\n\n"
                            "Return the objects that the object directly refers to, as a list.");

static int
append_referent(PyObject *referent, void *list)
{
    return PyList_Append(list, referent);
}

static PyObject *
sizing_referents(PyObject *Py_UNUSED(self), PyObject *measured)
{
    PyObject *referents = PyList_New(0);
    int was_enabled = collector_pause();
    if (referents && (walk_referents(measured, append_referent, referents), PyErr_Occurred())) {
        Py_CLEAR(referents); /* whatever a tp_traverse returned */
    }
    collector_resume(was_enabled);
    return referents;
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
             "Deep sizes that together count each object once.\n\n"
             "Stores the addresses of objects and no references: the objects must stay alive.");

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

static PyMethodDef sizing_functions[] = {
    {"sizeof", engine_sizeof, METH_O, sizeof_doc},
    {NULL, NULL, 0, NULL},
};

int
sizing_add_to(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &sizing_spec, NULL);
    int failed = !type || PyModule_AddType(module, (PyTypeObject *)type) < 0
                 || PyModule_AddFunctions(module, sizing_functions) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}
