#include "analysis/recognition.h"

#include "analysis/classes.h"
#include "census/anatomy.h"

#define HEADER ((Py_ssize_t)1 << ALLOCATION_HEADER_SHIFT)
#define WORD ((Py_ssize_t)sizeof(void *))

/* An object may take some items more or less than it says: a sentinel, hidden fields. */
#define HIDDEN_ITEMS 16

static bool
fixed_size_fits(const type_info *info, PyObject *object, Py_ssize_t bytes)
{
    Py_ssize_t more = bytes - info->basic_bytes;
    return !more || (more > 0 && more < WORD && bytes % WORD == 0)
           || bytes == anatomy_least_bytes(info->type)
           || (more > 0
               && cpython_values_fit(info->type, (const char *)object + info->basic_bytes, more));
}

static bool
variable_size_fits(const type_info *info, PyObject *object, Py_ssize_t bytes)
{
    if (cpython_ends_with_frame(info->type)) {
        return bytes >= info->basic_bytes && bytes % WORD == 0;
    }
    if (bytes < (Py_ssize_t)sizeof(PyVarObject)) {
        return false;
    }
    Py_ssize_t item = info->item_bytes;
    Py_ssize_t items = Py_ABS(Py_SIZE(object));
    if (items > bytes) {
        return false;
    }
    Py_ssize_t more = bytes - info->basic_bytes - items * item;
    bool is_exact = info->type == &PyTuple_Type || info->type == &PyBytes_Type;
    return is_exact ? !more : more >= -item && more <= HIDDEN_ITEMS * item + WORD;
}

/* Whether an object of a type may take so many bytes, without those in front of it. */
static bool
size_fits(const type_info *info, PyObject *object, Py_ssize_t bytes)
{
    if (info->type == &PyUnicode_Type) {
        return cpython_text_fits(object, bytes);
    }
    if (info->type == &PyLong_Type) {
        return cpython_int_fits(object, bytes);
    }
    return info->item_bytes ? variable_size_fits(info, object, bytes)
                            : fixed_size_fits(info, object, bytes);
}

/* Suspects that were not classes, direct-mapped: not every pass is to list all classes because of
   the same word. */
#define FALSE_SUSPECTS_BITS 10
#define FALSE_SUSPECTS ((size_t)1 << FALSE_SUSPECTS_BITS)
static const void *false_suspects[FALSE_SUSPECTS];

static const void **
false_suspect_place(const void *address)
{
    return false_suspects + hashtable_hash((uintptr_t)address, FALSE_SUSPECTS_BITS);
}

void
recognition_forget_suspects(void)
{
    for (size_t at = 0; at < FALSE_SUSPECTS; at++) {
        false_suspects[at] = NULL;
    }
}

int
recognition_update_classes(const void *suspect)
{
    if (classes_update() < 0) {
        return -1;
    }
    if (!classes_contain(suspect)) {
        *false_suspect_place(suspect) = suspect;
    }
    return 0;
}

/* The number of the type at an address; 0 if no type is known there. */
static uint32_t
type_number_at(recognition *under_way, const void *address, cpython_state state)
{
    type_table *types = &under_way->all->types;
    uint32_t number = types_find(types, address);
    if (number) {
        return number;
    }
    if (classes_contain(address)) {
        number = types_add(types, (PyTypeObject *)(uintptr_t)address);
        under_way->has_failed |= !number;
    }
    else if (state == CPYTHON_ALIVE && (uintptr_t)address % HEADER == 0
             && *false_suspect_place(address) != address)
    {
        under_way->suspect = address;
    }
    return number;
}

/* A bytearray that is older than the window has its buffer resized in the window, and the buffer
   may look like any object. */
static bool
origin_fits(const type_info *info, uint64_t origin)
{
    return origin != BLOCK_RESIZED || info->may_be_resized;
}

static void
set_object(allocations *all, allocation *one, PyObject *object, const type_info *info)
{
    one->state = ALLOCATION_OBJECT;
    one->gc_refs = (int32_t)Py_MIN(Py_REFCNT(object), INT32_MAX);
    bool is_one_block = info->type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(object);
    one->may_own = !is_one_block && info->may_own;
    all->has_contents_to_find |= one->may_own && (info->is_text || info->is_bytearray);
    all->has_classes |= info->is_class;
}

/* Whether an object begins so many bytes behind the start of the block. */
static bool
try_behind(recognition *under_way, allocation *one, Py_ssize_t header_bytes)
{
    Py_ssize_t bytes = (Py_ssize_t)one->bytes - header_bytes;
    if (bytes < (Py_ssize_t)sizeof(PyObject)) {
        return false;
    }
    PyObject *object = (PyObject *)(allocation_address(one) + (uintptr_t)header_bytes);
    PyTypeObject *type = Py_TYPE(object);
    if ((uintptr_t)type < CPYTHON_LEAST_POINTER || (uintptr_t)type % sizeof(void *)) {
        return false;
    }
    cpython_state state = cpython_state_of(object);
    if (state == CPYTHON_NO_OBJECT || !cpython_headers_fit((const uintptr_t *)object, header_bytes))
    {
        return false;
    }
    uint32_t number = type_number_at(under_way, type, state);
    const type_info *info = under_way->all->types.infos + number;
    if (!number || info->header_bytes != header_bytes || !size_fits(info, object, bytes)
        || !origin_fits(info, one->origin))
    {
        return false;
    }
    one->header = (uint64_t)header_bytes >> ALLOCATION_HEADER_SHIFT;
    one->type = number;
    if (state == CPYTHON_FREED) {
        one->state = ALLOCATION_FREED;
    }
    else {
        set_object(under_way->all, one, object, info);
    }
    return true;
}

bool
recognition_try(recognition *under_way, allocation *one)
{
    if (one->origin == BLOCK_OF_MEMORY) {
        return false;
    }
    for (Py_ssize_t bytes = 0; bytes <= CPYTHON_GC_HEADER + CPYTHON_PRE_HEADER; bytes += HEADER) {
        if (try_behind(under_way, one, bytes)) {
            return true;
        }
    }
    return false;
}

bool
recognition_is_freed(const allocation *buffer)
{
    const void *start = (const void *)allocation_address(buffer);
    if (buffer->bytes < sizeof(PyFloatObject) || cpython_state_of(start) != CPYTHON_FREED) {
        return false;
    }
    bool is_float = buffer->origin == BLOCK_OF_OBJECTS && buffer->bytes == sizeof(PyFloatObject);
    return is_float || cpython_is_freed_keys(start, (size_t)buffer->bytes);
}
