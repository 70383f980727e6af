/* The functions of the module about the meter: its hooks, its memory, and the window of a context.
 */
#ifndef MEMSIZE_METERING_H
#define MEMSIZE_METERING_H

#include "platform.h"

/* Add the functions to the module. -1 with an exception. */
int metering_add_to(PyObject *module);

#endif
