#include "census/addresses.h"

#define FIRST_ROOM_BITS 6

void
addresses_init(address_set *set)
{
    *set = (address_set){.pages = NULL};
}

void
addresses_clear(address_set *set)
{
    if (set->pages) {
        for (size_t at = 0; at < (size_t)1 << set->room_bits; at++) {
            PyMem_RawFree(set->pages[at].bits);
        }
        PyMem_RawFree(set->pages);
    }
    addresses_init(set);
}

static address_page *
place_of(address_page *pages, unsigned room_bits, uintptr_t number)
{
    size_t mask = ((size_t)1 << room_bits) - 1;
    size_t at = (size_t)(((uint64_t)number * MEMSIZE_MIXER) >> (64 - room_bits));
    while (pages[at].number && pages[at].number != number) {
        at = (at + 1) & mask;
    }
    return pages + at;
}

static bool
make_room(address_set *set)
{
    unsigned room_bits = set->pages ? set->room_bits + 1 : FIRST_ROOM_BITS;
    address_page *pages = PyMem_RawCalloc((size_t)1 << room_bits, sizeof(address_page));
    if (!pages) {
        return false;
    }
    if (set->pages) {
        for (size_t at = 0; at < (size_t)1 << set->room_bits; at++) {
            if (set->pages[at].number) {
                *place_of(pages, room_bits, set->pages[at].number) = set->pages[at];
            }
        }
        PyMem_RawFree(set->pages);
    }
    set->pages = pages;
    set->room_bits = room_bits;
    return true;
}

bool
addresses_recall(address_set *set, uintptr_t number)
{
    if (!set->pages && !make_room(set)) {
        return false;
    }
    address_page *place = place_of(set->pages, set->room_bits, number);
    if (!place->number) {
        if (2 * (set->used + 1) > (size_t)1 << set->room_bits) {
            if (!make_room(set)) {
                return false;
            }
            place = place_of(set->pages, set->room_bits, number);
        }
        uint64_t *bits = PyMem_RawCalloc(ADDRESSES_PAGE_WORDS, sizeof(uint64_t));
        if (!bits) {
            return false;
        }
        *place = (address_page){.number = number, .bits = bits};
        set->used++;
    }
    set->recent[number % ADDRESSES_RECENT] = *place;
    return true;
}

bool
addresses_have(const address_set *set, const void *address)
{
    uintptr_t grain = (uintptr_t)address >> ADDRESSES_GRAIN_BITS;
    uintptr_t number = ((uintptr_t)address >> ADDRESSES_PAGE_BITS) + 1;
    const address_page *page = set->pages ? place_of(set->pages, set->room_bits, number) : NULL;
    if (!page || !page->number) {
        return false;
    }
    return page->bits[(grain >> 6) & (ADDRESSES_PAGE_WORDS - 1)] >> (grain & 63) & 1;
}
