/* What differs between compilers, and the public C API that differs between versions of CPython. */
#ifndef MEMSIZE_PLATFORM_H
#define MEMSIZE_PLATFORM_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h> /* PyMemberDef */
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#error "A walk of the heap needs the GIL: a free-threaded build uses the engine in Python."
#endif

#if SIZEOF_VOID_P != 8
#error "Addresses are packed into 48 bits: a 32-bit build uses the engine in Python."
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MEMSIZE_PREFETCH(address) __builtin_prefetch(address)
#define MEMSIZE_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define MEMSIZE_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define MEMSIZE_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
#include <intrin.h>
#define MEMSIZE_PREFETCH(address) _mm_prefetch((const char *)(address), _MM_HINT_T0)
#define MEMSIZE_UNLIKELY(condition) (condition)
#define MEMSIZE_LIKELY(condition) (condition)
#define MEMSIZE_INLINE static __forceinline
#else
#define MEMSIZE_PREFETCH(address) ((void)(address))
#define MEMSIZE_UNLIKELY(condition) (condition)
#define MEMSIZE_LIKELY(condition) (condition)
#define MEMSIZE_INLINE static inline
#endif

/* The exception that is set, saved while other code may raise and clear one of its own. 3.12
   deprecates PyErr_Fetch. */
#if PY_VERSION_HEX >= 0x030C0000
typedef PyObject *saved_error;

static inline saved_error
error_save(void)
{
    return PyErr_GetRaisedException();
}

static inline void
error_restore(saved_error saved)
{
    PyErr_SetRaisedException(saved);
}

/* The exception of a saved error, borrowed; NULL if none was set. */
static inline PyObject *
error_exception(saved_error *saved)
{
    return *saved;
}

static inline void
error_drop(saved_error saved)
{
    Py_XDECREF(saved);
}
#else
typedef struct {
    PyObject *type, *value, *traceback;
} saved_error;

static inline saved_error
error_save(void)
{
    saved_error saved;
    PyErr_Fetch(&saved.type, &saved.value, &saved.traceback);
    return saved;
}

static inline void
error_restore(saved_error saved)
{
    PyErr_Restore(saved.type, saved.value, saved.traceback);
}

static inline PyObject *
error_exception(saved_error *saved)
{
    if (!saved->type) {
        return NULL;
    }
    PyErr_NormalizeException(&saved->type, &saved->value, &saved->traceback);
    if (saved->traceback) {
        (void)PyException_SetTraceback(saved->value, saved->traceback);
    }
    return saved->value;
}

static inline void
error_drop(saved_error saved)
{
    Py_XDECREF(saved.type);
    Py_XDECREF(saved.value);
    Py_XDECREF(saved.traceback);
}
#endif

/* Restore a saved error. If another exception is set, it stays, with the saved one as its context:
   as if it had been raised while the saved one was being handled. */
static inline void
error_chain(saved_error saved)
{
    if (!PyErr_Occurred()) {
        error_restore(saved);
        return;
    }
    PyObject *context = error_exception(&saved);
    if (context) {
        saved_error later = error_save();
        PyObject *raised = error_exception(&later);
        if (raised != context) {
            PyException_SetContext(raised, Py_NewRef(context));
        }
        error_restore(later);
    }
    error_drop(saved);
}

/* Whether a weak reference leads to an object that is alive. 3.13 deprecates
   PyWeakref_GetObject. */
static inline bool
weakref_leads_to(PyObject *reference, const void *object)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *referent;
    if (PyWeakref_GetRef(reference, &referent) <= 0) {
        return false;
    }
    bool is_same = referent == object;
    Py_DECREF(referent);
    return is_same;
#else
    return PyWeakref_GetObject(reference) == object;
#endif
}

/* The namespace of a type: a new reference, or NULL without an exception. From 3.12 on, tp_dict of
   a built-in type is NULL: each interpreter has its own. */
static inline PyObject *
type_namespace(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyType_GetDict(type);
#else
    return Py_XNewRef(type->tp_dict);
#endif
}

/* Whether a type was made at run time. The collector tracks such a type; it does not track a static
   one. */
static inline bool
is_heap_type(PyTypeObject *type)
{
    return type->tp_flags & Py_TPFLAGS_HEAPTYPE;
}

/* A number of bytes rounded up to whole words. */
static inline Py_ssize_t
round_up_to_words(Py_ssize_t bytes)
{
    return (bytes + (Py_ssize_t)sizeof(void *) - 1) & ~((Py_ssize_t)sizeof(void *) - 1);
}

#endif
