/* Deep sizes: the function sizeof() and the class Sizing of the module. */
#ifndef MEMSIZE_SIZING_H
#define MEMSIZE_SIZING_H

#include "platform.h"

/* Add the function and the class to the module. -1 with an exception. */
int sizing_add_to(PyObject *module);

#endif
