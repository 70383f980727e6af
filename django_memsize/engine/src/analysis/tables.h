/* Objects and bytes by name, in several tables at once: what of a window goes into which. */
#ifndef MEMSIZE_COLUMNS_H
#define MEMSIZE_COLUMNS_H

#include "analysis/allocations.h"

typedef struct {
    const parts *of;
    meter_total *sums; /* by table, then by kind */
    Py_ssize_t tables;
} columns;

/* Make ready for so many tables. -1 with an exception; columns_clear is due either way. */
int columns_init(columns *made, const parts *of, Py_ssize_t tables);

void columns_clear(columns *cleared);

/* Add a part to a table. A buffer counts with its owner, or by itself. */
MEMSIZE_INLINE void
columns_add(columns *to, Py_ssize_t table, const part *one, const part *owner)
{
    meter_total *sum = to->sums + (size_t)table * to->of->kinds.count + owner->kind;
    sum->blocks += one == owner;
    sum->bytes += (Py_ssize_t)one->bytes;
}

/* The tables as a tuple, each a pair of new dicts: name -> objects, name -> bytes; what nobody owns
   as "(buffers)". NULL with an exception. */
PyObject *columns_told(const columns *of);

#endif
