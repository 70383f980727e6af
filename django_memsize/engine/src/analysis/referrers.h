/* The function find_referrers() of the module: tp_traverse leads only from an object to its
   referents; this finds the objects that refer to some. */
#ifndef MEMSIZE_REFERRERS_H
#define MEMSIZE_REFERRERS_H

#include "platform.h"

/* Add the function to the module. -1 with an exception. */
int referrers_add_to(PyObject *module);

#endif
