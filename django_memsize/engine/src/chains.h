/* Hash chains by address, for millions of entries: four bytes for each head, and four in each
   entry. Entries are numbered from 1.

   Not hashtable.h, because entries are removed (meter/blocks.h), because heads of neighbouring
   addresses must share a line of the processor's cache, and because most look-ups miss: a link says
   enough of the rest of its chain for most of these to read no entry at all. */
#ifndef MEMSIZE_CHAINS_H
#define MEMSIZE_CHAINS_H

#include "hashtable.h"

/* A link: the number of the next entry (0 ends the chain), and above it a filter of four bits. Each
   entry from there on sets one of these bits, by its address. */
#define CHAIN_NUMBER_BITS 28
#define CHAIN_NUMBER (((uint32_t)1 << CHAIN_NUMBER_BITS) - 1)

/* Where an address belongs. */
typedef struct {
    uint32_t *head;
    uint32_t filter_bit;
} chain;

/* Hashes the page of the address (16 KB), not the place in it: neighbours get neighbouring
   heads. */
MEMSIZE_INLINE chain
chain_of(uint32_t *heads, size_t mask, uintptr_t address)
{
    uint64_t page = (uint64_t)(address >> 14) * HASHTABLE_MULTIPLIER;
    return (chain){
        .head = heads + (((page >> 32) ^ (address >> 4)) & mask),
        .filter_bit = (uint32_t)1 << (CHAIN_NUMBER_BITS + (page >> 62)),
    };
}

/* Make an entry, whose link is already that of the head, the first of its chain. */
MEMSIZE_INLINE void
chain_push(chain into, uint32_t number)
{
    *into.head = (*into.head & ~CHAIN_NUMBER) | into.filter_bit | number;
}

#endif
