#include "analysis/tables.h"

#include "census/names.h"
#include "census/tally.h"

int
columns_init(columns *made, const parts *of, Py_ssize_t tables)
{
    *made = (columns){
        .of = of,
        .sums = PyMem_RawCalloc((size_t)tables * of->kinds.count, sizeof(meter_total)),
        .tables = tables,
    };
    if (!made->sums) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
columns_clear(columns *cleared)
{
    PyMem_RawFree(cleared->sums);
    *cleared = (columns){.sums = NULL};
}

static PyObject *
name_of(const kinds *met, size_t number)
{
    if (number == KIND_OF_BUFFERS) {
        return PyUnicode_FromString("(buffers)");
    }
    return number == KIND_OF_FREE_LISTS ? PyUnicode_FromString("(free lists)")
                                        : names_full(met->at[number].type);
}

/* -1 with an exception. */
static int
fill(PyObject *objects, PyObject *bytes, const columns *of, Py_ssize_t table)
{
    const kinds *met = &of->of->kinds;
    const meter_total *sums = of->sums + (size_t)table * met->count;
    int failed = 0;
    for (size_t number = 0; !failed && number < met->count; number++) {
        if (!sums[number].blocks) {
            continue;
        }
        PyObject *name = name_of(met, number);
        failed = !name || tally_add_to(objects, name, sums[number].blocks) < 0
                 || tally_add_to(bytes, name, sums[number].bytes) < 0;
        Py_XDECREF(name);
    }
    return failed ? -1 : 0;
}

static PyObject *
pair_of(const columns *of, Py_ssize_t table)
{
    PyObject *objects = PyDict_New(), *bytes = PyDict_New(), *pair = NULL;
    if (objects && bytes && fill(objects, bytes, of, table) == 0) {
        pair = PyTuple_Pack(2, objects, bytes);
    }
    Py_XDECREF(objects);
    Py_XDECREF(bytes);
    return pair;
}

PyObject *
columns_told(const columns *of)
{
    PyObject *told = PyTuple_New(of->tables);
    for (Py_ssize_t table = 0; told && table < of->tables; table++) {
        PyObject *pair = pair_of(of, table);
        if (!pair) {
            Py_CLEAR(told);
            break;
        }
        PyTuple_SET_ITEM(told, table, pair);
    }
    return told;
}
