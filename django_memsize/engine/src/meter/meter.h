/* The meter: the life cycle of windows (open, close, discard), and the hooks while there are any.

   Everything here needs the GIL, and runs no Python code. */
#ifndef MEMSIZE_METER_H
#define MEMSIZE_METER_H

#include "meter/windows.h"

/* Make the ContextVar, and meter the current interpreter from now on. -1 with an exception. */
int meter_prepare(PyTypeObject *handle_type);

/* Open a window inside another one, or inside the innermost open window around that one. NULL opens
   an outermost window: the first of these installs the hooks. -1 with an exception. */
int meter_open(window *opened, window *parent);

/* Make a window that was never opened an outermost one that is closed, for survivors. */
void meter_keep(window *kept);

/* Close a window and those in it: nothing is credited to them any more. Frees are still seen. Does
   nothing to a window that is closed. */
void meter_close(window *closed);

/* Forget the blocks of an outermost window, which is closed. Discarding the last one removes the
   hooks. If it may give the GIL back, it does so now and then where other windows are in use; the
   caller must have a reference to the handle. */
void meter_discard(window *outermost, bool may_give_back);

/* The handle of a window is being freed: close the window, and discard it if it is an outermost
   one. */
void meter_release(window *released);

/* Discard every window, and remove the hooks: in a child process, or where frees were missed. */
void meter_discard_all(void);

/* Whether the hooks still work. If another tool removed them, all windows are marked incomplete and
   discarded. */
bool meter_check(void);

/* Whether a window is open, or closed and not discarded, so that the hooks are installed. */
bool meter_is_in_use(void);

/* Bytes that the meter takes. */
size_t meter_bytes(void);

/* Let the blocks of all windows together take at most so many bytes; 0 is no limit. Blocks beyond
   it are counted and not remembered (``not_remembered`` of their windows). */
void meter_limit_bytes(size_t bytes);

#endif
