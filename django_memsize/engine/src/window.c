#include "window.h"

#include "analysis/analysis.h"
#include "meter/crediting.h"
#include "meter/lookup.h"
#include "meter/meter.h"

static window *
window_of(PyObject *self)
{
    return ((window_handle *)self)->window;
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
    window *made = windows_make();
    window_handle *self = made ? (window_handle *)type->tp_alloc(type, 0) : NULL;
    if (self) {
        self->window = made;
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
    if (window_of(self)) {
        meter_release(window_of(self));
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(open_doc, "open(parent=None, /)\n--\n\n"
                       "Open the window inside its parent, or inside the innermost open window of\n"
                       "this context. Without either it is an outermost window.\n\n"
                       "Raises RuntimeError if the window was opened before.");

static PyObject *
window_open(PyObject *self, PyObject *args)
{
    PyObject *parent = NULL;
    if (!PyArg_ParseTuple(args, "|O!:open", windows_handle_type, &parent)) {
        return NULL;
    }
    window *outer = parent ? window_of(parent) : lookup_window(PyThreadState_Get());
    return meter_open(window_of(self), outer) < 0 ? NULL : Py_NewRef(Py_None);
}

PyDoc_STRVAR(
    close_doc,
    "close()\n--\n\n"
    "Close the window and the windows in it. Does nothing to a closed window. May be called\n"
    "in any context.");

static PyObject *
window_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    meter_close(window_of(self));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(discard_doc,
             "discard()\n--\n\n"
             "Forget the blocks of an outermost window that is closed. Does nothing to\n"
             "any other window.");

static PyObject *
window_discard(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (!window_of(self)->parent) {
        meter_discard(window_of(self));
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    alive_by_type_doc,
    "alive_by_type()\n--\n\n"
    "Return what was allocated in the window and is not freed, as two pairs of dicts\n"
    "(type name -> objects, type name -> bytes): what is in use, and what CPython keeps on\n"
    "free lists.\n\n"
    "The bytes of a buffer count with the object that owns it.");

static PyObject *
window_alive_by_type(PyObject *self, PyObject *Py_UNUSED(none))
{
    return analysis_alive(window_of(self));
}

PyDoc_STRVAR(analyse_doc,
             "analyse(external=[], /)\n--\n\n"
             "Return what was allocated in the window and is not freed, as three pairs of dicts\n"
             "(type name -> objects, type name -> bytes): what is retained, what is garbage, and\n"
             "what CPython keeps on free lists. Then discard an outermost window.\n\n"
             "external is a list of objects that were not allocated in the window, refer to its\n"
             "objects, and may be garbage themselves. The list does not count as a reference.\n\n"
             "The dicts are empty if the window was discarded before, or its hooks were removed.\n"
             "Raises RuntimeError if the window is open, or was never opened.");

static PyObject *
window_analyse(PyObject *self, PyObject *args)
{
    window *analysed = window_of(self);
    PyObject *external = NULL;
    if (!PyArg_ParseTuple(args, "|O!:analyse", &PyList_Type, &external)) {
        return NULL;
    }
    if (!analysed->was_opened || analysed->is_open) {
        PyErr_SetString(PyExc_RuntimeError, "only a closed window can be analysed");
        return NULL;
    }
    PyObject *tables = analysis_retained(analysed, external);
    if (!analysed->parent) {
        meter_discard(analysed);
        analysed->alive = analysed->analysed;
    }
    return tables;
}

static PyMethodDef window_methods[] = {
    {"open", window_open, METH_VARARGS, open_doc},
    {"close", window_close, METH_NOARGS, close_doc},
    {"alive_by_type", window_alive_by_type, METH_NOARGS, alive_by_type_doc},
    {"analyse", window_analyse, METH_VARARGS, analyse_doc},
    {"discard", window_discard, METH_NOARGS, discard_doc},
    {NULL, NULL, 0, NULL},
};

/* A total as (blocks, bytes), up to date. */
static PyObject *
total_as_tuple(const window_total *total)
{
    crediting_flush_totals();
    return Py_BuildValue("nn", total->blocks, total->bytes);
}

static PyObject *
window_allocated(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->allocated);
}

static PyObject *
window_peak(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->peak);
}

static PyObject *
window_alive(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->alive);
}

static PyObject *
window_retained(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->retained);
}

static PyObject *
window_is_open(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(window_of(self)->is_open);
}

static PyObject *
window_incomplete(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(window_of(self)->is_incomplete);
}

static PyObject *
window_is_outermost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!window_of(self)->parent);
}

static PyGetSetDef window_members[] = {
    {"allocated", window_allocated, NULL,
     PyDoc_STR("Blocks and bytes that were allocated in the window, freed or not."), NULL},
    {"peak", window_peak, NULL,
     PyDoc_STR("Blocks and bytes that were alive when most bytes were, while the window was open."),
     NULL},
    {"alive", window_alive, NULL,
     PyDoc_STR("Blocks and bytes that were allocated in the window and are not freed."), NULL},
    {"retained", window_retained, NULL,
     PyDoc_STR("Blocks and bytes that the last analysis found retained: of the window itself, or\n"
               "of a window around it."),
     NULL},
    {"is_open", window_is_open, NULL, PyDoc_STR("Whether allocations are credited to the window."),
     NULL},
    {"incomplete", window_incomplete, NULL,
     PyDoc_STR("Whether some allocations or frees were not seen."), NULL},
    {"is_outermost", window_is_outermost, NULL, PyDoc_STR("Whether no window is around it."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyDoc_STRVAR(window_doc,
             "Window()\n--\n\n"
             "A span of execution whose allocations are measured.\n\n"
             "While the window is open, it counts what is allocated in a context where it is the\n"
             "value of the ContextVar that switch_window() sets.");

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

PyDoc_STRVAR(switch_doc,
             "switch_window(window, /)\n--\n\n"
             "Make a window, or None, the innermost of this context. Return the one before.");

static PyObject *
engine_switch_window(PyObject *Py_UNUSED(module), PyObject *handle)
{
    PyObject *before;
    if (handle != Py_None && !Py_IS_TYPE(handle, windows_handle_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a Window or None");
        return NULL;
    }
    if (PyContextVar_Get(windows_variable, NULL, &before) < 0) {
        return NULL;
    }
    if (before == handle) {
        return before; /* setting it would allocate a token, and copy the values of the context */
    }
    if (!before) {
        before = Py_NewRef(Py_None);
    }
    /* Paused: the context keeps nodes that setting the variable allocates (Python/hamt.c), and no
       window is to be credited with them. */
    lookup_pause();
    PyObject *token = PyContextVar_Set(windows_variable, handle);
    lookup_resume();
    if (!token) {
        Py_CLEAR(before);
    }
    Py_XDECREF(token);
    return before;
}

PyDoc_STRVAR(meter_bytes_doc,
             "meter_bytes()\n--\n\nReturn the bytes that the meter itself takes now.");

static PyObject *
engine_meter_bytes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromSize_t(meter_bytes());
}

PyDoc_STRVAR(
    hooks_installed_doc,
    "hooks_installed()\n--\n\nReturn whether the meter has hooks on CPython's allocators.");

static PyObject *
engine_hooks_installed(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(meter_is_in_use());
}

PyDoc_STRVAR(discard_windows_doc, "discard_windows()\n--\n\n"
                                  "Close and discard every window, as a child process must.");

static PyObject *
engine_discard_windows(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    meter_discard_all();
    Py_RETURN_NONE;
}

static PyMethodDef window_functions[] = {
    {"switch_window", engine_switch_window, METH_O, switch_doc},
    {"meter_bytes", engine_meter_bytes, METH_NOARGS, meter_bytes_doc},
    {"hooks_installed", engine_hooks_installed, METH_NOARGS, hooks_installed_doc},
    {"discard_windows", engine_discard_windows, METH_NOARGS, discard_windows_doc},
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
