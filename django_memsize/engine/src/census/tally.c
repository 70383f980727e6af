#include "census/tally.h"

#include "census/names.h"

void
tally_clear(tally *counts)
{
    hashtable_clear(&counts->rows);
}

static bool
is_one_of(PyTypeObject *type, PyTypeObject *const *types, Py_ssize_t count)
{
    for (Py_ssize_t at = 0; at < count; at++) {
        if (types[at] == type) {
            return true;
        }
    }
    return false;
}

static bool
is_subtype_of_any(PyTypeObject *type, PyTypeObject *const *types, Py_ssize_t count)
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
    tally_row *row = hashtable_find(&counts->rows, sizeof(tally_row), (uintptr_t)type);
    if (row) {
        return row;
    }
    anatomy kind;
    if (anatomy_of(type, &kind) < 0) {
        return NULL;
    }
    row = hashtable_add(&counts->rows, sizeof(tally_row), (uintptr_t)type);
    if (!row) {
        PyErr_NoMemory();
        return NULL;
    }
    bool is_excluded = (counts->is_deep_size && anatomy_stops(type))
                       || is_one_of(type, counts->excluded, counts->excluded_count);
    bool is_wanted = is_subtype_of_any(type, counts->wanted, counts->wanted_count);
    *row = (tally_row){
        .type = type,
        .kind = kind,
        .is_excluded = is_excluded,
        .is_wanted = is_wanted,
        .is_exceptional = is_excluded || is_wanted || kind.has_foreign_sizeof || kind.is_method,
    };
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

/* -1 with an exception. */
static int
add_row(const tally_row *row, PyObject *objects, PyObject *bytes)
{
    PyObject *name = names_full(row->type);
    int failed = !name || tally_add_to(objects, name, (Py_ssize_t)row->objects) < 0
                 || tally_add_to(bytes, name, row->bytes) < 0;
    Py_XDECREF(name);
    return failed ? -1 : 0;
}

int
tally_by_name(const tally *counts, PyObject **objects, PyObject **bytes)
{
    *objects = PyDict_New();
    *bytes = PyDict_New();
    if (!*objects || !*bytes) {
        goto failed;
    }
    const tally_row *row = NULL;
    while ((row = hashtable_next(&counts->rows, sizeof(tally_row), row))) {
        if (row->objects && add_row(row, *objects, *bytes) < 0) {
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
    const tally_row *row = NULL;
    while ((row = hashtable_next(&counts->rows, sizeof(tally_row), row))) {
        total += row->bytes;
    }
    return total;
}
