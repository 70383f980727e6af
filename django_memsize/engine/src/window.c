#include "window.h"

#include "parts.h"
#include "reachability.h"

static window *
behind(PyObject *self)
{
    return ((window_handle *)self)->behind;
}

static PyObject *
window_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    if (!PyArg_ParseTuple(args, ":Window") || (kwargs && PyDict_GET_SIZE(kwargs))) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "Window takes no arguments");
        }
        return NULL;
    }
    window *made = meter_make();
    window_handle *self = made ? (window_handle *)type->tp_alloc(type, 0) : NULL;
    if (self) {
        self->behind = made;
    }
    else if (made) {
        meter_release(made);
    }
    return (PyObject *)self;
}

static void
window_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (behind(self)) {
        meter_release(behind(self));
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(open_doc, "open(parent=None, /)\n--\n\n"
                       "Begin, inside an open window; without one, inside the innermost of this\n"
                       "context.\n\n"
                       "Raises RuntimeError if it was open before.");

static PyObject *
window_open(PyObject *self, PyObject *args)
{
    PyObject *parent = NULL;
    if (!PyArg_ParseTuple(args, "|O!:open", meter_handle_type, &parent)) {
        return NULL;
    }
    window *around = parent ? behind(parent) : meter_here();
    return meter_open(behind(self), around) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(close_doc, "close()\n--\n\n"
                        "End it and the windows in it, from wherever. Once is enough.");

static PyObject *
window_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    meter_close(behind(self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(forget_doc, "forget()\n--\n\n"
                         "Forget what was allocated in an outermost window that is closed.");

static PyObject *
window_forget(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (!behind(self)->parent) {
        meter_forget(behind(self));
    }
    Py_RETURN_NONE;
}

static bool
is_live(const part *one)
{
    return one->state == PART_OBJECT || one->state == PART_BUFFER;
}

static bool
is_parked(const part *one)
{
    return one->state == PART_PARKED;
}

static bool
is_retained(const part *one)
{
    return one->is_retained || one->state == PART_BUFFER;
}

static bool
is_dead(const part *one)
{
    return one->state == PART_OBJECT && !one->is_retained;
}

/* A tuple of (name -> objects, name -> bytes) of what each filter lets through. */
static PyObject *
tables_of(const parts *found, const part_filter *filters, Py_ssize_t count)
{
    PyObject *tables = PyTuple_New(count);
    for (Py_ssize_t at = 0; tables && at < count; at++) {
        PyObject *objects, *bytes;
        PyObject *pair = parts_columns(found, filters[at], &objects, &bytes) < 0
                             ? NULL
                             : Py_BuildValue("NN", objects, bytes);
        if (!pair) {
            Py_CLEAR(tables);
            break;
        }
        PyTuple_SET_ITEM(tables, at, pair);
    }
    return tables;
}

static void
sum_up_retained(const parts *found, window *asked)
{
    for (window *each = asked; each; each = meter_next_in(asked, each)) {
        each->retained = (meter_total){0, 0};
    }
    /* What is alive is what was listed: making the tables may free what was parked. */
    asked->told = (meter_total){0, 0};
    for (size_t at = 0; at < found->count; at++) {
        const part *one = found->at + at;
        const part *owner = one->state == PART_OWNED ? found->at + one->owner : one;
        asked->told.blocks++;
        asked->told.bytes += one->bytes;
        for (window *each = is_retained(owner) ? meter_window(one->window) : NULL;
             each && each != asked->parent; each = each->parent)
        {
            each->retained.blocks++;
            each->retained.bytes += one->bytes;
        }
    }
}

/* Find the parts of a window, and with ``tells`` which of them are retained, and make tables. */
static PyObject *
told(window *asked, bool tells, PyObject *around, const part_filter *filters, Py_ssize_t count)
{
    PyObject *tables = NULL;
    parts found = {.at = NULL};
    int failed = -1, was_enabled = PyGC_Disable();
    meter_pause();
    (void)meter_is_sound();
    if (parts_find(&found, asked) == 0 && parts_index_objects(&found) == 0) {
        parts_park_what_is_drained(&found);
        failed = tells ? reachability_tell(&found, around) : 0;
    }
    if (!failed) {
        if (tells) {
            sum_up_retained(&found, asked);
        }
        tables = tables_of(&found, filters, count);
    }
    parts_clear(&found);
    meter_resume();
    if (was_enabled) {
        PyGC_Enable();
    }
    return tables;
}

PyDoc_STRVAR(held_doc,
             "held()\n--\n\n"
             "Return what was allocated in the window and is not freed, in two pairs of\n"
             "name -> objects, name -> bytes: what is in use, and what CPython keeps for later.\n\n"
             "Buffers count with the objects that own them.");

static PyObject *
window_held(PyObject *self, PyObject *Py_UNUSED(none))
{
    static const part_filter filters[] = {is_live, is_parked};
    return told(behind(self), false, NULL, filters, 2);
}

PyDoc_STRVAR(settle_doc,
             "settle(around=[], /)\n--\n\n"
             "Tell what of a window is retained, dead, and parked, in three pairs of\n"
             "name -> objects, name -> bytes. What was allocated in an outermost one is then\n"
             "forgotten.\n\n"
             "``around`` is a list of objects from outside that may be dead and refer to its own.\n"
             "The list alone does not make them live.\n\n"
             "Nothing is told of a window that was forgotten, or whose hooks were taken off.\n"
             "Raises RuntimeError unless it is closed.");

static PyObject *
window_settle(PyObject *self, PyObject *args)
{
    static const part_filter filters[] = {is_retained, is_dead, is_parked};
    window *asked = behind(self);
    PyObject *around = NULL;
    if (!PyArg_ParseTuple(args, "|O!:settle", &PyList_Type, &around)) {
        return NULL;
    }
    if (!asked->was_opened || asked->is_open) {
        PyErr_SetString(PyExc_RuntimeError, "only a closed window can be settled");
        return NULL;
    }
    PyObject *tables = told(asked, true, around, filters, 3);
    if (!asked->parent) {
        meter_forget(asked);
        asked->alive = asked->told;
    }
    return tables;
}

static PyMethodDef window_methods[] = {
    {"open", window_open, METH_VARARGS, open_doc},
    {"close", window_close, METH_NOARGS, close_doc},
    {"forget", window_forget, METH_NOARGS, forget_doc},
    {"held", window_held, METH_NOARGS, held_doc},
    {"settle", window_settle, METH_VARARGS, settle_doc},
    {NULL, NULL, 0, NULL},
};

static PyObject *
total_of(const meter_total *total)
{
    return Py_BuildValue("nn", total->blocks, total->bytes);
}

static PyObject *
window_allocated(PyObject *self, void *Py_UNUSED(closure))
{
    return total_of(&behind(self)->allocated);
}

static PyObject *
window_peak(PyObject *self, void *Py_UNUSED(closure))
{
    return total_of(&behind(self)->peak);
}

static PyObject *
window_alive(PyObject *self, void *Py_UNUSED(closure))
{
    return total_of(&behind(self)->alive);
}

static PyObject *
window_retained(PyObject *self, void *Py_UNUSED(closure))
{
    return total_of(&behind(self)->retained);
}

static PyObject *
window_is_open(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(behind(self)->is_open);
}

static PyObject *
window_incomplete(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(behind(self)->is_incomplete);
}

static PyObject *
window_outermost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!behind(self)->parent);
}

static PyGetSetDef window_members[] = {
    {"allocated", window_allocated, NULL, PyDoc_STR("Blocks and bytes allocated in it, ever."),
     NULL},
    {"peak", window_peak, NULL, PyDoc_STR("Blocks and bytes when most bytes were alive."), NULL},
    {"alive", window_alive, NULL, PyDoc_STR("Blocks and bytes allocated in it, not freed."), NULL},
    {"retained", window_retained, NULL,
     PyDoc_STR("Of these, what was retained when the outermost window was settled."), NULL},
    {"is_open", window_is_open, NULL, PyDoc_STR("Whether allocations are credited to it."), NULL},
    {"incomplete", window_incomplete, NULL, PyDoc_STR("Whether something was not seen."), NULL},
    {"outermost", window_outermost, NULL, PyDoc_STR("Whether no window is around it."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(window_doc,
             "Window()\n--\n\n"
             "A stretch of execution whose allocations are accounted for.\n\n"
             "Counts, while it is open, whatever is allocated in a context in which it\n"
             "is the value of the ContextVar ``window``.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc}, {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc}, {Py_tp_methods, window_methods},
    {Py_tp_getset, window_members},  {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "django_memsize.engine.compiled.Window",
    .basicsize = sizeof(window_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

PyDoc_STRVAR(switch_doc, "switch_window(window, /)\n--\n\n"
                         "Make a window, or None, the innermost of this context; return what was.");

static PyObject *
window_switch(PyObject *Py_UNUSED(module), PyObject *window)
{
    PyObject *before;
    if (window != Py_None && !Py_IS_TYPE(window, meter_handle_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a Window or None");
        return NULL;
    }
    if (PyContextVar_Get(meter_variable, Py_None, &before) < 0) {
        return NULL;
    }
    PyObject *token = PyContextVar_Set(meter_variable, window);
    if (!token) {
        Py_DECREF(before);
        return NULL;
    }
    Py_DECREF(token);
    return before;
}

PyDoc_STRVAR(own_bytes_doc,
             "meter_bytes()\n--\n\nReturn the bytes that the meter itself takes now.");

static PyObject *
window_own_bytes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromSize_t(meter_own_bytes());
}

PyDoc_STRVAR(is_armed_doc, "meter_is_armed()\n--\n\nTell whether allocations are being watched.");

static PyObject *
window_is_armed(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(meter_is_armed());
}

PyDoc_STRVAR(forget_all_doc, "meter_forget_all()\n--\n\n"
                             "Close and forget every window, as in a child process.");

static PyObject *
window_forget_all(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    meter_forget_all();
    Py_RETURN_NONE;
}

static PyMethodDef window_functions[] = {
    {"switch_window", window_switch, METH_O, switch_doc},
    {"meter_bytes", window_own_bytes, METH_NOARGS, own_bytes_doc},
    {"meter_is_armed", window_is_armed, METH_NOARGS, is_armed_doc},
    {"meter_forget_all", window_forget_all, METH_NOARGS, forget_all_doc},
    {NULL, NULL, 0, NULL},
};

int
window_add_to(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &window_spec, NULL);
    int failed = !type || PyModule_AddType(module, (PyTypeObject *)type) < 0
                 || meter_prepare((PyTypeObject *)type) < 0
                 || PyModule_AddFunctions(module, window_functions) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}
