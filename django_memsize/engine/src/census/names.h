/* What a type is called, and what it has by a name, without running a line of its code. */
#ifndef MEMSIZE_NAMES_H
#define MEMSIZE_NAMES_H

#include "platform.h"

/* Learn what the standard library consists of. -1 with an exception. */
int names_prepare(void);

/* What a type itself has by that name, which is interned; borrowed. NULL without an exception where
   it has nothing, with one for want of memory. */
PyObject *names_find(PyTypeObject *type, PyObject *name);

/* Whether a type is of CPython or of its standard library, by its module. -1 with an exception. */
int names_is_standard(PyTypeObject *type);

/* ``module.qualname``, without ``builtins``; "?" for a part that is no text. A new reference. */
PyObject *names_full(PyTypeObject *type);

#endif
