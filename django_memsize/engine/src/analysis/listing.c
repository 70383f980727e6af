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

/* Append the block of a number. */
static void
append_block(allocations *all, const block *listed, uint32_t window_number)
{
    all->items[all->count++] = (allocation){
        .place = listed->place,
        .window = window_number,
        .bytes = block_size(listed),
        .origin = listed->origin,
    };
}

/* List the blocks of a window itself, as long as there is room. */
static void
list_blocks_of(allocations *all, const window *one, size_t room, steps *with)
{
    const block_table *table = &crediting.blocks;
    uint32_t number = blocks_next(table, &one->own, 0);
    for (; number && all->count < room && steps_count(with, 1);
         number = blocks_next(table, &one->own, number))
    {
        append_block(all, blocks_at(table, number), one->number);
    }
}

/* List at most so many blocks of a window and of the windows in it. */
static void
list_blocks(allocations *all, size_t room, steps *with)
{
    window *outer = with->analysed;
    (void)crediting_flush_blocks();
    /* A stale state may be that the window is destroyed. */
    for (window *each = outer; each; each = with->is_stale ? NULL : windows_next_in(outer, each)) {
        list_blocks_of(all, each, room, with);
    }
}

/* Set between which addresses the blocks are. */
static void
find_extent(allocations *all, steps *with)
{
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    for (size_t at = 0; at < all->count && steps_count(with, 1); at++) {
        const allocation *one = all->items + at;
        lowest = Py_MIN(lowest, allocation_address(one));
        highest = Py_MAX(highest, allocation_address(one) + one->bytes);
    }
    all->lowest = lowest;
    all->extent = all->count ? highest - lowest : 0;
}

static void
recognise_all(recognition *under_way, steps *with)
{
    allocations *all = under_way->all;
    for (size_t at = 0; at < all->count && steps_count(with, 1); at++) {
        size_t ahead = at + ALLOCATIONS_AHEAD;
        if (ahead < all->count) {
            allocation_prefetch(all->items + ahead);
            const void *address = (const void *)allocation_address(all->items + ahead);
            allocations_prefetch_chain(&all->buffers, address);
        }
        recognise(under_way, at);
    }
}

/* -1 with an exception. */
static int
make_once(recognition *under_way, steps *with)
{
    const window *outer = with->analysed;
    size_t room = windows_is_forgotten(outer) ? 0 : (size_t)outer->alive.blocks;
    allocations *all = under_way->all;
    if (types_init(&all->types) < 0 || allocations_index_init(&all->buffers, room / 2) < 0) {
        return -1;
    }
    all->items = PyMem_RawMalloc((room + 1) * sizeof(allocation));
    if (!all->items) {
        PyErr_NoMemory();
        return -1;
    }
    list_blocks(all, room, with);
    find_extent(all, with);
    recognise_all(under_way, with);
    return under_way->has_failed ? -1 : 0;
}

int
listing_make(allocations *all, steps *under_way)
{
    *all = (allocations){.items = NULL};
    recognition first = {.all = all};
    if (hooks_saw_class()) {
        recognition_forget_suspects();
    }
    if (make_once(&first, under_way) < 0) {
        return -1;
    }
    if (!first.suspect || under_way->is_stale) {
        return 0;
    }
    /* Again from the start: updating the classes frees what was known of them, some of it in these
       blocks. */
    allocations_clear(all);
    if (recognition_update_classes(first.suspect) < 0) {
        return -1;
    }
    steps_renew(under_way);
    recognition second = {.all = all};
    return make_once(&second, under_way);
}

static void
mark_freed_buffers(allocations *all, steps *under_way)
{
    for (size_t at = 0; at < all->count && steps_count(under_way, 1); at++) {
        allocation *one = all->items + at;
        if (one->state == ALLOCATION_BUFFER && recognition_is_freed(one)) {
            one->state = ALLOCATION_FREED;
            one->type = TYPE_OF_FREE_LISTS;
        }
    }
}

/* Mark the objects that a window drained. It keeps them until it is closed, so that this must not
   give the GIL back. */
static void
mark_drained(const allocations *all, const object_array *drained)
{
    for (size_t at = 0; at < drained->count; at++) {
        allocation *one = allocations_find_object(all, drained->items[at]);
        if (one) {
            one->state = ALLOCATION_FREED;
        }
    }
}

static bool
has_drained(void)
{
    for (const window *each = windows_latest_outermost(); each; each = each->older) {
        if (each->drained.count) {
            return true;
        }
    }
    return false;
}

int
listing_mark_freed(allocations *all, steps *under_way)
{
    mark_freed_buffers(all, under_way);
    if (!has_drained()) {
        return 0;
    }
    if (allocations_index_objects(all, under_way) < 0) {
        return -1;
    }
    const window *each = under_way->is_stale ? NULL : windows_latest_outermost();
    for (; each; each = each->older) {
        mark_drained(all, &each->drained);
    }
    return 0;
}
