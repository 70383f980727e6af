/* The meter's windows: how much is allocated in each, and how much of it is still there.

   A window is a stretch of execution. Windows nest; an allocation is credited to the innermost open
   window of the context in which it happens, and counts in all windows around it. Which blocks a
   window has left is known until the outermost window around it is forgotten.

   Everything here needs the GIL, and runs no Python code. */
#ifndef MEMSIZE_METER_H
#define MEMSIZE_METER_H

#include "meter/blocks.h"
#include "meter/free_lists.h"

typedef struct {
    Py_ssize_t blocks, bytes;
} meter_total;

typedef struct window window;

struct window {
    window *parent;          /* the one around it; NULL for an outermost one */
    window *latest;          /* made in it, of those there still are */
    window *older, *younger; /* others in the same parent */
    meter_total allocated;   /* in it, or in a window in it, as all that follows */
    meter_total peak;        /* most bytes alive at once while it was open */
    meter_total alive;       /* born in it or in a window in it, and not freed */
    meter_total retained;    /* of these, once told */
    meter_total told;        /* alive at that moment */
    free_lists drained;      /* an outermost one's */
    uint32_t number;         /* by which blocks know it */
    block_list own;          /* the blocks born in itself */
    bool has_handle;
    bool was_opened, is_open;
    bool is_incomplete; /* something was not seen */
    bool is_forgotten;  /* an outermost one's: its blocks are not known any more */
};

/* What Python sees of a window: window.c. The ContextVar's value, and nothing else is. */
typedef struct {
    PyObject_HEAD
    window *behind;
} window_handle;

extern PyTypeObject *meter_handle_type;
extern PyObject *meter_variable;

/* Windows by number. */
typedef union {
    window *used;
    uint32_t next_spare;
} window_place;

extern window_place *meter_windows;

/* The window of that number: one that blocks were born in. */
MEMSIZE_INLINE window *
meter_window(uint32_t number)
{
    return meter_windows[number].used;
}

/* Make the ContextVar. -1 with an exception. */
int meter_prepare(PyTypeObject *handle_type);

/* The window itself, or the innermost around it that is open; NULL where none is. */
window *meter_innermost_open(window *found);

/* A window, for a handle; it is not open yet. NULL with an exception. */
window *meter_make(void);

/* Open a window in the one around it, NULL for an outermost one: the first of these puts the hooks
   in place. -1 with an exception. */
int meter_open(window *opened, window *parent);

/* Close a window and those in it: nothing is credited to them any more, what is freed is still
   seen. Does nothing to one that is closed. */
void meter_close(window *closed);

/* Forget the blocks of an outermost window, which is closed; with the last one the hooks come off.
 */
void meter_forget(window *outermost);

/* The handle is gone: close the window, and forget an outermost one. */
void meter_release(window *left);

/* Let go of a window, and of those around it, that nobody has any more. */
void meter_let_go(window *left);

/* In a child process: forget every window, and take the hooks off. */
void meter_forget_all(void);

/* Whether all that happened to the blocks was seen. Another tool may have taken our hooks off: then
   every window is incomplete, and has no blocks any more. */
bool meter_is_sound(void);

bool meter_is_armed(void);

/* Bytes that the meter itself takes. */
size_t meter_own_bytes(void);

/* The outermost window that was opened last; ``older`` leads to the others. */
const window *meter_latest_outermost(void);

/* The next window in one, itself first; NULL after the last. */
window *meter_next_in(window *outer, window *last);

#endif
