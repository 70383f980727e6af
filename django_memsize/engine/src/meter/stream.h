/* Rows that come one after another: what makes a row is credited to a window, what is done with it
   between two rows is not. */
#ifndef MEMSIZE_STREAM_H
#define MEMSIZE_STREAM_H

#include "platform.h"

/* Add the class Stream to the module. -1 with an exception. */
int stream_add_to(PyObject *module);

#endif
