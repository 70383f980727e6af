/* Allocations: the live blocks of a window, and what the analysis finds out about each. */
#ifndef MEMSIZE_ALLOCATIONS_H
#define MEMSIZE_ALLOCATIONS_H

#include "analysis/steps.h"
#include "analysis/types.h"
#include "cpython.h"
#include "meter/windows.h"

typedef enum {
    ALLOCATION_BUFFER, /* no object is known to own it */
    ALLOCATION_OWNED,  /* a buffer that the object ``owner`` owns */
    ALLOCATION_OBJECT,
    ALLOCATION_FREED, /* an object, or its memory, that CPython keeps on a free list */
} allocation_state;

#define ALLOCATION_HEADER_SHIFT 4 /* headers take 0, 16 or 32 bytes */

/* Packed: each is read several times, and there may be millions. */
typedef struct {
    uint64_t place : BLOCK_ADDRESS_BITS - BLOCK_ADDRESS_ZEROS; /* allocation_address() */
    uint64_t window : BLOCK_WINDOW_BITS;
    uint64_t bytes : BLOCK_SIZE_BITS;
    uint64_t header : 2; /* of an object: the bytes in front of it, shifted */
    uint64_t state : 2;  /* an allocation_state */
    uint64_t origin : BLOCK_ORIGIN_BITS;
    uint64_t may_own : 1; /* buffers, as its type */
    uint64_t is_retained : 1;
    uint64_t type : TYPE_NUMBER_BITS;
    union {
        int32_t gc_refs; /* of an object: references that are not accounted for (reachability.c) */
        uint32_t owner;  /* of an owned buffer: the index of its owner */
    };
    uint32_t link; /* in the chain of an index */
} allocation;

/* Bytes that an analysis takes for each block: the allocation, and the heads of both indexes, of
   which there may be twice and four times as many. */
#define ALLOCATIONS_BYTES_EACH (sizeof(allocation) + 6 * sizeof(uint32_t))

/* Allocations by address, in chains. The number of an allocation is its index plus 1. */
typedef struct {
    uint32_t *heads; /* NULL: not made yet */
    size_t mask;
} allocation_index;

typedef struct {
    allocation *items;
    size_t count;
    type_table types;
    uintptr_t lowest, extent;  /* of all blocks: most pointers lead elsewhere */
    allocation_index buffers;  /* by block: what may be a buffer */
    allocation_index objects;  /* by object: what is, or was taken for, an object */
    bool has_contents_to_find; /* a block may hold the characters of a text or a bytearray */
    bool has_classes;          /* an object may be a class */
} allocations;

/* The passes over all allocations prefetch this many ahead. */
#define ALLOCATIONS_AHEAD 12

/* Most of what is read of an object is in so many bytes of its block: in one line of the cache, or
   two. */
#define ALLOCATION_READ 40

/* Make room in an index. -1 with an exception. */
int allocations_index_init(allocation_index *index, size_t count);

/* Add an allocation to an index. Each is in at most one. */
void allocations_index_add(allocations *all, const allocation_index *index, size_t at);

/* Index the objects, if they are not indexed yet. May give the GIL back. -1 with an exception. */
int allocations_index_objects(allocations *all, steps *under_way);

void allocations_clear(allocations *all);

MEMSIZE_INLINE uintptr_t
allocation_address(const allocation *one)
{
    return (uintptr_t)one->place << BLOCK_ADDRESS_ZEROS;
}

/* The address that an index has: of the object, or of the block. */
MEMSIZE_INLINE uintptr_t
allocation_key(const allocation *one)
{
    return allocation_address(one) + ((uintptr_t)one->header << ALLOCATION_HEADER_SHIFT);
}

/* The object that an allocation is, or was. */
MEMSIZE_INLINE PyObject *
allocation_object(const allocation *one)
{
    return (PyObject *)allocation_key(one);
}

MEMSIZE_INLINE const type_info *
allocation_type(const allocations *all, const allocation *one)
{
    return all->types.infos + one->type;
}

/* Whether what was recognised as a live object is still one, of the same type. Since then the
   program may have put it on a free list, or changed its class. */
MEMSIZE_INLINE bool
allocation_is_unchanged(const allocations *all, const allocation *one)
{
    const PyObject *object = allocation_object(one);
    return cpython_state_of(object) == CPYTHON_ALIVE
           && Py_TYPE(object) == allocation_type(all, one)->type;
}

/* The object that owns an allocation in the end; the allocation itself if none does. */
MEMSIZE_INLINE const allocation *
allocation_owner(const allocations *all, const allocation *one)
{
    while (one->state == ALLOCATION_OWNED) {
        one = all->items + one->owner;
    }
    return one;
}

/* Whether an address is between the first and the last block. */
MEMSIZE_INLINE bool
allocations_enclose(const allocations *all, const void *address)
{
    return (uintptr_t)address - all->lowest <= all->extent;
}

MEMSIZE_INLINE chain
allocations_chain(const allocation_index *index, uintptr_t address)
{
    return chain_of(index->heads, index->mask, address);
}

/* The allocation that an index has at an address, or NULL. */
MEMSIZE_INLINE allocation *
allocations_find(const allocations *all, const allocation_index *index, const void *address)
{
    if (!allocations_enclose(all, address)) {
        return NULL;
    }
    chain searched = allocations_chain(index, (uintptr_t)address);
    for (uint32_t link = *searched.head; link & searched.filter_bit;) {
        allocation *one = all->items + (link & CHAIN_NUMBER) - 1;
        if (allocation_key(one) == (uintptr_t)address) {
            return one;
        }
        link = one->link;
    }
    return NULL;
}

/* The live object at an address, once objects are indexed; otherwise NULL. */
MEMSIZE_INLINE allocation *
allocations_find_object(const allocations *all, const void *address)
{
    allocation *one = allocations_find(all, &all->objects, address);
    return one && one->state == ALLOCATION_OBJECT ? one : NULL;
}

/* Prefetch what is read of an allocation's object, from its pre-header to its first members. */
MEMSIZE_INLINE void
allocation_prefetch(const allocation *one)
{
    MEMSIZE_PREFETCH((const char *)allocation_address(one));
    MEMSIZE_PREFETCH((const char *)allocation_address(one) + ALLOCATION_READ);
}

/* Prefetch the head of an address's chain: the first of two steps before a look-up. */
MEMSIZE_INLINE void
allocations_prefetch_chain(const allocation_index *index, const void *address)
{
    MEMSIZE_PREFETCH(allocations_chain(index, (uintptr_t)address).head);
}

/* Prefetch the first allocation of the chain: the second step. The address is computed as a number,
   because the chain may be empty and there may be no allocations. */
MEMSIZE_INLINE void
allocations_prefetch_first(const allocations *all, const allocation_index *index,
                           const void *address)
{
    uint32_t link = *allocations_chain(index, (uintptr_t)address).head;
    uintptr_t at = (uintptr_t)(link & CHAIN_NUMBER) - 1;
    MEMSIZE_PREFETCH((const void *)((uintptr_t)all->items + at * sizeof(allocation)));
}

#endif
