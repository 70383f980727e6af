/* What the blocks of a window are: objects, their buffers, or objects that CPython keeps for later.

   A block is read before it is known what it is. So it is an object only where everything fits: the
   domain, the class, the size, the words in front of it, the count of references. What belongs to
   an object is found in the object's own words. */
#ifndef MEMSIZE_PARTS_H
#define MEMSIZE_PARTS_H

#include "meter.h"
#include "tally.h"

typedef enum {
    PART_BUFFER, /* nobody known owns it */
    PART_OWNED,  /* a buffer of ``owner`` */
    PART_OBJECT,
    PART_PARKED, /* freed, and kept on a free list */
} part_state;

typedef struct {
    uintptr_t address;
    PyObject *object;   /* where the block is one, or was */
    PyTypeObject *type; /* of it; of what is parked it may be unknown */
    Py_ssize_t bytes;
    Py_ssize_t references; /* for reachability.c */
    uint32_t owner;
    uint32_t window;
    uint8_t state;  /* a part_state */
    uint8_t origin; /* a block_origin */
    bool is_retained;
} part;

typedef struct {
    part *at;
    size_t count;
    tally kinds;     /* what is known of their types; counts nothing */
    uint32_t *index; /* by address of object or block: 1 + place of the part, 0 where empty */
    unsigned index_bits;
    bool by_object; /* the index */
} parts;

/* Which of the parts are meant. */
typedef bool (*part_filter)(const part *one);

/* Find out what a window's live blocks are, those of windows in it included. The collector must be
   off, and nothing is to be credited. -1 with an exception; parts_clear is due either way. */
int parts_find(parts *found, window *outer);

void parts_clear(parts *found);

/* Index the parts that are objects, by these. -1 with an exception. */
int parts_index_objects(parts *found);

/* How many parts ahead of their turn the cache is told that they will be read. */
#define PARTS_AHEAD 12

/* Say that the object of the part that is so many after this one will be read. */
static inline void
parts_look_ahead(const parts *found, size_t at)
{
    if (at + PARTS_AHEAD < found->count) {
        MEMSIZE_PREFETCH(found->at[at + PARTS_AHEAD].object);
    }
}

/* Take for parked what other windows hold that have taken it off the free lists, once objects are
   indexed. */
void parts_park_what_is_drained(parts *found);

/* The part at an address that is indexed, or NULL. */
part *parts_at(const parts *found, const void *address);

/* Name -> objects and name -> bytes, as two new dicts; buffers count with their owners, and by
   themselves as "(buffers)". -1 with an exception. */
int parts_columns(const parts *found, part_filter wanted, PyObject **objects, PyObject **bytes);

#endif
