/* Windows: spans of execution whose allocations are measured, as a tree.

   An allocation is credited to the innermost open window of the context in which it happens, and
   counts in all windows around that one. This file holds the tree, the numbers of windows, and the
   ContextVar; crediting.h and meter.h change the totals. */
#ifndef MEMSIZE_WINDOWS_H
#define MEMSIZE_WINDOWS_H

#include "array.h"
#include "meter/blocks.h"

typedef struct {
    Py_ssize_t blocks, bytes;
} window_total;

typedef struct window window;

/* The peak of a window while it is followed: analysis/peaks.h. */
typedef struct {
    PyObject *handle;         /* of the window, borrowed; NULL if its peak is not followed */
    Py_ssize_t next_bytes;    /* a peak above is noted; PY_SSIZE_T_MAX: none is */
    Py_ssize_t most_blocks;   /* that are looked at; 0 is no limit */
    PyObject *tables;         /* of the highest moment so far; NULL for none */
    Py_ssize_t bytes;         /* alive at that moment */
    double seconds;           /* of CPU time that looking took */
    double seconds_of_thread; /* of these, in the thread that follows it */
    unsigned long thread;     /* that follows it */
    bool is_noted;            /* a peak was above, and was not looked at yet */
} followed_peak;

struct window {
    window *parent;              /* the window around it; NULL for an outermost one */
    window *latest;              /* the latest window in it */
    window *older, *younger;     /* other windows with the same parent */
    window_total allocated;      /* in it and in the windows in it, as all that follows */
    window_total peak;           /* the most bytes alive at once while it was open */
    window_total alive;          /* allocated and not freed */
    window_total not_remembered; /* allocated, and not followed any further */
    window_total retained;       /* of these, what the last analysis found retained */
    window_total analysed;       /* alive at the last analysis */
    window_total resized;   /* survivors that realloc() made no smaller: freed, and still there */
    followed_peak followed; /* of an outermost window */
    Py_ssize_t
        freed_older;      /* blocks freed in it that were allocated in no window, or survived one */
    size_t destroyed;     /* windows that were in it */
    object_array drained; /* of an outermost window: free_lists.h */
    uint32_t number;      /* by which blocks know it */
    block_list own;       /* blocks allocated in it, and in no window in it */
    bool has_handle;      /* Python refers to it */
    bool is_looked_at;    /* at its end, by who opened it: no peak in it is noted */
    bool was_opened, is_open;
    bool is_incomplete;      /* some allocations or frees were not seen */
    bool is_being_discarded; /* an outermost window: part of the blocks in it is not known any more
                              */
    bool is_discarded;       /* its blocks are not known any more */
    bool external_is_held;   /* an external object was found retained */
    bool has_survivors;      /* of another window: survivors.h */
};

/* The Python object of a window, which is the value of the ContextVar: window.c. */
typedef struct {
    PyObject_HEAD
    window *window;
} window_handle;

extern PyTypeObject *windows_handle_type;
extern PyObject *windows_variable;

typedef union {
    window *used;
    uint32_t next_free;
} window_slot;

extern window_slot *windows_slots; /* by number; no window has the number 0 */

/* The window of a number that a block has. */
MEMSIZE_INLINE window *
windows_at(uint32_t number)
{
    return windows_slots[number].used;
}

/* Make the ContextVar. -1 with an exception. */
int windows_prepare(PyTypeObject *handle_type);

/* Make a window for a handle. NULL with an exception. */
window *windows_make(void);

/* Put a window into the tree: the latest in its parent, or the latest of the outermost ones. */
void windows_insert(window *opened, window *parent);

/* Whether nothing needs a window any more: no handle, no window in it, no block. */
bool windows_is_unused(const window *one);

/* Remove a window from the tree, and free it. It has no windows in it, and no numbers of blocks. */
void windows_destroy(window *unused);

/* The window itself, or the innermost window around it, that is open; NULL if none is. */
window *windows_innermost_open(window *one);

/* Whether the blocks of a window are not known any more, or not all. */
bool windows_is_forgotten(const window *one);

/* The latest outermost window; ``older`` leads to the others. */
window *windows_latest_outermost(void);

/* The next window in a window, parents first, from the window itself; NULL after the last. */
window *windows_next_in(window *outer, window *previous);

/* The next window in a window, parents last, from NULL for the first; NULL after the window itself.
   Ask for the next before one is destroyed. */
window *windows_next_inside_out(window *outer, window *previous);

/* Bytes that all windows take. */
size_t windows_bytes(void);

#endif
