/* The steps of an analysis. After so many blocks the GIL is given back, so that other threads of
   the program need not wait for the whole of it. Crediting and the collector go on meanwhile.

   What the analysis knows is only as good as the objects are the same afterwards. So the state is
   stale, and the analysis begins again, if in between

   - a block of the window was freed: every later read of it would be a read of freed memory,
   - a window in it was destroyed, which the analysis may have come to,
   - the window was discarded, or the hooks were removed, so that a free would not be seen,
   - the blocks of survivors were given other numbers,
   - a type that the analysis knows died, or the classes were listed again, so that another class
     may be where one was.

   The program may do anything else: allocate, make and drop references, put objects on free lists
   and take them from there. allocation_is_unchanged() and reachability.h allow for it. */
#ifndef MEMSIZE_STEPS_H
#define MEMSIZE_STEPS_H

#include "analysis/types.h"
#include "meter/windows.h"
#include "turns.h"

typedef struct {
    window *analysed;
    const type_table *types;
    Py_ssize_t freed;       /* blocks of the window, when the analysis began */
    size_t destroyed;       /* windows in it */
    size_t classes_version; /* classes.h */
    size_t compactions;     /* keeping.h */
    size_t work, most_work; /* blocks that this step has handled, and may handle: 0 if stale */
    int was_collector_enabled;
    const char *given_up; /* the reason why to begin again is of no use; NULL: it is not given up */
    bool was_given_back;  /* the GIL, at least once */
    bool is_stale;        /* nothing that is known of the objects may be used any more */
} steps;

/* Pause crediting and the collector, and begin. Call steps_end() in the end. ``types`` are those
   that the analysis will know. */
void steps_begin(steps *begun, window *analysed, const type_table *types);

void steps_end(steps *ended);

/* Begin again with the state as it is now. */
void steps_renew(steps *renewed);

/* Make the state stale. */
void steps_spoil(steps *spoilt);

/* Make the state stale, and do not begin again. */
#define STEPS_TOO_LARGE "memory"
#define STEPS_TOO_LONG "size"
#define STEPS_CHANGED "changes"
void steps_give_up(steps *given_up, const char *reason);

/* Give the GIL back. False if the state is stale afterwards. */
bool steps_give_back(steps *under_way);

/* Give the GIL back where no object is looked at any more: blocks may be freed meanwhile. False if
   the window was discarded, or one in it was destroyed, whose number another may have now. */
bool steps_give_back_at_end(steps *under_way);

/* Count blocks that were handled, and give the GIL back if the step has handled enough. False if
   the state is stale. */
MEMSIZE_INLINE bool
steps_count(steps *under_way, size_t blocks)
{
    under_way->work += blocks;
    return MEMSIZE_LIKELY(under_way->work < under_way->most_work) || steps_give_back(under_way);
}

#endif
