#include "analysis/kinds.h"

#include "census/anatomy.h"

#define FIRST_PLACE_BITS 8

static size_t
room_of(unsigned place_bits)
{
    return (size_t)1 << (place_bits - 1);
}

/* Make room for twice as many. -1 with an exception. */
static int
make_room(kinds *met)
{
    unsigned bits = met->places ? met->place_bits + 1 : FIRST_PLACE_BITS;
    kind *moved = PyMem_RawRealloc(met->at, room_of(bits) * sizeof(kind));
    met->at = moved ? moved : met->at;
    kind_place *places = moved ? PyMem_RawCalloc((size_t)1 << bits, sizeof(kind_place)) : NULL;
    if (!places) {
        PyErr_NoMemory();
        return -1;
    }
    PyMem_RawFree(met->places);
    met->places = places;
    met->place_bits = bits;
    met->room = room_of(bits);
    return 0;
}

static void
put_in_place(kinds *met, uint32_t number)
{
    size_t mask = ((size_t)1 << met->place_bits) - 1;
    const void *type = met->at[number].type;
    size_t at = place_by_address(type, met->place_bits);
    while (met->places[at].type) {
        at = (at + 1) & mask;
    }
    met->places[at] = (kind_place){.type = type, .number = number};
}

int
kinds_init(kinds *met)
{
    *met = (kinds){.at = NULL};
    if (make_room(met) < 0) {
        return -1;
    }
    while (met->count < KINDS_WITHOUT_TYPE) {
        met->at[met->count++] = (kind){.type = NULL};
    }
    return 0;
}

void
kinds_clear(kinds *met)
{
    PyMem_RawFree(met->places);
    PyMem_RawFree(met->at);
    *met = (kinds){.at = NULL};
}

#define FLAGS_OF_PLAIN_OWNERS                                                                      \
    (Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS)

static kind
looked_at(PyTypeObject *type)
{
    unsigned long flags = type->tp_flags;
    return (kind){
        .type = type,
        .basic_bytes = type->tp_basicsize,
        .item_bytes = type->tp_itemsize,
        .front = (uint8_t)anatomy_front(type),
        .may_be_resized = type == &PyUnicode_Type || type == &PyBytes_Type || type == &PyTuple_Type,
        .is_text = flags & Py_TPFLAGS_UNICODE_SUBCLASS,
        .is_byte_array = PyType_IsSubtype(type, &PyByteArray_Type),
        .is_dict = flags & Py_TPFLAGS_DICT_SUBCLASS,
        .has_attributes = flags & Py_TPFLAGS_MANAGED_DICT,
        .may_own = anatomy_may_own(type),
        .owns_chains = !(flags & FLAGS_OF_PLAIN_OWNERS),
        .may_refer = anatomy_may_refer(type),
    };
}

uint32_t
kinds_meet(kinds *met, PyTypeObject *type)
{
    if (met->count >> KIND_BITS) {
        PyErr_NoMemory();
        return 0;
    }
    if (met->count == met->room) {
        if (make_room(met) < 0) {
            return 0;
        }
        for (uint32_t number = KINDS_WITHOUT_TYPE; number < met->count; number++) {
            put_in_place(met, number);
        }
    }
    uint32_t number = (uint32_t)met->count++;
    met->at[number] = looked_at(type);
    put_in_place(met, number);
    return number;
}
