#include "analysis/types.h"

#include "census/anatomy.h"

/* -1 with an exception. */
static int
append_info(type_table *table, type_info info)
{
    if (table->count == table->capacity) {
        type_info *grown = array_grow(table->infos, sizeof(type_info), &table->capacity);
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        table->infos = grown;
    }
    table->infos[table->count++] = info;
    return 0;
}

int
types_init(type_table *table)
{
    *table = (type_table){.infos = NULL};
    while (table->count < TYPES_RESERVED) {
        if (append_info(table, (type_info){.type = NULL}) < 0) {
            return -1;
        }
    }
    return 0;
}

void
types_clear(type_table *table)
{
    hashtable_clear(&table->places);
    PyMem_RawFree(table->infos);
    *table = (type_table){.infos = NULL};
}

static buffers_rule
buffers_rule_of(PyTypeObject *type)
{
    if (cpython_is_dict(type)) {
        return BUFFERS_OF_DICT;
    }
    if (type->tp_flags & Py_TPFLAGS_LIST_SUBCLASS) {
        return BUFFERS_OF_LIST;
    }
    bool is_set = PyType_IsSubtype(type, &PySet_Type) || PyType_IsSubtype(type, &PyFrozenSet_Type);
    if (is_set) {
        return BUFFERS_OF_SET;
    }
    return cpython_is_decimal(cpython_buffer_base(type)) ? BUFFERS_OF_DECIMAL : BUFFERS_UNKNOWN;
}

/* The bytes at the start of an instance whose members are known. */
static size_t
known_bytes(buffers_rule rule)
{
    static const size_t bytes[] = {
        [BUFFERS_UNKNOWN] = sizeof(PyObject),           [BUFFERS_OF_LIST] = sizeof(PyListObject),
        [BUFFERS_OF_DICT] = sizeof(PyDictObject),       [BUFFERS_OF_SET] = sizeof(PySetObject),
        [BUFFERS_OF_DECIMAL] = sizeof(cpython_decimal),
    };
    return bytes[rule];
}

/* Set which members are scanned. */
static void
describe_scan(type_info *info)
{
    if (anatomy_may_own(info->type)) {
        size_t end = (size_t)cpython_buffer_base(info->type)->tp_basicsize / sizeof(void *);
        info->scan_from = (uint16_t)(known_bytes(info->buffers) / sizeof(void *));
        info->scan_to = (uint16_t)Py_MIN(end, UINT16_MAX);
    }
}

static type_info
describe(PyTypeObject *type)
{
    unsigned long flags = type->tp_flags;
    type_info info = {
        .type = type,
        .basic_bytes = type->tp_basicsize,
        .item_bytes = type->tp_itemsize,
        .header_bytes = (uint8_t)cpython_header_bytes(type),
        .may_be_resized = cpython_may_be_resized(type),
        .is_text = flags & Py_TPFLAGS_UNICODE_SUBCLASS,
        .is_bytearray = PyType_IsSubtype(type, &PyByteArray_Type),
        .is_class = flags & Py_TPFLAGS_TYPE_SUBCLASS,
        .may_have_values = !CPYTHON_INLINES_VALUES && flags & Py_TPFLAGS_MANAGED_DICT,
        .owns_chains = !(flags & Py_TPFLAGS_UNICODE_SUBCLASS),
        .may_refer = anatomy_may_refer(type),
        .buffers = buffers_rule_of(type),
    };
    describe_scan(&info);
    info.may_own = info.may_have_values || info.buffers || info.scan_from < info.scan_to;
    return info;
}

uint32_t
types_add(type_table *table, PyTypeObject *type)
{
    if (table->count >> TYPE_NUMBER_BITS) {
        PyErr_NoMemory();
        return 0;
    }
    uint32_t number = (uint32_t)table->count;
    if (append_info(table, describe(type)) < 0) {
        return 0;
    }
    type_place *place = hashtable_add(&table->places, sizeof(type_place), (uintptr_t)type);
    if (!place) {
        PyErr_NoMemory();
        return 0;
    }
    place->number = number;
    return number;
}
