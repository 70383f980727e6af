#include "attributes.h"

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
rounded_up(Py_ssize_t bytes)
{
    return (bytes + (Py_ssize_t)sizeof(void *) - 1) & ~((Py_ssize_t)sizeof(void *) - 1);
}

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
    return rounded_up(slots) + (slots + 1) * (Py_ssize_t)sizeof(PyObject *);
#else
    return rounded_up(slots + 2) + slots * (Py_ssize_t)sizeof(PyObject *);
#endif
}

static const void *
keys_of(PyTypeObject *type)
{
    if (!(type->tp_flags & Py_TPFLAGS_MANAGED_DICT) || !(type->tp_flags & Py_TPFLAGS_HEAPTYPE)) {
        return NULL;
    }
    return ((PyHeapTypeObject *)type)->ht_cached_keys;
}

/* Whether the block is a part of each instance: it stands apart on 3.11 and 3.12. */
static bool
are_inline(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030D0000
    return type->tp_flags & Py_TPFLAGS_INLINE_VALUES;
#else
    (void)type;
    return false;
#endif
}

Py_ssize_t
attributes_block(PyTypeObject *type)
{
    const void *keys = proven ? keys_of(type) : NULL;
    if (!keys) {
        return 0;
    }
    if (PY_VERSION_HEX >= 0x030D0000 && !are_inline(type)) {
        return 0;
    }
    return block_of(number_of_slots(keys));
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

bool
attributes_owned(PyObject *instance)
{
    if (!proven) {
        return false;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyDictObject *dict = (PyDictObject *)attributes_dict(instance);
    return !dict || (char *)dict->ma_values != (char *)instance + Py_TYPE(instance)->tp_basicsize;
#elif PY_VERSION_HEX >= 0x030C0000
    return word_before(instance, 3) & 1;
#else
    return word_before(instance, 4) != 0;
#endif
}

Py_ssize_t
attributes_left_out(PyObject *dict)
{
    PyDictObject *table = (PyDictObject *)dict;
    if (!proven || !table->ma_values) {
        return 0;
    }
    Py_ssize_t slots = number_of_slots(table->ma_keys);
    return block_of(slots) - slots * (Py_ssize_t)sizeof(PyObject *);
}

/* Whether an instance with so many attributes is as this file believes, before and after its dict
   is asked for. -1 with an exception. */
static int
holds_true(PyObject *instance, Py_ssize_t attributes)
{
    PyTypeObject *type = Py_TYPE(instance);
    const shared_keys *keys = keys_of(type);
    if (!keys || keys->entries != attributes || keys->usable < 0 || keys->usable > 30
        || !attributes_block(type) || !attributes_owned(instance) || attributes_dict(instance))
    {
        return false;
    }
    PyObject *dict = PyObject_GenericGetDict(instance, NULL);
    if (!dict) {
        return -1;
    }
    const PyDictObject *table = (const PyDictObject *)dict;
    int truth = attributes_dict(instance) == dict && !attributes_owned(instance) && table->ma_values
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
