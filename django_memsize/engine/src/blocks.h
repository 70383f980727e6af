/* The blocks of memory that were allocated in windows and are not freed yet: where each is, how
   big, and in which window it was born.

   A block has a number that stays the same while it lives. A hash table by address leads to the
   first of a chain of numbers; the blocks of each window are a list. Knows nothing of windows but
   their numbers. */
#ifndef MEMSIZE_BLOCKS_H
#define MEMSIZE_BLOCKS_H

#include "platform.h"

#define BLOCK_SIZE_BITS 36
#define BLOCK_SIZE_MOST (((size_t)1 << BLOCK_SIZE_BITS) - 1)
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
    uint64_t window : BLOCK_WINDOW_BITS;
    uint64_t size : BLOCK_SIZE_BITS;
    uint64_t next : BLOCK_NUMBER_BITS; /* of the same window; 0 where there is none */
    uint64_t previous : BLOCK_NUMBER_BITS;
    uint64_t chained : 32; /* the link to the next in its chain; a spare one's, a number */
    uint64_t origin : 2;
} block;

#define BLOCKS_CHUNK_BITS 10
#define BLOCKS_CHUNK ((uint32_t)1 << BLOCKS_CHUNK_BITS)

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
    size_t chunk_count, chunk_room;
    uint32_t spare;      /* the first of the numbers given back, chained; 0 where there is none */
    uint32_t never_used; /* the least number not yet given */
    uint32_t end;        /* of the numbers that there is memory for */
} block_table;

/* Give back all memory; the table is empty afterwards. */
void blocks_clear(block_table *table);

/* Bytes that the table itself takes. */
size_t blocks_own_bytes(const block_table *table);

/* Make room for another block. False, with no exception, without memory. */
bool blocks_make_room(block_table *table);

MEMSIZE_INLINE block *
blocks_at(const block_table *table, uint32_t number)
{
    return table->chunks[number >> BLOCKS_CHUNK_BITS] + (number & (BLOCKS_CHUNK - 1));
}

MEMSIZE_INLINE uintptr_t
block_address(const block *known)
{
    return (uintptr_t)known->place << BLOCK_ADDRESS_ZEROS;
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

/* The number of the block at an address, if it is in a chain; otherwise 0. */
MEMSIZE_INLINE uint32_t
blocks_in_chain(const block_table *table, block_chain chain, uintptr_t address)
{
    uint32_t link = *chain.head;
    while (link & chain.sign) {
        const block *known = blocks_at(table, link & BLOCKS_NUMBER);
        if (block_address(known) == address) {
            return link & BLOCKS_NUMBER;
        }
        link = known->chained;
    }
    return 0;
}

MEMSIZE_INLINE size_t
blocks_page(uintptr_t address)
{
    uintptr_t page = address >> 14;
    return (page ^ (page >> 12)) & (BLOCKS_PAGES - 1);
}

/* The number of the block at an address; 0 where none is known. */
MEMSIZE_INLINE uint32_t
blocks_find(const block_table *table, const void *address)
{
    uintptr_t start = (uintptr_t)address;
    if (!table->on_page[blocks_page(start)]) {
        return 0;
    }
    return blocks_in_chain(table, blocks_chain(table, start), start);
}

typedef enum { BLOCK_ADDED, BLOCK_KNOWN, BLOCK_NOT_KEPT } block_outcome;

/* Add a block to a window's list. Changes nothing where there is one at that address already, nor,
   with no exception, without memory, or where no block is ever expected to be. */
MEMSIZE_INLINE block_outcome
blocks_add(block_table *table, const void *address, size_t size, uint32_t window,
           block_origin origin, uint32_t *first)
{
    uintptr_t start = (uintptr_t)address;
    if (MEMSIZE_RARELY((start & BLOCK_ADDRESS_ODD) != 0)) {
        return BLOCK_NOT_KEPT;
    }
    bool is_full = table->used >= table->room || (!table->spare && table->never_used >= table->end);
    if (MEMSIZE_RARELY(is_full) && !blocks_make_room(table)) {
        return BLOCK_NOT_KEPT;
    }
    block_chain chain = blocks_chain(table, start);
    if (MEMSIZE_RARELY(blocks_in_chain(table, chain, start) != 0)) {
        return BLOCK_KNOWN;
    }
    uint32_t number = table->spare;
    block *added;
    if (number) {
        added = blocks_at(table, number);
        table->spare = added->chained;
    }
    else {
        number = table->never_used++;
        added = blocks_at(table, number);
    }
    *added = (block){
        .place = start >> BLOCK_ADDRESS_ZEROS,
        .window = window,
        .size = size,
        .next = *first,
        .chained = *chain.head,
        .origin = origin,
    };
    *chain.head = (*chain.head & ~BLOCKS_NUMBER) | chain.sign | number;
    if (*first) {
        blocks_at(table, *first)->previous = number;
    }
    *first = number;
    table->used++;
    uint16_t *on_page = table->on_page + blocks_page(start);
    *on_page += *on_page != BLOCKS_UNCOUNTED;
    return BLOCK_ADDED;
}

/* Take a block out of the table and of its window's list. */
MEMSIZE_INLINE void
blocks_remove(block_table *table, uint32_t number, uint32_t *first)
{
    block *removed = blocks_at(table, number);
    uintptr_t start = block_address(removed);
    uint16_t *on_page = table->on_page + blocks_page(start);
    *on_page -= *on_page != BLOCKS_UNCOUNTED;
    uint32_t *head = blocks_chain(table, start).head;
    if ((*head & BLOCKS_NUMBER) == number) {
        *head = removed->chained;
    }
    else {
        block *before = blocks_at(table, *head & BLOCKS_NUMBER);
        while ((before->chained & BLOCKS_NUMBER) != number) {
            before = blocks_at(table, before->chained & BLOCKS_NUMBER);
        }
        before->chained = removed->chained;
    }
    if (removed->previous) {
        blocks_at(table, removed->previous)->next = removed->next;
    }
    else {
        *first = removed->next;
    }
    if (removed->next) {
        blocks_at(table, removed->next)->previous = removed->previous;
    }
    removed->place = 0;
    removed->chained = table->spare;
    table->spare = number;
    table->used--;
}

#endif
