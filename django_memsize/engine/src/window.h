/* What Python sees of the meter. */
#ifndef MEMSIZE_WINDOW_H
#define MEMSIZE_WINDOW_H

#include "platform.h"

/* Add the class Window, the ContextVar and the functions of the meter to the module. -1 with an
   exception. */
int window_add_to(PyObject *module);

#endif
