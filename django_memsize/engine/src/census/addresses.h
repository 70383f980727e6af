/* A set of the addresses of objects: one bit for every 16 bytes of each MiB that has an object in
   it. A set of millions of objects takes 8 KB a MiB of heap, and so stays in the processor's
   cache; a hash table of addresses would not. */
#ifndef MEMSIZE_ADDRESSES_H
#define MEMSIZE_ADDRESSES_H

#include "hashtable.h"

/* An object takes at least 16 bytes, and is aligned to as many. */
#define ADDRESSES_GRAIN_BITS 4
#define ADDRESSES_PAGE_BITS 20
#define ADDRESSES_PAGE_WORDS ((size_t)1 << (ADDRESSES_PAGE_BITS - ADDRESSES_GRAIN_BITS - 6))

typedef struct {
    uintptr_t number; /* of the MiB, plus 1 */
    uint64_t *bits;
} address_page;

/* The pages that were used last are found without the hash table, by the low bits of their
   numbers. */
#define ADDRESSES_RECENT 128

typedef struct {
    hashtable pages; /* of address_page */
    address_page recent[ADDRESSES_RECENT];
} address_set;

/* Make an empty set, which takes no memory yet. */
void addresses_init(address_set *set);

/* Free the memory: the set is empty afterwards. */
void addresses_clear(address_set *set);

/* Whether an address was added. */
bool addresses_contain(const address_set *set, const void *address);

/* Make the page of a number one of the recent pages; add the page if there is none. False without
   memory, with no exception. */
bool addresses_load_page(address_set *set, uintptr_t number);

MEMSIZE_INLINE uintptr_t
addresses_page_number(const void *address)
{
    return ((uintptr_t)address >> ADDRESSES_PAGE_BITS) + 1;
}

/* Add an address. 1 if it is new, 0 if it was in the set, -1 without memory, with no exception. */
static inline int
addresses_add(address_set *set, const void *address)
{
    uintptr_t grain = (uintptr_t)address >> ADDRESSES_GRAIN_BITS;
    uintptr_t number = addresses_page_number(address);
    const address_page *page = set->recent + number % ADDRESSES_RECENT;
    if (MEMSIZE_UNLIKELY(page->number != number) && !addresses_load_page(set, number)) {
        return -1;
    }
    uint64_t *word = page->bits + ((grain >> 6) & (ADDRESSES_PAGE_WORDS - 1));
    uint64_t bit = (uint64_t)1 << (grain & 63);
    if (*word & bit) {
        return 0;
    }
    *word |= bit;
    return 1;
}

#endif
