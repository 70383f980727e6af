#include "analysis/tables.h"

#include "census/names.h"
#include "census/tally.h"

int
tables_init(tables *made, const allocations *all, Py_ssize_t count)
{
    *made = (tables){
        .all = all,
        .totals = PyMem_RawCalloc((size_t)count * all->types.count, sizeof(window_total)),
        .count = count,
    };
    if (!made->totals) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
tables_clear(tables *cleared)
{
    PyMem_RawFree(cleared->totals);
    *cleared = (tables){.totals = NULL};
}

static PyObject *
row_name(const type_table *types, size_t number)
{
    if (number == TYPE_OF_BUFFERS) {
        return PyUnicode_FromString("(buffers)");
    }
    return number == TYPE_OF_FREE_LISTS ? PyUnicode_FromString("(free lists)")
                                        : names_full(types->infos[number].type);
}

/* Fill the dicts of a table. -1 with an exception. */
static int
fill_dicts(PyObject *objects, PyObject *bytes, const tables *from, Py_ssize_t table)
{
    const type_table *types = &from->all->types;
    const window_total *totals = from->totals + (size_t)table * types->count;
    int failed = 0;
    for (size_t number = 0; !failed && number < types->count; number++) {
        if (!totals[number].blocks) {
            continue;
        }
        PyObject *name = row_name(types, number);
        failed = !name || tally_add_to(objects, name, totals[number].blocks) < 0
                 || tally_add_to(bytes, name, totals[number].bytes) < 0;
        Py_XDECREF(name);
    }
    return failed ? -1 : 0;
}

static PyObject *
table_as_pair(const tables *from, Py_ssize_t table)
{
    PyObject *objects = PyDict_New(), *bytes = PyDict_New(), *pair = NULL;
    if (objects && bytes && fill_dicts(objects, bytes, from, table) == 0) {
        pair = PyTuple_Pack(2, objects, bytes);
    }
    Py_XDECREF(objects);
    Py_XDECREF(bytes);
    return pair;
}

PyObject *
tables_as_tuple(const tables *all_tables)
{
    PyObject *tuple = PyTuple_New(all_tables->count);
    for (Py_ssize_t table = 0; tuple && table < all_tables->count; table++) {
        PyObject *pair = table_as_pair(all_tables, table);
        if (!pair) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SET_ITEM(tuple, table, pair);
    }
    return tuple;
}
