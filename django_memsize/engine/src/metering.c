#include "metering.h"

#include "meter/lookup.h"
#include "meter/meter.h"
#include "turns.h"

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

PyDoc_STRVAR(limit_meter_doc,
             "limit_meter(bytes, /)\n--\n\n"
             "Let the blocks that all windows remember take at most so many bytes together; 0\n"
             "is no limit. Blocks beyond it are counted, and not remembered: see\n"
             "`Window.not_remembered`.");

static PyObject *
engine_limit_meter(PyObject *Py_UNUSED(module), PyObject *limit)
{
    size_t bytes = PyLong_AsSize_t(limit);
    if (bytes == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    meter_limit_bytes(bytes);
    Py_RETURN_NONE;
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

PyDoc_STRVAR(set_turn_doc, "set_turn(blocks, /)\n--\n\n"
                           "Have the engine give the GIL back after so many blocks; 0 is the\n"
                           "default. Return how often it was given back, and the most blocks that\n"
                           "were handled in between, since the last call.");

static PyObject *
engine_set_turn(PyObject *Py_UNUSED(module), PyObject *most)
{
    size_t blocks = PyLong_AsSize_t(most), given_back, most_work;
    if (blocks == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    turns_set_most_blocks(blocks);
    turns_take_figures(&given_back, &most_work);
    return Py_BuildValue("nn", (Py_ssize_t)given_back, (Py_ssize_t)most_work);
}

static PyMethodDef metering_functions[] = {
    {"switch_window", engine_switch_window, METH_O, switch_doc},
    {"meter_bytes", engine_meter_bytes, METH_NOARGS, meter_bytes_doc},
    {"set_turn", engine_set_turn, METH_O, set_turn_doc},
    {"limit_meter", engine_limit_meter, METH_O, limit_meter_doc},
    {"hooks_installed", engine_hooks_installed, METH_NOARGS, hooks_installed_doc},
    {"discard_windows", engine_discard_windows, METH_NOARGS, discard_windows_doc},
    {NULL, NULL, 0, NULL},
};

int
metering_add_to(PyObject *module)
{
    return PyModule_AddFunctions(module, metering_functions);
}
