#include "owners.h"

#include "attributes.h"

static void
give(const parts *found, part *owned, const part *owner)
{
    owned->state = PART_OWNED;
    owned->owner = (uint32_t)(owner - found->at);
}

/* Let the part own the buffer at an address, if there is one that nobody owns. Otherwise NULL. */
static part *
own(const parts *found, const part *owner, const void *address)
{
    if ((uintptr_t)address % sizeof(void *)) {
        return NULL;
    }
    part *buffer = parts_at(found, &found->buffers, address);
    if (!buffer || buffer->state != PART_BUFFER) {
        return NULL;
    }
    give(found, buffer, owner);
    return buffer;
}

/* Own what the words lead to; the words of what is owned as well, with ``chains``. */
static void
own_by_words(const parts *found, const part *owner, const uintptr_t *words, size_t count,
             bool chains)
{
    for (;;) {
        const part *chained = NULL;
        for (size_t at = 0; at < count; at++) {
            const part *buffer = own(found, owner, (const void *)words[at]);
            if (buffer && chains) {
                chained = buffer;
            }
        }
        if (!chained) {
            return;
        }
        words = (const uintptr_t *)part_address(chained);
        count = (size_t)chained->bytes / sizeof(uintptr_t);
    }
}

static void
own_buffers(const parts *found, const part *owner)
{
    const kind *known = part_kind(found, owner);
    PyObject *object = part_object(owner);
    if (known->has_attributes) {
        own(found, owner, attributes_allocation(object));
    }
    if (!known->may_own) {
        return;
    }
    if (known->is_dict) {
        own(found, owner, attributes_allocation_of_dict(object));
    }
    size_t bytes = (size_t)owner->bytes - known->front;
    size_t end = Py_MIN((size_t)known->basic_bytes, bytes) / sizeof(uintptr_t);
    own_by_words(found, owner, (const uintptr_t *)object + 2, end - 2, known->owns_chains);
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
    part *content = block_at(found, start);
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
    for (size_t at = 0; at < found->count; at++) {
        if (at + PARTS_AHEAD < found->count && found->at[at + PARTS_AHEAD].may_own) {
            part_expect(found->at + at + PARTS_AHEAD);
        }
        const part *one = found->at + at;
        if (one->may_own && one->state == PART_OBJECT) {
            own_buffers(found, one);
        }
    }
    return 0;
}
