/* The blocks of memory that were allocated in windows and are not freed yet: where each is, how
   big, and in which window it was born.

   A block has a number that stays the same while it lives. A hash table by address leads to the
   number; the blocks of each window are a list. Knows nothing of windows but their numbers. */
#ifndef MEMSIZE_BLOCKS_H
#define MEMSIZE_BLOCKS_H

#include "platform.h"

#define BLOCK_SIZE_BITS 40
#define BLOCK_SIZE_MOST (((size_t)1 << BLOCK_SIZE_BITS) - 1)
#define BLOCK_WINDOW_BITS 22
#define BLOCKS_WINDOWS_MOST (((uint32_t)1 << BLOCK_WINDOW_BITS) - 1)

/* What asked for a block: it bounds what may be in it. */
typedef enum {
    BLOCK_OF_MEMORY,  /* of the domain that no object is allocated in */
    BLOCK_OF_OBJECTS, /* of the other one */
    BLOCK_RESIZED,    /* of that one too, by a change of its size: few objects ever have theirs */
} block_origin;

typedef struct {
    uintptr_t address;
    uint64_t size : BLOCK_SIZE_BITS;
    uint64_t window : BLOCK_WINDOW_BITS;
    uint64_t origin : 2;
    uint32_t next, previous; /* of the same window; 0 where there is none */
} block;

typedef struct {
    uint32_t tag;    /* bits of the address, mixed */
    uint32_t number; /* 0: empty */
} block_slot;

#define BLOCKS_CHUNK_BITS 10
#define BLOCKS_CHUNK ((uint32_t)1 << BLOCKS_CHUNK_BITS)

typedef struct {
    block_slot *slots;
    size_t room, used;
    block **chunks;
    size_t chunk_count, chunk_room;
    uint32_t spare;      /* the first of the numbers given back */
    uint32_t never_used; /* the least number not yet given */
} block_table;

/* Give back all memory; the table is empty afterwards. */
void blocks_clear(block_table *table);

/* Bytes that the table itself takes. */
size_t blocks_own_bytes(const block_table *table);

typedef enum { BLOCK_ADDED, BLOCK_KNOWN, BLOCK_NO_MEMORY } block_outcome;

/* Add a block to a window's list. Changes nothing where there is one at that address already, nor,
   with no exception, without memory. */
block_outcome blocks_add(block_table *table, const void *address, size_t size, uint32_t window,
                         block_origin origin, uint32_t *first);

/* The slot with the number of the block at an address, valid until the next change; NULL where none
   is known. */
block_slot *blocks_find(const block_table *table, const void *address);

/* Take a block out of the table and of its window's list. */
void blocks_remove(block_table *table, block_slot *found, uint32_t *first);

static inline block *
blocks_at(const block_table *table, uint32_t number)
{
    return table->chunks[number >> BLOCKS_CHUNK_BITS] + (number & (BLOCKS_CHUNK - 1));
}

#endif
