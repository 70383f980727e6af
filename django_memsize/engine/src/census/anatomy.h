/* A type, without running any of its Python code: how to find the size of its instances, and what
   they refer to. From C slots, and from the namespaces of the method resolution order. */
#ifndef MEMSIZE_ANATOMY_H
#define MEMSIZE_ANATOMY_H

#include "cpython.h"

/* How the size of an instance is found. The first three kinds add to the basic size of the type,
   the others replace it. The bytes of headers come on top of either. */
typedef enum {
    SIZE_FIXED,
    SIZE_OF_ITEMS,
    SIZE_OF_LIST,
    SIZE_OF_DATETIME, /* has no room for a time zone unless it has one */
    SIZE_OF_TIME,     /* as SIZE_OF_DATETIME */
    SIZE_OF_TEXT,
    SIZE_OF_INT,
    SIZE_BY_SIZEOF, /* by a call of the type's __sizeof__, which is in C */
} size_rule;

/* How the referents of an instance are found. */
typedef enum {
    SHAPE_LEAF, /* it cannot refer to anything */
    SHAPE_LIST,
    SHAPE_TUPLE,
    SHAPE_SET,
    SHAPE_FROZENSET,
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
    bool is_class;  /* instances are types */
    bool is_method; /* instances are bound to an object */
    bool is_padded; /* instances, items included, take whole words */
    bool
        has_foreign_sizeof; /* __sizeof__ is an extension's: call it only outside any tp_traverse */
    bool has_attributes;    /* instances have a block of values, or a dict, of their own */
    bool is_fixed;          /* instances take the fixed bytes and no more */
    uint32_t item;          /* bytes of an item */
    Py_ssize_t fixed;       /* bytes of every instance, headers included */
    PyObject *sizeof_method; /* a borrowed __sizeof__, for SIZE_BY_SIZEOF */
} anatomy;

/* Look up what this file needs of the standard library. Call once, at import. -1 with an
   exception. */
int anatomy_prepare(void);

/* Describe a type. -1 with an exception (MemoryError). */
int anatomy_of(PyTypeObject *type, anatomy *found);

/* Whether instances may refer to other objects. */
bool anatomy_may_refer(PyTypeObject *type);

/* Whether the members of an instance may point to buffers of its own. */
bool anatomy_may_own(PyTypeObject *type);

/* The time zone that a datetime or a time refers to, borrowed; NULL if there is none, or for any
   other object. Its tp_traverse, if any, does not show it. */
PyObject *anatomy_timezone(const anatomy *kind, PyObject *measured);

/* The bytes of a datetime or a time, which ends with its time zone if it has one. */
Py_ssize_t anatomy_datetime_bytes(const anatomy *kind, PyObject *measured);

/* The bytes of an instance of exactly this type without its optional members; 0 if it has none. */
Py_ssize_t anatomy_least_bytes(PyTypeObject *type);

/* Whether a deep size stops at instances of the type: modules, classes, functions, code and frames
   belong to the program, not to its data. */
bool anatomy_stops(PyTypeObject *type);

#endif
