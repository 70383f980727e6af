#include "analysis/external.h"

#define FIRST_ROOM_BITS 8

void
guests_clear(guest_list *guests)
{
    PyMem_RawFree(guests->table);
    *guests = (guest_list){.table = NULL};
}

static guest *
place_of(guest *table, unsigned room_bits, const PyObject *object)
{
    size_t mask = ((size_t)1 << room_bits) - 1;
    size_t at = place_by_address(object, room_bits);
    while (table[at].object && table[at].object != object) {
        at = (at + 1) & mask;
    }
    return table + at;
}

static bool
make_room(guest_list *guests)
{
    guest_list old = *guests;
    unsigned room_bits = old.table ? old.room_bits + 1 : FIRST_ROOM_BITS;
    guest *table = PyMem_RawCalloc((size_t)1 << room_bits, sizeof(guest));
    if (!table) {
        return false;
    }
    for (size_t at = 0; old.table && at < (size_t)1 << old.room_bits; at++) {
        if (old.table[at].object) {
            *place_of(table, room_bits, old.table[at].object) = old.table[at];
        }
    }
    PyMem_RawFree(old.table);
    guests->table = table;
    guests->room_bits = room_bits;
    return true;
}

guest *
guests_find(const guest_list *guests, PyObject *object)
{
    guest *found = guests->table ? place_of(guests->table, guests->room_bits, object) : NULL;
    return found && found->object ? found : NULL;
}

guest *
guests_meet(guest_list *guests, PyObject *object)
{
    if (!guest_may_be(object)) {
        return NULL;
    }
    if ((!guests->table || 2 * (guests->used + 1) > (size_t)1 << guests->room_bits)
        && !make_room(guests))
    {
        return NULL;
    }
    guest *found = place_of(guests->table, guests->room_bits, object);
    if (!found->object) {
        found->object = object;
        guests->used++;
    }
    return found;
}
