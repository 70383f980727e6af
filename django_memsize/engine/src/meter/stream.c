#include "meter/stream.h"

#include "meter/crediting.h"

typedef struct {
    PyObject_HEAD
    PyObject *rows;     /* NULL once it has ended */
    PyObject *variable; /* the ContextVar that says whose statements run */
    PyObject *span;     /* its value while a row is made */
    PyObject *begin;    /* called before the first row: returns the window, or None */
    PyObject *end;      /* called once, with the number of rows and how many are of which type */
    PyObject *window;   /* NULL before the first row */
    PyObject *types;    /* how many are of which type, but for the run; NULL before the first row */
    PyObject *type;     /* of the last row */
    Py_ssize_t run;     /* how many rows in a row are of that type */
    Py_ssize_t count;
} stream;

static PyObject *
stream_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(kwargs))
{
    PyObject *rows, *variable, *span, *begin, *end;
    if (!PyArg_ParseTuple(args, "OO!OOO:Stream", &rows, &PyContextVar_Type, &variable, &span,
                          &begin, &end))
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
    Py_CLEAR(one->window);
    Py_CLEAR(one->types);
    Py_CLEAR(one->type);
    return 0;
}

/* A fault of who listens is no business of who iterates; an exit or an interrupt is. */
static void
swallow_fault(void)
{
    if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_Exception)) {
        PyErr_Clear();
    }
}

/* Add the run to the types, and begin a new one. What fails is not counted. */
static void
put_down_run(stream *self, PyObject *next)
{
    raised pending = raised_put_by();
    crediting_pause();
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
    crediting_resume();
    raised_restore(pending);
    Py_XSETREF(self->type, Py_XNewRef(next));
    self->run = 0;
}

/* Which window it is may be known only once the statement for the first row has run. */
static void
ask_for_the_window_again(stream *self)
{
    crediting_pause();
    PyObject *window = PyObject_GetAttrString(self->span, "window");
    PyErr_Clear();
    crediting_resume();
    if (window) {
        Py_XSETREF(self->window, window);
    }
}

static void
count_row(stream *self, PyObject *row)
{
    if (!self->count++) {
        ask_for_the_window_again(self);
    }
    if ((PyObject *)Py_TYPE(row) != self->type) {
        put_down_run(self, (PyObject *)Py_TYPE(row));
    }
    self->run++;
}

/* Have the end heard of, once. Whatever is pending stays so. */
static void
say_the_end(stream *self)
{
    PyObject *end = self->end;
    if (!end) {
        return;
    }
    self->end = NULL;
    raised pending = raised_put_by();
    put_down_run(self, NULL);
    PyObject *types = self->types ? self->types : Py_None;
    PyObject *heard = PyObject_CallFunction(end, "nO", self->count, types);
    swallow_fault();
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(end);
    }
    Py_XDECREF(heard);
    Py_DECREF(end);
    raised_restore(pending);
}

/* Set a variable, unless that is its value already; the token that undoes it, or NULL without an
   exception: then it stays as it is. */
static PyObject *
set(PyObject *variable, PyObject *value)
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

/* In another context than where it was set there is nothing to undo. */
static void
undo(PyObject *variable, PyObject *token)
{
    if (token && PyContextVar_Reset(variable, token) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(token);
}

/* While the first row is made the statement runs, and the window that is set may be changed for
   that of its line: it is set, and set back afterwards. For all others it only stands in. */
static PyObject *
next_row(stream *self)
{
    PyObject *rows = Py_NewRef(self->rows);
    PyObject *window
        = self->window && Py_IS_TYPE(self->window, meter_handle_type)
              ? Py_NewRef(self->window) /* of this row: for the next it may be another */
              : NULL;
    bool stands_in = window && self->count;
    crediting_stand_in put;
    /* The hooks must not look for the window while it changes: where it was not set before, CPython
       would remember what they find, and not forget it with what is taken away. Nor is it the
       program that allocates meanwhile. */
    crediting_pause();
    PyObject *of_span = set(self->variable, self->span);
    PyObject *of_window = window && !stands_in ? set(meter_variable, window) : NULL;
    crediting_resume();
    if (stands_in) {
        crediting_put(&put, window);
    }
    PyObject *row = Py_TYPE(rows)->tp_iternext(rows);
    raised pending = raised_put_by();
    if (stands_in) {
        crediting_take_away(&put);
    }
    crediting_pause();
    undo(meter_variable, of_window);
    undo(self->variable, of_span);
    crediting_resume();
    raised_restore(pending);
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
        self->window = PyObject_CallNoArgs(begin);
        Py_DECREF(begin);
        swallow_fault();
        if (PyErr_Occurred() || !self->rows) { /* closed, or at its end by now */
            return NULL;
        }
    }
    PyObject *row = next_row(self);
    if (row) {
        count_row(self, row);
        return row;
    }
    Py_CLEAR(self->rows);
    say_the_end(self);
    return NULL;
}

/* Close the rows, which may be another's plain iterator without a close(). What has not begun does
   not end either, as with a generator. -1 with an exception. */
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

PyDoc_STRVAR(close_doc, "close()\n--\n\nEnd it, and the rows with it.");

static PyObject *
stream_close(PyObject *self, PyObject *Py_UNUSED(none))
{
    int failed = close_rows((stream *)self);
    say_the_end((stream *)self);
    return failed ? NULL : Py_NewRef(Py_None);
}

static void
stream_finalize(PyObject *self)
{
    raised pending = raised_put_by();
    if (close_rows((stream *)self) < 0) {
        PyErr_WriteUnraisable(self);
    }
    say_the_end((stream *)self);
    raised_restore(pending);
}

static void
stream_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return; /* somebody has it again */
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
    "Stream(rows, variable, span, begin, end, /)\n--\n\n"
    "Iterates over rows. While one is made the ContextVar is the span, and the window\n"
    "that ``begin()`` returns is the innermost; ``end(count, types)`` is called after the\n"
    "last one, or when no more are wanted, with how many there were of each type.");

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
