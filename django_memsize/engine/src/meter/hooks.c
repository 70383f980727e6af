#include "meter/hooks.h"

#include "meter/keeping.h"
#include "meter/lookup.h"

/* A smaller allocation is not a class. */
#define CLASS_BYTES ((size_t)sizeof(PyHeapTypeObject))

typedef struct installation installation;

/* What a hook does. Only the hooks of the latest installation do anything. */
typedef enum { HOOK_INACTIVE, HOOK_SEES_FREES, HOOK_CREDITS } hook_state;

/* The hook of one domain. */
typedef struct {
    PyMemAllocatorEx next; /* the allocator below */
    installation *installed_by;
    size_t lookups;
    uint64_t origin, resized_origin; /* NURSERY_ORIGIN() of what it allocates and reallocates */
    PyMemAllocatorDomain domain;
    hook_state state;
} hook;

/* The hooks of one installation. Never freed, as hooks on top of them may go on calling them. */
struct installation {
    hook mem, object;
    bool was_called;      /* while inactive */
    installation *unused; /* the next of those that were on top when they were removed */
};

static installation *active, *first_unused, *latest;
static PyInterpreterState *metered;
static bool saw_class;

/* Whether a hook does at least so much. Notes that an inactive one was called. */
MEMSIZE_INLINE bool
is_active(const hook *called, hook_state least)
{
    if (MEMSIZE_UNLIKELY(called->state < least)) {
        called->installed_by->was_called = true;
        return false;
    }
    return true;
}

/* Whether a free may be of a block that was credited. */
MEMSIZE_INLINE bool
is_free_seen(const hook *called)
{
#if CPYTHON_SHARES_OBJECTS
    return is_active(called, HOOK_SEES_FREES); /* another interpreter may free it */
#else
    const PyThreadState *thread
        = is_active(called, HOOK_SEES_FREES) ? PyThreadState_GetUnchecked() : NULL;
    return thread && cpython_interpreter(thread) == metered;
#endif
}

/* Look up the window of a thread. False in another interpreter, whose memory is not metered. */
static bool
find_window(hook *called, const PyThreadState *thread)
{
    if (cpython_interpreter(thread) != metered) {
        return false;
    }
    called->lookups++;
    (void)lookup_window(thread);
    return true;
}

/* Credit an allocation whose size says that it may be a class, or the values of a context. */
static void
credit_notable(const void *address, size_t size, uint64_t origin)
{
    bool is_object = origin == NURSERY_ORIGIN(BLOCK_OF_OBJECTS);
    saw_class |= is_object && size >= CLASS_BYTES;
    if (crediting.number) {
        record_alloc((uintptr_t)address, Py_MIN(size, BLOCK_SIZE_MOST), origin);
    }
    if (is_object && size == lookup.values_bytes) {
        lookup_suspect((uintptr_t)address);
    }
}

/* Not 0 if a thread is not the one, or in the context, that the window was looked up for. Combined,
   to be one branch. */
MEMSIZE_INLINE uint64_t
differs_from_cached(const PyThreadState *thread)
{
    return (cpython_context_version(thread) ^ lookup.version)
           | (cpython_thread_id(thread) ^ lookup.thread);
}

/* Credit an allocation. As few branches as can be, because allocations come one after the other. A
   thread without a state, as at the end of the process, is not metered. */
MEMSIZE_INLINE void
credit_alloc(hook *called, const void *address, size_t size, uint64_t origin)
{
    const PyThreadState *thread
        = is_active(called, HOOK_CREDITS) ? PyThreadState_GetUnchecked() : NULL;
    if (MEMSIZE_UNLIKELY(!thread || !address)) {
        return;
    }
    uint64_t differs = ((uintptr_t)cpython_interpreter(thread) ^ (uintptr_t)metered)
                       | differs_from_cached(thread);
    if (MEMSIZE_UNLIKELY(differs) && !find_window(called, thread)) {
        return;
    }
    if (MEMSIZE_UNLIKELY(size >= CLASS_BYTES || size == lookup.values_bytes)) {
        credit_notable(address, size, origin);
    }
    else if (MEMSIZE_LIKELY(crediting.number)) {
        record_alloc((uintptr_t)address, size, origin);
    }
}

static hook *
latest_object_hook(void)
{
    return &latest->object;
}

/* The hook of a call. While the hooks are being installed, an interpreter with a GIL of its own may
   call a new function with the old context: NULL, that of CPython's own allocator, which both
   domains have. */
MEMSIZE_INLINE hook *
hook_of(void *context)
{
    return MEMSIZE_UNLIKELY(!context) ? latest_object_hook() : context;
}

static void *
hooked_malloc(void *context, size_t size)
{
    hook *called = hook_of(context);
    void *address = called->next.malloc(called->next.ctx, size);
    credit_alloc(called, address, size, called->origin);
    return address;
}

static void *
hooked_calloc(void *context, size_t number, size_t size)
{
    hook *called = hook_of(context);
    void *address = called->next.calloc(called->next.ctx, number, size);
    credit_alloc(called, address, number * size, called->origin);
    return address;
}

static void *
hooked_realloc(void *context, void *old, size_t size)
{
    hook *called = hook_of(context);
    void *address = called->next.realloc(called->next.ctx, old, size);
    if (old && address && is_free_seen(called)) {
        if (MEMSIZE_UNLIKELY(crediting.survivors)) {
            keeping_note_resize((uintptr_t)old, size);
        }
        record_free((uintptr_t)old);
    }
    credit_alloc(called, address, size, called->resized_origin);
    return address;
}

/* Subtract a freed block while all blocks are survivors, and so in the table. What can be told of
   nearly every free comes first. */
MEMSIZE_INLINE void
see_free(const hook *called, const void *address)
{
    bool may_be_survivor = address && blocks_may_contain(&crediting.blocks, (uintptr_t)address);
    if (MEMSIZE_UNLIKELY(may_be_survivor) && is_free_seen(called)) {
        crediting_queue_free((uintptr_t)address);
    }
}

/* A free is no look-up: what another thread or context frees, before it allocates, is not freed in
   the cached window. */
MEMSIZE_INLINE void
leave_other_context(void)
{
    const PyThreadState *thread = crediting.number ? PyThreadState_GetUnchecked() : NULL;
    if (thread && lookup.thread && differs_from_cached(thread)) {
        lookup_invalidate();
    }
}

static void
hooked_free(void *context, void *address)
{
    const hook *called = hook_of(context);
    if (called->state == HOOK_SEES_FREES) {
        see_free(called, address);
    }
    else if (address && is_free_seen(called)) {
        leave_other_context();
        record_free((uintptr_t)address);
    }
    called->next.free(called->next.ctx, address);
}

void
hooks_prepare(void)
{
    metered = PyInterpreterState_Get();
}

/* The hook on top of a domain if it is ours, otherwise NULL. */
static hook *
hook_on_top(PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx top;
    PyMem_GetAllocator(domain, &top);
    return top.malloc == hooked_malloc ? top.ctx : NULL;
}

/* Remove our hooks from the top of a domain. */
static void
uncover(PyMemAllocatorDomain domain)
{
    hook *top;
    while ((top = hook_on_top(domain))) {
        PyMem_SetAllocator(domain, &top->next);
    }
}

/* Fill in a hook. An unused one may be in use in another thread: each member stays valid
   throughout. */
static void
prepare_hook(hook *prepared, PyMemAllocatorDomain domain, installation *installed_by)
{
    prepared->domain = domain;
    bool is_mem = domain == PYMEM_DOMAIN_MEM;
    prepared->origin = NURSERY_ORIGIN(is_mem ? BLOCK_OF_MEMORY : BLOCK_OF_OBJECTS);
    prepared->resized_origin = NURSERY_ORIGIN(is_mem ? BLOCK_OF_MEMORY : BLOCK_RESIZED);
    prepared->installed_by = installed_by;
    PyMem_GetAllocator(domain, &prepared->next);
}

static void
put_on_top(hook *prepared)
{
    PyMemAllocatorEx functions = {
        .ctx = prepared,
        .malloc = hooked_malloc,
        .calloc = hooked_calloc,
        .realloc = hooked_realloc,
        .free = hooked_free,
    };
    PyMem_SetAllocator(prepared->domain, &functions);
}

/* Allocate and free a block in each domain, so that all hooks are called. */
static void
try_allocators(void)
{
    PyMem_Free(PyMem_Malloc(1));
    PyObject_Free(PyObject_Malloc(1));
}

/* Whether another tool has hooks on top of an inactive installation, still or again. Installed on
   top of that tool's, it would call itself. */
static bool
is_called(installation *inactive)
{
    inactive->was_called = false;
    try_allocators();
    return inactive->was_called;
}

/* An installation that can be used again, or NULL. One that is called is never used again. */
static installation *
take_unused(void)
{
    installation *taken;
    do {
        taken = first_unused;
        first_unused = taken ? taken->unused : NULL;
    } while (taken && is_called(taken));
    return taken;
}

static void
set_state(installation *changed, hook_state state)
{
    changed->mem.state = changed->object.state = state;
}

void
hooks_set_crediting(bool credits)
{
    hook_state state = credits ? HOOK_CREDITS : HOOK_SEES_FREES;
    if (active && active->mem.state != state) {
        set_state(active, state);
        saw_class |= credits; /* classes may have been made while no hook saw it */
    }
}

bool
hooks_install(void)
{
    uncover(PYMEM_DOMAIN_MEM);
    uncover(PYMEM_DOMAIN_OBJ);
    installation *made = take_unused();
    if (!made && !(made = PyMem_RawCalloc(1, sizeof(installation)))) {
        return false;
    }
    prepare_hook(&made->mem, PYMEM_DOMAIN_MEM, made);
    prepare_hook(&made->object, PYMEM_DOMAIN_OBJ, made);
    latest = active = made;
    hooks_set_crediting(true);
    put_on_top(&made->mem);
    put_on_top(&made->object);
    return true;
}

void
hooks_remove(void)
{
    installation *removed = active;
    if (!removed) {
        return;
    }
    active = NULL;
    set_state(removed, HOOK_INACTIVE);
    bool is_mem_on_top = hook_on_top(PYMEM_DOMAIN_MEM) == &removed->mem;
    bool is_object_on_top = hook_on_top(PYMEM_DOMAIN_OBJ) == &removed->object;
    if (is_mem_on_top) {
        PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &removed->mem.next);
    }
    if (is_object_on_top) {
        PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &removed->object.next);
    }
    if (is_mem_on_top && is_object_on_top) {
        removed->unused = first_unused;
        first_unused = removed;
    }
}

bool
hooks_work(void)
{
    if (!active) {
        return false;
    }
    size_t mem_before = active->mem.lookups, object_before = active->object.lookups;
    hook_state state = active->mem.state;
    lookup_pause();
    set_state(active, HOOK_CREDITS); /* only then it counts look-ups */
    try_allocators();
    set_state(active, state);
    lookup_resume();
    return active->mem.lookups != mem_before && active->object.lookups != object_before;
}

size_t
hooks_lookups(void)
{
    return active ? active->mem.lookups + active->object.lookups : 0;
}

bool
hooks_saw_class(void)
{
    bool saw = saw_class;
    saw_class = false;
    return saw;
}
