/* Every fact about CPython that CPython does not publish, each with the file that it comes from.
   Checked on 3.11 to 3.15. No other file reads PY_VERSION_HEX, except platform.h for public API.

   A new version of CPython: read the files named here, then correct the table below and the
   functions that use it. What can prove itself at import does so: cpython_prove_values(),
   lookup_prepare(). */
#ifndef MEMSIZE_CPYTHON_H
#define MEMSIZE_CPYTHON_H

#include "platform.h"

/* ---- The table: what differs between versions. ---- */

/* Some objects are immortal (PEP 683), and interpreters with a GIL of their own share no others
   (PEP 684). Before, any interpreter could free a text that another one had allocated. */
#define CPYTHON_HAS_IMMORTALS (PY_VERSION_HEX >= 0x030C0000)
#define CPYTHON_SHARES_OBJECTS (PY_VERSION_HEX < 0x030C0000)

/* Modules/gcmodule.c, Python/gc.c: there is PyUnstable_GC_VisitObjects(). Before, only
   gc.get_objects() listed what the collector tracks, in a list that refers to all of it. */
#define CPYTHON_VISITS_TRACKED (PY_VERSION_HEX >= 0x030C0000)

/* Python/gc.c: PyUnstable_GC_VisitObjects() visits objects that gc.freeze() set aside, too. */
#define CPYTHON_VISITS_FROZEN (PY_VERSION_HEX >= 0x030E0000)

/* Include/internal/pycore_object.h: the list of weak references may be in the pre-header. */
#define CPYTHON_HAS_MANAGED_WEAKREFS (PY_VERSION_HEX >= 0x030C0000)

/* Include/internal/pycore_long.h: lv_tag holds the number of digits, above three other bits. */
#define CPYTHON_TAGS_INTS (PY_VERSION_HEX >= 0x030C0000)

/* Include/internal/pycore_object.h, Objects/dictobject.c: where an instance has its attributes.
   3.11: values and dict in two words. 3.12: one word for both, with bit 0 set for values. From 3.13
   on: the values directly behind the instance. */
#define CPYTHON_TAGS_VALUES (PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000)
#define CPYTHON_INLINES_VALUES (PY_VERSION_HEX >= 0x030D0000)

/* Modules/_io/bytesio.c: the buffer of a BytesIO is a bytes object, which its tp_traverse shows. */
#define CPYTHON_SHOWS_BYTES_IO (PY_VERSION_HEX >= 0x030C0000)

/* Modules/_struct.c: Struct.__sizeof__ reads members that a Struct without __init__() does not
   have. */
#define CPYTHON_STRUCT_SIZE_CRASHES (PY_VERSION_HEX < 0x030E0000)

/* Modules/_asynciomodule.c: the module's tp_traverse shows iterators that were freed. */
#define CPYTHON_ASYNCIO_SHOWS_FREED (PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000)

/* Objects/dictobject.c: frozendict is a static type, with the struct of a dict at the start of its
   instances, and no subclass of dict. */
#define CPYTHON_HAS_FROZENDICT (PY_VERSION_HEX >= 0x030F0000)

/* Include/cpython/bytearrayobject.h: the buffer of a bytearray is a bytes object, to which only the
   bytearray refers; bytearray has no tp_traverse, and its __sizeof__ counts the object. */
#define CPYTHON_BYTEARRAY_HAS_BYTES (PY_VERSION_HEX >= 0x030F0000)

/* Include/internal/pycore_freelist.h: the first word of a freed object links to the next one on its
   free list. Before, that word was its reference count, 0. */
#define CPYTHON_LINKS_FREED (PY_VERSION_HEX >= 0x030E0000)

/* Python/ceval.c: a RecursionError is made where the limit is reached, even inside an allocator.
   Making it may start the collector. */
#define CPYTHON_RAISES_RECURSION_EARLY (PY_VERSION_HEX < 0x030C0000)

/* Include/cpython/pystate.h: the name before 3.13. */
#if PY_VERSION_HEX < 0x030D0000
#define PyThreadState_GetUnchecked _PyThreadState_UncheckedGet
#endif

/* ---- In front of an object. ---- */

/* Include/internal/pycore_gc.h, PyGC_Head: two words in front of what the collector may track.
   Include/internal/pycore_object.h, _PyType_PreHeaderSize: two more, of instances with a managed
   dict or a managed list of weak references. */
#define CPYTHON_GC_HEADER ((Py_ssize_t)(2 * sizeof(void *)))
#define CPYTHON_PRE_HEADER ((Py_ssize_t)(2 * sizeof(void *)))

#if CPYTHON_HAS_MANAGED_WEAKREFS
#define CPYTHON_HAS_PRE_HEADER (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF)
#else
#define CPYTHON_HAS_PRE_HEADER Py_TPFLAGS_MANAGED_DICT
#endif

/* Bytes of a block in front of an instance of a type. */
static inline Py_ssize_t
cpython_header_bytes(PyTypeObject *type)
{
    return (type->tp_flags & Py_TPFLAGS_HAVE_GC ? CPYTHON_GC_HEADER : 0)
           + (type->tp_flags & CPYTHON_HAS_PRE_HEADER ? CPYTHON_PRE_HEADER : 0);
}

/* No pointer to an object, or to a type, is less. */
#define CPYTHON_LEAST_POINTER ((uintptr_t)4096)

static inline bool
cpython_may_be_pointer_or_null(uintptr_t word)
{
    return !word || word >= CPYTHON_LEAST_POINTER;
}

/* Whether the words in front of an address may be such headers. PyGC_Head of an untracked object
   has no next one, and no more than flags in place of the previous one. */
static inline bool
cpython_headers_fit(const uintptr_t *object, Py_ssize_t header_bytes)
{
    if (header_bytes >= CPYTHON_GC_HEADER) {
        uintptr_t next = object[-2], previous = object[-1];
        bool is_untracked = !next && previous < 8;
        if (!is_untracked && (next < CPYTHON_LEAST_POINTER || previous < CPYTHON_LEAST_POINTER)) {
            return false;
        }
    }
    return header_bytes < CPYTHON_GC_HEADER + CPYTHON_PRE_HEADER
           || (cpython_may_be_pointer_or_null(object[-4])
               && cpython_may_be_pointer_or_null(object[-3]));
}

/* ---- The reference count. ---- */

/* Include/object.h, Include/refcount.h: the count of an immortal object is above this, whatever the
   version; CPython never counts so many references. */
#define CPYTHON_IMMORTAL ((Py_ssize_t)1 << 30)

/* Whether CPython keeps an object for good. */
static inline bool
cpython_is_immortal(PyObject *object)
{
    return CPYTHON_HAS_IMMORTALS && Py_REFCNT(object) > CPYTHON_IMMORTAL;
}

/* What the first word of a block says, if an object begins there. */
typedef enum { CPYTHON_NO_OBJECT, CPYTHON_ALIVE, CPYTHON_FREED } cpython_state;

/* Include/object.h: from 3.14 on the upper 16 bits of the first word are flags, 0 but for immortal
   objects, and the 16 below are 0. No address has so many bits. */
#define CPYTHON_FLAGS_SHIFT 48

static inline bool
cpython_begins_immortal(uint64_t first)
{
    return first >> CPYTHON_FLAGS_SHIFT && !(uint16_t)(first >> 32)
           && (uint32_t)first > CPYTHON_IMMORTAL;
}

/* Include/object.h: a count takes 32 bits. A freed object on a free list: CPYTHON_LINKS_FREED. */
static inline cpython_state
cpython_state_of(const PyObject *object)
{
    uint64_t first = *(const uint64_t *)object;
    if (first == 0) {
        return CPYTHON_FREED;
    }
    if (first <= UINT32_MAX) {
        return CPYTHON_ALIVE;
    }
#if CPYTHON_LINKS_FREED
    if (cpython_begins_immortal(first)) {
        return CPYTHON_ALIVE;
    }
    bool is_address = !(first >> CPYTHON_FLAGS_SHIFT) && first % sizeof(void *) == 0;
    return is_address ? CPYTHON_FREED : CPYTHON_NO_OBJECT;
#else
    return CPYTHON_NO_OBJECT;
#endif
}

/* ---- Sizes for which __sizeof__ is missing or wrong. ---- */

/* Objects/typeobject.c, PyType_GenericAlloc: instances have room for one item more, as a
   sentinel. Where only functions in C make instances, as of re.Match, they have none. */
static inline Py_ssize_t
cpython_sentinel_bytes(PyTypeObject *type)
{
    bool is_allocated_by_type
        = is_heap_type(type) && !(type->tp_flags & Py_TPFLAGS_DISALLOW_INSTANTIATION);
    bool is_class = type->tp_flags & Py_TPFLAGS_TYPE_SUBCLASS;
    return is_class || is_allocated_by_type ? type->tp_itemsize : 0;
}

/* Objects/longobject.c: an int of one digit takes 32 bytes where _PyLong_FromMedium() allocates it:
   made by arithmetic, by PyLong_FromLong(), and so by a database driver. Parsed from text it takes
   the 28 that __sizeof__ says, in a block of 32 of pymalloc. */
#define CPYTHON_INT_OF_ONE_DIGIT ((Py_ssize_t)sizeof(PyLongObject))

/* Include/internal/pycore_runtime_structs.h, _PY_NSMALLNEGINTS and _PY_NSMALLPOSINTS: ints from
   this one to 256 are cached, to 1,024 on 3.15. The upper bound is found at import, below a limit.
 */
#define CPYTHON_LEAST_CACHED_INT (-5L)
#define CPYTHON_CACHED_INTS_LIMIT 65536L

static inline bool
cpython_int_has_one_digit(PyObject *number)
{
#if CPYTHON_TAGS_INTS
    return PyUnstable_Long_IsCompact((const PyLongObject *)number);
#else
    return Py_ABS(Py_SIZE(number)) <= 1;
#endif
}

/* Whether an int at an address may have so many bytes. Objects/longobject.c: up to three digits
   more are allocated than are used in the end. */
static inline bool
cpython_int_fits(const PyObject *number, Py_ssize_t bytes)
{
    Py_ssize_t head_bytes = (Py_ssize_t)sizeof(PyVarObject);
    if (bytes < head_bytes + 4) {
        return false;
    }
    Py_ssize_t size = ((const PyVarObject *)number)->ob_size;
    Py_ssize_t digits = CPYTHON_TAGS_INTS ? size >> 3 : Py_ABS(size);
    return digits >= 0 && digits <= bytes / 4 && bytes <= head_bytes + 4 * (digits + 3)
           && bytes >= head_bytes + 4 * digits;
}

/* Whether a text at an address may have so many bytes. Include/cpython/unicodeobject.h. */
static inline bool
cpython_text_fits(const PyObject *object, Py_ssize_t bytes)
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

/* Include/internal/pycore_frame.h: these end with a frame, whose size depends on the code; ob_size
   is not the number of items. Members point to objects only, or are not initialised: those of a
   frame object whose function has not returned yet (Objects/frameobject.c). */
static inline bool
cpython_ends_with_frame(PyTypeObject *type)
{
    return type == &PyGen_Type || type == &PyCoro_Type || type == &PyAsyncGen_Type
           || type == &PyFrame_Type;
}

/* _PyUnicode_Resize, _PyBytes_Resize, _PyTuple_Resize: only these change the size of an object
   that exists, by a realloc() of its block. */
static inline bool
cpython_may_be_resized(PyTypeObject *type)
{
    return type == &PyUnicode_Type || type == &PyBytes_Type || type == &PyTuple_Type;
}

/* Items for which a list has room. Objects/listobject.c: -1 while the list is being sorted. */
static inline Py_ssize_t
cpython_list_capacity(PyObject *list)
{
    return Py_MAX(((PyListObject *)list)->allocated, 0);
}

/* Whether instances of a type begin with the struct of a dict: those of dict, of frozendict, and of
   their subclasses. */
static inline bool
cpython_is_dict(PyTypeObject *type)
{
#if CPYTHON_HAS_FROZENDICT
    if (PyType_IsSubtype(type, &PyFrozenDict_Type)) {
        return true;
    }
#endif
    return type->tp_flags & Py_TPFLAGS_DICT_SUBCLASS;
}

/* Whether a type is dict or frozendict themselves. */
static inline bool
cpython_is_exact_dict(PyTypeObject *type)
{
#if CPYTHON_HAS_FROZENDICT
    if (type == &PyFrozenDict_Type) {
        return true;
    }
#endif
    return type == &PyDict_Type;
}

/* ---- Buffers of objects that are allocated like objects, in the domain "object". ---- */

/* Where the characters of an object, and their UTF-8, begin if they are in blocks of their own;
   otherwise NULL. */
typedef struct {
    const void *characters, *utf8;
} cpython_contents;

/* Include/cpython/unicodeobject.h. */
static inline cpython_contents
cpython_text_contents(const PyObject *object)
{
    const PyASCIIObject *text = (const PyASCIIObject *)object;
    if (text->state.compact && text->state.ascii) {
        return (cpython_contents){NULL, NULL};
    }
    return (cpython_contents){
        .characters = text->state.compact ? NULL : ((const PyUnicodeObject *)object)->data.any,
        .utf8 = ((const PyCompactUnicodeObject *)object)->utf8,
    };
}

/* Include/cpython/bytearrayobject.h. */
static inline cpython_contents
cpython_bytearray_contents(const PyObject *object)
{
    const PyByteArrayObject *array = (const PyByteArrayObject *)object;
#if CPYTHON_BYTEARRAY_HAS_BYTES
    return (cpython_contents){.characters = array->ob_bytes_object};
#else
    return (cpython_contents){.characters = array->ob_bytes};
#endif
}

/* ---- Buffers of objects that are allocated in blocks of their own. ---- */

/* Include/cpython/setobject.h: the entries, NULL if they are in the set itself. */
static inline const void *
cpython_set_entries(const PyObject *set)
{
    const PySetObject *table = (const PySetObject *)set;
    return table->table == table->smalltable ? NULL : table->table;
}

/* Include/cpython/object.h: the table of keys that the dicts of a class's instances share. Such a
   dict points to the table as well. */
static inline const void *
cpython_class_keys(const PyObject *type)
{
    bool is_heap = is_heap_type((PyTypeObject *)(uintptr_t)type);
    return is_heap ? ((const PyHeapTypeObject *)type)->ht_cached_keys : NULL;
}

/* The type, or its nearest base, whose members may point to buffers.

   Objects/typeobject.c, subtype_dealloc: frees the instances of a class that was written in Python,
   or that has no tp_dealloc of its own. It drops references (to values of slots, a dict, weak
   references), and leaves the rest to the tp_dealloc of the nearest base with another one. So only
   that base can free buffers, and own them. */
PyTypeObject *cpython_buffer_base(PyTypeObject *type);

/* Modules/_decimal/_decimal.c: PyDecObject; Modules/_decimal/libmpdec/mpdecimal.h: mpd_t. Neither
   what is behind the one byte of the flags, nor digits that are not in use, are initialised. */
typedef struct {
    PyObject_HEAD
    Py_hash_t hash;
    uint8_t flags;
    Py_ssize_t exponent, digits, length, allocated;
    const void *data;
    uint64_t inline_data[4];
} cpython_decimal;

/* Whether a type is that of decimals written in C, as cpython_buffer_base() returns it. */
static inline bool
cpython_is_decimal(PyTypeObject *base)
{
    return base->tp_basicsize == (Py_ssize_t)sizeof(cpython_decimal)
           && strcmp(base->tp_name, "decimal.Decimal") == 0;
}

/* The digits of a decimal, NULL if they are in the decimal itself. */
static inline const void *
cpython_decimal_digits(const PyObject *object)
{
    const cpython_decimal *number = (const cpython_decimal *)object;
    return number->data == number->inline_data ? NULL : number->data;
}

/* ---- References that tp_traverse does not show, or shows wrong. ---- */

/* Include/cpython/setobject.h, Objects/setobject.c: the mark of a deleted entry has the hash -1. */
MEMSIZE_INLINE int
cpython_visit_set(PyObject *set, visitproc visit, void *arg)
{
    const PySetObject *table = (const PySetObject *)set;
    for (Py_ssize_t at = 0; at <= table->mask; at++) {
        if (table->table[at].hash != -1) {
            Py_VISIT(table->table[at].key);
        }
    }
    return 0;
}

/* Include/cpython/code.h: the members of a code object, which has no tp_traverse. */
MEMSIZE_INLINE int
cpython_visit_code(PyObject *object, visitproc visit, void *arg)
{
    const PyCodeObject *code = (const PyCodeObject *)object;
    Py_VISIT(code->co_consts);
    Py_VISIT(code->co_names);
    Py_VISIT(code->co_localsplusnames);
    Py_VISIT(code->co_localspluskinds);
    Py_VISIT(code->co_filename);
    Py_VISIT(code->co_name);
    Py_VISIT(code->co_qualname);
    Py_VISIT(code->co_linetable);
    Py_VISIT(code->co_exceptiontable);
    return 0;
}

/* Objects/typeobject.c, type_traverse: these members of a class made at run time are not shown, as
   they cannot be part of a cycle. */
static inline int
cpython_visit_class_texts(PyObject *type, visitproc visit, void *arg)
{
    const PyHeapTypeObject *class = (const PyHeapTypeObject *)type;
    Py_VISIT(class->ht_name);
    Py_VISIT(class->ht_qualname);
    Py_VISIT(class->ht_slots);
    return 0;
}

/* Objects/dictobject.c, dict_traverse: where all keys of a dict are texts the keys are not shown.
   Then it shows no more objects than it has values. The keys of a shared table belong to the
   class. */
static inline bool
cpython_hides_keys(PyObject *dict, size_t objects_shown)
{
    return !((PyDictObject *)dict)->ma_values && objects_shown <= (size_t)PyDict_GET_SIZE(dict);
}

/* Whether a module's tp_traverse shows freed objects, and must not be called. */
static inline bool
cpython_shows_freed(PyObject *module)
{
#if CPYTHON_ASYNCIO_SHOWS_FREED
    const PyModuleDef *definition = PyModule_GetDef(module);
    return definition && definition->m_name && strcmp(definition->m_name, "_asyncio") == 0;
#else
    (void)module;
    return false;
#endif
}

/* ---- Free lists. ---- */

/* Types with a free list, as windows drain them: tuples by length, lists, dicts, floats, and ints
   (3.14). Include/internal/pycore_freelist_state.h; before 3.14 pycore_tuple.h, pycore_list.h,
   pycore_dict_state.h, pycore_floatobject.h. */
#define CPYTHON_FREE_TUPLES_LENGTH 20
#define CPYTHON_FREE_LIST_MOST 4000 /* twice as many as any version keeps */
#define CPYTHON_FREE_CONTAINERS 80  /* of lists, of dicts, and of tables of keys */

/* Include/internal/pycore_dict.h, struct _dictkeysobject: the tables of keys on a free list have
   the size that dicts begin with, 8. Whether a freed block of so many bytes may be one. */
static inline bool
cpython_is_freed_keys(const uint8_t *block, size_t bytes)
{
    return bytes > 40 && block[8] == 3 && block[9] == 3 && block[10] < 3;
}

/* Whether a freed object of a type, of which a block of so many bytes is, may be put on a free
   list. No object of these types has more bytes than a tuple of the greatest length: 200, and 208
   from 3.14 on, where a tuple has its hash. */
static inline bool
cpython_may_be_put_on_free_list(const PyTypeObject *type, size_t bytes)
{
    bool has_free_list = type == &PyTuple_Type || type == &PyList_Type || type == &PyDict_Type
                         || type == &PyFloat_Type;
#if PY_VERSION_HEX >= 0x030E0000
    has_free_list |= type == &PyLong_Type;
#endif
    return has_free_list
           && bytes <= (size_t)CPYTHON_GC_HEADER + offsetof(PyTupleObject, ob_item)
                           + CPYTHON_FREE_TUPLES_LENGTH * sizeof(PyObject *);
}

/* The most bytes of a table of keys that may be put on a free list: 8 keys with their hashes. */
#define CPYTHON_FREE_KEYS_BYTES 256

/* Whether a block of so many bytes, which is no object, may be such a table that one dict uses.
   Only those of texts are put on the free list: Objects/dictobject.c, free_keys_object,
   USABLE_FRACTION. */
static inline bool
cpython_is_keys_in_use(const uint8_t *block, size_t bytes)
{
    enum { UNICODE = 1 };
    const size_t slots = 8, usable = 5;
    const size_t header = sizeof(Py_ssize_t) + 2 * sizeof(uint32_t) + 2 * sizeof(Py_ssize_t);
    return bytes == header + slots + usable * 2 * sizeof(PyObject *)
           && *(const Py_ssize_t *)(const void *)block == 1 && block[8] == 3 && block[9] == 3
           && block[10] == UNICODE;
}

/* Objects/dictobject.c, new_keys_object, free_keys_object: free the table of keys of a dict that
   has one of its own, without putting it on a free list. The dict must not be used any more. */
static inline void
cpython_free_keys(const PyDictObject *dict)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyMem_Free(dict->ma_keys);
#else
    PyObject_Free(dict->ma_keys);
#endif
}

/* ---- The state of a thread. ---- */

/* Include/cpython/pystate.h: as PyThreadState_GetID() and PyThreadState_GetInterpreter(), which
   would be a call for each allocation. */
MEMSIZE_INLINE uint64_t
cpython_thread_id(const PyThreadState *thread)
{
    return thread->id;
}

MEMSIZE_INLINE PyInterpreterState *
cpython_interpreter(const PyThreadState *thread)
{
    return thread->interp;
}

/* Include/cpython/pystate.h, Python/context.c: a number that changes whenever the thread enters or
   leaves a context. Setting a variable does not change it. */
MEMSIZE_INLINE uint64_t
cpython_context_version(const PyThreadState *thread)
{
    return thread->context_ver;
}

static inline PyObject *
cpython_context(const PyThreadState *thread)
{
    return thread->context;
}

static inline int
cpython_find_context_values(PyObject *referent, void *values)
{
    if (!Py_IS_TYPE(referent, &PyContext_Type)) { /* the context that was current before */
        *(PyObject **)values = referent;
    }
    return 0;
}

/* The object with all values of a context, borrowed; NULL without a context. Python/context.c,
   Python/hamt.c: it is immutable, and replaced whenever a variable is set. */
static inline PyObject *
cpython_context_values(PyObject *context)
{
    PyObject *values = NULL;
    if (context) {
        (void)Py_TYPE(context)->tp_traverse(context, cpython_find_context_values, &values);
    }
    return values;
}

/* Whether reading a variable could raise a RecursionError, and with it start the collector. */
static inline bool
cpython_is_near_recursion_limit(const PyThreadState *thread)
{
#if CPYTHON_RAISES_RECURSION_EARLY
    return thread->recursion_remaining < 4;
#else
    (void)thread;
    return false;
#endif
}

/* ---- The attributes of instances: cpython.c. ---- */

/* Prove the layouts that the functions below rely on, on instances of a class made for it. True if
   CPython is as they expect. False, with no exception, if it is not: they return 0, NULL or false
   from then on. -1 with an exception. */
int cpython_prove_values(void);

/* Bytes of the block of values that belongs to an instance alone; 0 if it has none. Once the
   instance has a dict, the block belongs to the dict and counts with it. */
Py_ssize_t cpython_values_bytes(PyObject *instance);

/* The dict of an instance, borrowed; NULL if none was made yet. Makes none. Objects/dictobject.c,
   PyObject_VisitManagedDict: on 3.13, tp_traverse of the instance may show the values and not the
   dict. */
PyObject *cpython_instance_dict(PyObject *instance);

/* The start of the block with an instance's values, or with a dict's. From 3.13 on the values may
   be part of the instance's block, and then the start is no start of a block. NULL without values.
 */
const void *cpython_values_block(PyObject *instance);
const void *cpython_dict_values_block(PyObject *dict);

/* Whether so many bytes behind an instance of a type, at that address, may be its values. */
bool cpython_values_fit(PyTypeObject *type, const void *values, Py_ssize_t bytes);

/* Bytes of a dict's block of values, less what dict.__sizeof__ counts for it: that is the slots
   that the next instance of the class will have, and no header. */
Py_ssize_t cpython_dict_sizeof_lacks(PyObject *dict);

#endif
