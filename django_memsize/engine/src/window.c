#include "window.h"

#include "analysis/tables.h"
#include "meter/crediting.h"
#include "analysis/owners.h"
#include "analysis/reachability.h"

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
    window *around = parent ? behind(parent) : crediting_look_up(PyThreadState_Get());
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

PyDoc_STRVAR(discard_doc, "discard()\n--\n\n"
                          "Forget what was allocated in an outermost window that is closed.");

static PyObject *
window_discard(PyObject *self, PyObject *Py_UNUSED(none))
{
    if (!behind(self)->parent) {
        meter_forget(behind(self));
    }
    Py_RETURN_NONE;
}

/* How many tables are made, and which a part goes into: first what is in use, or, once it is told,
   retained; then what is told to be dead; what is parked last. */
enum { TABLES_HELD = 2, TABLES_TOLD = 3 };

static Py_ssize_t
table_of(const part *owner, Py_ssize_t tables)
{
    if (owner->state == PART_PARKED) {
        return tables - 1;
    }
    return tables == TABLES_TOLD && owner->state == PART_OBJECT && !owner->is_retained;
}

/* Add what was retained in each window to all around it. */
static void
add_up_retained(window *asked)
{
    /* What is around a window comes before it: each still has nothing but its own. */
    for (window *each = meter_next_in(asked, asked); each; each = meter_next_in(asked, each)) {
        for (window *around = each->parent; around != asked->parent; around = around->parent) {
            around->retained.blocks += each->retained.blocks;
            around->retained.bytes += each->retained.bytes;
        }
    }
}

static void
add_to(meter_total *total, const part *one)
{
    total->blocks++;
    total->bytes += (Py_ssize_t)one->bytes;
}

/* Put each part into its table; with TABLES_TOLD sum up what is retained, and what is alive: that
   is what was listed, as making the tables may free what was parked. */
static void
sort(columns *sums, const parts *found, window *asked, Py_ssize_t tables)
{
    bool tells = tables == TABLES_TOLD;
    meter_total listed = {0, 0};
    for (window *each = tells ? asked : NULL; each; each = meter_next_in(asked, each)) {
        each->retained = (meter_total){0, 0};
    }
    for (size_t at = 0; at < found->count; at++) {
        const part *one = found->at + at;
        if (at + PARTS_AHEAD < found->count && found->at[at + PARTS_AHEAD].state == PART_OWNED) {
            MEMSIZE_PREFETCH(found->at + found->at[at + PARTS_AHEAD].owner);
        }
        const part *owner = part_owner(found, one);
        Py_ssize_t table = table_of(owner, tables);
        columns_add(sums, table, one, owner);
        add_to(&listed, one);
        if (tells && table == 0) {
            add_to(&meter_window(one->window)->retained, one);
        }
    }
    if (tells) {
        asked->told = listed;
        add_up_retained(asked);
    }
}

static PyObject *
tables_of(const parts *found, window *asked, Py_ssize_t tables)
{
    columns sums;
    PyObject *made = NULL;
    if (columns_init(&sums, found, tables) == 0) {
        sort(&sums, found, asked, tables);
        made = columns_told(&sums);
    }
    columns_clear(&sums);
    return made;
}

/* Find the parts of a window, and for TABLES_TOLD which of them are retained, and make tables. */
static PyObject *
told(window *asked, Py_ssize_t tables, PyObject *around)
{
    PyObject *made = NULL;
    parts found = {.at = NULL};
    int was_enabled = PyGC_Disable();
    crediting_pause();
    (void)meter_is_sound();
    if (parts_find(&found, asked) == 0 && owners_find(&found) == 0 && parts_park(&found) == 0
        && (tables < TABLES_TOLD || reachability_tell(&found, around) == 0))
    {
        made = tables_of(&found, asked, tables);
    }
    parts_clear(&found);
    crediting_resume();
    if (was_enabled) {
        PyGC_Enable();
    }
    return made;
}

PyDoc_STRVAR(alive_by_type_doc,
             "alive_by_type()\n--\n\n"
             "Return what was allocated in the window and is not freed, in two pairs of\n"
             "name -> objects, name -> bytes: what is in use, and what CPython keeps for later.\n\n"
             "Buffers count with the objects that own them.");

static PyObject *
window_alive_by_type(PyObject *self, PyObject *Py_UNUSED(none))
{
    return told(behind(self), TABLES_HELD, NULL);
}

PyDoc_STRVAR(analyse_doc,
             "analyse(external=[], /)\n--\n\n"
             "Tell what of a window is retained, dead, and parked, in three pairs of\n"
             "name -> objects, name -> bytes. What was allocated in an outermost one is then\n"
             "forgotten.\n\n"
             "``around`` is a list of objects from outside that may be dead and refer to its own.\n"
             "The list alone does not make them live.\n\n"
             "Nothing is told of a window that was forgotten, or whose hooks were taken off.\n"
             "Raises RuntimeError unless it is closed.");

static PyObject *
window_analyse(PyObject *self, PyObject *args)
{
    window *asked = behind(self);
    PyObject *around = NULL;
    if (!PyArg_ParseTuple(args, "|O!:analyse", &PyList_Type, &around)) {
        return NULL;
    }
    if (!asked->was_opened || asked->is_open) {
        PyErr_SetString(PyExc_RuntimeError, "only a closed window can be analysed");
        return NULL;
    }
    PyObject *tables = told(asked, TABLES_TOLD, around);
    if (!asked->parent) {
        meter_forget(asked);
        asked->alive = asked->told;
    }
    return tables;
}

static PyMethodDef window_methods[] = {
    {"open", window_open, METH_VARARGS, open_doc},
    {"close", window_close, METH_NOARGS, close_doc},
    {"discard", window_discard, METH_NOARGS, discard_doc},
    {"alive_by_type", window_alive_by_type, METH_NOARGS, alive_by_type_doc},
    {"analyse", window_analyse, METH_VARARGS, analyse_doc},
    {NULL, NULL, 0, NULL},
};

/* A total of a window, as of now. */
static PyObject *
total_of(const meter_total *total)
{
    crediting_sum_up();
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
window_is_outermost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!behind(self)->parent);
}

static PyGetSetDef window_members[] = {
    {"allocated", window_allocated, NULL, PyDoc_STR("Blocks and bytes allocated in it, ever."),
     NULL},
    {"peak", window_peak, NULL, PyDoc_STR("Blocks and bytes when most bytes were alive."), NULL},
    {"alive", window_alive, NULL, PyDoc_STR("Blocks and bytes allocated in it, not freed."), NULL},
    {"retained", window_retained, NULL,
     PyDoc_STR("Of these, what was retained when the outermost window was analysed."), NULL},
    {"is_open", window_is_open, NULL, PyDoc_STR("Whether allocations are credited to it."), NULL},
    {"incomplete", window_incomplete, NULL, PyDoc_STR("Whether something was not seen."), NULL},
    {"is_outermost", window_is_outermost, NULL, PyDoc_STR("Whether no window is around it."), NULL},
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
    if (PyContextVar_Get(meter_variable, NULL, &before) < 0) {
        return NULL;
    }
    if (before == window) {
        return before; /* nothing to make a token and a context of new values for */
    }
    if (!before) {
        before = Py_NewRef(Py_None);
    }
    PyObject *token = PyContextVar_Set(meter_variable, window);
    crediting_look_anew();
    if (!token) {
        Py_CLEAR(before);
    }
    Py_XDECREF(token);
    return before;
}

PyDoc_STRVAR(own_bytes_doc,
             "meter_bytes()\n--\n\nReturn the bytes that the meter itself takes now.");

static PyObject *
window_own_bytes(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromSize_t(meter_own_bytes());
}

PyDoc_STRVAR(is_armed_doc, "hooks_installed()\n--\n\nTell whether allocations are being watched.");

static PyObject *
window_is_armed(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyBool_FromLong(meter_is_armed());
}

PyDoc_STRVAR(forget_all_doc, "discard_windows()\n--\n\n"
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
    {"hooks_installed", window_is_armed, METH_NOARGS, is_armed_doc},
    {"discard_windows", window_forget_all, METH_NOARGS, forget_all_doc},
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
