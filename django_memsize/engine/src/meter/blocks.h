/* The blocks of memory that were allocated in windows and are not freed yet: where each is, how
   big, and in which window it was born.

   A block has a number that stays the same while it lives. A hash table by address leads to the
   first of a chain of numbers. Numbers are handed out in runs, each to the blocks of one window:
   so they need no list. Knows nothing of windows but their numbers. */
#ifndef MEMSIZE_BLOCKS_H
#define MEMSIZE_BLOCKS_H

#include "platform.h"

#define BLOCK_SIZE_BITS 36
#define BLOCK_SIZE_MOST (((size_t)1 << BLOCK_SIZE_BITS) - 1)
#define BLOCK_ORIGIN_BITS 2
#define BLOCK_WINDOW_BITS 19
#define BLOCKS_WINDOWS_MOST (((uint32_t)1 << BLOCK_WINDOW_BITS) - 1)
#define BLOCK_NUMBER_BITS 28

/* What asked for a block: it bounds what may be in it. */
typedef enum {
    BLOCK_OF_MEMORY,  /* of the domain that no object is allocated in */
    BLOCK_OF_OBJECTS, /* of the other one */
    BLOCK_RESIZED,    /* of that one too, by a change of its size: few objects ever have theirs */
} block_origin;

/* A pointer to a block has no more bits in use, nor fewer zeros at its end. */
#define BLOCK_ADDRESS_BITS 48
#define BLOCK_ADDRESS_ZEROS 3
#define BLOCK_ADDRESS_ODD                                                                          \
    (~((((uintptr_t)1 << BLOCK_ADDRESS_BITS) - 1) >> BLOCK_ADDRESS_ZEROS << BLOCK_ADDRESS_ZEROS))

/* Packed: there may be millions. */
typedef struct {
    uint64_t place : BLOCK_ADDRESS_BITS - BLOCK_ADDRESS_ZEROS; /* block_address(); 0: a spare one */
    uint64_t origin : BLOCK_ORIGIN_BITS;
    uint64_t size_above : BLOCK_SIZE_BITS - 32; /* block_size() */
    uint32_t size_below;
    uint32_t link; /* to the next in its chain; a spare one's, the number of the next spare one */
} block;

#define BLOCKS_CHUNK_BITS 10
#define BLOCKS_CHUNK ((uint32_t)1 << BLOCKS_CHUNK_BITS)
#define BLOCKS_RUN_BITS 4
#define BLOCKS_RUN ((uint32_t)1 << BLOCKS_RUN_BITS)

/* So many numbers of one window. */
typedef struct {
    uint32_t window;
    uint32_t next; /* of that window, or of those given back; 0 where there is none */
} block_run;

/* The numbers of a window. */
typedef struct {
    uint32_t run;   /* the latest; 0 where there is none */
    uint32_t left;  /* in that one, never used */
    uint32_t spare; /* the first of those used before; 0 where there is none */
} block_list;

/* How many blocks may be on a page of the heap; some pages share a place. Most that are freed and
   not known are told by it: other requests free a lot, and this the cache has. */
#define BLOCKS_PAGES 4096
#define BLOCKS_UNCOUNTED UINT16_MAX /* too many to count */

typedef struct {
    uint16_t on_page[BLOCKS_PAGES];
    uint32_t *heads; /* the links to the first of each chain */
    size_t room;     /* of heads: a power of two, or 0 */
    size_t used;
    block **chunks;
    block_run *runs;
    size_t chunk_count, chunk_room;
    uint32_t spare_run; /* the first of those given back; 0 where there is none */
    uint32_t never_run; /* the least never handed out */
} block_table;

/* Give back all memory; the table is empty afterwards. */
void blocks_clear(block_table *table);

/* Bytes that the table itself takes. */
size_t blocks_own_bytes(const block_table *table);

/* Make room for another block of a window. False, with no exception, without memory. */
bool blocks_make_room(block_table *table, block_list *list, uint32_t window);

/* Give back the numbers of a window that has no blocks in the table. */
void blocks_give_back(block_table *table, block_list *list);

/* Take the blocks of a window out of the table, and give back their numbers. */
void blocks_forget(block_table *table, block_list *list);

/* The next of a window's numbers that is in use, 0 for the first; 0 after the last. */
uint32_t blocks_next(const block_table *table, const block_list *list, uint32_t number);

MEMSIZE_INLINE block *
blocks_at(const block_table *table, uint32_t number)
{
    return table->chunks[number >> BLOCKS_CHUNK_BITS] + (number & (BLOCKS_CHUNK - 1));
}

/* The number of the window that a block was born in. */
MEMSIZE_INLINE uint32_t
blocks_window(const block_table *table, uint32_t number)
{
    return table->runs[number >> BLOCKS_RUN_BITS].window;
}

MEMSIZE_INLINE uintptr_t
block_address(const block *known)
{
    return (uintptr_t)known->place << BLOCK_ADDRESS_ZEROS;
}

MEMSIZE_INLINE size_t
block_size(const block *known)
{
    return (size_t)known->size_above << 32 | known->size_below;
}

/* A link in a chain: the number of the next block, and above it one bit of four for each block from
   there on. So most that are not there are told from it, without a look at any. 0: the end. */
#define BLOCKS_NUMBER (((uint32_t)1 << BLOCK_NUMBER_BITS) - 1)

typedef struct {
    uint32_t *head;
    uint32_t sign; /* the bit */
} block_chain;

/* The chain of an address. The heads of neighbours share a line of the cache: what is mixed are the
   pages of the heap, not the places in one. */
MEMSIZE_INLINE block_chain
block_chain_of(uint32_t *heads, size_t mask, uintptr_t address)
{
    uint64_t page = (uint64_t)(address >> 14) * MEMSIZE_MIXER;
    return (block_chain){
        .head = heads + (((page >> 32) ^ (address >> 4)) & mask),
        .sign = (uint32_t)1 << (BLOCK_NUMBER_BITS + (page >> 62)),
    };
}

MEMSIZE_INLINE block_chain
blocks_chain(const block_table *table, uintptr_t address)
{
    return block_chain_of(table->heads, table->room - 1, address);
}

/* The link to the block at an address, if it is in a chain; otherwise NULL. */
MEMSIZE_INLINE uint32_t *
blocks_in_chain(const block_table *table, block_chain chain, uintptr_t address)
{
    for (uint32_t *link = chain.head; *link & chain.sign;) {
        block *known = blocks_at(table, *link & BLOCKS_NUMBER);
        if (block_address(known) == address) {
            return link;
        }
        link = &known->link;
    }
    return NULL;
}

MEMSIZE_INLINE uint16_t *
blocks_on_page(block_table *table, uintptr_t address)
{
    uintptr_t page = address >> 14;
    return table->on_page + ((page ^ (page >> 12)) & (BLOCKS_PAGES - 1));
}

/* Whether there may be a block at an address. */
MEMSIZE_INLINE bool
blocks_may_have(block_table *table, uintptr_t address)
{
    return *blocks_on_page(table, address) != 0;
}

/* Say that a block will be added or looked for at an address. */
MEMSIZE_INLINE void
blocks_expect(const block_table *table, uintptr_t address)
{
    if (table->room) {
        MEMSIZE_PREFETCH(blocks_chain(table, address).head);
    }
}

/* Say that it will be added or looked for next. */
MEMSIZE_INLINE void
blocks_expect_soon(const block_table *table, uintptr_t address)
{
    if (table->room) {
        block_chain chain = blocks_chain(table, address);
        if (*chain.head & chain.sign) {
            MEMSIZE_PREFETCH(blocks_at(table, *chain.head & BLOCKS_NUMBER));
        }
    }
}

/* The link to the block at an address; NULL where none is known. */
MEMSIZE_INLINE uint32_t *
blocks_find(const block_table *table, uintptr_t address)
{
    return table->room ? blocks_in_chain(table, blocks_chain(table, address), address) : NULL;
}

/* Count a block on its page that will be added. */
MEMSIZE_INLINE void
blocks_count(block_table *table, uintptr_t address)
{
    uint16_t *on_page = blocks_on_page(table, address);
    *on_page += *on_page != BLOCKS_UNCOUNTED;
}

MEMSIZE_INLINE void
blocks_discount(block_table *table, uintptr_t address)
{
    uint16_t *on_page = blocks_on_page(table, address);
    *on_page -= *on_page != BLOCKS_UNCOUNTED;
}

typedef enum { BLOCK_ADDED, BLOCK_KNOWN, BLOCK_NOT_KEPT } block_outcome;

/* Add a block to those of a window; it was counted. Changes nothing where there is one at that
   address already, nor, with no exception, without memory. */
MEMSIZE_INLINE block_outcome
blocks_add(block_table *table, uintptr_t address, size_t size, block_origin origin, uint32_t window,
           block_list *list)
{
    bool is_full = table->used >= table->room || (!list->spare && !list->left);
    if (MEMSIZE_RARELY(is_full) && !blocks_make_room(table, list, window)) {
        return BLOCK_NOT_KEPT;
    }
    block_chain chain = blocks_chain(table, address);
    if (MEMSIZE_RARELY(blocks_in_chain(table, chain, address) != NULL)) {
        return BLOCK_KNOWN;
    }
    uint32_t number = list->spare;
    block *added;
    if (number) {
        added = blocks_at(table, number);
        list->spare = added->link;
    }
    else {
        number = (list->run << BLOCKS_RUN_BITS) + BLOCKS_RUN - list->left--;
        added = blocks_at(table, number);
    }
    *added = (block){
        .place = address >> BLOCK_ADDRESS_ZEROS,
        .origin = origin,
        .size_above = size >> 32,
        .size_below = (uint32_t)size,
        .link = *chain.head,
    };
    *chain.head = (*chain.head & ~BLOCKS_NUMBER) | chain.sign | number;
    table->used++;
    return BLOCK_ADDED;
}

/* Take the block that a link leads to out of the table, and of those of its window. */
MEMSIZE_INLINE void
blocks_remove(block_table *table, uint32_t *link, block_list *list)
{
    uint32_t number = *link & BLOCKS_NUMBER;
    block *removed = blocks_at(table, number);
    blocks_discount(table, block_address(removed));
    *link = removed->link;
    removed->place = 0;
    removed->link = list->spare;
    list->spare = number;
    table->used--;
}

#endif
