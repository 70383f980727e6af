#include "crediting.h"

#define RECURSION_ENOUGH 4

struct crediting_state crediting;

static block_table table;
static unsigned paused;
static bool versions_tell;

void
crediting_look_anew(void)
{
    crediting.thread = 0; /* no thread's */
}

/* All values of a context are in one object, which is made anew for each new value. */
static int
measure_values(PyObject *values, void *Py_UNUSED(arg))
{
    crediting.values_bytes += (size_t)Py_TYPE(values)->tp_basicsize + 2 * sizeof(void *);
    return 0;
}

/* Whether the version of a thread's context is another one with each context. -1 with an exception.
 */
static int
prove_versions(void)
{
    const PyThreadState *thread = PyThreadState_Get();
    PyObject *context = PyContext_New();
    crediting.values_bytes = 0;
    if (context) {
        (void)Py_TYPE(context)->tp_traverse(context, measure_values, NULL);
    }
    uint64_t outside = thread->context_ver;
    if (!context || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return -1;
    }
    uint64_t inside = thread->context_ver;
    int failed = PyContext_Exit(context);
    Py_DECREF(context);
    versions_tell
        = inside != outside && thread->context_ver != inside && thread->context_ver != outside;
    return failed;
}

int
crediting_prepare(void)
{
    crediting_look_anew();
    return prove_versions();
}

/* With no exception set. What is raised here, near the recursion limit, is none of the program's.
 */
static window *
looked_up(const PyThreadState *thread)
{
#if PY_VERSION_HEX < 0x030C0000
    /* The error would be made here and now, and making it may set the collector off. */
    if (thread->recursion_remaining < RECURSION_ENOUGH) {
        return NULL;
    }
#endif
    PyObject *value = NULL;
    if (PyContextVar_Get(meter_variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    window *found = NULL;
    if (value) {
        bool is_handle = Py_IS_TYPE(value, meter_handle_type);
        found = is_handle ? meter_innermost_open(((window_handle *)value)->behind) : NULL;
        Py_DECREF(value); /* the context has it as well */
    }
    if (versions_tell) {
        crediting.thread = thread->id;
        crediting.version = thread->context_ver;
        crediting.found = found;
    }
    return found;
}

window *
crediting_look_up(const PyThreadState *thread)
{
    if (paused) {
        return NULL;
    }
    paused++;
    window *found;
    if (PyErr_Occurred()) {
        raised pending = raised_put_by();
        found = looked_up(thread);
        raised_restore(pending);
    }
    else {
        found = looked_up(thread);
    }
    paused--;
    return found;
}

void
crediting_pause(void)
{
    paused++;
    crediting_look_anew();
}

void
crediting_resume(void)
{
    paused--;
}

bool
crediting_saw_a_class(void)
{
    bool saw = crediting.saw_a_class;
    crediting.saw_a_class = false;
    return saw;
}

void
crediting_gone(const void *address)
{
    uint32_t number = blocks_find(&table, address);
    if (number) {
        const block *freed = blocks_at(&table, number);
        window *born_in = meter_window(freed->window);
        Py_ssize_t bytes = (Py_ssize_t)freed->size;
        blocks_remove(&table, number, &born_in->first);
        debit(born_in, bytes);
    }
}

void
crediting_mark_incomplete(window *born_in)
{
    for (window *each = born_in; each; each = each->parent) {
        each->is_incomplete = true;
    }
}

/* A block is known where another one is now: another tool, or another interpreter, freed it unseen.
 */
static void
forget_unseen(const void *address)
{
    const block *known = blocks_at(&table, blocks_find(&table, address));
    crediting_mark_incomplete(meter_window(known->window));
    crediting_gone(address);
}

/* Put a young block into the table; what finds no room there is not known any more. */
static void
let_grow_up(young *place)
{
    young grown = *place;
    place->place = 0;
    window *born_in = young_window(&grown);
    const void *address = (const void *)young_address(&grown);
    block_origin origin = (block_origin)(grown.size >> BLOCK_SIZE_BITS);
    block_outcome outcome;
    while ((outcome = blocks_add(&table, address, young_size(&grown), born_in->number, origin,
                                 &born_in->first))
           == BLOCK_KNOWN)
    {
        forget_unseen(address);
    }
    if (MEMSIZE_RARELY(outcome != BLOCK_ADDED)) {
        crediting_mark_incomplete(born_in);
        debit(born_in, (Py_ssize_t)young_size(&grown));
    }
}

void
crediting_make_way(young *place, const void *address)
{
    if (MEMSIZE_RARELY(young_address(place) == (uintptr_t)address)) { /* freed unseen */
        crediting_mark_incomplete(young_window(place));
        credit_gone(address);
    }
    else {
        let_grow_up(place);
    }
}

const block_table *
crediting_blocks(void)
{
    for (size_t at = 0; at < YOUNGEST; at++) {
        if (crediting.youngest[at].place) {
            let_grow_up(crediting.youngest + at);
        }
    }
    return &table;
}

void
crediting_forget(window *left)
{
    (void)crediting_blocks();
    while (left->first) {
        blocks_remove(&table, left->first, &left->first);
    }
}

void
crediting_forget_all(void)
{
    for (size_t at = 0; at < YOUNGEST; at++) {
        crediting.youngest[at].place = 0;
    }
    blocks_clear(&table);
}

size_t
crediting_own_bytes(void)
{
    return blocks_own_bytes(&table);
}
