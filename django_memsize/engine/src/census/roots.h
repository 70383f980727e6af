/* The roots of a walk of the whole heap: what the collector tracks, and all classes and modules,
   which lead to objects that were made in C, that are immortal, or that gc.freeze() set aside. */
#ifndef MEMSIZE_ROOTS_H
#define MEMSIZE_ROOTS_H

#include "census/walk.h"

/* Look up the functions that list objects. Call once, at import, because an import, or a look-up in
   a module that a program may have changed, runs Python code. -1 with an exception. */
int roots_prepare(void);

/* What a census must know before it begins, as no Python code may run during the walk. */
typedef struct {
    PyObject *listed;        /* 3.11: a list of what the collector tracks. Later versions: NULL */
    Py_ssize_t frozen;       /* objects that gc.freeze() set aside */
    bool has_frozen;         /* some tracked objects that are not immortal are on no list */
    object_array classes;    /* borrowed; all classes if has_frozen, otherwise the static ones */
    address_set type_tuples; /* immortal tuples of static classes: CPython 3.12 freezes these */
    Py_ssize_t own_frozen;   /* how many of these are frozen: those that are listed are not */
} roots;

/* List the roots. The collector must be off, and the GIL held until roots_clear(). Python code may
   run only before the first object is listed: on 3.11, an audit hook. -1 with an exception.
   roots_clear() is due either way. */
int roots_list(roots *from);

/* List all classes, and nothing else. -1 with an exception. roots_clear() is due either way. */
int roots_list_classes(roots *from);

/* Free the memory and release the list. */
void roots_clear(roots *from);

/* Walk from the roots. Subtracts from ``frozen`` what CPython itself set aside. -1 with an
   exception. */
int roots_walk(roots *from, walk *pass);

#endif
