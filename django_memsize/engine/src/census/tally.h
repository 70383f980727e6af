/* Objects and bytes by type: a hash table by the address of the type, which holds no reference. */
#ifndef MEMSIZE_TALLY_H
#define MEMSIZE_TALLY_H

#include "census/anatomy.h"

typedef struct {
    PyTypeObject *type; /* NULL where the table is empty */
    anatomy kind;
    bool is_left_out; /* neither counted nor followed */
    bool is_wanted;   /* inner walks begin at its instances */
    bool takes_care;  /* there is more to an instance than to add it up */
    size_t objects;
    Py_ssize_t bytes;
} tally_row;

typedef struct {
    tally_row *rows;
    unsigned room_bits;
    size_t used;
    /* Set before the first row is made. */
    PyTypeObject *const *excluded; /* types left out, exactly these */
    Py_ssize_t excluded_count;
    PyTypeObject *const *wanted; /* types whose instances, subclasses' too, begin inner walks */
    Py_ssize_t wanted_count;
    bool stops; /* leave out what belongs to the program and not to the data */
} tally;

/* Give back the memory. */
void tally_clear(tally *counts);

/* The row of a type that the table did not have, or had elsewhere. NULL with an exception. */
tally_row *tally_find(tally *counts, PyTypeObject *type);

/* Add up the rows by name: sets two new dicts, name -> objects and name -> bytes; types of the
   same name are one. -1 with an exception. */
int tally_columns(const tally *counts, PyObject **objects, PyObject **bytes);

/* Add a number to the value of a key, 0 where there is none. -1 with an exception. */
int tally_add_to(PyObject *dict, PyObject *key, Py_ssize_t number);

/* The bytes of all rows. */
Py_ssize_t tally_total(const tally *counts);

static inline size_t
tally_place(const tally *counts, PyTypeObject *type)
{
    return place_by_address(type, counts->room_bits);
}

/* The row of a type, valid until the next call. NULL with an exception. */
static inline tally_row *
tally_row_of(tally *counts, PyTypeObject *type)
{
    if (counts->rows) {
        tally_row *row = counts->rows + tally_place(counts, type);
        if (row->type == type) {
            return row;
        }
    }
    return tally_find(counts, type);
}

#endif
