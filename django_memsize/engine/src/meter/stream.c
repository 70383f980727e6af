#include "meter/stream.h"

#include "meter/lookup.h"

typedef struct {
    PyObject_HEAD
    PyObject *rows;     /* an iterator; NULL after its end */
    PyObject *variable; /* the ContextVar of the span whose statements run */
    PyObject *span;     /* its value while a row is made */
    PyObject *begin;    /* called before the first row; returns the window, or None */
    PyObject *end;      /* called once, with the number of rows and a dict of type -> rows */
    PyObject *swallows; /* called with an exception of the other two; NULL: all are cleared */
    PyObject *window;   /* its handle, or None; NULL before the first row */
    PyObject *types;    /* type -> rows, without the current run; NULL before the first row */
    PyObject *type;     /* of the current run: rows of one type after one another */
    Py_ssize_t run;     /* how many rows it has */
    Py_ssize_t count;   /* of all rows */
    /* While a row is made. Not on the stack: greenlets switch while a row is made, and the stack of
       another one is where this one's was. */
    lookup_override override;
    bool is_overriding;
} stream;

static PyObject *
stream_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *rows, *variable, *span, *begin, *end, *swallows = NULL;
    if (!PyArg_ParseTuple(args, "OO!OOO|O:Stream", &rows, &PyContextVar_Type, &variable, &span,
                          &begin, &end, &swallows))
    {
        return NULL;
    }
    if (!PyIter_Check(rows)) {
        PyErr_SetString(PyExc_TypeError, "expected an iterator");
        return NULL;
    }
    stream *self = (stream *)type->tp_alloc(type, 0);
    if (self) {
        self->rows = Py_NewRef(rows);
        self->variable = Py_NewRef(variable);
        self->span = Py_NewRef(span);
        self->begin = Py_NewRef(begin);
        self->end = Py_NewRef(end);
        self->swallows = swallows == Py_None ? NULL : Py_XNewRef(swallows);
    }
    return (PyObject *)self;
}

static int
stream_traverse(PyObject *self, visitproc visit, void *arg)
{
    stream *one = (stream *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(one->rows);
    Py_VISIT(one->variable);
    Py_VISIT(one->span);
    Py_VISIT(one->begin);
    Py_VISIT(one->end);
    Py_VISIT(one->swallows);
    Py_VISIT(one->window);
    Py_VISIT(one->types);
    Py_VISIT(one->type);
    return 0;
}

static int
stream_clear(PyObject *self)
{
    stream *one = (stream *)self;
    Py_CLEAR(one->rows);
    Py_CLEAR(one->variable);
    Py_CLEAR(one->span);
    Py_CLEAR(one->begin);
    Py_CLEAR(one->end);
    Py_CLEAR(one->swallows);
    Py_CLEAR(one->window);
    Py_CLEAR(one->types);
    Py_CLEAR(one->type);
    return 0;
}

/* Clear an exception of a callback if it is a fault of ours, which must not reach the program that
   iterates. What the handler of a signal raised must reach it, and so must SystemExit and
   KeyboardInterrupt. */
static void
clear_fault(stream *self)
{
    if (!PyErr_Occurred() || !PyErr_ExceptionMatches(PyExc_Exception)) {
        return;
    }
    if (!self->swallows) {
        PyErr_Clear();
        return;
    }
    saved_error saved = error_save();
    PyObject *answer = PyObject_CallOneArg(self->swallows, error_exception(&saved));
    if (answer == Py_False) {
        error_restore(saved);
    }
    else { /* if there is no answer, the call raised, and its exception stays */
        error_drop(saved);
    }
    Py_XDECREF(answer);
}

/* Add the current run to the types, and begin one of the next type. Without memory, the run is not
   counted. No exception may be set. */
static void
end_run(stream *self, PyObject *next)
{
    lookup_pause();
    if (!self->types) {
        self->types = PyDict_New();
    }
    if (self->types && self->type) {
        PyObject *before = PyDict_GetItemWithError(self->types, self->type);
        PyObject *now = PyLong_FromSsize_t(self->run + (before ? PyLong_AsSsize_t(before) : 0));
        if (now) {
            (void)PyDict_SetItem(self->types, self->type, now);
            Py_DECREF(now);
        }
    }
    PyErr_Clear();
    lookup_resume();
    Py_XSETREF(self->type, Py_XNewRef(next));
    self->run = 0;
}

/* Read the window from the span again: the statement for the first row may have changed it. -1 with
   an exception. */
static int
update_window(stream *self)
{
    lookup_pause();
    PyObject *window = PyObject_GetAttrString(self->span, "window");
    lookup_resume();
    if (window) {
        Py_XSETREF(self->window, window);
    }
    clear_fault(self);
    return PyErr_Occurred() ? -1 : 0;
}

/* -1 with an exception. */
static int
count_row(stream *self, PyObject *row)
{
    if (!self->count++ && update_window(self) < 0) {
        return -1;
    }
    if ((PyObject *)Py_TYPE(row) != self->type) {
        end_run(self, (PyObject *)Py_TYPE(row));
    }
    self->run++;
    return 0;
}

/* Call end(), once. An exception that is set stays, if only as the context of one that end() did
   not keep to itself. */
static void
call_end(stream *self)
{
    PyObject *end = self->end;
    if (!end) {
        return;
    }
    self->end = NULL;
    saved_error saved = error_save();
    end_run(self, NULL);
    PyObject *types = self->types ? self->types : Py_None;
    PyObject *result = PyObject_CallFunction(end, "nO", self->count, types);
    clear_fault(self);
    Py_XDECREF(result);
    Py_DECREF(end);
    error_chain(saved);
}

/* Set a variable. Returns a token for reset_variable(). Returns NULL, with no exception, if the
   variable has that value already or cannot be set. */
static PyObject *
set_variable(PyObject *variable, PyObject *value)
{
    PyObject *before = NULL;
    if (PyContextVar_Get(variable, NULL, &before) == 0 && before == value) {
        Py_DECREF(before);
        return NULL;
    }
    Py_XDECREF(before);
    PyObject *token = PyErr_Occurred() ? NULL : PyContextVar_Set(variable, value);
    if (!token) {
        PyErr_Clear();
    }
    return token;
}

/* Undo set_variable(). Does nothing in another context than the one where the variable was set. */
static void
reset_variable(PyObject *variable, PyObject *token)
{
    if (token && PyContextVar_Reset(variable, token) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(token);
}

/* Make the next row, in the context of the span and its window.

   While the first row is made, the statement runs, and may change the window to that of its
   evaluation: so the ContextVar is set, and reset afterwards. For all other rows an override is
   enough. */
static PyObject *
next_row(stream *self)
{
    PyObject *rows = Py_NewRef(self->rows);
    /* For this row: the next may have another window. */
    PyObject *window = self->window && Py_IS_TYPE(self->window, windows_handle_type)
                           ? Py_NewRef(self->window)
                           : NULL;
    bool is_overridden = window && self->count;
    /* Not twice, if another thread, or the rows themselves, ask for a row meanwhile. */
    bool overrides = is_overridden && !self->is_overriding;
    /* Paused, because a look-up while a variable is being set would fill CPython's cache of the
       ContextVar with the new value, and CPython would not clear the cache when the variable is
       reset (Python/context.c). Nor does the program allocate this memory. */
    lookup_pause();
    PyObject *span_token = set_variable(self->variable, self->span);
    PyObject *window_token
        = window && !is_overridden ? set_variable(windows_variable, window) : NULL;
    lookup_resume();
    if (overrides) {
        self->is_overriding = true;
        lookup_push(&self->override, window);
    }
    PyObject *row = Py_TYPE(rows)->tp_iternext(rows);
    saved_error saved = error_save();
    if (overrides) {
        lookup_pop(&self->override);
        self->is_overriding = false;
    }
    lookup_pause();
    reset_variable(windows_variable, window_token);
    reset_variable(self->variable, span_token);
    lookup_resume();
    error_restore(saved);
    Py_XDECREF(window);
    Py_DECREF(rows);
    return row;
}

static PyObject *
stream_next(PyObject *object)
{
    stream *self = (stream *)object;
    if (!self->rows) {
        return NULL;
    }
    if (self->begin) {
        PyObject *begin = self->begin;
        self->begin = NULL;
        PyObject *window = PyObject_CallNoArgs(begin);
        Py_XSETREF(self->window, window); /* begin() may have asked for a row */
        Py_DECREF(begin);
        clear_fault(self);
        if (PyErr_Occurred() || !self->rows) { /* begin() may have closed the stream, or ended it */
            return NULL;
        }
    }
    PyObject *row = next_row(self);
    if (row) {
        if (count_row(self, row) < 0) {
            Py_CLEAR(row);
        }
        return row;
    }
    Py_CLEAR(self->rows);
    call_end(self);
    return NULL;
}

/* Close the rows, if they have a close(). A stream that has not begun does not end either: like a
   generator, it calls nothing. -1 with an exception. */
static int
close_rows(stream *self)
{
    PyObject *rows = self->rows;
    if (self->begin) {
        Py_CLEAR(self->begin);
        Py_CLEAR(self->end);
        Py_CLEAR(self->rows);
        return 0;
    }
    if (!rows) {
        return 0;
    }
    self->rows = NULL;
    PyObject *close = PyObject_GetAttrString(rows, "close");
    PyObject *closed = close ? PyObject_CallNoArgs(close) : NULL;
    if (!close && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    int failed = PyErr_Occurred() ? -1 : 0;
    Py_XDECREF(closed);
    Py_XDECREF(close);
    Py_DECREF(rows);
    return failed;
}

PyDoc_STRVAR(close_doc, "close()\n--\n\nEnd the stream, and close the rows.");

static PyObject *
stream_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    (void)close_rows((stream *)self);
    call_end((stream *)self);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static void
stream_finalize(PyObject *self)
{
    saved_error saved = error_save();
    (void)close_rows((stream *)self);
    call_end((stream *)self);
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(self);
    }
    error_restore(saved);
}

static void
stream_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* the finaliser made a new reference */
    }
    PyObject_GC_UnTrack(self);
    (void)stream_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef stream_methods[] = {
    {"close", stream_close, METH_NOARGS, close_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(
    stream_doc,
    "Stream(rows, variable, span, begin, end, swallows=None, /)\n--\n\n"
    "Iterate over rows, and measure what makes them.\n\n"
    "While a row is made, the ContextVar has the span as its value, and the window that\n"
    "begin() returned is the innermost one. begin() is called before the first row, and\n"
    "end(count, types) after the last one or on close(): count is the number of rows, and\n"
    "types a dict of type -> rows, or None. An Exception that one of them raises is dropped,\n"
    "unless swallows(exception) returns False.");

static PyType_Slot stream_slots[] = {
    {Py_tp_doc, (void *)stream_doc},   {Py_tp_new, stream_new},
    {Py_tp_traverse, stream_traverse}, {Py_tp_clear, stream_clear},
    {Py_tp_finalize, stream_finalize}, {Py_tp_dealloc, stream_dealloc},
    {Py_tp_iter, PyObject_SelfIter},   {Py_tp_iternext, stream_next},
    {Py_tp_methods, stream_methods},   {0, NULL},
};

static PyType_Spec stream_spec = {
    .name = "django_memsize.engine.compiled.Stream",
    .basicsize = sizeof(stream),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = stream_slots,
};

int
stream_add_to(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &stream_spec, NULL);
    int added = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return added;
}
