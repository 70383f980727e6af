#include "meter/hooks.h"

#include "meter/crediting.h"

typedef struct installation installation;

/* One domain's hook. */
typedef struct {
    PyMemAllocatorEx below;
    installation *of;
    size_t calls;             /* of those that had to look for a window */
    uint64_t origin, resized; /* of what is allocated there, as young blocks have it */
    PyMemAllocatorDomain domain;
    bool tells; /* only the newest one does */
} layer;

/* The hooks of one time. Never freed: whoever was on top of them may go on calling them. */
struct installation {
    layer mem, object;
    bool was_called;     /* while it did not tell */
    installation *spare; /* the next of those that nobody knows any more */
};

static installation *current, *spares, *latest;
static PyInterpreterState *metered;

#if PY_VERSION_HEX < 0x030D0000
#define PyThreadState_GetUnchecked _PyThreadState_UncheckedGet
#endif

/* Whether a hook tells; one that does not says that it is called. */
MEMSIZE_INLINE bool
tells(const layer *hook)
{
    if (MEMSIZE_RARELY(!hook->tells)) {
        hook->of->was_called = true;
        return false;
    }
    return true;
}

/* Whether a block may go that was told of. Before 3.12 interpreters share the GIL, and texts: any
   of them may free what another one allocated. */
MEMSIZE_INLINE bool
tells_of_end(const layer *hook)
{
#if PY_VERSION_HEX >= 0x030C0000
    const PyThreadState *thread = tells(hook) ? PyThreadState_GetUnchecked() : NULL;
    return thread && thread->interp == metered;
#else
    return tells(hook);
#endif
}

/* Find the window of a thread. False where nobody is to be told: another interpreter's memory is no
   business of ours. */
static bool
find_window(layer *hook, const PyThreadState *thread)
{
    if (thread->interp != metered) {
        return false;
    }
    hook->calls++;
    (void)crediting_look_up(thread);
    return true;
}

/* As few branches as can be: there is one allocation after the other. A thread without a state, as
   at the end of the process, tells nothing. */
MEMSIZE_INLINE void
tell_born(layer *hook, const void *address, size_t size, uint64_t origin)
{
    const PyThreadState *thread = tells(hook) ? PyThreadState_GetUnchecked() : NULL;
    if (MEMSIZE_RARELY(!thread || !address)) {
        return;
    }
    uint64_t differs = ((uintptr_t)thread->interp ^ (uintptr_t)metered)
                       | (thread->context_ver ^ crediting.version)
                       | (thread->id ^ crediting.thread);
    if (MEMSIZE_RARELY(differs) && !find_window(hook, thread)) {
        return;
    }
    credit_born(address, size, origin);
}

static layer *
layer_of_none(void)
{
    return &latest->object;
}

/* An interpreter with a GIL of its own may call us as we are put in place, with the context of what
   was there before: NULL, of CPython's own allocator, which both domains have. */
MEMSIZE_INLINE layer *
layer_of(void *context)
{
    return MEMSIZE_RARELY(!context) ? layer_of_none() : context;
}

static void *
hooked_malloc(void *context, size_t size)
{
    layer *hook = layer_of(context);
    void *address = hook->below.malloc(hook->below.ctx, size);
    tell_born(hook, address, size, hook->origin);
    return address;
}

static void *
hooked_calloc(void *context, size_t number, size_t size)
{
    layer *hook = layer_of(context);
    void *address = hook->below.calloc(hook->below.ctx, number, size);
    tell_born(hook, address, number * size, hook->origin);
    return address;
}

static void *
hooked_realloc(void *context, void *old, size_t size)
{
    layer *hook = layer_of(context);
    void *address = hook->below.realloc(hook->below.ctx, old, size);
    if (old && address && tells_of_end(hook)) {
        credit_gone(old);
    }
    tell_born(hook, address, size, hook->resized);
    return address;
}

static void
hooked_free(void *context, void *address)
{
    const layer *hook = layer_of(context);
    if (address && tells_of_end(hook)) {
        credit_gone(address);
    }
    hook->below.free(hook->below.ctx, address);
}

void
hooks_prepare(void)
{
    metered = PyInterpreterState_Get();
}

/* Whether one of our hooks is on top of a domain: then it, otherwise NULL. */
static layer *
on_top(PyMemAllocatorDomain domain)
{
    PyMemAllocatorEx top;
    PyMem_GetAllocator(domain, &top);
    return top.malloc == hooked_malloc ? top.ctx : NULL;
}

/* Take off what is on top of a domain as long as it is ours. */
static void
uncover(PyMemAllocatorDomain domain)
{
    layer *hook;
    while ((hook = on_top(domain))) {
        PyMem_SetAllocator(domain, &hook->below);
    }
}

/* Whoever is in one that is spare, in another thread, must find it whole at any time. */
static void
prepare(layer *hook, PyMemAllocatorDomain domain, installation *of)
{
    hook->domain = domain;
    bool is_raw = domain == PYMEM_DOMAIN_MEM; /* of the one that no object is allocated in */
    hook->origin = YOUNG_ORIGIN(is_raw ? BLOCK_OF_MEMORY : BLOCK_OF_OBJECTS);
    hook->resized = YOUNG_ORIGIN(is_raw ? BLOCK_OF_MEMORY : BLOCK_RESIZED);
    hook->of = of;
    PyMem_GetAllocator(domain, &hook->below);
}

static void
put_on_top(layer *hook)
{
    PyMemAllocatorEx ours = {
        .ctx = hook,
        .malloc = hooked_malloc,
        .calloc = hooked_calloc,
        .realloc = hooked_realloc,
        .free = hooked_free,
    };
    PyMem_SetAllocator(hook->domain, &ours);
}

/* Whether another tool put hooks in place above these and has them still, or again: on top of those
   they would call themselves. */
static bool
are_in_use(installation *spare)
{
    spare->was_called = false;
    PyMem_Free(PyMem_Malloc(1));
    PyObject_Free(PyObject_Malloc(1));
    return spare->was_called;
}

/* NULL where there is none. One that is in use is never spare again. */
static installation *
take_spare(void)
{
    installation *taken;
    do {
        taken = spares;
        spares = taken ? taken->spare : NULL;
    } while (taken && are_in_use(taken));
    return taken;
}

bool
hooks_install(void)
{
    uncover(PYMEM_DOMAIN_MEM);
    uncover(PYMEM_DOMAIN_OBJ);
    installation *made = take_spare();
    if (!made && !(made = PyMem_RawCalloc(1, sizeof(installation)))) {
        return false;
    }
    prepare(&made->mem, PYMEM_DOMAIN_MEM, made);
    prepare(&made->object, PYMEM_DOMAIN_OBJ, made);
    made->mem.tells = made->object.tells = true;
    latest = current = made;
    put_on_top(&made->mem);
    put_on_top(&made->object);
    return true;
}

void
hooks_remove(void)
{
    installation *left = current;
    if (!left) {
        return;
    }
    current = NULL;
    left->mem.tells = left->object.tells = false;
    bool is_mem = on_top(PYMEM_DOMAIN_MEM) == &left->mem;
    bool is_object = on_top(PYMEM_DOMAIN_OBJ) == &left->object;
    if (is_mem) {
        PyMem_SetAllocator(PYMEM_DOMAIN_MEM, &left->mem.below);
    }
    if (is_object) {
        PyMem_SetAllocator(PYMEM_DOMAIN_OBJ, &left->object.below);
    }
    if (is_mem && is_object) {
        left->spare = spares;
        spares = left;
    }
}

bool
hooks_work(void)
{
    if (!current) {
        return false;
    }
    size_t before_mem = current->mem.calls, before_object = current->object.calls;
    crediting_pause();
    PyMem_Free(PyMem_Malloc(1));
    PyObject_Free(PyObject_Malloc(1));
    crediting_resume();
    return current->mem.calls != before_mem && current->object.calls != before_object;
}

size_t
hooks_count(void)
{
    return current ? current->mem.calls + current->object.calls : 0;
}
