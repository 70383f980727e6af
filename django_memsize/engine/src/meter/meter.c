#include "meter/meter.h"

#include "meter/free_lists.h"
#include "meter/hooks.h"
#include "meter/keeping.h"
#include "meter/lookup.h"
#include "turns.h"

static size_t outermost_in_use; /* outermost windows that were opened or kept, and not discarded */

int
meter_prepare(PyTypeObject *handle_type)
{
    hooks_prepare();
    return windows_prepare(handle_type) < 0 ? -1 : lookup_prepare();
}

/* Close and empty an outermost window and the windows in it. Their blocks must be out of the table.
   Destroys the windows that nothing refers to. */
static void
close_discarded(window *outermost)
{
    lookup_invalidate();
    for (window *each = outermost; each; each = windows_next_in(outermost, each)) {
        each->is_open = false;
        each->is_discarded = true;
        each->own = (block_list){.run = 0};
        each->alive = (window_total){0, 0};
    }
    free_lists_release(&outermost->drained);
    crediting_destroy_unused_in(outermost);
}

void
meter_discard_all(void)
{
    hooks_remove();
    lookup_reset();
    crediting_discard_all();
    outermost_in_use = crediting.survivors = 0;
    for (window *each = windows_latest_outermost(), *older; each; each = older) {
        older = each->older;
        if (!each->is_discarded) {
            each->is_incomplete |= each->has_survivors; /* what is alive is not nothing */
            close_discarded(each);
        }
    }
}

bool
meter_check(void)
{
    if (!outermost_in_use || hooks_work()) {
        return true;
    }
    for (window *outer = windows_latest_outermost(); outer; outer = outer->older) {
        for (window *each = outer; each; each = windows_next_in(outer, each)) {
            each->is_incomplete |= !each->is_discarded;
        }
    }
    meter_discard_all();
    return false;
}

int
meter_open(window *opened, window *parent)
{
    if (opened->was_opened) {
        PyErr_SetString(PyExc_RuntimeError, "a window opens once");
        return -1;
    }
    (void)meter_check();
    parent = windows_innermost_open(parent);
    if (!parent && !outermost_in_use && !hooks_install()) {
        PyErr_NoMemory();
        return -1;
    }
    opened->was_opened = true;
    windows_insert(opened, parent);
    if (!parent) {
        outermost_in_use++;
        hooks_set_crediting(true);
        lookup_pause();
        free_lists_drain(&opened->drained);
        lookup_resume();
    }
    opened->is_open = true;
    lookup_invalidate();
    return 0;
}

void
meter_keep(window *kept)
{
    kept->was_opened = kept->has_survivors = true;
    windows_insert(kept, NULL);
    outermost_in_use++;
    crediting.survivors++;
}

void
meter_close(window *closed)
{
    if (!closed->is_open || !meter_check()) {
        return;
    }
    for (window *each = closed; each; each = windows_next_in(closed, each)) {
        each->is_open = false;
    }
    lookup_invalidate();
    free_lists_release(&closed->drained);
}

/* Remove the blocks of a window, and of those in it, from the table. False if all windows were
   discarded meanwhile. */
static bool
remove_blocks(window *outermost, bool may_give_back)
{
    size_t most = may_give_back ? turns_most_blocks() : SIZE_MAX;
    /* Before any window is looked at, because without memory this may destroy windows. */
    (void)crediting_flush_blocks();
    outermost->is_being_discarded = true;
    while (crediting_discard(outermost, most)) {
        if (may_give_back) {
            turns_give_back(most);
        }
        if (outermost->is_discarded) {
            return false;
        }
    }
    return true;
}

void
meter_discard(window *outermost, bool may_give_back)
{
    bool is_known
        = outermost->was_opened && !outermost->is_open && !windows_is_forgotten(outermost);
    if (!is_known || (outermost_in_use > 1 && !remove_blocks(outermost, may_give_back))) {
        return;
    }
    if (outermost_in_use == 1) {
        meter_discard_all();
        return;
    }
    outermost_in_use--;
    crediting.survivors -= outermost->has_survivors;
    close_discarded(outermost);
    if (outermost_in_use == crediting.survivors) {
        hooks_set_crediting(false);
        keeping_compact();
    }
}

void
meter_release(window *released)
{
    /* Neither destroys the window, because it still has its handle. */
    meter_close(released);
    if (!released->parent) {
        meter_discard(released, false);
    }
    released->has_handle = false;
    crediting_destroy_unused(released);
}

bool
meter_is_in_use(void)
{
    return outermost_in_use > 0;
}

size_t
meter_bytes(void)
{
    return crediting_bytes() + windows_bytes();
}

void
meter_limit_bytes(size_t bytes)
{
    crediting_limit_bytes(bytes);
}
