/* The hooks on CPython's allocators, of the domains "mem" and "object": in place only while there
   is somebody to tell, and passing everything through.

   Another tool may put its own on top of ours, and may take ours off with its own. So ours come off
   only where they are on top; where not, they stay for good, and tell nobody. */
#ifndef MEMSIZE_HOOKS_H
#define MEMSIZE_HOOKS_H

#include "platform.h"

/* Remember the interpreter that is metered: this one. */
void hooks_prepare(void);

/* Put the hooks in place. False, with no exception, without memory. */
bool hooks_install(void);

/* Take them off, or have them tell nobody. */
void hooks_remove(void);

/* Whether they are in place and nobody took them off: tried out. */
bool hooks_work(void);

/* How often anything was allocated in the metered interpreter while they told and crediting was
   paused; of what is credited, only some counts. */
size_t hooks_count(void);

#endif
