/* The hooks on CPython's allocators, in the domains "mem" and "object". They are installed only
   while a window is open or not discarded, and pass every call on. While all windows have survivors
   (survivors.h), nothing can be credited: then the hooks look at frees only.

   Another tool may install hooks on top of these, and remove these with its own. So they are
   removed only where they are on top; elsewhere they stay for good, inactive. */
#ifndef MEMSIZE_HOOKS_H
#define MEMSIZE_HOOKS_H

#include "platform.h"

/* Set the interpreter that is metered: the current one. */
void hooks_prepare(void);

/* Install the hooks. False without memory, with no exception. */
bool hooks_install(void);

/* Remove the hooks, or make them inactive. */
void hooks_remove(void);

/* Have the installed hooks credit allocations, as they do from the beginning, or see frees only. */
void hooks_set_crediting(bool credits);

/* Whether the hooks are installed and called: an allocation is tried. */
bool hooks_work(void);

/* How many allocations had to look for a window, since the hooks were installed. While crediting is
   paused this counts every allocation of the metered interpreter, and so shows whether an object
   came from a free list. */
size_t hooks_lookups(void);

/* Whether there may be new classes: since the last call, a block as large as a class was allocated,
   or the hooks were installed, or began to credit allocations. */
bool hooks_saw_class(void);

#endif
