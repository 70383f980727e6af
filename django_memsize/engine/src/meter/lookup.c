#include "meter/lookup.h"

#define NO_THREAD 0

struct lookup_state lookup;

static unsigned paused;
static bool are_versions_unique;
static lookup_override *overrides; /* the latest */

/* The values of the context at the last look-up. */
static uintptr_t looked_up_values;

/* The address of the latest block of lookup.values_bytes, until the next allocation checks whether
   the context has it as its values; otherwise 0. And the thread that the window was cached for when
   that block was allocated. */
static uintptr_t suspect;
static uint64_t suspect_thread;

static void
set_window(window *found)
{
    suspect = 0;
    crediting_switch(found);
}

void
lookup_invalidate(void)
{
    set_window(NULL);
    lookup.thread = NO_THREAD;
}

void
lookup_reset(void)
{
    lookup_invalidate();
    overrides = NULL;
}

void
lookup_pause(void)
{
    paused++;
    lookup_invalidate();
}

void
lookup_resume(void)
{
    paused--;
}

/* Enter and leave a context. Sets whether each context of a thread has another version: if not,
   nothing is cached. -1 with an exception. */
static int
prove_versions(PyObject *context)
{
    const PyThreadState *thread = PyThreadState_Get();
    uint64_t outside = cpython_context_version(thread);
    if (PyContext_Enter(context) < 0) {
        return -1;
    }
    uint64_t inside = cpython_context_version(thread);
    int failed = PyContext_Exit(context);
    uint64_t after = cpython_context_version(thread);
    are_versions_unique = inside != outside && after != inside && after != outside;
    return failed;
}

int
lookup_prepare(void)
{
    lookup_invalidate();
    PyObject *context = PyContext_New();
    if (!context) {
        return -1;
    }
    const PyObject *values = cpython_context_values(context);
    lookup.values_bytes = values ? (size_t)(CPYTHON_GC_HEADER + Py_TYPE(values)->tp_basicsize) : 0;
    int failed = prove_versions(context);
    Py_DECREF(context);
    return failed;
}

/* The value of the ContextVar, borrowed; NULL if it has none. False if it cannot be read. Sets no
   exception: one raised here, near the recursion limit, is not the program's. */
static bool
read_variable(const PyThreadState *thread, PyObject **value)
{
    *value = NULL;
    if (cpython_is_near_recursion_limit(thread)) {
        return false;
    }
    if (PyContextVar_Get(windows_variable, NULL, value) < 0) {
        PyErr_Clear();
        return false;
    }
    Py_XDECREF(*value); /* the context refers to it as well */
    return true;
}

/* The handle that overrides a value in a thread, or the value itself. */
static PyObject *
overridden(const PyThreadState *thread, PyObject *value)
{
    for (const lookup_override *each = overrides; each; each = each->next) {
        if (each->value == value && each->thread == cpython_thread_id(thread)
            && each->context == cpython_context(thread))
        {
            return each->handle;
        }
    }
    return value;
}

static void
look_up(const PyThreadState *thread)
{
    PyObject *value;
    if (!read_variable(thread, &value)) {
        return;
    }
    value = overridden(thread, value);
    if (value && Py_IS_TYPE(value, windows_handle_type)) {
        set_window(windows_innermost_open(((window_handle *)value)->window));
    }
    if (are_versions_unique) {
        lookup.thread = cpython_thread_id(thread);
        lookup.version = cpython_context_version(thread);
        looked_up_values = (uintptr_t)cpython_context_values(cpython_context(thread));
    }
}

/* Whether the context has other values than at the last look-up, or the suspect block has them:
   that may be where the last ones were. The block itself is not read, as it may be freed. */
static bool
have_values_changed(const PyThreadState *thread)
{
    uintptr_t values = (uintptr_t)cpython_context_values(cpython_context(thread));
    return values != looked_up_values || values == suspect + (uintptr_t)CPYTHON_GC_HEADER;
}

void
lookup_suspect(uintptr_t address)
{
    suspect = address;
    suspect_thread = lookup.thread;
    lookup.thread = NO_THREAD;
}

/* Whether the suspect was a false alarm: the cached window is still the one of a thread. */
static bool
is_suspect_cleared(const PyThreadState *thread)
{
    return suspect && cpython_thread_id(thread) == suspect_thread
           && cpython_context_version(thread) == lookup.version && !have_values_changed(thread);
}

window *
lookup_window(const PyThreadState *thread)
{
    if (paused) {
        return NULL;
    }
    if (is_suspect_cleared(thread)) {
        suspect = 0;
        lookup.thread = cpython_thread_id(thread);
        return crediting.current;
    }
    lookup_invalidate();
    paused++;
    if (PyErr_Occurred()) {
        saved_error saved = error_save();
        look_up(thread);
        error_restore(saved);
    }
    else {
        look_up(thread);
    }
    paused--;
    return crediting.current;
}

void
lookup_push(lookup_override *pushed, PyObject *handle)
{
    const PyThreadState *thread = PyThreadState_Get();
    PyObject *value;
    lookup_pause();
    bool is_read = read_variable(thread, &value);
    lookup_resume();
    *pushed = (lookup_override){
        .thread = is_read ? cpython_thread_id(thread) : NO_THREAD, /* which no thread has */
        .context = cpython_context(thread),
        .value = value,
        .handle = handle,
        .next = overrides,
    };
    overrides = pushed;
}

void
lookup_pop(lookup_override *popped)
{
    for (lookup_override **each = &overrides; *each; each = &(*each)->next) {
        if (*each == popped) {
            *each = popped->next;
            break;
        }
    }
    lookup_invalidate();
}
