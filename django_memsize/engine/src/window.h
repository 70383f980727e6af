/* The class Window of the module. */
#ifndef MEMSIZE_WINDOW_H
#define MEMSIZE_WINDOW_H

#include "platform.h"

/* Add the class to the module, and make the ContextVar. -1 with an exception. */
int window_add_to(PyObject *module);

#endif
