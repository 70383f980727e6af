#include "cpython.h"

/* Include/internal/pycore_dict.h, struct _dictkeysobject: the table of keys that the instances of a
   class share. 3.11 to 3.15. */
typedef struct {
    Py_ssize_t references;
    uint8_t log2_size, log2_index_bytes, kind;
    uint32_t version;
    Py_ssize_t usable;
    Py_ssize_t entries;
} shared_keys;

/* Objects/dictobject.c: SHARED_KEYS_MAX_SIZE. */
#define SHARED_KEYS_MOST 30

static bool values_are_proven;
static destructor subtype_dealloc;

static Py_ssize_t
slots_of_keys(const void *keys)
{
    return ((const shared_keys *)keys)->usable + ((const shared_keys *)keys)->entries;
}

/* Bytes of a block of values. pycore_dict.h: _PyInlineValuesSize; dictobject.c: new_values. */
static Py_ssize_t
bytes_of_slots(Py_ssize_t slots)
{
#if CPYTHON_INLINES_VALUES
    return round_up_to_words(slots) + (slots + 1) * (Py_ssize_t)sizeof(PyObject *);
#else
    return round_up_to_words(slots + 2) + slots * (Py_ssize_t)sizeof(PyObject *);
#endif
}

static const void *
shared_keys_of(PyTypeObject *type)
{
    if (!(type->tp_flags & Py_TPFLAGS_MANAGED_DICT) || !is_heap_type(type)) {
        return NULL;
    }
    return ((PyHeapTypeObject *)type)->ht_cached_keys;
}

/* The slots in a block of values: up to 30 for the first instances of a class, for later ones one
   more than there are attributes. From 3.13 on a block stores the number. Before, it stores only
   the bytes in front of the slots, which are rounded up. The result never changes while the block
   does not. */
static Py_ssize_t
slots_of_values(const void *values, const void *keys)
{
#if CPYTHON_INLINES_VALUES
    (void)keys;
    return ((const uint8_t *)values)[0];
#else
    Py_ssize_t bytes_in_front = ((const uint8_t *)values)[-1];
    Py_ssize_t later_slots
        = ((const shared_keys *)keys)->entries + (((const shared_keys *)keys)->usable > 0);
    return Py_MAX(bytes_in_front - 9, Py_MIN(later_slots, bytes_in_front - 2));
#endif
}

/* Include/internal/pycore_object.h: the pre-header is in front of the collector's two words. */
static uintptr_t
word_in_front(PyObject *instance, int words)
{
    return ((uintptr_t *)instance)[-words];
}

PyObject *
cpython_instance_dict(PyObject *instance)
{
    if (!values_are_proven || !(Py_TYPE(instance)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) {
        return NULL;
    }
    uintptr_t word = word_in_front(instance, 3);
#if CPYTHON_TAGS_VALUES
    if (word & 1) {
        return NULL;
    }
#endif
    return (PyObject *)word;
}

/* The values that belong to an instance alone, or NULL. */
static const void *
own_values(PyObject *instance)
{
#if CPYTHON_INLINES_VALUES
    if (!(Py_TYPE(instance)->tp_flags & Py_TPFLAGS_INLINE_VALUES)) {
        return NULL;
    }
    const void *values = (char *)instance + Py_TYPE(instance)->tp_basicsize;
    const PyDictObject *dict = (const PyDictObject *)cpython_instance_dict(instance);
    return dict && (const void *)dict->ma_values == values ? NULL : values;
#elif CPYTHON_TAGS_VALUES
    uintptr_t word = word_in_front(instance, 3);
    return word & 1 ? (const void *)(word + 1) : NULL;
#else
    return (const void *)word_in_front(instance, 4);
#endif
}

Py_ssize_t
cpython_values_bytes(PyObject *instance)
{
    const void *keys = values_are_proven ? shared_keys_of(Py_TYPE(instance)) : NULL;
    const void *values = keys ? own_values(instance) : NULL;
    return values ? bytes_of_slots(slots_of_values(values, keys)) : 0;
}

/* Before 3.13, the byte in front of the values is the distance to the start of the block. From 3.13
   on a block of its own begins with the values. */
static const void *
block_of_values(const void *values)
{
#if CPYTHON_INLINES_VALUES
    return values;
#else
    return values ? (const char *)values - ((const uint8_t *)values)[-1] : NULL;
#endif
}

const void *
cpython_values_block(PyObject *instance)
{
    return values_are_proven ? block_of_values(own_values(instance)) : NULL;
}

const void *
cpython_dict_values_block(PyObject *dict)
{
    return values_are_proven ? block_of_values(((PyDictObject *)dict)->ma_values) : NULL;
}

/* Objects/dictobject.c, _PyObject_InitInlineValues: each of the first instances of a class has one
   slot more than it says. */
bool
cpython_values_fit(PyTypeObject *type, const void *values, Py_ssize_t bytes)
{
#if CPYTHON_INLINES_VALUES
    if (!values_are_proven || !(type->tp_flags & Py_TPFLAGS_INLINE_VALUES)) {
        return false;
    }
    Py_ssize_t slots = slots_of_values(values, NULL);
    return bytes == bytes_of_slots(slots) || bytes == bytes_of_slots(slots + 1);
#else
    (void)type, (void)values, (void)bytes;
    return false;
#endif
}

Py_ssize_t
cpython_dict_sizeof_lacks(PyObject *dict)
{
    const PyDictObject *table = (const PyDictObject *)dict;
    if (!values_are_proven || !table->ma_values) {
        return 0;
    }
    return bytes_of_slots(slots_of_values(table->ma_values, table->ma_keys))
           - slots_of_keys(table->ma_keys) * (Py_ssize_t)sizeof(PyObject *);
}

/* Whether the first instance of a class has a block of the size that the keys were made for. */
static bool
has_first_block(PyObject *instance, const void *keys)
{
    const void *values = own_values(instance);
#if CPYTHON_INLINES_VALUES
    return values && slots_of_values(values, keys) == slots_of_keys(keys);
#else
    return values && ((const uint8_t *)values)[-1] == round_up_to_words(slots_of_keys(keys) + 2);
#endif
}

/* Whether dict.__sizeof__ counts the slots of the keys. -1 with an exception. */
static int
is_size_as_expected(PyObject *dict, const void *keys)
{
    PyObject *size = PyObject_CallMethod(dict, "__sizeof__", NULL);
    if (!size) {
        return -1;
    }
    Py_ssize_t expected
        = PyDict_Type.tp_basicsize + slots_of_keys(keys) * (Py_ssize_t)sizeof(PyObject *);
    int is_expected = PyLong_AsSsize_t(size) == expected;
    Py_DECREF(size);
    return is_expected;
}

/* Whether an instance with so many attributes is laid out as this file expects, before and after it
   gets a dict. -1 with an exception. */
static int
is_as_expected(PyObject *instance, Py_ssize_t attributes)
{
    const shared_keys *keys = shared_keys_of(Py_TYPE(instance));
    if (!keys || keys->entries != attributes || keys->usable < 0 || keys->usable > SHARED_KEYS_MOST
        || !has_first_block(instance, keys) || cpython_instance_dict(instance))
    {
        return false;
    }
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    if (!dict) {
        return -1;
    }
    const PyDictObject *table = (const PyDictObject *)dict;
    bool has_moved = cpython_instance_dict(instance) == dict && !own_values(instance)
                     && table->ma_values && (const void *)table->ma_keys == (const void *)keys;
    int is_expected = has_moved ? is_size_as_expected(dict, keys) : false;
    Py_DECREF(dict);
    return is_expected;
}

/* The same, of an instance of a new class. -1 with an exception. */
static int
prove_with(Py_ssize_t attributes)
{
    int is_expected = -1;
    PyObject *instance = NULL;
    PyObject *type = PyObject_CallFunction((PyObject *)&PyType_Type, "s(){}", "Proof");
    if (!type) {
        goto done;
    }
    instance = PyObject_CallNoArgs(type);
    if (!instance) {
        goto done;
    }
    for (Py_ssize_t number = 0; number < attributes; number++) {
        char name[] = {'a', (char)('a' + number), 0};
        if (PyObject_SetAttrString(instance, name, Py_None) < 0) {
            goto done;
        }
    }
    subtype_dealloc = ((PyTypeObject *)type)->tp_dealloc;
    is_expected = is_as_expected(instance, attributes);
done:
    Py_XDECREF(instance);
    Py_XDECREF(type);
    return is_expected;
}

PyTypeObject *
cpython_buffer_base(PyTypeObject *type)
{
    while (type->tp_dealloc == subtype_dealloc && type->tp_base) {
        type = type->tp_base;
    }
    return type;
}

int
cpython_prove_values(void)
{
    values_are_proven = true;
    int is_expected = prove_with(3);
    if (is_expected == 1) {
        is_expected = prove_with(7);
    }
    values_are_proven = is_expected == 1;
    return is_expected;
}
