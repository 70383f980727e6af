#include "parts.h"

#include "attributes.h"
#include "classes.h"
#include "crediting.h"

/* In front of what the collector tracks, and in front of that for instances with a dict or a list
   of weak references: anatomy.c. */
#define HEADER ((Py_ssize_t)(2 * sizeof(void *)))
#define WORD ((Py_ssize_t)sizeof(void *))

/* No pointer is below, and no count of references above; nor is a pointer on this side of it where
   the count has been replaced by one. */
#define LEAST_POINTER ((uintptr_t)4096)
#define MOST_REFERENCES UINT64_C(0xFFFFFFFF)

/* Items more or less than an object says that it has: a sentinel, hidden fields. */
#define ITEMS_HIDDEN 16

/* What a free list may make of the head of an object. */
typedef enum { HEAD_NONE, HEAD_ALIVE, HEAD_PARKED } head;

static head
head_of(const PyObject *object)
{
    uint64_t count = *(const uint64_t *)object;
    if (count == 0) {
        return HEAD_PARKED;
    }
    if (count <= MOST_REFERENCES) {
        return HEAD_ALIVE;
    }
#if PY_VERSION_HEX >= 0x030E0000
    return count % sizeof(void *) == 0 ? HEAD_PARKED : HEAD_NONE; /* the next one on its list */
#else
    return HEAD_NONE;
#endif
}

static bool
is_pointer_or_null(uintptr_t word)
{
    return !word || word >= LEAST_POINTER;
}

/* Whether the words in front of an object may be the collector's, and its pre-header. */
static bool
front_fits(const uintptr_t *object, Py_ssize_t offset)
{
    if (offset >= HEADER) {
        uintptr_t next = object[-2], previous = object[-1];
        bool is_untracked = !next && previous < 8;
        if (!is_untracked && (next < LEAST_POINTER || previous < LEAST_POINTER)) {
            return false;
        }
    }
    return offset < 2 * HEADER
           || (is_pointer_or_null(object[-4]) && is_pointer_or_null(object[-3]));
}

static Py_ssize_t
offset_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
    unsigned long in_front = Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF;
#else
    unsigned long in_front = Py_TPFLAGS_MANAGED_DICT;
#endif
    return (type->tp_flags & Py_TPFLAGS_HAVE_GC ? HEADER : 0)
           + (type->tp_flags & in_front ? HEADER : 0);
}

static bool
is_text_of(const PyObject *object, Py_ssize_t bytes)
{
    if (bytes < (Py_ssize_t)sizeof(PyASCIIObject)) {
        return false;
    }
    const PyASCIIObject *text = (const PyASCIIObject *)object;
    if (text->length < 0 || text->length > bytes) {
        return false;
    }
    if (!text->state.compact) {
        return bytes == (Py_ssize_t)sizeof(PyUnicodeObject);
    }
    Py_ssize_t head_bytes
        = (Py_ssize_t)(text->state.ascii ? sizeof(PyASCIIObject) : sizeof(PyCompactUnicodeObject));
    return bytes == head_bytes + (text->length + 1) * (Py_ssize_t)text->state.kind;
}

static bool
is_int_of(const PyObject *object, Py_ssize_t bytes)
{
    Py_ssize_t head_bytes = (Py_ssize_t)sizeof(PyVarObject);
    if (bytes < head_bytes + 4) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030C0000
    Py_ssize_t digits = ((const PyVarObject *)object)->ob_size >> 3; /* pycore_long.h */
#else
    Py_ssize_t digits = Py_ABS(((const PyVarObject *)object)->ob_size);
#endif
    return digits >= 0 && digits <= bytes / 4 && bytes <= head_bytes + 4 * (digits + 3)
           && bytes >= head_bytes + 4 * digits;
}

/* Types of a variable size whose objects do not say how many items they have. */
static bool
has_frame(PyTypeObject *type)
{
    return type == &PyGen_Type || type == &PyCoro_Type || type == &PyAsyncGen_Type
           || type == &PyFrame_Type;
}

/* Whether an object of that type may take so many bytes, those in front of it left out. */
static bool
size_fits(PyTypeObject *type, PyObject *object, Py_ssize_t bytes)
{
    if (type == &PyUnicode_Type) {
        return is_text_of(object, bytes);
    }
    if (type == &PyLong_Type) {
        return is_int_of(object, bytes);
    }
    Py_ssize_t basic = type->tp_basicsize, item = type->tp_itemsize;
    if (!item) {
        Py_ssize_t more = bytes - basic;
        return !more || (more > 0 && more < WORD && bytes % WORD == 0)
               || bytes == anatomy_least_bytes(type)
               || (more > 0 && attributes_fit(type, (const char *)object + basic, more));
    }
    if (has_frame(type)) {
        return bytes >= basic && bytes % WORD == 0;
    }
    if (bytes < (Py_ssize_t)sizeof(PyVarObject)) {
        return false;
    }
    Py_ssize_t items = Py_ABS(Py_SIZE(object));
    if (items > bytes) {
        return false;
    }
    Py_ssize_t more = bytes - basic - items * item;
    bool is_exact = type == &PyTuple_Type || type == &PyBytes_Type;
    return is_exact ? !more : more >= -item && more <= ITEMS_HIDDEN * item + WORD;
}

/* Whether CPython changes the size of an object of that type. An array of bytes that is older than
   the window has its content resized in it, and that may look like anything. */
static bool
may_be_resized(PyTypeObject *type)
{
    return type == &PyUnicode_Type || type == &PyBytes_Type || type == &PyTuple_Type;
}

/* Words that were taken for classes and are none: not every pass is to learn all classes anew for
   the same. Direct-mapped; forgotten when there may be a new class. */
#define NO_CLASSES_BITS 10
#define NO_CLASSES ((size_t)1 << NO_CLASSES_BITS)
static const void *no_classes[NO_CLASSES];

static const void **
no_class_place(const void *address)
{
    return no_classes + place_by_address(address, NO_CLASSES_BITS);
}

/* What a pass over blocks remembers. */
typedef struct {
    const void *class;   /* met last */
    const void *suspect; /* what may be one that is not known */
} search;

static bool
is_class(search *under_way, const void *address)
{
    if (address == under_way->class) {
        return true;
    }
    bool found = classes_have(address);
    if (found) {
        under_way->class = address;
    }
    return found;
}

/* Whether the block is an object at an offset. */
static bool
try_offset(search *under_way, part *one, Py_ssize_t offset)
{
    if (one->bytes < offset + (Py_ssize_t)sizeof(PyObject)) {
        return false;
    }
    PyObject *object = (PyObject *)(one->address + (uintptr_t)offset);
    PyTypeObject *type = Py_TYPE(object);
    if ((uintptr_t)type < LEAST_POINTER || (uintptr_t)type % sizeof(void *)) {
        return false;
    }
    head begins = head_of(object);
    if (begins == HEAD_NONE || !front_fits((const uintptr_t *)object, offset)) {
        return false;
    }
    if (!is_class(under_way, type)) {
        if (begins == HEAD_ALIVE && (uintptr_t)type % HEADER == 0 && *no_class_place(type) != type)
        {
            under_way->suspect = type;
        }
        return false;
    }
    if (offset_of(type) != offset || !size_fits(type, object, one->bytes - offset)
        || (one->origin == BLOCK_RESIZED && !may_be_resized(type)))
    {
        return false;
    }
    one->object = object;
    one->type = type;
    one->state = begins == HEAD_ALIVE ? PART_OBJECT : PART_PARKED;
    return true;
}

/* Whether a block is one of CPython's own on a free list, without its class: a float, or a table of
   keys of the size that dicts begin with (pycore_dict.h: struct _dictkeysobject). */
static bool
is_parked(const part *one)
{
    const uint8_t *bytes = (const uint8_t *)one->address;
    if (one->bytes < (Py_ssize_t)sizeof(PyFloatObject) || head_of((PyObject *)bytes) != HEAD_PARKED)
    {
        return false;
    }
    bool is_float
        = one->origin == BLOCK_OF_OBJECTS && one->bytes == (Py_ssize_t)sizeof(PyFloatObject);
    return is_float || (one->bytes > 40 && bytes[8] == 3 && bytes[9] == 3 && bytes[10] < 3);
}

static void
identify(search *under_way, part *one)
{
    if (one->origin == BLOCK_OF_MEMORY) {
        return;
    }
    for (Py_ssize_t offset = 0; offset <= 2 * HEADER; offset += HEADER) {
        if (try_offset(under_way, one, offset)) {
            return;
        }
    }
}

/* List the blocks and find out which are objects. -1 with an exception. */
static int
list_parts(parts *found, window *outer, search *under_way)
{
    const block_table *table = crediting_blocks();
    size_t room = (size_t)outer->alive.blocks;
    found->count = 0;
    if (!found->at) {
        found->at = PyMem_RawMalloc((room + 1) * sizeof(part));
    }
    if (!found->at) {
        PyErr_NoMemory();
        return -1;
    }
    for (window *each = outer; each; each = meter_next_in(outer, each)) {
        for (uint32_t number = each->first; number && found->count < room;) {
            const block *known = blocks_at(table, number);
            found->at[found->count++] = (part){
                .address = block_address(known),
                .bytes = (Py_ssize_t)known->size,
                .window = known->window,
                .origin = known->origin,
            };
            number = known->next;
        }
    }
    for (size_t at = 0; at < found->count; at++) {
        part *one = found->at + at;
        if (at + PARTS_AHEAD < found->count) {
            MEMSIZE_PREFETCH((const void *)found->at[at + PARTS_AHEAD].address);
        }
        identify(under_way, one);
    }
    return 0;
}

static int
learn_classes(search *under_way)
{
    if (classes_learn() < 0) {
        return -1;
    }
    if (!classes_have(under_way->suspect)) {
        *no_class_place(under_way->suspect) = under_way->suspect;
    }
    return 0;
}

static size_t
index_place(const parts *found, const void *address)
{
    return place_by_address(address, found->index_bits);
}

static const void *
indexed_address(const parts *found, const part *one)
{
    return found->by_object ? (const void *)one->object : (const void *)one->address;
}

/* Index the parts that the filter lets through, by object or by block. -1 with an exception. */
static int
index_parts(parts *found, part_filter wanted_ones, bool by_object)
{
    size_t wanted = 0;
    for (size_t at = 0; at < found->count; at++) {
        wanted += wanted_ones(found->at + at);
    }
    found->by_object = by_object;
    PyMem_RawFree(found->index);
    found->index_bits = 4;
    while ((size_t)1 << found->index_bits < 2 * wanted) {
        found->index_bits++;
    }
    size_t mask = ((size_t)1 << found->index_bits) - 1;
    found->index = PyMem_RawCalloc(mask + 1, sizeof(uint32_t));
    if (!found->index) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t at = 0; at < found->count; at++) {
        if (wanted_ones(found->at + at)) {
            size_t place = index_place(found, indexed_address(found, found->at + at));
            while (found->index[place]) {
                place = (place + 1) & mask;
            }
            found->index[place] = (uint32_t)at + 1;
        }
    }
    return 0;
}

part *
parts_at(const parts *found, const void *address)
{
    size_t mask = ((size_t)1 << found->index_bits) - 1;
    for (size_t place = index_place(found, address); found->index[place];
         place = (place + 1) & mask)
    {
        part *one = found->at + found->index[place] - 1;
        if (indexed_address(found, one) == address) {
            return one;
        }
    }
    return NULL;
}

static bool
is_object(const part *one)
{
    return one->state == PART_OBJECT;
}

static bool
is_buffer(const part *one)
{
    return one->state == PART_BUFFER;
}

static bool
is_of_objects(const part *one)
{
    return one->origin != BLOCK_OF_MEMORY;
}

int
parts_index_objects(parts *found)
{
    return index_parts(found, is_object, true);
}

/* Let the part own the buffer at an address, if there is one that nobody owns. Otherwise NULL. */
static part *
own(const parts *found, const part *owner, const void *address)
{
    if ((uintptr_t)address < LEAST_POINTER || (uintptr_t)address % sizeof(void *)) {
        return NULL;
    }
    part *buffer = parts_at(found, address);
    if (!buffer || buffer->state != PART_BUFFER) {
        return NULL;
    }
    buffer->state = PART_OWNED;
    buffer->owner = (uint32_t)(owner - found->at);
    return buffer;
}

/* Own what the words lead to; the words of what is owned as well, with ``chains``. */
static void
own_by_words(const parts *found, const part *owner, const uintptr_t *words, size_t count,
             bool chains)
{
    for (;;) {
        part *chained = NULL;
        for (size_t at = 0; at < count; at++) {
            part *buffer = own(found, owner, (const void *)words[at]);
            if (buffer && chains) {
                chained = buffer;
            }
        }
        if (!chained) {
            return;
        }
        words = (const uintptr_t *)chained->address;
        count = (size_t)chained->bytes / sizeof(uintptr_t);
    }
}

#define FLAGS_OF_PLAIN_OWNERS                                                                      \
    (Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS | Py_TPFLAGS_UNICODE_SUBCLASS)

static bool
may_own(PyTypeObject *type)
{
    return type != &PyTuple_Type && type != &PyLong_Type && type != &PyBytes_Type
           && type != &PyFloat_Type && type->tp_basicsize > (Py_ssize_t)sizeof(PyObject);
}

static void
own_buffers(const parts *found, const part *owner)
{
    PyTypeObject *type = owner->type;
    PyObject *object = owner->object;
    if (type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(object)) {
        return;
    }
    if (type->tp_flags & Py_TPFLAGS_MANAGED_DICT) {
        own(found, owner, attributes_allocation(object));
    }
    if (!may_own(type)) {
        return;
    }
    if (type->tp_flags & Py_TPFLAGS_DICT_SUBCLASS) {
        own(found, owner, attributes_allocation_of_dict(object));
    }
    Py_ssize_t end
        = Py_MIN(type->tp_basicsize,
                 (Py_ssize_t)(owner->address + (uintptr_t)owner->bytes - (uintptr_t)object));
    own_by_words(found, owner, (const uintptr_t *)object + 2, (size_t)(end / WORD) - 2,
                 !(type->tp_flags & FLAGS_OF_PLAIN_OWNERS));
}

/* What an object has of bytes or characters in blocks of their own: where each begins, or NULL. */
typedef struct {
    const void *characters, *encoded;
} contents;

static contents
contents_of(const part *one)
{
    if (one->type->tp_flags & Py_TPFLAGS_UNICODE_SUBCLASS) {
        const PyASCIIObject *text = (const PyASCIIObject *)one->object;
        if (text->state.compact && text->state.ascii) {
            return (contents){NULL, NULL};
        }
        return (contents){
            .characters
            = text->state.compact ? NULL : ((const PyUnicodeObject *)one->object)->data.any,
            .encoded = ((const PyCompactUnicodeObject *)one->object)->utf8,
        };
    }
    if (PyType_IsSubtype(one->type, &PyByteArray_Type)) {
        return (contents){.characters = ((const PyByteArrayObject *)one->object)->ob_bytes};
    }
    return (contents){NULL, NULL};
}

static void
own_content(const parts *found, const part *owner, const void *start)
{
    part *content = start ? parts_at(found, start) : NULL;
    if (content && content != owner) {
        content->state = PART_OWNED;
        content->owner = (uint32_t)(owner - found->at);
        content->object = NULL;
        content->type = NULL;
    }
}

/* What the program has written there may look like anything: it is its owner's for certain. -1 with
   an exception. */
static int
own_contents(parts *found)
{
    bool is_indexed = false;
    for (size_t at = 0; at < found->count; at++) {
        const part *one = found->at + at;
        parts_look_ahead(found, at);
        contents has = one->state == PART_OBJECT ? contents_of(one) : (contents){NULL, NULL};
        if (!has.characters && !has.encoded) {
            continue;
        }
        if (!is_indexed && index_parts(found, is_of_objects, false) < 0) {
            return -1;
        }
        is_indexed = true;
        own_content(found, one, has.characters);
        own_content(found, one, has.encoded);
    }
    return 0;
}

int
parts_find(parts *found, window *outer)
{
    *found = (parts){.at = NULL};
    search under_way = {.class = NULL};
    if (crediting_saw_a_class()) {
        for (size_t at = 0; at < NO_CLASSES; at++) {
            no_classes[at] = NULL;
        }
    }
    if (list_parts(found, outer, &under_way) < 0) {
        return -1;
    }
    /* Learning lets go of what was known of classes, some of it in these blocks. */
    if (under_way.suspect
        && (learn_classes(&under_way) < 0 || list_parts(found, outer, &under_way) < 0))
    {
        return -1;
    }
    if (own_contents(found) < 0 || index_parts(found, is_buffer, false) < 0) {
        return -1;
    }
    for (size_t at = 0; at < found->count; at++) {
        parts_look_ahead(found, at);
        if (found->at[at].state == PART_OBJECT) {
            own_buffers(found, found->at + at);
        }
    }
    for (size_t at = 0; at < found->count; at++) {
        if (found->at[at].state == PART_BUFFER && is_parked(found->at + at)) {
            found->at[at].state = PART_PARKED;
        }
    }
    return 0;
}

void
parts_park_what_is_drained(parts *found)
{
    for (const window *each = meter_latest_outermost(); each; each = each->older) {
        for (size_t at = 0; at < each->drained.count; at++) {
            part *one = parts_at(found, each->drained.taken[at]);
            if (one && one->state == PART_OBJECT) {
                one->state = PART_PARKED;
            }
        }
    }
}

void
parts_clear(parts *found)
{
    tally_clear(&found->kinds);
    PyMem_RawFree(found->index);
    PyMem_RawFree(found->at);
    *found = (parts){.at = NULL};
}

static int
add_row(PyObject *objects, PyObject *bytes, const char *name, Py_ssize_t blocks, Py_ssize_t size)
{
    if (!blocks) {
        return 0;
    }
    PyObject *key = PyUnicode_FromString(name);
    int failed = key ? tally_add_to(objects, key, blocks) : -1;
    if (!failed) {
        failed = tally_add_to(bytes, key, size);
    }
    Py_XDECREF(key);
    return failed;
}

int
parts_columns(const parts *found, part_filter wanted, PyObject **objects, PyObject **bytes)
{
    tally sums = {.rows = NULL};
    meter_total buffers = {0, 0}, unnamed = {0, 0};
    int failed = 0;
    *objects = *bytes = NULL;
    for (size_t at = 0; !failed && at < found->count; at++) {
        const part *one = found->at + at;
        const part *owner = one;
        while (owner->state == PART_OWNED) {
            owner = found->at + owner->owner;
        }
        if (!wanted(owner)) {
            continue;
        }
        if (!owner->type) {
            meter_total *without_type = owner->state == PART_PARKED ? &unnamed : &buffers;
            without_type->blocks++;
            without_type->bytes += one->bytes;
            continue;
        }
        tally_row *row = tally_row_of(&sums, owner->type);
        if (row) {
            row->objects += one == owner;
            row->bytes += one->bytes;
        }
        failed = row ? 0 : -1;
    }
    if (failed || tally_columns(&sums, objects, bytes) < 0
        || add_row(*objects, *bytes, "(buffers)", buffers.blocks, buffers.bytes) < 0
        || add_row(*objects, *bytes, "(free lists)", unnamed.blocks, unnamed.bytes) < 0)
    {
        Py_CLEAR(*objects);
        Py_CLEAR(*bytes);
        failed = -1;
    }
    tally_clear(&sums);
    return failed;
}
