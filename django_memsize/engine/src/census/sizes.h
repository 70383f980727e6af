/* The size of an object alone. */
#ifndef MEMSIZE_SIZES_H
#define MEMSIZE_SIZES_H

#include "census/anatomy.h"

/* Find out which ints CPython caches. Call once, at import. -1 with an exception. */
int sizes_prepare(void);

/* The same as sizes_bytes(), for any object. */
Py_ssize_t sizes_bytes_of_any(const anatomy *kind, PyObject *measured);

/* The bytes of an object, headers and its own buffers included. -1 with an exception
   (MemoryError). */
MEMSIZE_INLINE Py_ssize_t
sizes_bytes(const anatomy *kind, PyObject *measured)
{
    if (kind->is_fixed) {
        return kind->fixed;
    }
    if (kind->size == SIZE_OF_TEXT && PyUnicode_IS_COMPACT_ASCII(measured)) {
        return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(measured) + 1;
    }
    return sizes_bytes_of_any(kind, measured);
}

#endif
