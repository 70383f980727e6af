/* The types of a window's objects: each is looked at once, for what its instances' blocks may be
   and what they may lead to. */
#ifndef MEMSIZE_KINDS_H
#define MEMSIZE_KINDS_H

#include "platform.h"

/* Numbers of what has no type. */
enum { KIND_OF_BUFFERS, KIND_OF_FREE_LISTS, KINDS_WITHOUT_TYPE };

#define KIND_BITS 19

typedef struct {
    PyTypeObject *type;
    Py_ssize_t basic_bytes, item_bytes;
    uint8_t front;       /* bytes of a block in front of the object */
    bool may_be_resized; /* CPython changes the size of an instance */
    bool is_text, is_byte_array, is_dict;
    bool has_attributes;
    bool may_own;     /* buffers, by its own words */
    bool owns_chains; /* and what these lead to */
    bool may_refer;   /* to other objects */
} kind;

typedef struct {
    const void *type; /* NULL: empty */
    uint32_t number;
} kind_place;

typedef struct {
    kind *at;
    size_t count, room;
    kind_place *places; /* by address of the type */
    unsigned place_bits;
} kinds;

/* Make ready. -1 with an exception; kinds_clear is due either way. */
int kinds_init(kinds *met);

void kinds_clear(kinds *met);

/* Look at a type that was not met yet, and return its number. 0 with an exception. */
uint32_t kinds_meet(kinds *met, PyTypeObject *type);

/* The number of what was met at an address; 0 if nothing was. */
static inline uint32_t
kinds_find(const kinds *met, const void *type)
{
    size_t mask = ((size_t)1 << met->place_bits) - 1;
    size_t at = place_by_address(type, met->place_bits);
    while (met->places[at].type != type) {
        if (!met->places[at].type) {
            return 0;
        }
        at = (at + 1) & mask;
    }
    return met->places[at].number;
}

#endif
