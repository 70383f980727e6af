#include "meter/crediting.h"

#define RECURSION_ENOUGH 4
#define VALUES_HEADER (2 * sizeof(void *)) /* the collector's */

struct crediting_state crediting;

static unsigned paused;
static bool versions_tell;
static crediting_stand_in *stand_ins; /* the latest */

/* Add what is pending to the totals of a window, and of those around it. */
static void
add_pending(window *found, const crediting_pending *pending)
{
    Py_ssize_t blocks = pending->births - pending->deaths;
    Py_ssize_t bytes = pending->most_bytes - pending->below;
    for (window *each = found; each; each = each->parent) {
        if (each->alive.bytes + pending->most_bytes > each->peak.bytes) {
            each->peak.blocks = each->alive.blocks + pending->most_blocks;
            each->peak.bytes = each->alive.bytes + pending->most_bytes;
        }
        each->allocated.blocks += pending->births;
        each->allocated.bytes += pending->born_bytes;
        each->alive.blocks += blocks;
        each->alive.bytes += bytes;
    }
}

static void
sum_up_found(void)
{
    if (crediting.found) {
        add_pending(crediting.found, &crediting.pending);
        crediting.pending = (crediting_pending){0};
    }
}

void
crediting_sum_up(void)
{
    crediting_take_out();
    sum_up_found();
}

/* All around an open window are open as well. */
static void
find(window *found)
{
    crediting_sum_up();
    crediting.doubt = 0;
    crediting.found = found;
    crediting.number = found ? found->number : 0;
    crediting.tag = crediting.number << YOUNG_WINDOW;
}

void
crediting_look_anew(void)
{
    find(NULL);
    crediting.thread = 0; /* no thread's */
}

/* All values of a context are in one object, which is made anew for each new value. */
static int
find_values(PyObject *referent, void *values)
{
    if (!Py_IS_TYPE(referent, &PyContext_Type)) { /* the one that it was entered from */
        *(PyObject **)values = referent;
    }
    return 0;
}

/* The values of a context, NULL for none: borrowed. */
static PyObject *
values_of(PyObject *context)
{
    PyObject *values = NULL;
    if (context) {
        (void)Py_TYPE(context)->tp_traverse(context, find_values, &values);
    }
    return values;
}

/* Whether the version of a thread's context is another one with each context. -1 with an exception.
 */
static int
prove_versions(void)
{
    const PyThreadState *thread = PyThreadState_Get();
    PyObject *context = PyContext_New();
    const PyObject *values = values_of(context);
    crediting.values_bytes = values ? VALUES_HEADER + (size_t)Py_TYPE(values)->tp_basicsize : 0;
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

/* The value of the variable, borrowed; NULL for none. False where it cannot be told. With no
   exception set: what is raised here, near the recursion limit, is none of the program's. */
static bool
get_value(const PyThreadState *thread, PyObject **value)
{
    *value = NULL;
#if PY_VERSION_HEX < 0x030C0000
    /* The error would be made here and now, and making it may set the collector off. */
    if (thread->recursion_remaining < RECURSION_ENOUGH) {
        return false;
    }
#else
    (void)thread;
#endif
    if (PyContextVar_Get(meter_variable, NULL, value) < 0) {
        PyErr_Clear();
        return false;
    }
    Py_XDECREF(*value); /* the context has it as well */
    return true;
}

/* The handle that counts for a thread where the variable has that value. */
static PyObject *
standing_in(const PyThreadState *thread, PyObject *value)
{
    for (const crediting_stand_in *each = stand_ins; each; each = each->below) {
        if (each->value == value && each->thread == thread->id && each->context == thread->context)
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
    if (!get_value(thread, &value)) {
        return;
    }
    value = standing_in(thread, value);
    if (value && Py_IS_TYPE(value, meter_handle_type)) {
        find(meter_innermost_open(((window_handle *)value)->behind));
    }
    if (versions_tell) {
        crediting.thread = thread->id;
        crediting.version = thread->context_ver;
        crediting.values = (uintptr_t)values_of(thread->context);
    }
}

/* Whether the context has other values than those that were looked at: they may be where those
   were. The block itself is not read: who knows whether it is still there. */
static bool
have_values_changed(const PyThreadState *thread)
{
    uintptr_t values = (uintptr_t)values_of(thread->context);
    return values != crediting.values || values == crediting.doubt + VALUES_HEADER;
}

window *
crediting_look_up(const PyThreadState *thread)
{
    if (paused) {
        return NULL;
    }
    if (crediting.doubt && thread->id == crediting.doubted_thread
        && thread->context_ver == crediting.version && !have_values_changed(thread))
    {
        crediting.doubt = 0;
        crediting.thread = thread->id;
        return crediting.found;
    }
    crediting_look_anew();
    paused++;
    if (PyErr_Occurred()) {
        raised pending = raised_put_by();
        look_up(thread);
        raised_restore(pending);
    }
    else {
        look_up(thread);
    }
    paused--;
    return crediting.found;
}

void
crediting_put(crediting_stand_in *put, PyObject *handle)
{
    const PyThreadState *thread = PyThreadState_Get();
    PyObject *value;
    crediting_pause();
    bool is_told = get_value(thread, &value);
    crediting_resume();
    *put = (crediting_stand_in){
        .thread = is_told ? thread->id : 0, /* no thread's */
        .context = thread->context,
        .value = value,
        .handle = handle,
        .below = stand_ins,
    };
    stand_ins = put;
}

void
crediting_take_away(crediting_stand_in *put)
{
    for (crediting_stand_in **each = &stand_ins; *each; each = &(*each)->below) {
        if (*each == put) {
            *each = put->below;
            break;
        }
    }
    crediting_look_anew();
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
crediting_notice(const void *block, size_t size, uint64_t origin)
{
    bool is_object = origin == YOUNG_ORIGIN(BLOCK_OF_OBJECTS);
    crediting.saw_a_class |= is_object && size >= LEAST_CLASS;
    if (crediting.number) {
        credit_young((uintptr_t)block, Py_MIN(size, BLOCK_SIZE_MOST), origin);
    }
    if (is_object && size == crediting.values_bytes) {
        crediting.doubt = (uintptr_t)block;
        crediting.doubted_thread = crediting.thread;
        crediting.thread = 0;
    }
}

/* A block of a window is freed, or not known any more. */
static void
debit(window *born_in, Py_ssize_t bytes)
{
    if (born_in == crediting.found) {
        debit_found(bytes);
        return;
    }
    sum_up_found();
    for (window *each = born_in; each; each = each->parent) {
        each->alive.blocks--;
        each->alive.bytes -= bytes;
    }
    if (MEMSIZE_RARELY(!born_in->alive.blocks)) {
        meter_let_go(born_in);
    }
}

void
crediting_young_gone(uint64_t what)
{
    debit(meter_window((uint32_t)(what >> YOUNG_WINDOW)), young_size(what));
}

/* A block was freed, if it is in the table. */
static void
take_out(uintptr_t address)
{
    block_table *table = &crediting.blocks;
    uint32_t *link = blocks_find(table, address);
    if (link) {
        window *born_in = meter_window(blocks_window(table, *link & BLOCKS_NUMBER));
        size_t size = block_size(blocks_at(table, *link & BLOCKS_NUMBER));
        blocks_remove(table, link, &born_in->own);
        debit(born_in, (Py_ssize_t)size);
    }
}

void
crediting_take_out(void)
{
    size_t count = crediting.leaving.count;
    crediting.leaving.count = 0;
    for (size_t at = 0; at < count; at++) {
        blocks_expect_soon(&crediting.blocks, crediting.leaving.at[at]);
    }
    for (size_t at = 0; at < count; at++) {
        take_out(crediting.leaving.at[at]);
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
forget_unseen(uintptr_t address)
{
    uint32_t number = *blocks_find(&crediting.blocks, address) & BLOCKS_NUMBER;
    crediting_mark_incomplete(meter_window(blocks_window(&crediting.blocks, number)));
    take_out(address);
}

/* Put a block into the table; what finds no room there is not known any more. */
static void
put_in(const young *grown)
{
    uintptr_t address = grown->address;
    Py_ssize_t size = young_size(grown->what);
    uint32_t number = (uint32_t)(grown->what >> YOUNG_WINDOW);
    window *born_in = meter_window(number);
    block_origin origin = (grown->what >> BLOCK_SIZE_BITS) & ((1U << BLOCK_ORIGIN_BITS) - 1);
    block_outcome outcome = BLOCK_NOT_KEPT;
    if (!MEMSIZE_RARELY((address & BLOCK_ADDRESS_ODD) != 0)) {
        while ((outcome = blocks_add(&crediting.blocks, address, (size_t)size, origin, number,
                                     &born_in->own))
               == BLOCK_KNOWN)
        {
            forget_unseen(address);
        }
    }
    if (MEMSIZE_RARELY(outcome != BLOCK_ADDED)) {
        blocks_discount(&crediting.blocks, address);
        crediting_mark_incomplete(born_in);
        debit(born_in, size);
    }
}

/* Where a block was, another one may be by now: so what leaves goes first. */
static void
put_all_in(void)
{
    crediting_take_out();
    size_t count = crediting.growing.count;
    crediting.growing.count = 0;
    crediting.growing.signs = 0;
    for (size_t at = 0; at < count; at++) {
        blocks_expect_soon(&crediting.blocks, crediting.growing.at[at].address);
    }
    for (size_t at = 0; at < count; at++) {
        put_in(crediting.growing.at + at);
    }
}

static uint64_t
growing_sign(uintptr_t address)
{
    return UINT64_C(1) << (((address >> 4) ^ (address >> 10)) & 63);
}

static void
let_grow_up(young *place)
{
    crediting_growing *growing = &crediting.growing;
    if (growing->count == WAITING) {
        put_all_in();
    }
    growing->at[growing->count++] = *place;
    growing->signs |= growing_sign(place->address);
    blocks_count(&crediting.blocks, place->address);
    blocks_expect(&crediting.blocks, place->address);
    place->address = 0;
}

void
crediting_gone(uintptr_t address)
{
    if (crediting.growing.signs & growing_sign(address)) {
        put_all_in();
    }
    if (crediting.leaving.count == WAITING) {
        crediting_take_out();
    }
    crediting.leaving.at[crediting.leaving.count++] = address;
    blocks_expect(&crediting.blocks, address);
}

young *
crediting_make_way(young *place, uintptr_t address)
{
    if (MEMSIZE_RARELY(place->address == address)) { /* freed unseen */
        crediting_mark_incomplete(meter_window((uint32_t)(place->what >> YOUNG_WINDOW)));
        place->address = 0;
        crediting_young_gone(place->what);
    }
    else {
        let_grow_up(place);
    }
    return place;
}

const block_table *
crediting_blocks(void)
{
    for (size_t at = 0; at < YOUNGEST; at++) {
        if (crediting.youngest[at].address) {
            let_grow_up(crediting.youngest + at);
        }
    }
    put_all_in();
    return &crediting.blocks;
}

void
crediting_forget(window *left)
{
    (void)crediting_blocks();
    blocks_forget(&crediting.blocks, &left->own);
}

void
crediting_give_back(window *left)
{
    blocks_give_back(&crediting.blocks, &left->own);
}

void
crediting_forget_all(void)
{
    crediting_look_anew();
    stand_ins = NULL; /* in a child those of other threads are no more */
    crediting.growing.count = 0;
    crediting.growing.signs = 0;
    for (size_t at = 0; at < YOUNGEST; at++) {
        crediting.youngest[at].address = 0;
    }
    blocks_clear(&crediting.blocks);
}

size_t
crediting_own_bytes(void)
{
    return blocks_own_bytes(&crediting.blocks);
}
