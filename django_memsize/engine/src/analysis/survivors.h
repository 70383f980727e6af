/* Survivors: what a window retained is followed past its analysis, to see when it is freed.

   A cache whose entries replace others retains as much in each request as a leak does. The blocks
   that were found retained move to another window, of survivors, before the analysed one is
   discarded. Nothing is credited to it; what is alive of it is known exactly, because frees are
   seen as long as it is not discarded.

   What CPython may put on a free list is left out, unless nearly all is of that kind: the block is
   not freed then, and is another object's soon. */
#ifndef MEMSIZE_SURVIVORS_H
#define MEMSIZE_SURVIVORS_H

#include "analysis/allocations.h"

typedef struct {
    window *into;           /* was never opened; NULL: nothing is followed */
    Py_ssize_t least_bytes; /* that must be retained for being followed */
    size_t most_blocks;     /* that are followed: of more, every nth; 0 is no limit */
} survivors_question;

/* Move the retained blocks of an outermost window to the other one, if that is asked for. May give
   the GIL back; nothing may be asked of the objects afterwards. Where not all that should could
   move, the other window is incomplete. */
void survivors_keep(const allocations *all, const survivors_question *question, steps *under_way);

#endif
