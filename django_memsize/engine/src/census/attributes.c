#include "census/attributes.h"

/* Instances of classes written in Python share a table of keys. Its sizes stand at the same place
   on 3.11 to 3.14: pycore_dict.h, struct _dictkeysobject. */
typedef struct {
    Py_ssize_t references;
    uint8_t log2_size, log2_index_bytes, kind;
    uint32_t version;
    Py_ssize_t usable;
    Py_ssize_t entries;
} shared_keys;

static bool proven = false;

static Py_ssize_t
number_of_slots(const void *keys)
{
    return ((const shared_keys *)keys)->usable + ((const shared_keys *)keys)->entries;
}

/* pycore_dict.h: _PyInlineValuesSize; dictobject.c: new_values. */
static Py_ssize_t
block_of(Py_ssize_t slots)
{
#if PY_VERSION_HEX >= 0x030D0000
    return whole_words(slots) + (slots + 1) * (Py_ssize_t)sizeof(PyObject *);
#else
    return whole_words(slots + 2) + slots * (Py_ssize_t)sizeof(PyObject *);
#endif
}

static const void *
keys_of(PyTypeObject *type)
{
    if (!(type->tp_flags & Py_TPFLAGS_MANAGED_DICT) || !is_heap_type(type)) {
        return NULL;
    }
    return ((PyHeapTypeObject *)type)->ht_cached_keys;
}

/* The first instances of a class have blocks of up to 30 slots, later ones of one more than there
   are attributes. From 3.13 on a block tells its slots; before, only the bytes in front of them, a
   multiple of eight. Never a figure that changes while the block does not. */
static Py_ssize_t
slots_in(const void *values, const void *keys)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)keys;
    return ((const uint8_t *)values)[0];
#else
    Py_ssize_t in_front = ((const uint8_t *)values)[-1];
    Py_ssize_t later
        = ((const shared_keys *)keys)->entries + (((const shared_keys *)keys)->usable > 0);
    return Py_MAX(in_front - 9, Py_MIN(later, in_front - 2));
#endif
}

/* pycore_object.h: the words before the collector's two in front of an instance. */
static uintptr_t
word_before(PyObject *instance, int words)
{
    return ((uintptr_t *)instance)[-words];
}

PyObject *
attributes_dict(PyObject *instance)
{
    if (!proven || !(Py_TYPE(instance)->tp_flags & Py_TPFLAGS_MANAGED_DICT)) {
        return NULL;
    }
    uintptr_t word = word_before(instance, 3);
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    if (word & 1) {
        return NULL;
    }
#endif
    return (PyObject *)word;
}

/* The block that belongs to an instance alone: a part of it from 3.13 on, apart from it before. */
static const void *
own_values(PyObject *instance)
{
#if PY_VERSION_HEX >= 0x030D0000
    if (!(Py_TYPE(instance)->tp_flags & Py_TPFLAGS_INLINE_VALUES)) {
        return NULL;
    }
    const void *values = (char *)instance + Py_TYPE(instance)->tp_basicsize;
    const PyDictObject *dict = (const PyDictObject *)attributes_dict(instance);
    return dict && (const void *)dict->ma_values == values ? NULL : values;
#elif PY_VERSION_HEX >= 0x030C0000
    uintptr_t word = word_before(instance, 3);
    return word & 1 ? (const void *)(word + 1) : NULL;
#else
    return (const void *)word_before(instance, 4);
#endif
}

Py_ssize_t
attributes_block(PyObject *instance)
{
    const void *keys = proven ? keys_of(Py_TYPE(instance)) : NULL;
    const void *values = keys ? own_values(instance) : NULL;
    return values ? block_of(slots_in(values, keys)) : 0;
}

/* Before 3.13 a block's start is as far in front of its values as its first byte says. */
static const void *
allocation_of(const void *values)
{
#if PY_VERSION_HEX >= 0x030D0000
    (void)values;
    return NULL; /* found without: it begins with what is pointed to */
#else
    return values ? (const char *)values - ((const uint8_t *)values)[-1] : NULL;
#endif
}

const void *
attributes_allocation(PyObject *instance)
{
    return proven ? allocation_of(own_values(instance)) : NULL;
}

const void *
attributes_allocation_of_dict(PyObject *dict)
{
    return proven ? allocation_of(((PyDictObject *)dict)->ma_values) : NULL;
}

/* Each of the first instances of a class has one slot more than it tells: dictobject.c,
   _PyObject_InitInlineValues. */
bool
attributes_fit(PyTypeObject *type, const void *values, Py_ssize_t bytes)
{
#if PY_VERSION_HEX >= 0x030D0000
    if (!proven || !(type->tp_flags & Py_TPFLAGS_INLINE_VALUES)) {
        return false;
    }
    Py_ssize_t slots = slots_in(values, NULL);
    return bytes == block_of(slots) || bytes == block_of(slots + 1);
#else
    (void)type, (void)values, (void)bytes;
    return false;
#endif
}

Py_ssize_t
attributes_left_out(PyObject *dict)
{
    const PyDictObject *table = (const PyDictObject *)dict;
    if (!proven || !table->ma_values) {
        return 0;
    }
    return block_of(slots_in(table->ma_values, table->ma_keys))
           - number_of_slots(table->ma_keys) * (Py_ssize_t)sizeof(PyObject *);
}

/* Whether a class's only instance has the block that its keys were made for. */
static bool
has_first_block(PyObject *instance, const void *keys)
{
    const void *values = own_values(instance);
#if PY_VERSION_HEX >= 0x030D0000
    return values && slots_in(values, keys) == number_of_slots(keys);
#else
    return values && ((const uint8_t *)values)[-1] == whole_words(number_of_slots(keys) + 2);
#endif
}

/* Whether an instance with so many attributes is as this file believes, before and after its dict
   is asked for. -1 with an exception. */
static int
holds_true(PyObject *instance, Py_ssize_t attributes)
{
    PyTypeObject *type = Py_TYPE(instance);
    const shared_keys *keys = keys_of(type);
    if (!keys || keys->entries != attributes || keys->usable < 0 || keys->usable > 30
        || !has_first_block(instance, keys) || attributes_dict(instance))
    {
        return false;
    }
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    if (!dict) {
        return -1;
    }
    const PyDictObject *table = (const PyDictObject *)dict;
    int truth = attributes_dict(instance) == dict && !own_values(instance) && table->ma_values
                && (const void *)table->ma_keys == (const void *)keys;
    if (truth) {
        PyObject *size = PyObject_CallMethod(dict, "__sizeof__", NULL);
        Py_ssize_t expected
            = PyDict_Type.tp_basicsize + number_of_slots(keys) * (Py_ssize_t)sizeof(PyObject *);
        truth = size ? PyLong_AsSsize_t(size) == expected : -1;
        Py_XDECREF(size);
    }
    Py_DECREF(dict);
    return truth;
}

static int
prove_with(Py_ssize_t attributes)
{
    int truth = -1;
    PyObject *instance = NULL;
    PyObject *type = PyObject_CallFunction((PyObject *)&PyType_Type, "s(){}", "Proof");
    if (!type) {
        return -1;
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
    truth = holds_true(instance, attributes);
done:
    Py_XDECREF(instance);
    Py_DECREF(type);
    return truth;
}

int
attributes_prove(void)
{
    proven = true;
    int truth = prove_with(3);
    if (truth == 1) {
        truth = prove_with(7);
    }
    proven = truth == 1;
    return truth;
}
