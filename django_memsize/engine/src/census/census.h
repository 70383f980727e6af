/* The functions census() and instances() of the module. */
#ifndef MEMSIZE_CENSUS_H
#define MEMSIZE_CENSUS_H

#include "platform.h"

/* Add the functions to the module. -1 with an exception. */
int census_add_to(PyObject *module);

#endif
