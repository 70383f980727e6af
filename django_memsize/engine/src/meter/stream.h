/* The class Stream of the module: iterates over rows, and credits what makes a row to a window, but
   not what the program does between two rows. */
#ifndef MEMSIZE_STREAM_H
#define MEMSIZE_STREAM_H

#include "platform.h"

/* Add the class to the module. -1 with an exception. */
int stream_add_to(PyObject *module);

#endif
