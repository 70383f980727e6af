#include "window.h"

#include "analysis/analysis.h"
#include "analysis/finalizers.h"
#include "analysis/peaks.h"
#include "meter/crediting.h"
#include "meter/lookup.h"
#include "meter/meter.h"
#include "window_figures.h"

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
        peaks_forget(window_of(self));
        meter_release(window_of(self));
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(open_doc,
             "open(parent=None, is_looked_at=False, /)\n--\n\n"
             "Open the window inside its parent, or inside the innermost open window of\n"
             "this context. Without either it is an outermost window.\n\n"
             "With is_looked_at the caller looks at what is alive at the end of the window:\n"
             "follow_peak() of the windows around it looks at no moment in it.\n\n"
             "Raises RuntimeError if the window was opened before.");

static PyObject *
window_open(PyObject *self, PyObject *args)
{
    PyObject *parent = NULL;
    int is_looked_at = 0;
    if (!PyArg_ParseTuple(args, "|O!p:open", windows_handle_type, &parent, &is_looked_at)) {
        return NULL;
    }
    window *outer = parent ? window_of(parent) : lookup_window(PyThreadState_Get());
    if (meter_open(window_of(self), outer) < 0) {
        return NULL;
    }
    window_of(self)->is_looked_at = is_looked_at;
    Py_RETURN_NONE;
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
        meter_discard(window_of(self), true);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    alive_by_type_doc,
    "alive_by_type()\n--\n\n"
    "Return what was allocated in the window and is not freed, as two pairs of dicts\n"
    "(type name -> objects, type name -> bytes): what is in use, and what CPython keeps on\n"
    "free lists.\n\n"
    "The bytes of a buffer count with the object that owns it.\n\n"
    "Where it is not analysed, the reason as text: 'memory' if that would take more memory\n"
    "than the meter itself may take, 'changes' if the program freed some of it each time that\n"
    "other threads ran meanwhile, or one of them discarded the window.");

static PyObject *
window_alive_by_type(PyObject *self, PyObject *Py_UNUSED(none))
{
    return analysis_alive(window_of(self));
}

PyDoc_STRVAR(analyse_doc,
             "analyse(external=None, most_blocks=0, shares_free_lists=False, survivors=None,\n"
             "        least_bytes=0, most_survivors=0, /)\n--\n\n"
             "Return what was allocated in the window and is not freed, as three pairs of dicts\n"
             "(type name -> objects, type name -> bytes): what is retained, what is garbage, and\n"
             "what CPython keeps on free lists. Then discard an outermost window.\n\n"
             "external is a list of objects that were not allocated in the window, refer to its\n"
             "objects, and may be garbage themselves. The list does not count as a reference.\n"
             "external_is_held then tells whether one of them was found retained.\n\n"
             "With shares_free_lists a tuple that is held from outside, and has nothing of the\n"
             "window, is taken for one that another thread took from a free list.\n\n"
             "survivors is a Window that was never opened. If an outermost window retains at\n"
             "least least_bytes, its retained blocks become those of survivors, whose `alive`\n"
             "tells what is not freed since, until it is discarded. Of more than most_survivors\n"
             "blocks (0 is no limit) every nth does. survivors is incomplete if not all could.\n\n"
             "Where it is not analysed, the reason as text: 'size' if more than most_blocks are\n"
             "alive and most_blocks is not 0, or they have more than 16 times as many references,\n"
             "because other threads would wait too long; else as alive_by_type() does.\n\n"
             "The dicts are empty if the window was discarded before, or its hooks were removed.\n"
             "Raises RuntimeError if the window is open, or was never opened; or survivors was.");

/* The window for survivors, or NULL, maybe with an exception. */
static window *
survivors_window(PyObject *handle)
{
    if (!handle || handle == Py_None) {
        return NULL;
    }
    if (!Py_IS_TYPE(handle, windows_handle_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a Window for survivors, or None");
        return NULL;
    }
    window *into = window_of(handle);
    if (into->was_opened) {
        PyErr_SetString(PyExc_RuntimeError, "survivors need a window that was never opened");
        return NULL;
    }
    return into;
}

static PyObject *
window_analyse(PyObject *self, PyObject *args)
{
    window *analysed = window_of(self);
    PyObject *external = NULL, *survivors = NULL;
    Py_ssize_t most_blocks = 0, least_bytes = 0, most_survivors = 0;
    int shares_free_lists = 0;
    if (!PyArg_ParseTuple(args, "|OnpOnn:analyse", &external, &most_blocks, &shares_free_lists,
                          &survivors, &least_bytes, &most_survivors))
    {
        return NULL;
    }
    if (external == Py_None) {
        external = NULL;
    }
    if (external && !PyList_Check(external)) {
        PyErr_SetString(PyExc_TypeError, "expected a list of external objects, or None");
        return NULL;
    }
    if (!analysed->was_opened || analysed->is_open) {
        PyErr_SetString(PyExc_RuntimeError, "only a closed window can be analysed");
        return NULL;
    }
    window *into = survivors_window(survivors);
    if (PyErr_Occurred()) {
        return NULL;
    }
    /* It holds the last names that were looked up as attributes, up to 4,096. Some were made in the
       window, and other names will take their places: nothing else tells this from a leak. Clearing
       it costs the next look-up of each name a search, and runs no code. */
    (void)PyType_ClearCache();
    crediting_flush_totals();
    window_total alive = analysed->alive;
    const reachability_question question = {
        .external = external,
        .most_blocks = (size_t)most_blocks,
        .shares_free_lists = shares_free_lists,
        .survivors = {into, least_bytes, (size_t)most_survivors},
    };
    PyObject *tables = analysis_retained(analysed, &question);
    if (!analysed->parent) {
        meter_discard(analysed, true);
        if (analysed->is_discarded) { /* or another thread is at it, and subtracts from the total */
            analysed->alive = tables && PyTuple_CheckExact(tables) ? analysed->analysed : alive;
        }
    }
    return tables;
}

PyDoc_STRVAR(follow_peak_doc,
             "follow_peak(first_bytes, most_blocks=0, /)\n--\n\n"
             "Have near_peak of an outermost window that is open, from so many bytes on. Moments\n"
             "with more than most_blocks are left out, unless most_blocks is 0.");

static PyObject *
window_follow_peak(PyObject *self, PyObject *args)
{
    Py_ssize_t first_bytes, most_blocks = 0;
    if (!PyArg_ParseTuple(args, "n|n:follow_peak", &first_bytes, &most_blocks)) {
        return NULL;
    }
    peaks_follow(window_of(self), self, first_bytes, most_blocks);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(looked_at_doc,
             "looked_at(bytes, /)\n--\n\n"
             "Tell that the caller has looked at so many bytes alive: follow_peak() looks again\n"
             "where far more are alive.");

static PyObject *
window_looked_at(PyObject *self, PyObject *bytes)
{
    Py_ssize_t number = PyLong_AsSsize_t(bytes);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    peaks_looked_at(window_of(self), number);
    Py_RETURN_NONE;
}

static PyMethodDef window_methods[] = {
    {"open", window_open, METH_VARARGS, open_doc},
    {"close", window_close, METH_NOARGS, close_doc},
    {"alive_by_type", window_alive_by_type, METH_NOARGS, alive_by_type_doc},
    {"analyse", window_analyse, METH_VARARGS, analyse_doc},
    {"follow_peak", window_follow_peak, METH_VARARGS, follow_peak_doc},
    {"looked_at", window_looked_at, METH_O, looked_at_doc},
    {"discard", window_discard, METH_NOARGS, discard_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(window_doc,
             "Window()\n--\n\n"
             "A span of execution whose allocations are measured.\n\n"
             "While the window is open, it counts what is allocated in a context where it is the\n"
             "value of the ContextVar that switch_window() sets.");

static PyType_Slot window_slots[] = {
    {Py_tp_doc, (void *)window_doc}, {Py_tp_new, window_new},
    {Py_tp_dealloc, window_dealloc}, {Py_tp_methods, window_methods},
    {Py_tp_getset, window_figures},  {0, NULL},
};

static PyType_Spec window_spec = {
    .name = "django_memsize.engine.compiled.Window",
    .basicsize = sizeof(window_handle),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = window_slots,
};

int
window_add_to(PyObject *module)
{
    peaks_prepare();
    PyObject *type = PyType_FromModuleAndSpec(module, &window_spec, NULL);
    int failed = finalizers_prepare() < 0 || !type
                 || PyModule_AddType(module, (PyTypeObject *)type) < 0
                 || meter_prepare((PyTypeObject *)type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}
