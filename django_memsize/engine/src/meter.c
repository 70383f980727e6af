#include "meter.h"

#include "hooks.h"

/* A class takes no less: below that an allocation is not of one. */
#define LEAST_CLASS ((size_t)sizeof(PyHeapTypeObject))

PyTypeObject *meter_handle_type;
PyObject *meter_variable;

#define RECURSION_ENOUGH 4

static block_table table;
/* By number. Number 0 is nobody's. */
static union {
    window *used;
    uint32_t next_spare;
} *windows;
static uint32_t windows_count = 1, windows_room, spare_number;
static size_t told_windows;   /* outermost ones that were opened and not forgotten */
static window *all_outermost; /* the latest of those there are */
static unsigned paused;
static bool saw_a_class;

int
meter_prepare(PyTypeObject *handle_type)
{
    hooks_prepare();
    /* Kept for good, and made anew for each interpreter. */
    meter_handle_type = (PyTypeObject *)Py_NewRef(handle_type);
    meter_variable = PyContextVar_New("memsize_window", NULL);
    return meter_variable ? 0 : -1;
}

static window *
innermost_open(window *found)
{
    while (found && !found->is_open) {
        found = found->parent;
    }
    return found;
}

/* Look the context up, with no exception set. What is pending is none of its business, and what it
   raises, near the recursion limit, is none of the program's. */
MEMSIZE_INLINE window *
looked_up(void)
{
#if PY_VERSION_HEX < 0x030C0000
    /* The error would be made here and now, and making it may set the collector off. */
    if (MEMSIZE_RARELY(PyThreadState_Get()->recursion_remaining < RECURSION_ENOUGH)) {
        return NULL;
    }
#endif
    PyObject *value = NULL;
    if (PyContextVar_Get(meter_variable, NULL, &value) < 0) {
        PyErr_Clear();
        return NULL;
    }
    if (!value) {
        return NULL;
    }
    window *found = Py_IS_TYPE(value, meter_handle_type) ? ((window_handle *)value)->behind : NULL;
    Py_DECREF(value); /* the context has it as well */
    return innermost_open(found);
}

MEMSIZE_INLINE window *
here(void)
{
    paused++;
    window *found;
    if (MEMSIZE_RARELY(PyErr_Occurred() != NULL)) {
        raised pending = raised_put_by();
        found = looked_up();
        raised_restore(pending);
    }
    else {
        found = looked_up();
    }
    paused--;
    return found;
}

window *
meter_here(void)
{
    return here();
}

/* The youngest blocks are not in the table yet, each in a place by its address: most blocks are
   freed before another takes theirs. */
#define YOUNGEST 256

typedef struct {
    uintptr_t address; /* 0: none */
    window *born_in;
    Py_ssize_t bytes;
    block_origin origin;
} young;

static young youngest[YOUNGEST];

MEMSIZE_INLINE young *
young_place(uintptr_t address)
{
    return youngest + (((address >> 4) ^ (address >> 14)) & (YOUNGEST - 1));
}

/* All around an open window are open as well. */
static void
credit(window *born_in, Py_ssize_t bytes)
{
    for (window *each = born_in; each; each = each->parent) {
        each->allocated.blocks++;
        each->allocated.bytes += bytes;
        each->alive.blocks++;
        each->alive.bytes += bytes;
        if (each->alive.bytes > each->peak.bytes) {
            each->peak = each->alive;
        }
    }
}

static bool
is_left(const window *one)
{
    return !one->has_handle && !one->latest && (one->is_forgotten || !one->alive.blocks);
}

static void
destroy(window *left)
{
    window **latest = left->parent ? &left->parent->latest : &all_outermost;
    if (left->younger) {
        left->younger->older = left->older;
    }
    else if (*latest == left) {
        *latest = left->older;
    }
    if (left->older) {
        left->older->younger = left->younger;
    }
    windows[left->number].next_spare = spare_number;
    spare_number = left->number;
    PyMem_RawFree(left);
}

static void
destroy_if_left(window *left)
{
    while (left && is_left(left)) {
        window *parent = left->parent;
        destroy(left);
        left = parent;
    }
}

static void
debit(window *born_in, Py_ssize_t bytes)
{
    window *each = born_in;
    do {
        each->alive.blocks--;
        each->alive.bytes -= bytes;
        each = each->parent;
    } while (each);
    if (MEMSIZE_RARELY(!born_in->alive.blocks)) {
        destroy_if_left(born_in);
    }
}

void
meter_gone(const void *address)
{
    young *place = young_place((uintptr_t)address);
    if (place->address == (uintptr_t)address) {
        place->address = 0;
        debit(place->born_in, place->bytes);
        return;
    }
    uint32_t number = blocks_find(&table, address);
    if (number) {
        const block *freed = blocks_at(&table, number);
        window *born_in = windows[freed->window].used;
        Py_ssize_t bytes = (Py_ssize_t)freed->size;
        blocks_remove(&table, number, &born_in->first);
        debit(born_in, bytes);
    }
}

/* Windows up to the outermost one have not seen something. */
static void
mark_incomplete(window *innermost)
{
    for (window *each = innermost; each; each = each->parent) {
        each->is_incomplete = true;
    }
}

/* A block is known where another one is now: another tool, or another interpreter, freed it unseen.
 */
static void
forget_unseen(const void *address)
{
    const block *known = blocks_at(&table, blocks_find(&table, address));
    mark_incomplete(windows[known->window].used);
    meter_gone(address);
}

/* Put a young block into the table; what finds no room there is not known any more. */
static void
let_grow_up(young *place)
{
    young grown = *place;
    place->address = 0;
    const void *address = (const void *)grown.address;
    block_outcome outcome;
    while ((outcome = blocks_add(&table, address, (size_t)grown.bytes, grown.born_in->number,
                                 grown.origin, &grown.born_in->first))
           == BLOCK_KNOWN)
    {
        forget_unseen(address);
    }
    if (MEMSIZE_RARELY(outcome != BLOCK_ADDED)) {
        mark_incomplete(grown.born_in);
        debit(grown.born_in, grown.bytes);
    }
}

static void
let_all_grow_up(void)
{
    for (size_t at = 0; at < YOUNGEST; at++) {
        if (youngest[at].address) {
            let_grow_up(youngest + at);
        }
    }
}

void
meter_born(const void *address, size_t size, block_origin origin)
{
    if (size >= LEAST_CLASS && origin == BLOCK_OF_OBJECTS) {
        saw_a_class = true;
    }
    if (paused || !told_windows) {
        return;
    }
    window *born_in = here();
    if (!born_in) {
        return;
    }
    young *place = young_place((uintptr_t)address);
    if (place->address == (uintptr_t)address) { /* freed unseen */
        mark_incomplete(place->born_in);
        meter_gone(address);
    }
    else if (place->address) {
        let_grow_up(place);
    }
    *place = (young){
        .address = (uintptr_t)address,
        .born_in = born_in,
        .bytes = (Py_ssize_t)Py_MIN(size, BLOCK_SIZE_MOST),
        .origin = origin,
    };
    credit(born_in, place->bytes);
}

window *
meter_window(uint32_t number)
{
    return windows[number].used;
}

/* A number that is not used; 0 without memory, or where there are too many windows. */
static uint32_t
take_number(void)
{
    uint32_t number = spare_number;
    if (number) {
        spare_number = windows[number].next_spare;
        return number;
    }
    if (windows_count > BLOCKS_WINDOWS_MOST) {
        return 0;
    }
    if (windows_count >= windows_room) {
        uint32_t more = windows_room ? 2 * windows_room : 64;
        void *moved = PyMem_RawRealloc(windows, more * sizeof(*windows));
        if (!moved) {
            return 0;
        }
        windows = moved;
        windows_room = more;
    }
    return windows_count++;
}

window *
meter_make(void)
{
    window *made = PyMem_RawCalloc(1, sizeof(window));
    uint32_t number = made ? take_number() : 0;
    if (!number) {
        PyMem_RawFree(made);
        PyErr_NoMemory();
        return NULL;
    }
    made->number = number;
    made->has_handle = true;
    windows[number].used = made;
    return made;
}

static void
link_into(window *opened, window **latest)
{
    opened->older = *latest;
    if (*latest) {
        (*latest)->younger = opened;
    }
    *latest = opened;
}

const window *
meter_latest_outermost(void)
{
    return all_outermost;
}

window *
meter_next_in(window *outer, window *last)
{
    if (last->latest) {
        return last->latest;
    }
    while (last != outer && !last->older) {
        last = last->parent;
    }
    return last == outer ? NULL : last->older;
}

static window *
innermost_latest(window *outer)
{
    while (outer->latest) {
        outer = outer->latest;
    }
    return outer;
}

/* Let go of the windows in one, and of itself, that nobody has: the inner ones first. */
static void
destroy_what_is_left(window *outer)
{
    for (window *each = innermost_latest(outer); each;) {
        window *after = each == outer ? NULL
                        : each->older ? innermost_latest(each->older)
                                      : each->parent;
        if (is_left(each)) {
            destroy(each);
        }
        each = after;
    }
}

/* The window's blocks, and those of the windows in it, are not known any more. */
static void
forget_windows(window *outermost)
{
    for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
        each->is_open = false;
        each->is_forgotten = true;
        each->first = 0;
        each->alive = (meter_total){0, 0};
    }
    free_lists_release(&outermost->drained);
    destroy_what_is_left(outermost);
}

void
meter_forget_all(void)
{
    hooks_remove();
    for (size_t at = 0; at < YOUNGEST; at++) {
        youngest[at].address = 0;
    }
    blocks_clear(&table);
    told_windows = 0;
    for (window *each = all_outermost, *older; each; each = older) {
        older = each->older;
        if (!each->is_forgotten) {
            forget_windows(each);
        }
    }
}

bool
meter_is_sound(void)
{
    if (!told_windows || hooks_work()) {
        return true;
    }
    for (window *outermost = all_outermost; outermost; outermost = outermost->older) {
        for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
            each->is_incomplete |= !each->is_forgotten;
        }
    }
    meter_forget_all();
    return false;
}

int
meter_open(window *opened, window *parent)
{
    if (opened->was_opened) {
        PyErr_SetString(PyExc_RuntimeError, "a window opens once");
        return -1;
    }
    (void)meter_is_sound();
    parent = innermost_open(parent);
    if (!parent && !told_windows && !hooks_install()) {
        PyErr_NoMemory();
        return -1;
    }
    opened->parent = parent;
    opened->was_opened = true;
    link_into(opened, parent ? &parent->latest : &all_outermost);
    if (!parent) {
        /* Classes may have come while nobody watched. */
        saw_a_class |= !told_windows;
        told_windows++;
        meter_pause();
        free_lists_drain(&opened->drained);
        meter_resume();
    }
    opened->is_open = true;
    return 0;
}

void
meter_close(window *closed)
{
    if (!closed->is_open || !meter_is_sound()) {
        return;
    }
    for (window *each = closed; each; each = meter_next_in(closed, each)) {
        each->is_open = false;
    }
    free_lists_release(&closed->drained);
}

void
meter_forget(window *outermost)
{
    if (outermost->is_forgotten || outermost->is_open || !outermost->was_opened) {
        return;
    }
    if (told_windows == 1) {
        meter_forget_all();
        return;
    }
    told_windows--;
    let_all_grow_up();
    for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
        while (each->first) {
            blocks_remove(&table, each->first, &each->first);
        }
    }
    forget_windows(outermost);
}

void
meter_release(window *left)
{
    meter_close(left); /* which destroys nothing that has a handle */
    left->has_handle = false;
    if (!left->parent && left->was_opened && !left->is_forgotten) {
        meter_forget(left);
    }
    else {
        destroy_if_left(left);
    }
}

bool
meter_is_armed(void)
{
    return told_windows > 0;
}

void
meter_pause(void)
{
    paused++;
}

void
meter_resume(void)
{
    paused--;
}

bool
meter_saw_a_class(void)
{
    bool saw = saw_a_class;
    saw_a_class = false;
    return saw;
}

size_t
meter_own_bytes(void)
{
    size_t bytes = blocks_own_bytes(&table) + windows_room * sizeof(*windows);
    for (window *outermost = all_outermost; outermost; outermost = outermost->older) {
        for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
            bytes += sizeof(window);
        }
    }
    return bytes;
}

const block_table *
meter_blocks(void)
{
    let_all_grow_up();
    return &table;
}
