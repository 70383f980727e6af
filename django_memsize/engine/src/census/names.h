/* The name of a type, and what is in its namespace, without running any of its Python code. */
#ifndef MEMSIZE_NAMES_H
#define MEMSIZE_NAMES_H

#include "platform.h"

/* Look up the modules of the standard library. Call once, at import. -1 with an exception. */
int names_prepare(void);

/* The value of a name, which is interned, in a type's own namespace; borrowed. NULL without an
   exception if there is none; with an exception without memory. */
PyObject *names_find(PyTypeObject *type, PyObject *name);

/* Whether a type belongs to CPython or its standard library, by its module. -1 with an exception.
 */
int names_is_standard(PyTypeObject *type);

/* "module.qualname", or "qualname" for builtins; "?" for either if it is not a str. A new
   reference, or NULL with an exception. */
PyObject *names_full(PyTypeObject *type);

#endif
