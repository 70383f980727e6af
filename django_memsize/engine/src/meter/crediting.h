/* Crediting: what every allocation and every free adds to the totals of windows. This runs inside
   the program's allocator, for each call, and so is inline and has few branches.

   An allocation is credited to the current window, which lookup.h finds. The block is stored in the
   nursery, a direct-mapped cache: most blocks are freed while they are there. A block that collides
   with a new one is promoted to the table of blocks, through a queue. The free of a block that is
   not in the nursery goes through a queue as well. The queues give the processor time to fetch what
   they will change in the table. */
#ifndef MEMSIZE_CREDITING_H
#define MEMSIZE_CREDITING_H

#include "meter/windows.h"

#define NURSERY_BLOCKS 256
#define QUEUE_LENGTH 16

/* A block in the nursery. The value: its size, its origin, and the number of its window. */
#define NURSERY_WINDOW_SHIFT (BLOCK_SIZE_BITS + BLOCK_ORIGIN_BITS)
#define NURSERY_ORIGIN(origin) ((uint64_t)(origin) << BLOCK_SIZE_BITS)

typedef struct {
    uintptr_t address; /* 0: none */
    uint64_t value;
} nursery_block;

/* What was allocated and freed since the totals of the current window were brought up to date. The
   peak is relative to what was alive then. */
typedef struct {
    Py_ssize_t allocated_blocks, freed_blocks;
    Py_ssize_t allocated_bytes;
    Py_ssize_t peak_blocks, peak_bytes;
    Py_ssize_t below_peak;  /* bytes that are alive now are so many less than the peak */
    Py_ssize_t freed_older; /* blocks that are in no window */
    Py_ssize_t next_bytes;  /* a peak above is noted: that of the outermost window, relative */
} pending_totals;

/* Blocks on their way from the nursery to the table. */
typedef struct {
    size_t count;
    uint64_t filter; /* of their addresses: a bit of 64 for each */
    nursery_block blocks[QUEUE_LENGTH];
} promotion_queue;

/* Freed blocks that may be in the table. */
typedef struct {
    size_t count;
    uintptr_t addresses[QUEUE_LENGTH];
} free_queue;

extern struct crediting_state {
    window *current; /* NULL: allocations are not credited */
    uint64_t number; /* of the current window, or 0 */
    uint64_t tag;    /* the number as a nursery block has it */
    pending_totals pending;
    promotion_queue promotions;
    free_queue frees;
    nursery_block nursery[NURSERY_BLOCKS];
    block_table blocks;
    size_t survivors;       /* windows that have survivors, and are not discarded */
    size_t compactions;     /* that gave blocks other numbers: keeping.h */
    int (*on_peak)(void *); /* a pending call, made once for all peaks that are noted until then */
    bool is_peak_pending;   /* it is to be made */
} crediting;

/* Make another window the current one, or none. All totals are up to date afterwards. */
void crediting_switch(window *current);

/* Bring the totals of all windows up to date. */
void crediting_flush_totals(void);

/* Move all blocks to the table, and return it. Totals are up to date. Blocks for which there is no
   memory are not remembered; a window that nothing needs any more is destroyed. */
const block_table *crediting_flush_blocks(void);

/* Remove about so many blocks of a window and of the windows in it from the table. They must be
   closed, and all blocks in the table. Returns whether there are more. */
bool crediting_discard(window *outermost, size_t blocks);

/* Remove the blocks of all windows. There must be no current window. */
void crediting_discard_all(void);

/* Mark a window and all around it as incomplete. */
void crediting_mark_incomplete(window *innermost);

/* Destroy a window, and then those around it, as long as nothing needs them. */
void crediting_destroy_unused(window *innermost);

/* Destroy the windows in a window, and itself, that nothing needs. */
void crediting_destroy_unused_in(window *outer);

/* Bytes that the table of blocks takes. */
size_t crediting_bytes(void);

/* Remember no more blocks than have room in so many bytes; 0 is no limit. A table that is larger
   stays as it is. */
void crediting_limit_bytes(size_t bytes);

/* A peak of so many bytes is followed by one of so many times as much. All tables together then
   take no more than twice the time of the last one, which covers half of the peak, unless a later
   moment was too large. */
#define PEAK_GROWTH 2

/* From how many bytes on a peak is noted after one of so many. */
Py_ssize_t crediting_next_peak(Py_ssize_t bytes);

/* The slow paths of the functions below: carry out the frees in the queue, note a peak that is
   followed, put a free into the queue, subtract a block of any window, and clear a place of the
   nursery for a block at an address. */
void crediting_run_frees(void);
void crediting_note_peak(void);
void crediting_queue_free(uintptr_t address);
void crediting_subtract_block(uint64_t value);
void crediting_vacate(nursery_block *place, uintptr_t address);

MEMSIZE_INLINE nursery_block *
nursery_place(uintptr_t address)
{
    return crediting.nursery + (((address >> 4) ^ (address >> 14)) & (NURSERY_BLOCKS - 1));
}

MEMSIZE_INLINE Py_ssize_t
nursery_size(uint64_t value)
{
    return (Py_ssize_t)(value & BLOCK_SIZE_MOST);
}

/* Add an allocation to the pending totals. */
MEMSIZE_INLINE void
crediting_add(Py_ssize_t size)
{
    pending_totals *pending = &crediting.pending;
    if (pending->below_peak < size && crediting.frees.count) {
        crediting_run_frees(); /* this may be a new peak, unless a queued free came first */
    }
    pending->allocated_blocks++;
    pending->allocated_bytes += size;
    pending->below_peak -= size;
    if (pending->below_peak < 0) {
        pending->peak_bytes -= pending->below_peak;
        pending->peak_blocks = pending->allocated_blocks - pending->freed_blocks;
        pending->below_peak = 0;
        if (MEMSIZE_UNLIKELY(pending->peak_bytes > pending->next_bytes)) {
            crediting_note_peak();
        }
    }
}

/* Add the free of a block of the current window. */
MEMSIZE_INLINE void
crediting_subtract(Py_ssize_t size)
{
    crediting.pending.freed_blocks++;
    crediting.pending.below_peak += size;
}

/* Credit an allocation to the current window, which there must be. The size is at most
   BLOCK_SIZE_MOST. */
MEMSIZE_INLINE void
record_alloc(uintptr_t address, size_t size, uint64_t origin)
{
    nursery_block *place = nursery_place(address);
    if (place->address) {
        crediting_vacate(place, address);
    }
    place->address = address;
    place->value = size | origin | crediting.tag;
    crediting_add((Py_ssize_t)size);
}

/* Subtract a freed block from its window, if it was allocated in one. */
MEMSIZE_INLINE void
record_free(uintptr_t address)
{
    nursery_block *place = nursery_place(address);
    if (place->address == address) {
        uint64_t value = place->value;
        place->address = 0;
        if (value >> NURSERY_WINDOW_SHIFT == crediting.number) {
            crediting_subtract(nursery_size(value));
        }
        else {
            crediting_subtract_block(value);
        }
    }
    else if (blocks_may_contain(&crediting.blocks, address)) {
        crediting_queue_free(address);
    }
    else {
        crediting.pending.freed_older++;
    }
}

#endif
