/* The class Window of the module, and the functions of the meter. */
#ifndef MEMSIZE_WINDOW_H
#define MEMSIZE_WINDOW_H

#include "platform.h"

/* Add the class and the functions to the module, and make the ContextVar. -1 with an exception. */
int window_add_to(PyObject *module);

#endif
