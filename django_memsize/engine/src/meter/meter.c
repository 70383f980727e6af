#include "meter/meter.h"

#include "meter/crediting.h"
#include "meter/hooks.h"

PyTypeObject *meter_handle_type;
PyObject *meter_variable;
window_place *meter_windows; /* number 0 is nobody's */

static uint32_t windows_count = 1, windows_room, spare_number;
static size_t told_windows;   /* outermost ones that were opened and not forgotten */
static window *all_outermost; /* the latest of those there are */

int
meter_prepare(PyTypeObject *handle_type)
{
    hooks_prepare();
    /* Kept for good, and made anew for each interpreter. */
    meter_handle_type = (PyTypeObject *)Py_NewRef(handle_type);
    meter_variable = PyContextVar_New("memsize_window", NULL);
    return meter_variable ? crediting_prepare() : -1;
}

window *
meter_innermost_open(window *found)
{
    while (found && !found->is_open) {
        found = found->parent;
    }
    return found;
}

static bool
is_left(const window *one)
{
    return !one->has_handle && !one->latest && (one->is_forgotten || !one->alive.blocks);
}

/* None that is found: it is open, has a handle, and is in those around it. */
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
    crediting_give_back(left);
    meter_windows[left->number].next_spare = spare_number;
    spare_number = left->number;
    PyMem_RawFree(left);
}

void
meter_let_go(window *left)
{
    while (left && is_left(left)) {
        window *parent = left->parent;
        destroy(left);
        left = parent;
    }
}

/* A number that is not used; 0 without memory, or where there are too many windows. */
static uint32_t
take_number(void)
{
    uint32_t number = spare_number;
    if (number) {
        spare_number = meter_windows[number].next_spare;
        return number;
    }
    if (windows_count > BLOCKS_WINDOWS_MOST) {
        return 0;
    }
    if (windows_count >= windows_room) {
        uint32_t more = windows_room ? 2 * windows_room : 64;
        void *moved = PyMem_RawRealloc(meter_windows, more * sizeof(*meter_windows));
        if (!moved) {
            return 0;
        }
        meter_windows = moved;
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
    meter_windows[number].used = made;
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
    crediting_look_anew();
    for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
        each->is_open = false;
        each->is_forgotten = true;
        each->own = (block_list){.run = 0};
        each->alive = (meter_total){0, 0};
    }
    free_lists_release(&outermost->drained);
    destroy_what_is_left(outermost);
}

void
meter_forget_all(void)
{
    hooks_remove();
    crediting_forget_all();
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
    parent = meter_innermost_open(parent);
    if (!parent && !told_windows && !hooks_install()) {
        PyErr_NoMemory();
        return -1;
    }
    opened->parent = parent;
    opened->was_opened = true;
    link_into(opened, parent ? &parent->latest : &all_outermost);
    if (!parent) {
        /* Classes may have come while nobody watched. */
        crediting.saw_a_class |= !told_windows;
        told_windows++;
        crediting_pause();
        free_lists_drain(&opened->drained);
        crediting_resume();
    }
    opened->is_open = true;
    crediting_look_anew();
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
    crediting_look_anew();
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
    (void)crediting_blocks(); /* for want of memory, windows may go: before any is looked at */
    for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
        crediting_forget(each);
    }
    forget_windows(outermost);
}

void
meter_release(window *left)
{
    meter_close(left); /* which destroys nothing that has a handle */
    if (!left->parent) {
        meter_forget(left); /* which does not destroy it, either */
    }
    left->has_handle = false;
    meter_let_go(left);
}

bool
meter_is_armed(void)
{
    return told_windows > 0;
}

size_t
meter_own_bytes(void)
{
    size_t bytes = crediting_own_bytes() + windows_room * sizeof(*meter_windows);
    for (window *outermost = all_outermost; outermost; outermost = outermost->older) {
        for (window *each = outermost; each; each = meter_next_in(outermost, each)) {
            bytes += sizeof(window);
        }
    }
    return bytes;
}
