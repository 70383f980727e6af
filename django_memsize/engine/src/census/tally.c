#include "census/tally.h"

#include "census/names.h"

#define FIRST_ROOM_BITS 6

void
tally_clear(tally *counts)
{
    PyMem_RawFree(counts->rows);
    counts->rows = NULL;
    counts->used = 0;
}

static tally_row *
place_of(tally *counts, PyTypeObject *type)
{
    size_t mask = ((size_t)1 << counts->room_bits) - 1;
    size_t at = tally_place(counts, type);
    while (counts->rows[at].type && counts->rows[at].type != type) {
        at = (at + 1) & mask;
    }
    return counts->rows + at;
}

static int
make_room(tally *counts)
{
    tally old = *counts;
    unsigned room_bits = old.rows ? old.room_bits + 2 : FIRST_ROOM_BITS;
    tally_row *rows = PyMem_RawCalloc((size_t)1 << room_bits, sizeof(tally_row));
    if (!rows) {
        PyErr_NoMemory();
        return -1;
    }
    counts->rows = rows;
    counts->room_bits = room_bits;
    if (old.rows) {
        for (size_t at = 0; at < (size_t)1 << old.room_bits; at++) {
            if (old.rows[at].type) {
                *place_of(counts, old.rows[at].type) = old.rows[at];
            }
        }
        PyMem_RawFree(old.rows);
    }
    return 0;
}

static bool
is_among(PyTypeObject *type, PyTypeObject *const *types, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        if (types[at] == type) {
            return true;
        }
    }
    return false;
}

static bool
inherits_from_one(PyTypeObject *type, PyTypeObject *const *types, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        if (PyType_IsSubtype(type, types[at])) {
            return true;
        }
    }
    return false;
}

tally_row *
tally_find(tally *counts, PyTypeObject *type)
{
    if (!counts->rows && make_room(counts) < 0) {
        return NULL;
    }
    tally_row *row = place_of(counts, type);
    if (row->type) {
        return row;
    }
    anatomy kind;
    if (anatomy_of(type, &kind) < 0) {
        return NULL;
    }
    if (2 * (counts->used + 1) > (size_t)1 << counts->room_bits) {
        if (make_room(counts) < 0) {
            return NULL;
        }
        row = place_of(counts, type);
    }
    counts->used++;
    *row = (tally_row){
        .type = type,
        .kind = kind,
        .is_left_out = (counts->stops && anatomy_stops(type))
                       || is_among(type, counts->excluded, counts->excluded_count),
        .is_wanted = inherits_from_one(type, counts->wanted, counts->wanted_count),
    };
    row->takes_care = row->is_left_out || row->is_wanted || kind.is_asked_apart || kind.is_method;
    return row;
}

int
tally_add_to(PyObject *dict, PyObject *key, Py_ssize_t number)
{
    PyObject *before = PyDict_GetItemWithError(dict, key);
    if (!before && PyErr_Occurred()) {
        return -1;
    }
    PyObject *sum = PyLong_FromSsize_t(number + (before ? PyLong_AsSsize_t(before) : 0));
    int failed = sum ? PyDict_SetItem(dict, key, sum) : -1;
    Py_XDECREF(sum);
    return failed;
}

int
tally_columns(const tally *counts, PyObject **objects, PyObject **bytes)
{
    *bytes = NULL;
    *objects = PyDict_New();
    if (!*objects || !(*bytes = PyDict_New())) {
        goto failed;
    }
    for (size_t at = 0; counts->rows && at < (size_t)1 << counts->room_bits; at++) {
        const tally_row *row = counts->rows + at;
        if (!row->type || !row->objects) {
            continue;
        }
        PyObject *name = names_full(row->type);
        int added = !name ? -1
                    : tally_add_to(*objects, name, (Py_ssize_t)row->objects) < 0
                        ? -1
                        : tally_add_to(*bytes, name, row->bytes);
        Py_XDECREF(name);
        if (added < 0) {
            goto failed;
        }
    }
    return 0;
failed:
    Py_CLEAR(*objects);
    Py_CLEAR(*bytes);
    return -1;
}

Py_ssize_t
tally_total(const tally *counts)
{
    Py_ssize_t total = 0;
    for (size_t at = 0; counts->rows && at < (size_t)1 << counts->room_bits; at++) {
        total += counts->rows[at].bytes;
    }
    return total;
}
