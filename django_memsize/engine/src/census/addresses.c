#include "census/addresses.h"

void
addresses_init(address_set *set)
{
    *set = (address_set){.pages = {.entries = NULL}};
}

void
addresses_clear(address_set *set)
{
    address_page *page = NULL;
    while ((page = hashtable_next(&set->pages, sizeof(address_page), page))) {
        PyMem_RawFree(page->bits);
    }
    hashtable_clear(&set->pages);
    addresses_init(set);
}

bool
addresses_load_page(address_set *set, uintptr_t number)
{
    address_page *page = hashtable_find(&set->pages, sizeof(address_page), number);
    if (!page) {
        /* The bits first: a page in the table always has some. */
        uint64_t *bits = PyMem_RawCalloc(ADDRESSES_PAGE_WORDS, sizeof(uint64_t));
        page = bits ? hashtable_add(&set->pages, sizeof(address_page), number) : NULL;
        if (!page) {
            PyMem_RawFree(bits);
            return false;
        }
        page->bits = bits;
    }
    set->recent[number % ADDRESSES_RECENT] = *page;
    return true;
}

bool
addresses_contain(const address_set *set, const void *address)
{
    uintptr_t grain = (uintptr_t)address >> ADDRESSES_GRAIN_BITS;
    const address_page *page
        = hashtable_find(&set->pages, sizeof(address_page), addresses_page_number(address));
    return page && page->bits[(grain >> 6) & (ADDRESSES_PAGE_WORDS - 1)] >> (grain & 63) & 1;
}
