/* What leads to some objects: the way up from them that tp_traverse shows only downwards. */
#ifndef MEMSIZE_UPSTREAM_H
#define MEMSIZE_UPSTREAM_H

#include "platform.h"

/* Add the function to the module. -1 with an exception. */
int upstream_add_to(PyObject *module);

#endif
