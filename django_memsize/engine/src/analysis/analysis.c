#include "analysis/analysis.h"

#include "analysis/listing.h"
#include "analysis/owners.h"
#include "analysis/reachability.h"
#include "analysis/tables.h"
#include "collector.h"
#include "meter/lookup.h"
#include "meter/meter.h"

/* The number of tables. The first one is of what is in use, or is retained; the last one of what is
   on free lists. */
enum { TABLES_OF_ALIVE = 2, TABLES_OF_RETAINED = 3 };

enum { TABLE_RETAINED, TABLE_GARBAGE };

static Py_ssize_t
table_of(const allocation *owner, Py_ssize_t count)
{
    if (owner->state == ALLOCATION_FREED) {
        return count - 1;
    }
    bool is_garbage
        = count == TABLES_OF_RETAINED && owner->state == ALLOCATION_OBJECT && !owner->is_retained;
    return is_garbage ? TABLE_GARBAGE : TABLE_RETAINED;
}

/* Add each allocation to its table. */
static void
fill_tables(tables *filled, const allocations *all)
{
    for (size_t at = 0; at < all->count; at++) {
        size_t ahead = at + ALLOCATIONS_AHEAD;
        if (ahead < all->count && all->items[ahead].state == ALLOCATION_OWNED) {
            MEMSIZE_PREFETCH(all->items + all->items[ahead].owner);
        }
        const allocation *owner = allocation_owner(all, all->items + at);
        tables_add(filled, table_of(owner, filled->count), all->items + at, owner);
    }
}

static void
add_to_total(window_total *total, const allocation *added)
{
    total->blocks++;
    total->bytes += (Py_ssize_t)added->bytes;
}

/* Add the retained total of each window to all windows around it, up to the analysed one. */
static void
add_up_retained(window *analysed)
{
    /* A window comes after those around it, so each still has nothing but its own. */
    for (window *each = windows_next_in(analysed, analysed); each;
         each = windows_next_in(analysed, each))
    {
        for (window *outer = each->parent; outer != analysed->parent; outer = outer->parent) {
            outer->retained.blocks += each->retained.blocks;
            outer->retained.bytes += each->retained.bytes;
        }
    }
}

/* Set the totals of the window and of the windows in it. The analysed total is that of what was
   listed: making the tables may free what was on free lists. */
static void
set_totals(window *analysed, const allocations *all)
{
    window_total total = {0, 0};
    for (window *each = analysed; each; each = windows_next_in(analysed, each)) {
        each->retained = (window_total){0, 0};
    }
    for (size_t at = 0; at < all->count; at++) {
        const allocation *one = all->items + at;
        add_to_total(&total, one);
        if (table_of(allocation_owner(all, one), TABLES_OF_RETAINED) == TABLE_RETAINED) {
            add_to_total(&windows_at(one->window)->retained, one);
        }
    }
    analysed->analysed = total;
    add_up_retained(analysed);
}

static PyObject *
make_tables(const allocations *all, Py_ssize_t count)
{
    tables made;
    PyObject *tuple = NULL;
    if (tables_init(&made, all, count) == 0) {
        fill_tables(&made, all);
        tuple = tables_as_tuple(&made);
    }
    tables_clear(&made);
    return tuple;
}

/* -1 with an exception. */
static int
find_retained(window *analysed, allocations *all, PyObject *external)
{
    if (reachability_find(all, external) < 0) {
        return -1;
    }
    set_totals(analysed, all);
    return 0;
}

static PyObject *
analyse(window *analysed, Py_ssize_t count, PyObject *external)
{
    PyObject *tuple = NULL;
    allocations all = {.items = NULL};
    int was_enabled = collector_pause();
    lookup_pause();
    (void)meter_check();
    if (listing_make(&all, analysed) == 0 && owners_find(&all) == 0 && listing_mark_freed(&all) == 0
        && (count == TABLES_OF_ALIVE || find_retained(analysed, &all, external) == 0))
    {
        tuple = make_tables(&all, count);
    }
    allocations_clear(&all);
    lookup_resume();
    collector_resume(was_enabled);
    return tuple;
}

PyObject *
analysis_alive(window *analysed)
{
    return analyse(analysed, TABLES_OF_ALIVE, NULL);
}

PyObject *
analysis_retained(window *analysed, PyObject *external)
{
    return analyse(analysed, TABLES_OF_RETAINED, external);
}
