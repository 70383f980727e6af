#include "analysis/listing.h"

#include "analysis/recognition.h"
#include "meter/crediting.h"
#include "meter/hooks.h"

/* Recognise an allocation, or index it as what may be a buffer. */
static void
recognise(recognition *under_way, size_t at)
{
    allocations *all = under_way->all;
    if (!recognition_try(under_way, all->items + at)) {
        allocations_index_add(all, &all->buffers, at);
    }
}

/* Append the block of a number, and prefetch it. */
static void
append_block(allocations *all, const block *listed, uint32_t window_number)
{
    allocation *added = all->items + all->count++;
    *added = (allocation){
        .place = listed->place,
        .window = window_number,
        .bytes = block_size(listed),
        .origin = listed->origin,
    };
    allocation_prefetch(added);
    allocations_prefetch_chain(&all->buffers, (const void *)allocation_address(added));
}

/* List at most so many blocks, and recognise each a little later, when it was fetched. */
static void
list_and_recognise(recognition *under_way, window *outer, size_t room)
{
    allocations *all = under_way->all;
    const block_table *table = crediting_flush_blocks();
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    for (window *each = outer; each; each = windows_next_in(outer, each)) {
        uint32_t number = blocks_next(table, &each->own, 0);
        for (; number && all->count < room; number = blocks_next(table, &each->own, number)) {
            const block *listed = blocks_at(table, number);
            append_block(all, listed, each->number);
            lowest = Py_MIN(lowest, block_address(listed));
            highest = Py_MAX(highest, block_address(listed) + block_size(listed));
            if (all->count > ALLOCATIONS_AHEAD) {
                recognise(under_way, all->count - 1 - ALLOCATIONS_AHEAD);
            }
        }
    }
    for (size_t at = all->count - Py_MIN(all->count, ALLOCATIONS_AHEAD); at < all->count; at++) {
        recognise(under_way, at);
    }
    all->lowest = lowest;
    all->extent = all->count ? highest - lowest : 0;
}

/* -1 with an exception. */
static int
make_once(recognition *under_way, window *outer)
{
    size_t room = (size_t)outer->alive.blocks;
    allocations *all = under_way->all;
    if (types_init(&all->types) < 0 || allocations_index_init(&all->buffers, room / 2) < 0) {
        return -1;
    }
    all->items = PyMem_RawMalloc((room + 1) * sizeof(allocation));
    if (!all->items) {
        PyErr_NoMemory();
        return -1;
    }
    list_and_recognise(under_way, outer, room);
    return under_way->has_failed ? -1 : 0;
}

int
listing_make(allocations *all, window *outer)
{
    *all = (allocations){.items = NULL};
    recognition under_way = {.all = all};
    if (hooks_saw_class()) {
        recognition_forget_suspects();
    }
    if (make_once(&under_way, outer) < 0) {
        return -1;
    }
    if (!under_way.suspect) {
        return 0;
    }
    /* Again from the start: updating the classes frees what was known of them, some of it in these
       blocks. */
    allocations_clear(all);
    return recognition_update_classes(under_way.suspect) < 0 ? -1 : make_once(&under_way, outer);
}

static void
mark_freed_buffers(allocations *all)
{
    for (size_t at = 0; at < all->count; at++) {
        allocation *one = all->items + at;
        if (one->state == ALLOCATION_BUFFER && recognition_is_freed(one)) {
            one->state = ALLOCATION_FREED;
            one->type = TYPE_OF_FREE_LISTS;
        }
    }
}

int
listing_mark_freed(allocations *all)
{
    mark_freed_buffers(all);
    for (const window *each = windows_latest_outermost(); each; each = each->older) {
        if (each->drained.count && allocations_index_objects(all) < 0) {
            return -1;
        }
        for (size_t at = 0; at < each->drained.count; at++) {
            allocation *one = allocations_find_object(all, each->drained.items[at]);
            if (one) {
                one->state = ALLOCATION_FREED;
            }
        }
    }
    return 0;
}
