#include "analysis/owners.h"

#include "census/attributes.h"

static void
give(const parts *found, part *owned, const part *owner)
{
    owned->state = PART_OWNED;
    owned->owner = (uint32_t)(owner - found->at);
}

/* Words of an owner wait a little for what they may lead to to reach the processor's cache: first
   the head of its chain, half-way the part. */
#define WAITING 16

typedef struct {
    const part *owner; /* NULL: nobody */
    const void *address;
    bool chains; /* what is owned may lead to more */
} claim;

typedef struct {
    parts *found;
    claim waiting[WAITING];
    unsigned next_waiting;
    claim last; /* of the owner whose turn it is, one that chains and was met; or nobody's */
} claims;

/* Let a claim own the buffer that it is on, if there is one that nobody owns. Otherwise NULL. */
static part *
own(const parts *found, const claim *made)
{
    part *buffer = parts_at(found, &found->buffers, made->address);
    if (!buffer || buffer->state != PART_BUFFER) {
        return NULL;
    }
    give(found, buffer, made->owner);
    return buffer;
}

static bool
is_claim(const parts *found, const void *address)
{
    return (uintptr_t)address % sizeof(void *) == 0 && parts_span(found, address);
}

/* Own what the words of a buffer lead to, and the words of the last of these, and so on. */
static void
own_chain(const parts *found, const claim *last)
{
    const part *buffer = parts_at(found, &found->buffers, last->address);
    while (buffer) {
        const uintptr_t *words = (const uintptr_t *)part_address(buffer);
        size_t count = (size_t)buffer->bytes / sizeof(uintptr_t);
        buffer = NULL;
        for (size_t at = 0; at < count; at++) {
            claim made = {.owner = last->owner, .address = (const void *)words[at]};
            const part *owned = is_claim(found, made.address) ? own(found, &made) : NULL;
            buffer = owned ? owned : buffer;
        }
    }
}

/* Meet a claim; one of another owner, or nobody's, comes after all that the last one leads to. */
static void
meet(claims *under_way, const claim *made)
{
    if (under_way->last.owner && under_way->last.owner != made->owner) {
        own_chain(under_way->found, &under_way->last);
        under_way->last.owner = NULL;
    }
    if (made->owner && own(under_way->found, made) && made->chains) {
        under_way->last = *made;
    }
}

/* Let a claim wait, and meet the one whose turn it is. */
static void
wait_with(claims *under_way, claim made)
{
    const parts *found = under_way->found;
    unsigned turn = under_way->next_waiting++;
    claim *place = under_way->waiting + turn % WAITING;
    claim next = *place;
    *place = made;
    parts_expect(&found->buffers, made.address);
    parts_expect_soon(found, &found->buffers,
                      under_way->waiting[(turn + WAITING / 2) % WAITING].address);
    if (next.owner) {
        meet(under_way, &next);
    }
}

static void
claim_buffer(claims *under_way, const part *owner, const void *address, bool chains)
{
    if (is_claim(under_way->found, address)) {
        wait_with(under_way, (claim){.owner = owner, .address = address, .chains = chains});
    }
}

static void
claim_buffers(claims *under_way, const part *owner)
{
    const kind *known = part_kind(under_way->found, owner);
    PyObject *object = part_object(owner);
    if (known->has_attributes) {
        claim_buffer(under_way, owner, attributes_allocation(object), false);
    }
    if (!known->may_own) {
        return;
    }
    if (known->is_dict) {
        claim_buffer(under_way, owner, attributes_allocation_of_dict(object), false);
    }
    size_t bytes = (size_t)owner->bytes - known->front;
    size_t end = Py_MIN((size_t)known->basic_bytes, bytes) / sizeof(uintptr_t);
    for (size_t at = 2; at < end; at++) {
        claim_buffer(under_way, owner, ((void *const *)object)[at], known->owns_chains);
    }
}

/* What an object has of bytes or characters in blocks of their own: where each begins, or NULL. */
typedef struct {
    const void *characters, *encoded;
} contents;

static contents
contents_of(const kind *known, const PyObject *object)
{
    if (known->is_text) {
        const PyASCIIObject *text = (const PyASCIIObject *)object;
        if (text->state.compact && text->state.ascii) {
            return (contents){NULL, NULL};
        }
        return (contents){
            .characters = text->state.compact ? NULL : ((const PyUnicodeObject *)object)->data.any,
            .encoded = ((const PyCompactUnicodeObject *)object)->utf8,
        };
    }
    return (contents){.characters = ((const PyByteArrayObject *)object)->ob_bytes};
}

/* The part whose block, of the domain of objects, begins at an address, or NULL: it may have been
   taken for an object that is behind it. */
static part *
block_at(const parts *found, const void *start)
{
    part *one = parts_at(found, &found->buffers, start);
    for (uintptr_t front = 0; !one && front < 3; front++) {
        one = parts_at(found, &found->objects, (const char *)start + (front << PART_FRONT_BITS));
        one = one && part_address(one) == (uintptr_t)start ? one : NULL;
    }
    return one && one->origin != BLOCK_OF_MEMORY ? one : NULL;
}

static void
own_content(const parts *found, const part *owner, const void *start)
{
    part *content = start ? block_at(found, start) : NULL;
    if (content && content != owner) {
        give(found, content, owner);
    }
}

/* What the program has written there may look like anything: it is its owner's for certain. */
static void
own_contents(const parts *found)
{
    for (size_t at = 0; at < found->count; at++) {
        const part *one = found->at + at;
        const kind *known = part_kind(found, one);
        if (one->state == PART_OBJECT && one->may_own && (known->is_text || known->is_byte_array)) {
            contents has = contents_of(known, part_object(one));
            own_content(found, one, has.characters);
            own_content(found, one, has.encoded);
        }
    }
}

int
owners_find(parts *found)
{
    if (found->has_contents) {
        if (parts_index_objects(found) < 0) {
            return -1;
        }
        own_contents(found);
    }
    claims under_way = {.found = found};
    for (size_t at = 0; at < found->count; at++) {
        if (at + PARTS_AHEAD < found->count && found->at[at + PARTS_AHEAD].may_own) {
            part_expect(found->at + at + PARTS_AHEAD);
        }
        const part *one = found->at + at;
        if (one->may_own && one->state == PART_OBJECT) {
            claim_buffers(&under_way, one);
        }
    }
    for (size_t at = 0; at < WAITING; at++) {
        wait_with(&under_way, (claim){.owner = NULL});
    }
    meet(&under_way, &(claim){.owner = NULL});
    return 0;
}
