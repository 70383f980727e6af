#include "window_figures.h"

#include "meter/crediting.h"
#include "meter/meter.h"

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
    if (window_of(self)->has_survivors) {
        (void)meter_check(); /* no window may have been opened or closed for long */
    }
    return total_as_tuple(&window_of(self)->alive);
}

static PyObject *
window_retained(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->retained);
}

static PyObject *
window_resized(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->resized);
}

static PyObject *
window_not_remembered(PyObject *self, void *Py_UNUSED(closure))
{
    return total_as_tuple(&window_of(self)->not_remembered);
}

static PyObject *
window_freed_older(PyObject *self, void *Py_UNUSED(closure))
{
    crediting_flush_totals();
    return PyLong_FromSsize_t(window_of(self)->freed_older);
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
window_external_is_held(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(window_of(self)->external_is_held);
}

static PyObject *
window_is_outermost(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(!window_of(self)->parent);
}

static PyObject *
window_near_peak(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *tables = window_of(self)->followed.tables;
    return Py_NewRef(tables ? tables : Py_None);
}

static PyObject *
window_bytes_near_peak(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromSsize_t(window_of(self)->followed.bytes);
}

static PyObject *
window_seconds_near_peak(PyObject *self, void *Py_UNUSED(closure))
{
    const followed_peak *followed = &window_of(self)->followed;
    return Py_BuildValue("dd", followed->seconds, followed->seconds_of_thread);
}

PyGetSetDef window_figures[] = {
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
    {"resized", window_resized, NULL,
     PyDoc_STR("Blocks and bytes of survivors that realloc() made no smaller, such as the items\n"
               "of a list that grows: freed, and there in another block."),
     NULL},
    {"not_remembered", window_not_remembered, NULL,
     PyDoc_STR("Blocks and bytes that had no room in the memory of the meter. They are in\n"
               "`allocated`; in `peak` and `alive` until they were dropped, so that these are\n"
               "lower bounds: the true figures are higher by at most these bytes."),
     NULL},
    {"freed_older", window_freed_older, NULL,
     PyDoc_STR("Blocks that were freed in the window and allocated in no window, or had survived\n"
               "one. Python's collector may have freed some of them. Those that were freed before\n"
               "anything was allocated, after another context, are not counted."),
     NULL},
    {"is_open", window_is_open, NULL, PyDoc_STR("Whether allocations are credited to the window."),
     NULL},
    {"incomplete", window_incomplete, NULL,
     PyDoc_STR("Whether some allocations or frees were not seen."), NULL},
    {"external_is_held", window_external_is_held, NULL,
     PyDoc_STR("Whether an object on the list of the last analysis was found retained: something\n"
               "else outside leads to it, which may be garbage."),
     NULL},
    {"near_peak", window_near_peak, NULL,
     PyDoc_STR("What was alive when most was, among the moments that follow_peak() looked at: as\n"
               "alive_by_type() returns it, or None."),
     NULL},
    {"bytes_near_peak", window_bytes_near_peak, NULL,
     PyDoc_STR("Bytes that were alive at that moment."), NULL},
    {"seconds_near_peak", window_seconds_near_peak, NULL,
     PyDoc_STR("CPU seconds that looking took, and how many of them in the thread that follows."),
     NULL},
    {"is_outermost", window_is_outermost, NULL, PyDoc_STR("Whether no window is around it."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};
