#include "analysis/types.h"

#include "census/anatomy.h"

/* -1 with an exception. */
static int
append_info(type_table *table, type_info info)
{
    if (table->count == table->capacity) {
        type_info *grown = array_grow(table->infos, sizeof(type_info), &table->capacity);
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        table->infos = grown;
    }
    table->infos[table->count++] = info;
    return 0;
}

int
types_init(type_table *table)
{
    *table = (type_table){.infos = NULL};
    while (table->count < TYPES_RESERVED) {
        if (append_info(table, (type_info){.type = NULL}) < 0) {
            return -1;
        }
    }
    return 0;
}

void
types_clear(type_table *table)
{
    hashtable_clear(&table->places);
    PyMem_RawFree(table->infos);
    *table = (type_table){.infos = NULL};
}

/* Their buffers hold objects or characters, and no pointers to more buffers. */
#define OWNS_NO_CHAINS (Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS)

static type_info
describe(PyTypeObject *type)
{
    unsigned long flags = type->tp_flags;
    return (type_info){
        .type = type,
        .basic_bytes = type->tp_basicsize,
        .item_bytes = type->tp_itemsize,
        .header_bytes = (uint8_t)cpython_header_bytes(type),
        .may_be_resized = cpython_may_be_resized(type),
        .is_text = flags & Py_TPFLAGS_UNICODE_SUBCLASS,
        .is_bytearray = PyType_IsSubtype(type, &PyByteArray_Type),
        .is_dict = cpython_is_dict(type),
        .has_attributes = flags & Py_TPFLAGS_MANAGED_DICT,
        .may_own = anatomy_may_own(type),
        .owns_chains = !(flags & OWNS_NO_CHAINS) && !cpython_is_dict(type),
        .may_refer = anatomy_may_refer(type),
    };
}

uint32_t
types_add(type_table *table, PyTypeObject *type)
{
    if (table->count >> TYPE_NUMBER_BITS) {
        PyErr_NoMemory();
        return 0;
    }
    uint32_t number = (uint32_t)table->count;
    if (append_info(table, describe(type)) < 0) {
        return 0;
    }
    type_place *place = hashtable_add(&table->places, sizeof(type_place), (uintptr_t)type);
    if (!place) {
        PyErr_NoMemory();
        return 0;
    }
    place->number = number;
    return number;
}
