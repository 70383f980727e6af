/* A hash table of structs, written once: open addressing with linear probing, at most a
   quarter full, because some tables are read once for each object on the heap, and none is large.

   Any struct whose first member is its key will do. The key is a word (an address, or a number): 0
   marks an empty place. The size of the struct is a parameter of each function; callers pass a
   constant, and everything here is inline, so that each table compiles to code of its own.
   Pointers to entries are valid until the table grows. Nothing is ever removed.

   Two tables have another shape for a reason: addresses.h (one bit for each object, to fit the
   processor's cache) and chains.h (four bytes for each block, and a look-up that misses reads no
   block). */
#ifndef MEMSIZE_HASHTABLE_H
#define MEMSIZE_HASHTABLE_H

#include "platform.h"

typedef struct {
    char *entries; /* NULL: the table was never used, and takes no memory */
    size_t used;
    unsigned capacity_bits;
} hashtable;

#define HASHTABLE_FIRST_BITS 6

/* An odd number near 2^64 divided by the golden ratio: the high bits of a product depend on all
   bits of the key (Fibonacci hashing; Knuth, TAOCP 6.4). */
#define HASHTABLE_MULTIPLIER UINT64_C(0x9E3779B97F4A7C15)

/* The first place to look for a key. Low bits of an address are zero: rotated, they do not displace
   high bits from the product. */
MEMSIZE_INLINE size_t
hashtable_hash(uintptr_t key, unsigned bits)
{
    uint64_t rotated = (uint64_t)key >> 4 | (uint64_t)key << 60;
    return (size_t)((rotated * HASHTABLE_MULTIPLIER) >> (64 - bits));
}

static inline size_t
hashtable_capacity(const hashtable *table)
{
    return table->entries ? (size_t)1 << table->capacity_bits : 0;
}

/* The key of an entry. Copied: the first member of the struct may have any type of a word's size,
   which C must not read as another. */
MEMSIZE_INLINE uintptr_t
hashtable_key(const void *entry)
{
    uintptr_t key;
    memcpy(&key, entry, sizeof(key));
    return key;
}

/* The entry at a place; its key may be 0. */
MEMSIZE_INLINE void *
hashtable_at(const hashtable *table, size_t entry_bytes, size_t place)
{
    return table->entries + place * entry_bytes;
}

/* The entry of a key, or the empty one where it belongs. The table must have entries. */
MEMSIZE_INLINE void *
hashtable_probe(const hashtable *table, size_t entry_bytes, uintptr_t key)
{
    size_t mask = ((size_t)1 << table->capacity_bits) - 1;
    size_t place = hashtable_hash(key, table->capacity_bits);
    for (;;) {
        void *entry = hashtable_at(table, entry_bytes, place);
        uintptr_t found = hashtable_key(entry);
        if (found == key || !found) {
            return entry;
        }
        place = (place + 1) & mask;
    }
}

/* The entry of a key, or NULL. */
MEMSIZE_INLINE void *
hashtable_find(const hashtable *table, size_t entry_bytes, uintptr_t key)
{
    void *entry = table->entries ? hashtable_probe(table, entry_bytes, key) : NULL;
    return entry && hashtable_key(entry) ? entry : NULL;
}

/* Move the entries to a table of another capacity, of which they may fill a quarter. False without
   memory, with no exception: the table is unchanged. */
static inline bool
hashtable_resize(hashtable *table, size_t entry_bytes, unsigned capacity_bits)
{
    hashtable resized = {.used = table->used, .capacity_bits = capacity_bits};
    resized.entries = PyMem_RawCalloc((size_t)1 << capacity_bits, entry_bytes);
    if (!resized.entries) {
        return false;
    }
    for (size_t place = 0; place < hashtable_capacity(table); place++) {
        const void *entry = hashtable_at(table, entry_bytes, place);
        uintptr_t key = hashtable_key(entry);
        if (key) {
            memcpy(hashtable_probe(&resized, entry_bytes, key), entry, entry_bytes);
        }
    }
    PyMem_RawFree(table->entries);
    *table = resized;
    return true;
}

/* Double the capacity. False as above. */
static inline bool
hashtable_grow(hashtable *table, size_t entry_bytes)
{
    unsigned bits = table->entries ? table->capacity_bits + 1 : HASHTABLE_FIRST_BITS;
    return hashtable_resize(table, entry_bytes, bits);
}

/* Make room in an empty table for a number of entries, so that it does not grow with them. False as
   above. */
static inline bool
hashtable_reserve(hashtable *table, size_t entry_bytes, size_t count)
{
    unsigned bits = HASHTABLE_FIRST_BITS;
    while ((size_t)1 << bits < 4 * count) {
        bits++;
    }
    return hashtable_resize(table, entry_bytes, bits);
}

/* The entry of a key, added with all other members 0 if there is none. NULL without memory, with no
   exception. */
static inline void *
hashtable_add(hashtable *table, size_t entry_bytes, uintptr_t key)
{
    void *entry = hashtable_find(table, entry_bytes, key);
    if (entry) {
        return entry;
    }
    if (4 * (table->used + 1) > hashtable_capacity(table) && !hashtable_grow(table, entry_bytes)) {
        return NULL;
    }
    entry = hashtable_probe(table, entry_bytes, key);
    memcpy(entry, &key, sizeof(key));
    table->used++;
    return entry;
}

/* The next entry in use after one, from NULL for the first; NULL after the last. */
static inline void *
hashtable_next(const hashtable *table, size_t entry_bytes, const void *previous)
{
    size_t place
        = previous ? (size_t)((const char *)previous - table->entries) / entry_bytes + 1 : 0;
    for (; place < hashtable_capacity(table); place++) {
        void *entry = hashtable_at(table, entry_bytes, place);
        if (hashtable_key(entry)) {
            return entry;
        }
    }
    return NULL;
}

/* Free the memory: the table is empty afterwards. */
static inline void
hashtable_clear(hashtable *table)
{
    PyMem_RawFree(table->entries);
    *table = (hashtable){.entries = NULL};
}

#endif
