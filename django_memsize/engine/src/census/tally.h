/* Objects and bytes by type: a hash table by the address of the type. It holds no reference. */
#ifndef MEMSIZE_TALLY_H
#define MEMSIZE_TALLY_H

#include "census/anatomy.h"
#include "hashtable.h"

typedef struct {
    PyTypeObject *type;
    anatomy kind;
    bool is_excluded;    /* instances are neither counted nor followed */
    bool is_wanted;      /* inner walks begin at instances */
    bool is_exceptional; /* counting an instance takes more than to add it up */
    size_t objects;
    Py_ssize_t bytes;
} tally_row;

typedef struct {
    hashtable rows; /* of tally_row */
    /* Set before the first row is made. */
    PyTypeObject *const *excluded; /* exactly these types, not their subclasses */
    Py_ssize_t excluded_count;
    PyTypeObject *const *wanted; /* these types and their subclasses */
    Py_ssize_t wanted_count;
    bool is_deep_size; /* exclude what belongs to the program, not to its data: anatomy_stops() */
} tally;

/* Free the memory. */
void tally_clear(tally *counts);

/* The row of a type, made if there is none. NULL with an exception. */
tally_row *tally_find(tally *counts, PyTypeObject *type);

/* Add up the rows by name. Sets two new dicts, name -> objects and name -> bytes; types of the same
   name are added up. -1 with an exception. */
int tally_by_name(const tally *counts, PyObject **objects, PyObject **bytes);

/* Add a number to the value of a key, which is 0 if the dict does not have it. -1 with an
   exception. */
int tally_add_to(PyObject *dict, PyObject *key, Py_ssize_t number);

/* The bytes of all rows. */
Py_ssize_t tally_total(const tally *counts);

/* The same as tally_find(), inline where the first place that is looked at has the row. Valid until
   the next call. */
static inline tally_row *
tally_row_of(tally *counts, PyTypeObject *type)
{
    if (counts->rows.entries) {
        size_t place = hashtable_hash((uintptr_t)type, counts->rows.capacity_bits);
        tally_row *row = hashtable_at(&counts->rows, sizeof(tally_row), place);
        if (row->type == type) {
            return row;
        }
    }
    return tally_find(counts, type);
}

#endif
