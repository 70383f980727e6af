/* The types of a window's objects. Each type is described once: what a block with an instance looks
   like, and what the instance may point to. */
#ifndef MEMSIZE_TYPES_H
#define MEMSIZE_TYPES_H

#include "array.h"
#include "hashtable.h"

/* Numbers that are not of a type. */
enum { TYPE_OF_BUFFERS, TYPE_OF_FREE_LISTS, TYPES_RESERVED };

#define TYPE_NUMBER_BITS 19

/* Types of which it is known which members point to buffers. */
typedef enum {
    BUFFERS_UNKNOWN,
    BUFFERS_OF_LIST,
    BUFFERS_OF_DICT,
    BUFFERS_OF_SET,
    BUFFERS_OF_DECIMAL,
} buffers_rule;

typedef struct {
    PyTypeObject *type;
    Py_ssize_t basic_bytes, item_bytes;
    uint8_t header_bytes; /* of a block in front of the object */
    bool may_be_resized;
    bool is_text, is_bytearray, is_class;
    bool may_have_values; /* in a block of their own */
    bool may_own;         /* buffers */
    bool owns_chains;     /* the buffers of scanned members may point to more buffers */
    bool may_refer;       /* to other objects */
    buffers_rule buffers;
    uint16_t scan_from, scan_to; /* words: the members of which nothing is known */
} type_info;

typedef struct {
    const void *type;
    uint32_t number;
} type_place;

typedef struct {
    type_info *infos; /* by number */
    size_t count, capacity;
    hashtable places; /* of type_place */
} type_table;

/* Make a table ready. -1 with an exception; types_clear() is due either way. */
int types_init(type_table *table);

void types_clear(type_table *table);

/* Add a type, which is not in the table, and return its number. 0 with an exception. */
uint32_t types_add(type_table *table, PyTypeObject *type);

/* The number of the type at an address; 0 if the table does not have it. */
static inline uint32_t
types_find(const type_table *table, const void *type)
{
    const type_place *place = hashtable_find(&table->places, sizeof(type_place), (uintptr_t)type);
    return place ? place->number : 0;
}

#endif
