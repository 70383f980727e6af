/* Which part of a window stands at an address: a hash table that leads to chains of numbers. Knows
   nothing of parts: of the few numbers that it finds, whoever asks tells which one is meant. */
#ifndef MEMSIZE_PART_INDEX_H
#define MEMSIZE_PART_INDEX_H

#include "blocks.h"

typedef struct {
    uint32_t *heads; /* the links to the first of each chain, as in blocks.h */
    uint32_t *links; /* by number: to the next in its chain */
    size_t mask;
} part_index;

/* Make room for numbers up to one. -1 with an exception. */
int part_index_init(part_index *made, size_t most);

void part_index_clear(part_index *index);

typedef struct {
    uint32_t *link;
    uint32_t sign;
} part_index_search;

/* Neighbours in the heap are neighbours here: what is met together is in the same lines of the
   processor's cache. */
MEMSIZE_INLINE part_index_search
part_index_begin(const part_index *index, uintptr_t address)
{
    uint64_t page = (uint64_t)(address >> 14) * MEMSIZE_MIXER;
    return (part_index_search){
        .link = index->heads + (((page >> 32) ^ (address >> 4)) & index->mask),
        .sign = (uint32_t)1 << (BLOCK_NUMBER_BITS + (page >> 62)),
    };
}

/* The next number that may be the one at the address; 0 after the last. */
MEMSIZE_INLINE uint32_t
part_index_next(const part_index *index, part_index_search *search)
{
    uint32_t link = *search->link;
    if (!(link & search->sign)) {
        return 0;
    }
    search->link = index->links + (link & BLOCKS_NUMBER);
    return link & BLOCKS_NUMBER;
}

/* Add a number, which is not 0. */
MEMSIZE_INLINE void
part_index_add(part_index *index, uintptr_t address, uint32_t number)
{
    part_index_search search = part_index_begin(index, address);
    index->links[number] = *search.link;
    *search.link = (*search.link & ~BLOCKS_NUMBER) | search.sign | number;
}

/* Say that what is at an address will be asked for, or added. */
MEMSIZE_INLINE void
part_index_expect(const part_index *index, uintptr_t address)
{
    MEMSIZE_PREFETCH(part_index_begin(index, address).link);
}

#endif
