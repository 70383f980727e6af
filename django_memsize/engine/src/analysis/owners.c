#include "analysis/owners.h"

#include "cpython.h"

static void
set_owner(const allocations *all, allocation *owned, const allocation *owner)
{
    owned->state = ALLOCATION_OWNED;
    owned->owner = (uint32_t)(owner - all->items);
}

/* A word of an owner that points between the first and the last block: it may point to a buffer. */
typedef struct {
    const allocation *owner; /* NULL: none */
    const void *address;
    bool owns_chains; /* the buffer may point to more buffers of the owner */
} pointer;

/* Pointers wait for a few others, while the processor fetches what they may lead to: first the head
   of the chain, half-way the allocation. */
#define OWNERS_AHEAD 16

/* So many words of a buffer take as long as a block. */
#define WORDS_AS_A_BLOCK 16

typedef struct {
    allocations *all;
    steps *steps;
    pointer waiting[OWNERS_AHEAD];
    unsigned next_waiting;
    pointer last; /* of the current owner, the last one to a buffer that may point to more */
} owner_search;

/* Set the owner of the buffer that a pointer leads to, and return the buffer; NULL if there is
   none, or it has an owner. */
static allocation *
own_buffer(const allocations *all, const pointer *to)
{
    allocation *buffer = allocations_find(all, &all->buffers, to->address);
    if (!buffer || buffer->state != ALLOCATION_BUFFER) {
        return NULL;
    }
    set_owner(all, buffer, to->owner);
    return buffer;
}

static bool
may_point_to_buffer(const allocations *all, const void *address)
{
    return (uintptr_t)address % sizeof(void *) == 0 && allocations_enclose(all, address);
}

/* Buffers of one owner that are found and not yet read. Of more at once, the rest is not read. */
#define CHAINS_WAITING 32

/* Own the buffers that the words of a buffer lead to, and so on with these, the last one first. A
   word that was never written may be an old pointer to a buffer of another object, and must not
   keep the search from the owner's next one: so all are read. May give the GIL back: an array, or
   all of a deque, may have millions of words. */
static void
own_chain(const owner_search *under_way, const pointer *first)
{
    const allocations *all = under_way->all;
    const allocation *waiting[CHAINS_WAITING] = {NULL};
    size_t number = 0;
    waiting[number++] = allocations_find(all, &all->buffers, first->address);
    while (number) {
        const allocation *buffer = waiting[--number];
        if (!buffer) {
            continue;
        }
        const uintptr_t *words = (const uintptr_t *)allocation_address(buffer);
        size_t count = (size_t)buffer->bytes / sizeof(uintptr_t);
        for (size_t at = 0; at < count; at++) {
            if (at % WORDS_AS_A_BLOCK == 0 && !steps_count(under_way->steps, 1)) {
                return;
            }
            pointer to = {.owner = first->owner, .address = (const void *)words[at]};
            const allocation *owned
                = may_point_to_buffer(all, to.address) ? own_buffer(all, &to) : NULL;
            if (owned && number < CHAINS_WAITING) {
                waiting[number++] = owned;
            }
        }
    }
}

/* Own what a pointer leads to. The chain of one owner comes before the pointers of the next. */
static void
follow_pointer(owner_search *under_way, const pointer *to)
{
    if (under_way->last.owner && under_way->last.owner != to->owner) {
        own_chain(under_way, &under_way->last);
        under_way->last.owner = NULL;
    }
    if (to->owner && own_buffer(under_way->all, to) && to->owns_chains) {
        under_way->last = *to;
    }
}

/* Add a pointer to those that wait, and follow the one that waited longest. */
static void
follow_pointer_later(owner_search *under_way, pointer to)
{
    const allocations *all = under_way->all;
    unsigned turn = under_way->next_waiting++;
    pointer *place = under_way->waiting + turn % OWNERS_AHEAD;
    pointer next = *place;
    *place = to;
    const pointer *half_way = under_way->waiting + (turn + OWNERS_AHEAD / 2) % OWNERS_AHEAD;
    allocations_prefetch_chain(&all->buffers, to.address);
    allocations_prefetch_first(all, &all->buffers, half_way->address);
    if (next.owner) {
        follow_pointer(under_way, &next);
    }
}

MEMSIZE_INLINE void
add_pointer(owner_search *under_way, const allocation *owner, const void *address, bool owns_chains)
{
    if (may_point_to_buffer(under_way->all, address)) {
        follow_pointer_later(
            under_way, (pointer){.owner = owner, .address = address, .owns_chains = owns_chains});
    }
}

/* Add the pointers of a class to buffers that instances point to as well. */
static void
add_shared_pointers(owner_search *under_way, const allocation *owner)
{
    add_pointer(under_way, owner, cpython_class_keys(allocation_object(owner)), false);
}

/* Add the pointers of an object that lead to a buffer of its own for certain. Such buffers hold
   objects or digits, and no pointers to more buffers. */
static void
add_known_pointers(owner_search *under_way, const allocation *owner)
{
    const type_info *info = allocation_type(under_way->all, owner);
    PyObject *object = allocation_object(owner);
    /* All are read first: the object may be gone once one of them is followed. */
    const void *values = info->may_have_values ? cpython_values_block(object) : NULL;
    const void *first = NULL, *second = NULL;
    switch (info->buffers) {
    case BUFFERS_OF_LIST:
        first = ((PyListObject *)object)->ob_item;
        break;
    case BUFFERS_OF_DICT:
        first = ((PyDictObject *)object)->ma_keys;
        second = cpython_dict_values_block(object);
        break;
    case BUFFERS_OF_SET:
        first = cpython_set_entries(object);
        break;
    case BUFFERS_OF_DECIMAL:
        first = cpython_decimal_digits(object);
        break;
    default:
        break;
    }
    add_pointer(under_way, owner, values, false);
    add_pointer(under_way, owner, first, false);
    add_pointer(under_way, owner, second, false);
}

/* Add the words of an object that may be pointers to buffers of its own, because nothing is known
   of its members. Where one of them leads to a later part of the object itself, that part is a
   buffer: it may hold anything, such as what was there before the object, and is left out. A
   class points to parts of itself, too, which are members. */
static void
add_scanned_pointers(owner_search *under_way, const allocation *owner)
{
    const type_info *info = allocation_type(under_way->all, owner);
    const uintptr_t *words = (const uintptr_t *)allocation_object(owner);
    size_t count = ((size_t)owner->bytes - info->header_bytes) / sizeof(uintptr_t);
    size_t end = Py_MIN((size_t)info->scan_to, count);
    for (size_t at = info->scan_from; at < end && !under_way->steps->is_stale; at++) {
        uintptr_t from_here = words[at] - (uintptr_t)(words + at);
        if (from_here && from_here / sizeof(uintptr_t) < end - at && !info->is_class) {
            end = at + from_here / sizeof(uintptr_t);
        }
        add_pointer(under_way, owner, (const void *)words[at], info->owns_chains);
    }
}

/* The allocation of the domain "object" that begins at an address, or NULL. Recognition may have
   found an object behind that address. */
static allocation *
allocation_from(const allocations *all, const void *start)
{
    allocation *one = allocations_find(all, &all->buffers, start);
    for (uintptr_t header = 0; !one && header < 3; header++) {
        const char *object = (const char *)start + (header << ALLOCATION_HEADER_SHIFT);
        one = allocations_find(all, &all->objects, object);
        one = one && allocation_address(one) == (uintptr_t)start ? one : NULL;
    }
    return one && one->origin != BLOCK_OF_MEMORY ? one : NULL;
}

static void
own_content(const allocations *all, const allocation *owner, const void *start)
{
    allocation *content = start ? allocation_from(all, start) : NULL;
    if (content && content != owner) {
        set_owner(all, content, owner);
    }
}

/* Own the contents of texts and bytearrays first: they belong to their owner for certain, and may
   look like any object, as the program wrote them. */
static void
own_contents(const allocations *all, steps *under_way)
{
    for (size_t at = 0; at < all->count && steps_count(under_way, 1); at++) {
        const allocation *one = all->items + at;
        const type_info *info = allocation_type(all, one);
        if (one->state == ALLOCATION_OBJECT && one->may_own && (info->is_text || info->is_bytearray)
            && allocation_is_unchanged(all, one))
        {
            PyObject *object = allocation_object(one);
            cpython_contents owned = info->is_text ? cpython_text_contents(object)
                                                   : cpython_bytearray_contents(object);
            own_content(all, one, owned.characters);
            own_content(all, one, owned.utf8);
        }
    }
}

/* A pass over all objects. A buffer belongs to the first object that is found to point to it, so
   the surest pointers come first. */
typedef enum { PASS_SHARED, PASS_KNOWN, PASS_SCANNED } owners_pass;

/* Whether a pass has to read an object. */
MEMSIZE_INLINE bool
concerns(owners_pass pass, const allocations *all, const allocation *one)
{
    if (!one->may_own || one->state != ALLOCATION_OBJECT) {
        return false;
    }
    const type_info *info = allocation_type(all, one);
    switch (pass) {
    case PASS_SHARED:
        return info->is_class;
    case PASS_KNOWN:
        return info->may_have_values || info->buffers;
    default:
        return info->scan_from < info->scan_to;
    }
}

MEMSIZE_INLINE void
follow_all_pointers(owner_search *under_way, owners_pass pass)
{
    const allocations *all = under_way->all;
    for (size_t at = 0; at < all->count && steps_count(under_way->steps, 1); at++) {
        size_t ahead = at + ALLOCATIONS_AHEAD;
        if (ahead < all->count && concerns(pass, all, all->items + ahead)) {
            allocation_prefetch(all->items + ahead);
        }
        const allocation *one = all->items + at;
        if (!concerns(pass, all, one) || !allocation_is_unchanged(all, one)) {
            continue;
        }
        switch (pass) {
        case PASS_SHARED:
            add_shared_pointers(under_way, one);
            break;
        case PASS_KNOWN:
            add_known_pointers(under_way, one);
            break;
        default:
            add_scanned_pointers(under_way, one);
        }
    }
    for (size_t at = 0; at < OWNERS_AHEAD && !under_way->steps->is_stale; at++) {
        follow_pointer_later(under_way, (pointer){.owner = NULL});
    }
    if (!under_way->steps->is_stale) {
        follow_pointer(under_way, &(pointer){.owner = NULL});
    }
}

int
owners_find(allocations *all, steps *with)
{
    if (all->has_contents_to_find) {
        if (allocations_index_objects(all, with) < 0) {
            return -1;
        }
        own_contents(all, with);
    }
    owner_search under_way = {.all = all, .steps = with};
    if (all->has_classes && !with->is_stale) {
        follow_all_pointers(&under_way, PASS_SHARED);
    }
    if (!with->is_stale) {
        follow_all_pointers(&under_way, PASS_KNOWN);
    }
    if (!with->is_stale) {
        follow_all_pointers(&under_way, PASS_SCANNED);
    }
    return 0;
}
