/* A set of object addresses that fits the processor's cache: one bit for every 16 bytes of each
   MiB of memory in which there is an object. */
#ifndef MEMSIZE_ADDRESSES_H
#define MEMSIZE_ADDRESSES_H

#include "platform.h"

/* Two objects are never closer than the size of an object's head. */
#define ADDRESSES_GRAIN_BITS 4
#define ADDRESSES_PAGE_BITS 20
#define ADDRESSES_PAGE_WORDS ((size_t)1 << (ADDRESSES_PAGE_BITS - ADDRESSES_GRAIN_BITS - 6))

typedef struct {
    uintptr_t number; /* of its MiB, plus one: 0 where there is none */
    uint64_t *bits;
} address_page;

/* How many pages are found without a look at the hash table: those used last, by the low bits of
   their numbers. */
#define ADDRESSES_RECENT 128

typedef struct {
    address_page *pages; /* a hash table */
    unsigned room_bits;
    size_t used;
    address_page recent[ADDRESSES_RECENT];
} address_set;

/* An empty set, which takes no memory yet. */
void addresses_init(address_set *set);

/* Give back the memory of the set; it is empty afterwards. */
void addresses_clear(address_set *set);

/* Whether an address was added. */
bool addresses_have(const address_set *set, const void *address);

/* Have the page of that number among the recent ones, made if need be. False, with no exception,
   without memory. */
bool addresses_recall(address_set *set, uintptr_t number);

/* Add an address. 1 if it is new, 0 if it was there, -1, with no exception, without memory. */
static inline int
addresses_add(address_set *set, const void *address)
{
    uintptr_t grain = (uintptr_t)address >> ADDRESSES_GRAIN_BITS;
    uintptr_t number = ((uintptr_t)address >> ADDRESSES_PAGE_BITS) + 1;
    const address_page *page = set->recent + number % ADDRESSES_RECENT;
    if (MEMSIZE_RARELY(page->number != number) && !addresses_recall(set, number)) {
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
