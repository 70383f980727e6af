/* What the blocks of a window are: objects, their buffers, or objects that CPython keeps for later.

   A block is read before it is known what it is. So it is an object only where everything fits: the
   domain, the class, the size, the words in front of it, the count of references. */
#ifndef MEMSIZE_PARTS_H
#define MEMSIZE_PARTS_H

#include "analysis/kinds.h"
#include "meter/meter.h"

typedef enum {
    PART_BUFFER, /* nobody known owns it */
    PART_OWNED,  /* a buffer of ``owner`` */
    PART_OBJECT,
    PART_PARKED, /* freed, and kept on a free list */
} part_state;

#define PART_FRONT_BITS 4

/* What is read of most objects lies in so many bytes of their blocks: in one line of the cache, or
   two. */
#define PART_READ 40

/* Packed: all are read several times, and there may be millions. */
typedef struct {
    uint64_t place : BLOCK_ADDRESS_BITS - BLOCK_ADDRESS_ZEROS; /* part_address() */
    uint64_t window : BLOCK_WINDOW_BITS;
    uint64_t bytes : BLOCK_SIZE_BITS;
    uint64_t front : 2; /* of an object, what its block has in front of it: part_key() */
    uint64_t state : 2; /* a part_state */
    uint64_t origin : 2;
    uint64_t may_own : 1; /* buffers */
    uint64_t is_retained : 1;
    uint64_t kind : KIND_BITS;
    union {
        int32_t references; /* of an object, not accounted for: reachability.c */
        uint32_t owner;     /* the number of its part */
    };
    uint32_t link; /* in its index */
} part;

/* Parts by address: a hash table of links to chains, as in blocks.h, of numbers from 1. */
typedef struct {
    uint32_t *heads; /* NULL: not made yet */
    size_t mask;
} part_index;

typedef struct {
    part *at;
    size_t count;
    kinds kinds;
    uintptr_t lowest, span; /* of the blocks' memory: most words lead elsewhere */
    part_index buffers;     /* by block: what may be one */
    part_index objects;     /* by object: what may be, or have been, one */
    bool has_contents;      /* one may be the bytes or the characters of another */
} parts;

/* Find out what a window's live blocks are, those of windows in it included. The collector must be
   off, and nothing is to be credited. -1 with an exception; parts_clear is due either way. */
int parts_find(parts *found, window *outer);

void parts_clear(parts *found);

MEMSIZE_INLINE uintptr_t
part_address(const part *one)
{
    return (uintptr_t)one->place << BLOCK_ADDRESS_ZEROS;
}

/* The address that a part is found by: an object's own, or a block's. */
MEMSIZE_INLINE uintptr_t
part_key(const part *one)
{
    return part_address(one) + ((uintptr_t)one->front << PART_FRONT_BITS);
}

/* The object that a part is, or was. */
MEMSIZE_INLINE PyObject *
part_object(const part *one)
{
    return (PyObject *)part_key(one);
}

MEMSIZE_INLINE const kind *
part_kind(const parts *found, const part *one)
{
    return found->kinds.at + one->kind;
}

/* The part that a part belongs to: itself, or the object whose buffer it is. */
MEMSIZE_INLINE const part *
part_owner(const parts *found, const part *one)
{
    while (one->state == PART_OWNED) {
        one = found->at + one->owner;
    }
    return one;
}

/* Index the objects, if they are not yet. -1 with an exception. */
int parts_index_objects(parts *found);

MEMSIZE_INLINE block_chain
parts_chain(const part_index *index, uintptr_t address)
{
    return block_chain_of(index->heads, index->mask, address);
}

/* Say that what is at an address will be looked for in an index. */
MEMSIZE_INLINE void
parts_expect(const part_index *index, const void *address)
{
    MEMSIZE_PREFETCH(parts_chain(index, (uintptr_t)address).head);
}

/* Say that it will be looked for next. */
MEMSIZE_INLINE void
parts_expect_soon(const parts *found, const part_index *index, const void *address)
{
    uint32_t link = *parts_chain(index, (uintptr_t)address).head;
    /* There may be no parts at all, and 0 is no number: no pointer goes there. */
    uintptr_t before = (uintptr_t)(link & BLOCKS_NUMBER) - 1;
    MEMSIZE_PREFETCH((const void *)((uintptr_t)found->at + before * sizeof(part)));
}

/* Whether an address is among those of the blocks. */
MEMSIZE_INLINE bool
parts_span(const parts *found, const void *address)
{
    return (uintptr_t)address - found->lowest <= found->span;
}

/* The part found by an address, or NULL. */
MEMSIZE_INLINE part *
parts_at(const parts *found, const part_index *index, const void *address)
{
    if (!parts_span(found, address)) {
        return NULL;
    }
    block_chain chain = parts_chain(index, (uintptr_t)address);
    for (uint32_t link = *chain.head; link & chain.sign;) {
        part *one = found->at + (link & BLOCKS_NUMBER) - 1;
        if (part_key(one) == (uintptr_t)address) {
            return one;
        }
        link = one->link;
    }
    return NULL;
}

/* The object found by an address, once they are indexed, or NULL. */
MEMSIZE_INLINE part *
parts_object_at(const parts *found, const void *address)
{
    part *one = parts_at(found, &found->objects, address);
    return one && one->state == PART_OBJECT ? one : NULL;
}

/* Say that a part's object will be read, from its pre-header to its first members. */
MEMSIZE_INLINE void
part_expect(const part *one)
{
    MEMSIZE_PREFETCH((const char *)part_address(one));
    MEMSIZE_PREFETCH((const char *)part_address(one) + PART_READ);
}

/* How many parts ahead of their turn the cache is told that they will be read. */
#define PARTS_AHEAD 12

/* Take for parked what nobody owns and looks like it, once buffers have their owners, and what
   other windows hold that have taken it off the free lists. -1 with an exception. */
int parts_park(parts *found);

#endif
