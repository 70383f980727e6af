/* Where a walk of the whole heap begins: at what the collector tracks, and at classes and modules,
   which lead to what was made in C or is frozen. */
#ifndef MEMSIZE_ROOTS_H
#define MEMSIZE_ROOTS_H

#include "census/walk.h"

/* Find the functions that list, once and for all: an import, or a look-up that a program may have
   changed, runs Python code. -1 with an exception. */
int roots_prepare(void);

/* What a census needs to know before it begins, as no Python code may run while it lasts. */
typedef struct {
    PyObject *listed;       /* 3.11: a list of what the collector tracks; later versions: NULL */
    Py_ssize_t frozen;      /* objects that gc.freeze() set aside */
    bool has_frozen;        /* some that the collector tracks are on no list, though not immortal */
    PyTypeObject **classes; /* borrowed; all of them, or the static ones */
    size_t class_count, class_room;
    address_set own_tuples; /* the immortal ones of static classes: 3.12 freezes them itself */
    Py_ssize_t own_frozen;  /* how many of them it set aside, once the others are listed */
} roots;

/* List them. The collector must be off, and the GIL held until roots_clear. Only before the first
   is listed may Python code run: on 3.11 an audit hook. -1 with an exception; roots_clear is due
   either way. */
int roots_list(roots *from);

/* List all classes, and nothing else. A metaclass's own __subclasses__ is not asked. -1 with an
 * exception; roots_clear is due either way. */
int roots_list_classes(roots *from);

void roots_clear(roots *from);

/* Walk all that there is. Corrects ``frozen`` by what CPython itself set aside. -1 with an
   exception. */
int roots_walk(roots *from, walk *pass);

/* Visit what the collector lists, until a visit returns other than 0; return what that was. The
   collector must be off. -1 with an exception where there is no list: only 3.11 makes one, and its
   audit hook is the only Python code that may run. */
int roots_visit_listed(visitproc visit, void *arg);

/* Visit the modules that are imported, in the same manner. */
int roots_visit_modules(visitproc visit, void *arg);

#endif
