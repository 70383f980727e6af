/* What compilers and versions of CPython call differently, and what every file asks of types. */
#ifndef MEMSIZE_PLATFORM_H
#define MEMSIZE_PLATFORM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#error "A walk needs the GIL: on a free-threaded build the engine in Python is used."
#endif

#if SIZEOF_VOID_P != 8
#error "Written for 64 bits: elsewhere the engine in Python is used."
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MEMSIZE_PREFETCH(address) __builtin_prefetch(address)
#define MEMSIZE_RARELY(condition) __builtin_expect(!!(condition), 0)
#define MEMSIZE_MOSTLY(condition) __builtin_expect(!!(condition), 1)
#define MEMSIZE_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#define MEMSIZE_PREFETCH(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#define MEMSIZE_RARELY(condition) (condition)
#define MEMSIZE_MOSTLY(condition) (condition)
#define MEMSIZE_INLINE static __forceinline
#else
#define MEMSIZE_PREFETCH(address) ((void)(address))
#define MEMSIZE_RARELY(condition) (condition)
#define MEMSIZE_MOSTLY(condition) (condition)
#define MEMSIZE_INLINE static inline
#endif

/* An exception that is put by while something is tried that may raise another. */
#if PY_VERSION_HEX >= 0x030C0000
typedef PyObject *raised;

static inline raised
raised_put_by(void)
{
    return PyErr_GetRaisedException();
}

static inline void
raised_restore(raised pending)
{
    PyErr_SetRaisedException(pending);
}
#else
typedef struct {
    PyObject *type, *value, *trace;
} raised;

static inline raised
raised_put_by(void)
{
    raised pending;
    PyErr_Fetch(&pending.type, &pending.value, &pending.trace);
    return pending;
}

static inline void
raised_restore(raised pending)
{
    PyErr_Restore(pending.type, pending.value, pending.trace);
}
#endif

/* Whether a type was made at run time: the collector tracks it, and does not track static ones. */
static inline bool
is_heap_type(PyTypeObject *type)
{
    return type->tp_flags & Py_TPFLAGS_HEAPTYPE;
}

/* An odd number near 2^64 divided by the golden ratio: a product's high bits depend on all of a
   key's bits. */
#define MEMSIZE_MIXER UINT64_C(0x9E3779B97F4A7C15)

/* Where in a hash table of 2^bits places the search for an object's address begins. */
static inline size_t
place_by_address(const void *address, unsigned bits)
{
    return (size_t)((((uint64_t)(uintptr_t)address >> 4) * MEMSIZE_MIXER) >> (64 - bits));
}

/* Bytes rounded up to whole words. */
static inline Py_ssize_t
whole_words(Py_ssize_t bytes)
{
    return (bytes + (Py_ssize_t)sizeof(void *) - 1) & ~((Py_ssize_t)sizeof(void *) - 1);
}

/* The namespace of a type: a new reference, or NULL without an exception. */
static inline PyObject *
type_namespace(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyType_GetDict(type);
#else
    return Py_XNewRef(type->tp_dict);
#endif
}

#endif
