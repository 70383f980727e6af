/* The window that allocations are credited to: the innermost open window of the thread's context.

   Reading a ContextVar for each allocation would be too slow. So the result is cached until the
   thread, the version of its context, or a window changes. */
#ifndef MEMSIZE_LOOKUP_H
#define MEMSIZE_LOOKUP_H

#include "cpython.h"
#include "meter/crediting.h"

extern struct lookup_state {
    /* The thread and the context version that the cached window is for. */
    uint64_t thread, version;
    /* The size of the object with all values of a context, which is the last that CPython allocates
       when a variable is set. Any code may set the ContextVar: asgiref copies all of them. */
    size_t values_bytes;
} lookup;

/* Measure the values of a context, and prove that each context has another version. Call once there
   is the ContextVar. -1 with an exception. */
int lookup_prepare(void);

/* Make the innermost open window of the thread's context the current one, and return it; NULL if
   there is none. Sets no exception, and keeps one that is set. */
window *lookup_window(const PyThreadState *thread);

/* Forget the cached window, because windows changed: there is no current window until the next
   look-up, and all totals are up to date. */
void lookup_invalidate(void);

/* The same, and forget all overrides: those of other threads do not exist in a child process. */
void lookup_reset(void);

/* Credit nothing from now on until lookup_resume(): the meter itself allocates, or objects are
   measured. Nests. */
void lookup_pause(void);
void lookup_resume(void);

/* A block of ``values_bytes`` was allocated at an address: check at the next allocation whether the
   ContextVar has another value. */
void lookup_suspect(uintptr_t address);

/* One window in place of another, in one thread and one context, as long as the ContextVar has the
   value that it has now. Setting the ContextVar instead would allocate, for each row. */
typedef struct lookup_override {
    uint64_t thread;
    const PyObject *context, *value;
    PyObject *handle; /* of the window; the caller refers to it */
    struct lookup_override *next;
} lookup_override;

/* Override the window until lookup_pop(). The struct belongs to the caller. */
void lookup_push(lookup_override *pushed, PyObject *handle);
void lookup_pop(lookup_override *popped);

#endif
