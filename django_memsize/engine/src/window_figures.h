/* The attributes of the class Window: what is known of a window, up to date. */
#ifndef MEMSIZE_WINDOW_FIGURES_H
#define MEMSIZE_WINDOW_FIGURES_H

#include "meter/windows.h"

extern PyGetSetDef window_figures[];

static inline window *
window_of(PyObject *handle)
{
    return ((window_handle *)handle)->window;
}

#endif
