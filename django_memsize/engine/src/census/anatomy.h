/* What can be said of a type, and of the size of its instances, without running a line of its
   code: from C slots, and from the namespaces of the method resolution order. */
#ifndef MEMSIZE_ANATOMY_H
#define MEMSIZE_ANATOMY_H

#include "platform.h"

/* How the bytes of an instance are told: what comes on top of a fixed part, then all of it. */
typedef enum {
    SIZE_FIXED,
    SIZE_OF_ITEMS,
    SIZE_OF_LIST,
    SIZE_OF_DATETIME, /* without a zone, it has no room for one */
    SIZE_OF_TIME,     /* as well */
    SIZE_OF_TEXT,
    SIZE_OF_INT,
    SIZE_ASKED, /* its type's own function in C is asked */
} size_rule;

/* How what an instance refers to is found. */
typedef enum {
    SHAPE_LEAF, /* it can refer to nothing */
    SHAPE_LIST,
    SHAPE_TUPLE,
    SHAPE_SET,
    SHAPE_DICT,
    SHAPE_DICT_SUBCLASS,
    SHAPE_CODE,
    SHAPE_MODULE,
    SHAPE_TRAVERSED, /* by its tp_traverse */
} shape_rule;

/* What the instances of exactly one type have in common. */
typedef struct {
    size_rule size : 8;
    shape_rule shape : 8;
    bool is_collectable; /* its instances have the collector's header, but for static types */
    bool is_class;       /* its instances are types */
    bool is_method;      /* its instances are bound to an object */
    bool is_padded;      /* its instances, items included, take whole words */
    bool is_asked_apart; /* what tells its size is not CPython's: ask while nothing is traversed */
    bool has_attributes; /* its instances have a block of values, or a dict, of their own */
    bool is_fixed;       /* its instances take the bytes of every instance, and no more */
    uint32_t item;       /* bytes of an item */
    Py_ssize_t fixed;    /* bytes of every instance, the collector's header included */
    PyObject *asked;     /* a borrowed __sizeof__, of SIZE_ASKED */
} anatomy;

/* Learn the addresses of the ints that CPython keeps for good. -1 with an exception. */
int anatomy_prepare(void);

/* Look at a type. -1 with an exception (MemoryError). */
int anatomy_of(PyTypeObject *type, anatomy *found);

/* Bytes of a block in front of an instance. */
Py_ssize_t anatomy_front(PyTypeObject *type);

/* Whether instances may refer to other objects. */
bool anatomy_may_refer(PyTypeObject *type);

/* Whether the members of an instance may lead to memory of its own. */
bool anatomy_may_own(PyTypeObject *type);

/* The zone that a moment refers to, borrowed; NULL where it has none, or is none. */
PyObject *anatomy_zone(const anatomy *kind, PyObject *measured);

/* What an instance of exactly that type may take without its optional members; 0 where it has none.
 */
Py_ssize_t anatomy_least_bytes(PyTypeObject *type);

/* Whether a deep size stops at instances of the type: they belong to the program. */
bool anatomy_stops(PyTypeObject *type);

/* What anatomy_bytes tells, for whatever object. */
Py_ssize_t anatomy_bytes_of_any(const anatomy *kind, PyObject *measured);

/* Bytes of an object, buffers of its own included. -1 with an exception (MemoryError). */
MEMSIZE_INLINE Py_ssize_t
anatomy_bytes(const anatomy *kind, PyObject *measured)
{
    if (kind->is_fixed) {
        return kind->fixed;
    }
    if (kind->size == SIZE_OF_TEXT && PyUnicode_IS_COMPACT_ASCII(measured)) {
        return (Py_ssize_t)sizeof(PyASCIIObject) + PyUnicode_GET_LENGTH(measured) + 1;
    }
    return anatomy_bytes_of_any(kind, measured);
}

#endif
