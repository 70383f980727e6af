/* The analysis of a window: what its live blocks are, by type, and which are retained.

   Several passes: list the blocks and distinguish objects from buffers (listing.h), find the owners
   of buffers (owners.h), mark what is on free lists (listing.h), find what is retained
   (reachability.h), add up (tables.h). */
#ifndef MEMSIZE_ANALYSIS_H
#define MEMSIZE_ANALYSIS_H

#include "analysis/reachability.h"
#include "meter/windows.h"

/* Two tables, as tables_as_tuple() returns them: what is in use, and what is on free lists. A
   reason as text where the window is not analysed: "memory" if that would take more than the meter
   itself may take, "changes" if the program freed blocks each time that the GIL was given back
   (steps.h). NULL with an exception. */
PyObject *analysis_alive(window *analysed);

/* Three tables: what is retained, what is garbage, and what is on free lists. Sets the retained
   total of the window and of the windows in it, and the analysed total of the window. The question,
   and whether an external object is held: reachability.h. A reason as above; "size" if more than
   ``most_blocks`` are alive, unless that is 0, because trial deletion holds the GIL. NULL with an
   exception. */
PyObject *analysis_retained(window *analysed, const reachability_question *question);

#endif
