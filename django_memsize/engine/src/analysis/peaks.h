/* Following a peak: what was alive by type when the peak of an outermost window was far above the
   last such moment, whoever allocated it.

   The hook of the allocator only notes such a peak, and has CPython make a pending call. It is made
   at the next safe point of the main thread: at once for a request that this thread serves. The
   request of another thread is looked at when the main thread runs next, or not at all. */
#ifndef MEMSIZE_PEAKS_H
#define MEMSIZE_PEAKS_H

#include "meter/windows.h"

/* Prepare the pending call. */
void peaks_prepare(void);

/* Follow the peak of an outermost window from so many bytes on. Moments with more blocks than
   ``most_blocks`` are not looked at; 0 is no limit. Does nothing to any other window. */
void peaks_follow(window *followed, PyObject *handle, Py_ssize_t first_bytes,
                  Py_ssize_t most_blocks);

/* Note that the caller has looked at so many bytes of an outermost window. */
void peaks_looked_at(window *followed, Py_ssize_t bytes);

/* Forget what was found: the handle is being freed. */
void peaks_forget(window *followed);

#endif
