/* The collector is off while the engine looks at objects: a collection would run finalisers, and
   free objects that are being looked at. */
#ifndef MEMSIZE_COLLECTOR_H
#define MEMSIZE_COLLECTOR_H

#include "platform.h"

/* Disable the collector. Returns what collector_resume() must be given. */
static inline int
collector_pause(void)
{
    return PyGC_Disable();
}

static inline void
collector_resume(int was_enabled)
{
    if (was_enabled) {
        PyGC_Enable();
    }
}

#endif
