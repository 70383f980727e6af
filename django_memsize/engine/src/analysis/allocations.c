#include "analysis/allocations.h"

#include "census/anatomy.h"
#include "census/attributes.h"
#include "analysis/classes.h"
#include "meter/crediting.h"

#define HEADER ((Py_ssize_t)1 << PART_FRONT_BITS)
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
front_fits(const uintptr_t *object, Py_ssize_t front)
{
    if (front >= HEADER) {
        uintptr_t next = object[-2], previous = object[-1];
        bool is_untracked = !next && previous < 8;
        if (!is_untracked && (next < LEAST_POINTER || previous < LEAST_POINTER)) {
            return false;
        }
    }
    return front < 2 * HEADER || (is_pointer_or_null(object[-4]) && is_pointer_or_null(object[-3]));
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

/* Whether an object of that kind may take so many bytes, those in front of it left out. */
static bool
size_fits(const kind *known, PyObject *object, Py_ssize_t bytes)
{
    PyTypeObject *type = known->type;
    if (type == &PyUnicode_Type) {
        return is_text_of(object, bytes);
    }
    if (type == &PyLong_Type) {
        return is_int_of(object, bytes);
    }
    Py_ssize_t basic = known->basic_bytes, item = known->item_bytes;
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

/* A pass over blocks. */
typedef struct {
    parts *found;
    const void *suspect; /* what may be a class that is not known */
    bool has_failed;     /* there is an exception */
} search;

/* The number of the kind whose type is at an address; 0 where there is none that is known. */
static uint32_t
kind_at(search *under_way, const void *address, head begins)
{
    kinds *met = &under_way->found->kinds;
    uint32_t number = kinds_find(met, address);
    if (number) {
        return number;
    }
    if (classes_have(address)) {
        number = kinds_meet(met, (PyTypeObject *)(uintptr_t)address);
        under_way->has_failed |= !number;
    }
    else if (begins == HEAD_ALIVE && (uintptr_t)address % HEADER == 0
             && *no_class_place(address) != address)
    {
        under_way->suspect = address;
    }
    return number;
}

/* An array of bytes that is older than the window has its content resized in it, and that may look
   like anything. */
static bool
origin_fits(const kind *known, uint64_t origin)
{
    return origin != BLOCK_RESIZED || known->may_be_resized;
}

/* Whether the block is an object behind so many bytes. */
static bool
try_behind(search *under_way, part *one, Py_ssize_t front)
{
    Py_ssize_t bytes = (Py_ssize_t)one->bytes - front;
    if (bytes < (Py_ssize_t)sizeof(PyObject)) {
        return false;
    }
    PyObject *object = (PyObject *)(part_address(one) + (uintptr_t)front);
    PyTypeObject *type = Py_TYPE(object);
    if ((uintptr_t)type < LEAST_POINTER || (uintptr_t)type % sizeof(void *)) {
        return false;
    }
    head begins = head_of(object);
    if (begins == HEAD_NONE || !front_fits((const uintptr_t *)object, front)) {
        return false;
    }
    uint32_t number = kind_at(under_way, type, begins);
    const kind *known = under_way->found->kinds.at + number;
    if (!number || known->front != front || !size_fits(known, object, bytes)
        || !origin_fits(known, one->origin))
    {
        return false;
    }
    one->front = (uint64_t)front >> PART_FRONT_BITS;
    one->kind = number;
    if (begins == HEAD_PARKED) {
        one->state = PART_PARKED;
        return true;
    }
    one->state = PART_OBJECT;
    one->references = (int32_t)Py_MIN(Py_REFCNT(object), INT32_MAX);
    bool is_in_one_block = type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(object);
    one->may_own = !is_in_one_block && (known->may_own || known->has_attributes);
    under_way->found->has_contents |= one->may_own && (known->is_text || known->is_byte_array);
    return true;
}

/* Make room for so many. -1 with an exception. */
static int
index_init(part_index *made, size_t count)
{
    size_t room = 16;
    while (room < count) {
        room *= 2;
    }
    *made = (part_index){
        .heads = PyMem_RawCalloc(room, sizeof(uint32_t)),
        .mask = room - 1,
    };
    if (!made->heads) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

static void
index_add(parts *found, const part_index *index, size_t at)
{
    part *one = found->at + at;
    block_chain chain = parts_chain(index, part_key(one));
    one->link = *chain.head;
    *chain.head = (*chain.head & ~BLOCKS_NUMBER) | chain.sign | (uint32_t)(at + 1);
}

/* Find out what the block of a part is, and index what may be a buffer. */
static void
identify(search *under_way, size_t at)
{
    part *one = under_way->found->at + at;
    if (one->origin != BLOCK_OF_MEMORY) {
        for (Py_ssize_t front = 0; front <= 2 * HEADER; front += HEADER) {
            if (try_behind(under_way, one, front)) {
                return;
            }
        }
    }
    index_add(under_way->found, &under_way->found->buffers, at);
}

/* List the blocks of the windows, and identify each a little later, when the cache has it. */
static void
identify_all(search *under_way, window *outer, size_t room)
{
    parts *found = under_way->found;
    const block_table *table = crediting_blocks();
    uintptr_t lowest = UINTPTR_MAX, highest = 0;
    for (window *each = outer; each; each = meter_next_in(outer, each)) {
        uint32_t number = blocks_next(table, &each->own, 0);
        for (; number && found->count < room; number = blocks_next(table, &each->own, number)) {
            const block *known = blocks_at(table, number);
            part *one = found->at + found->count++;
            *one = (part){
                .place = known->place,
                .window = each->number,
                .bytes = block_size(known),
                .origin = known->origin,
            };
            part_expect(one);
            parts_expect(&found->buffers, (const void *)part_address(one));
            lowest = Py_MIN(lowest, part_address(one));
            highest = Py_MAX(highest, part_address(one) + (uintptr_t)one->bytes);
            if (found->count > PARTS_AHEAD) {
                identify(under_way, found->count - 1 - PARTS_AHEAD);
            }
        }
    }
    for (size_t at = found->count - Py_MIN(found->count, PARTS_AHEAD); at < found->count; at++) {
        identify(under_way, at);
    }
    found->lowest = lowest;
    found->span = found->count ? highest - lowest : 0;
}

/* -1 with an exception. */
static int
list_parts(search *under_way, window *outer)
{
    size_t room = (size_t)outer->alive.blocks;
    parts *found = under_way->found;
    if (kinds_init(&found->kinds) < 0 || index_init(&found->buffers, room / 2) < 0) {
        return -1;
    }
    found->at = PyMem_RawMalloc((room + 1) * sizeof(part));
    if (!found->at) {
        PyErr_NoMemory();
        return -1;
    }
    identify_all(under_way, outer, room);
    return under_way->has_failed ? -1 : 0;
}

static int
learn_classes(const void *suspect)
{
    if (classes_learn() < 0) {
        return -1;
    }
    if (!classes_have(suspect)) {
        *no_class_place(suspect) = suspect;
    }
    return 0;
}

int
parts_find(parts *found, window *outer)
{
    *found = (parts){.at = NULL};
    search under_way = {.found = found};
    if (crediting_saw_a_class()) {
        for (size_t at = 0; at < NO_CLASSES; at++) {
            no_classes[at] = NULL;
        }
    }
    if (list_parts(&under_way, outer) < 0) {
        return -1;
    }
    if (!under_way.suspect) {
        return 0;
    }
    /* Learning lets go of what was known of classes, some of it in these blocks. */
    parts_clear(found);
    return learn_classes(under_way.suspect) < 0 ? -1 : list_parts(&under_way, outer);
}

/* Whether a block is one of CPython's own on a free list, without its class: a float, or a table of
   keys of the size that dicts begin with (pycore_dict.h: struct _dictkeysobject). */
static bool
is_parked(const part *one)
{
    const uint8_t *bytes = (const uint8_t *)part_address(one);
    if (one->bytes < sizeof(PyFloatObject) || head_of((PyObject *)bytes) != HEAD_PARKED) {
        return false;
    }
    bool is_float = one->origin == BLOCK_OF_OBJECTS && one->bytes == sizeof(PyFloatObject);
    return is_float || (one->bytes > 40 && bytes[8] == 3 && bytes[9] == 3 && bytes[10] < 3);
}

int
parts_index_objects(parts *found)
{
    if (found->objects.heads) {
        return 0;
    }
    if (index_init(&found->objects, 2 * found->count) < 0) {
        return -1;
    }
    for (size_t at = 0; at < found->count; at++) {
        if (found->at[at].kind >= KINDS_WITHOUT_TYPE) {
            index_add(found, &found->objects, at);
        }
    }
    return 0;
}

int
parts_park(parts *found)
{
    for (size_t at = 0; at < found->count; at++) {
        part *one = found->at + at;
        if (one->state == PART_BUFFER && is_parked(one)) {
            one->state = PART_PARKED;
            one->kind = KIND_OF_FREE_LISTS;
        }
    }
    for (const window *each = meter_latest_outermost(); each; each = each->older) {
        if (each->drained.count && parts_index_objects(found) < 0) {
            return -1;
        }
        for (size_t at = 0; at < each->drained.count; at++) {
            part *one = parts_object_at(found, each->drained.taken[at]);
            if (one) {
                one->state = PART_PARKED;
            }
        }
    }
    return 0;
}

void
parts_clear(parts *found)
{
    PyMem_RawFree(found->buffers.heads);
    PyMem_RawFree(found->objects.heads);
    kinds_clear(&found->kinds);
    PyMem_RawFree(found->at);
    *found = (parts){.at = NULL};
}
