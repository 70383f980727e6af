/* Tables of objects and bytes by type name, several at once. */
#ifndef MEMSIZE_TABLES_H
#define MEMSIZE_TABLES_H

#include "analysis/allocations.h"

typedef struct {
    const allocations *all;
    window_total *totals; /* by table, then by type number */
    Py_ssize_t count;     /* of tables */
} tables;

/* Make so many empty tables. -1 with an exception; tables_clear() is due either way. */
int tables_init(tables *made, const allocations *all, Py_ssize_t count);

void tables_clear(tables *cleared);

/* Add an allocation to a table. The bytes of a buffer count with its owner; a buffer without one
   counts by itself. */
MEMSIZE_INLINE void
tables_add(tables *to, Py_ssize_t table, const allocation *added, const allocation *owner)
{
    window_total *total = to->totals + (size_t)table * to->all->types.count + owner->type;
    total->blocks += added == owner;
    total->bytes += (Py_ssize_t)added->bytes;
}

/* The tables as a tuple of pairs of dicts: name -> objects, name -> bytes. Buffers without an owner
   are "(buffers)", and what is on free lists without its type "(free lists)". NULL with an
   exception. */
PyObject *tables_as_tuple(const tables *all_tables);

#endif
