/* The analysis of a window: what its live blocks are, by type, and which are retained.

   The passes: list the blocks and distinguish objects from buffers (listing.h), find the owners of
   buffers (owners.h), mark what is on free lists (listing.h), find what is retained
   (reachability.h), add up (tables.h). */
#ifndef MEMSIZE_ANALYSIS_H
#define MEMSIZE_ANALYSIS_H

#include "meter/windows.h"

/* Two tables, as tables_as_tuple() returns them: what is in use, and what is on free lists. NULL
   with an exception. */
PyObject *analysis_alive(window *analysed);

/* Three tables: what is retained, what is garbage, and what is on free lists. Sets the retained
   total of the window and of the windows in it, and the analysed total of the window. ``external``:
   reachability.h. NULL with an exception. */
PyObject *analysis_retained(window *analysed, PyObject *external);

#endif
