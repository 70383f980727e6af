#include "analysis/allocations.h"

#define FIRST_HEADS 16

int
allocations_index_init(allocation_index *index, size_t count)
{
    size_t capacity = FIRST_HEADS;
    while (capacity < count) {
        capacity *= 2;
    }
    *index = (allocation_index){
        .heads = PyMem_RawCalloc(capacity, sizeof(uint32_t)),
        .mask = capacity - 1,
    };
    if (!index->heads) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
allocations_index_add(allocations *all, const allocation_index *index, size_t at)
{
    allocation *added = all->items + at;
    chain into = allocations_chain(index, allocation_key(added));
    added->link = *into.head;
    chain_push(into, (uint32_t)(at + 1));
}

int
allocations_index_objects(allocations *all, steps *under_way)
{
    if (all->objects.heads) {
        return 0;
    }
    if (allocations_index_init(&all->objects, 2 * all->count) < 0) {
        return -1;
    }
    for (size_t at = 0; at < all->count && steps_count(under_way, 1); at++) {
        if (all->items[at].type >= TYPES_RESERVED) {
            allocations_index_add(all, &all->objects, at);
        }
    }
    return 0;
}

void
allocations_clear(allocations *all)
{
    PyMem_RawFree(all->buffers.heads);
    PyMem_RawFree(all->objects.heads);
    types_clear(&all->types);
    PyMem_RawFree(all->items);
    *all = (allocations){.items = NULL};
}
