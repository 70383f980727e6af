#include "meter/windows.h"

PyTypeObject *windows_handle_type;
PyObject *windows_variable;
window_slot *windows_slots;

static uint32_t slots_used = 1; /* no window has the number 0 */
static uint32_t free_slot;      /* the first of the free ones; 0 if there is none */
static size_t slots_capacity;
static window *latest_outermost;

int
windows_prepare(PyTypeObject *handle_type)
{
    /* Never released. Made again at each import: the interpreter of the last one may have ended. */
    windows_handle_type = (PyTypeObject *)Py_NewRef(handle_type);
    windows_variable = PyContextVar_New("memsize_window", NULL);
    return windows_variable ? 0 : -1;
}

/* A number for a window; 0 without memory, or if there are too many windows. */
static uint32_t
take_number(void)
{
    uint32_t number = free_slot;
    if (number) {
        free_slot = windows_slots[number].next_free;
        return number;
    }
    if (slots_used > BLOCKS_MOST_WINDOWS) {
        return 0;
    }
    if (slots_used >= slots_capacity) {
        window_slot *grown = array_grow(windows_slots, sizeof(window_slot), &slots_capacity);
        if (!grown) {
            return 0;
        }
        windows_slots = grown;
    }
    return slots_used++;
}

window *
windows_make(void)
{
    window *made = PyMem_RawCalloc(1, sizeof(window));
    uint32_t number = made ? take_number() : 0;
    if (!number) {
        PyMem_RawFree(made);
        PyErr_NoMemory();
        return NULL;
    }
    made->number = number;
    made->followed.next_bytes = PY_SSIZE_T_MAX;
    made->has_handle = true;
    windows_slots[number].used = made;
    return made;
}

void
windows_insert(window *opened, window *parent)
{
    window **latest = parent ? &parent->latest : &latest_outermost;
    opened->parent = parent;
    opened->older = *latest;
    if (*latest) {
        (*latest)->younger = opened;
    }
    *latest = opened;
}

bool
windows_is_unused(const window *one)
{
    return !one->has_handle && !one->latest && (one->is_discarded || !one->alive.blocks);
}

void
windows_destroy(window *unused)
{
    for (window *outer = unused->parent; outer; outer = outer->parent) {
        outer->destroyed++;
    }
    window **latest = unused->parent ? &unused->parent->latest : &latest_outermost;
    if (unused->younger) {
        unused->younger->older = unused->older;
    }
    else if (*latest == unused) { /* a window that was never opened is in no list */
        *latest = unused->older;
    }
    if (unused->older) {
        unused->older->younger = unused->younger;
    }
    windows_slots[unused->number].next_free = free_slot;
    free_slot = unused->number;
    PyMem_RawFree(unused);
}

window *
windows_innermost_open(window *one)
{
    while (one && !one->is_open) {
        one = one->parent;
    }
    return one;
}

bool
windows_is_forgotten(const window *one)
{
    const window *outermost = one;
    while (outermost->parent) {
        outermost = outermost->parent;
    }
    return one->is_discarded || outermost->is_being_discarded;
}

window *
windows_latest_outermost(void)
{
    return latest_outermost;
}

window *
windows_next_in(window *outer, window *previous)
{
    if (previous->latest) {
        return previous->latest;
    }
    while (previous != outer && !previous->older) {
        previous = previous->parent;
    }
    return previous == outer ? NULL : previous->older;
}

static window *
innermost_latest(window *outer)
{
    while (outer->latest) {
        outer = outer->latest;
    }
    return outer;
}

window *
windows_next_inside_out(window *outer, window *previous)
{
    if (!previous) {
        return innermost_latest(outer);
    }
    if (previous == outer) {
        return NULL;
    }
    return previous->older ? innermost_latest(previous->older) : previous->parent;
}

size_t
windows_bytes(void)
{
    size_t bytes = slots_capacity * sizeof(window_slot);
    for (window *outermost = latest_outermost; outermost; outermost = outermost->older) {
        for (window *each = outermost; each; each = windows_next_in(outermost, each)) {
            bytes += sizeof(window);
        }
    }
    return bytes;
}
