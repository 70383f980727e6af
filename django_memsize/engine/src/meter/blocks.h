/* The table of blocks of memory that were allocated in windows and are not freed: the address, the
   size and the window of each.

   A block has a number, which stays the same while the block lives. Hash chains lead from an
   address to a number. Numbers are given out in runs of 16, each run to one window: so a window's
   blocks are found without a list of them. This file knows windows by their numbers only. */
#ifndef MEMSIZE_BLOCKS_H
#define MEMSIZE_BLOCKS_H

#include "chains.h"

#define BLOCK_SIZE_BITS 36
#define BLOCK_SIZE_MOST (((size_t)1 << BLOCK_SIZE_BITS) - 1)
#define BLOCK_ORIGIN_BITS 2
#define BLOCK_WINDOW_BITS 19
#define BLOCKS_MOST_WINDOWS (((uint32_t)1 << BLOCK_WINDOW_BITS) - 1)

/* Which allocator function returned a block. It limits what may be in the block. */
typedef enum {
    BLOCK_OF_MEMORY,  /* of the domain "mem", which has no objects */
    BLOCK_OF_OBJECTS, /* of the domain "object" */
    BLOCK_RESIZED,    /* of the domain "object", by realloc(): see cpython_may_be_resized() */
} block_origin;

/* An address has no more bits in use, and no fewer zero bits at its end. */
#define BLOCK_ADDRESS_BITS 48
#define BLOCK_ADDRESS_ZEROS 3
#define BLOCK_ADDRESS_UNUSED                                                                       \
    (~((((uintptr_t)1 << BLOCK_ADDRESS_BITS) - 1) >> BLOCK_ADDRESS_ZEROS << BLOCK_ADDRESS_ZEROS))

/* Packed, because there may be millions. */
typedef struct {
    uint64_t place : BLOCK_ADDRESS_BITS - BLOCK_ADDRESS_ZEROS; /* block_address(); 0: not in use */
    uint64_t origin : BLOCK_ORIGIN_BITS;
    uint64_t size_high : BLOCK_SIZE_BITS - 32; /* block_size() */
    uint32_t size_low;
    uint32_t link; /* in its chain; of one not in use, the number of the next free one */
} block;

#define BLOCKS_CHUNK_BITS 10
#define BLOCKS_CHUNK ((uint32_t)1 << BLOCKS_CHUNK_BITS)
#define BLOCKS_RUN_BITS 4
#define BLOCKS_RUN ((uint32_t)1 << BLOCKS_RUN_BITS)

/* 16 numbers of one window. */
typedef struct {
    uint32_t window;
    uint32_t next; /* run of the window, or free run; 0 ends the list */
} block_run;

/* The numbers of a window. */
typedef struct {
    uint32_t run;    /* the latest run; 0 if there is none */
    uint32_t unused; /* numbers of the latest run that were never used */
    uint32_t free;   /* the first number that was used and is free again; 0 if there is none */
} block_list;

/* How many blocks may be on a page of the heap. Pages share counters. Most frees are of blocks that
   are not in the table (other requests free a lot), and the counters, which stay in the processor's
   cache, show it. */
#define BLOCKS_PAGES 4096
#define BLOCKS_SATURATED UINT16_MAX /* never counted down again */

typedef struct {
    uint16_t on_page[BLOCKS_PAGES];
    uint32_t *heads; /* of the chains */
    size_t capacity; /* number of heads: a power of two, or 0 */
    size_t used;
    block **chunks;
    block_run *runs;
    size_t chunk_count, chunk_capacity;
    uint32_t free_run;   /* the first of the free runs; 0 if there is none */
    uint32_t unused_run; /* the first of the runs that were never used */
    size_t most_bytes;   /* that the table may take; 0: as many as there are */
} block_table;

/* Free all memory: the table is empty afterwards, and has the same limit. */
void blocks_clear(block_table *table);

/* Bytes that the table takes. */
size_t blocks_table_bytes(const block_table *table);

/* Make room for one more block of a window. False without memory, or beyond ``most_bytes``, with no
   exception. */
bool blocks_reserve(block_table *table, block_list *list, uint32_t window);

/* Make the numbers of a window free, which has no blocks in the table. */
void blocks_release_numbers(block_table *table, block_list *list);

/* Remove the blocks of a window, which gets no more, from the table, and make their numbers free:
   those of so many runs. Returns how many runs more could have been. */
size_t blocks_discard(block_table *table, block_list *list, size_t most_runs);

/* The next number of a window that is in use, from 0 for the first; 0 after the last. */
uint32_t blocks_next(const block_table *table, const block_list *list, uint32_t number);

MEMSIZE_INLINE block *
blocks_at(const block_table *table, uint32_t number)
{
    return table->chunks[number >> BLOCKS_CHUNK_BITS] + (number & (BLOCKS_CHUNK - 1));
}

/* The number of the window in which a block was allocated. */
MEMSIZE_INLINE uint32_t
blocks_window(const block_table *table, uint32_t number)
{
    return table->runs[number >> BLOCKS_RUN_BITS].window;
}

MEMSIZE_INLINE uintptr_t
block_address(const block *entry)
{
    return (uintptr_t)entry->place << BLOCK_ADDRESS_ZEROS;
}

MEMSIZE_INLINE size_t
block_size(const block *entry)
{
    return (size_t)entry->size_high << 32 | entry->size_low;
}

MEMSIZE_INLINE chain
blocks_chain(const block_table *table, uintptr_t address)
{
    return chain_of(table->heads, table->capacity - 1, address);
}

/* The link to the block at an address, if it is in a chain; otherwise NULL. */
MEMSIZE_INLINE uint32_t *
blocks_find_in(const block_table *table, chain searched, uintptr_t address)
{
    for (uint32_t *link = searched.head; *link & searched.filter_bit;) {
        block *entry = blocks_at(table, *link & CHAIN_NUMBER);
        if (block_address(entry) == address) {
            return link;
        }
        link = &entry->link;
    }
    return NULL;
}

/* The link to the block at an address, or NULL. */
MEMSIZE_INLINE uint32_t *
blocks_find(const block_table *table, uintptr_t address)
{
    return table->capacity ? blocks_find_in(table, blocks_chain(table, address), address) : NULL;
}

MEMSIZE_INLINE uint16_t *
blocks_page_counter(block_table *table, uintptr_t address)
{
    uintptr_t page = address >> 14;
    return table->on_page + ((page ^ (page >> 12)) & (BLOCKS_PAGES - 1));
}

/* Whether there may be a block at an address, in the table or counted. */
MEMSIZE_INLINE bool
blocks_may_contain(block_table *table, uintptr_t address)
{
    return *blocks_page_counter(table, address) != 0;
}

/* Count a block on its page, before it is added. */
MEMSIZE_INLINE void
blocks_count(block_table *table, uintptr_t address)
{
    uint16_t *counter = blocks_page_counter(table, address);
    *counter += *counter != BLOCKS_SATURATED;
}

MEMSIZE_INLINE void
blocks_uncount(block_table *table, uintptr_t address)
{
    uint16_t *counter = blocks_page_counter(table, address);
    *counter -= *counter != BLOCKS_SATURATED;
}

/* Prefetch the head of an address's chain: the first of two steps before it is added or found. */
MEMSIZE_INLINE void
blocks_prefetch_chain(const block_table *table, uintptr_t address)
{
    if (table->capacity) {
        MEMSIZE_PREFETCH(blocks_chain(table, address).head);
    }
}

/* Prefetch the first block of the chain: the second step. */
MEMSIZE_INLINE void
blocks_prefetch_block(const block_table *table, uintptr_t address)
{
    if (table->capacity) {
        chain fetched = blocks_chain(table, address);
        if (*fetched.head & fetched.filter_bit) {
            MEMSIZE_PREFETCH(blocks_at(table, *fetched.head & CHAIN_NUMBER));
        }
    }
}

typedef enum { BLOCK_ADDED, BLOCK_EXISTS, BLOCK_NOT_ADDED } block_outcome;

/* Add a block, which was counted on its page, to a window's. Changes nothing if there is a block at
   that address (BLOCK_EXISTS), or, with no exception, without memory (BLOCK_NOT_ADDED). */
MEMSIZE_INLINE block_outcome
blocks_add(block_table *table, uintptr_t address, size_t size, block_origin origin, uint32_t window,
           block_list *list)
{
    bool is_full = table->used >= table->capacity || (!list->free && !list->unused);
    if (MEMSIZE_UNLIKELY(is_full) && !blocks_reserve(table, list, window)) {
        return BLOCK_NOT_ADDED;
    }
    chain into = blocks_chain(table, address);
    if (MEMSIZE_UNLIKELY(blocks_find_in(table, into, address) != NULL)) {
        return BLOCK_EXISTS;
    }
    uint32_t number = list->free;
    block *added;
    if (number) {
        added = blocks_at(table, number);
        list->free = added->link;
    }
    else {
        number = (list->run << BLOCKS_RUN_BITS) + BLOCKS_RUN - list->unused--;
        added = blocks_at(table, number);
    }
    *added = (block){
        .place = address >> BLOCK_ADDRESS_ZEROS,
        .origin = origin,
        .size_high = size >> 32,
        .size_low = (uint32_t)size,
        .link = *into.head,
    };
    chain_push(into, number);
    table->used++;
    return BLOCK_ADDED;
}

/* Remove the block that a link leads to from the table and from its window's. */
MEMSIZE_INLINE void
blocks_remove(block_table *table, uint32_t *link, block_list *list)
{
    uint32_t number = *link & CHAIN_NUMBER;
    block *removed = blocks_at(table, number);
    blocks_uncount(table, block_address(removed));
    *link = removed->link;
    removed->place = 0;
    removed->link = list->free;
    list->free = number;
    table->used--;
}

#endif
