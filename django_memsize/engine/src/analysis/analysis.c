#include "analysis/analysis.h"

#include "analysis/listing.h"
#include "analysis/owners.h"
#include "analysis/reachability.h"
#include "analysis/tables.h"
#include "collector.h"
#include "meter/lookup.h"
#include "meter/meter.h"

/* The number of tables. The first table has what is in use, or retained, and the last one what is
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

/* Add an allocation to its table, and return the table. */
static Py_ssize_t
add_to_table(tables *filled, const allocation *added)
{
    const allocation *owner = allocation_owner(filled->all, added);
    Py_ssize_t table = table_of(owner, filled->count);
    tables_add(filled, table, added, owner);
    return table;
}

static void
prefetch_owner(const allocations *all, size_t at)
{
    if (at < all->count && all->items[at].state == ALLOCATION_OWNED) {
        MEMSIZE_PREFETCH(all->items + all->items[at].owner);
    }
}

static void
add_to_total(window_total *total, const allocation *added)
{
    total->blocks++;
    total->bytes += (Py_ssize_t)added->bytes;
}

static void
clear_retained(window *analysed)
{
    window *each = analysed;
    do {
        each->retained = (window_total){0, 0};
    } while ((each = windows_next_in(analysed, each)));
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

static void
fill_alive(tables *filled)
{
    const allocations *all = filled->all;
    for (size_t at = 0; at < all->count; at++) {
        prefetch_owner(all, at + ALLOCATIONS_AHEAD);
        (void)add_to_table(filled, all->items + at);
    }
}

/* Fill the tables, and set the totals. The analysed total is that of what was listed, because
   making dicts of the tables may free what is on free lists. */
static void
fill_retained(tables *filled, window *analysed)
{
    const allocations *all = filled->all;
    window_total total = {0, 0};
    clear_retained(analysed);
    for (size_t at = 0; at < all->count; at++) {
        prefetch_owner(all, at + ALLOCATIONS_AHEAD);
        const allocation *one = all->items + at;
        add_to_total(&total, one);
        if (add_to_table(filled, one) == TABLE_RETAINED) {
            add_to_total(&windows_at(one->window)->retained, one);
        }
    }
    analysed->analysed = total;
    add_up_retained(analysed);
}

static PyObject *
make_tables(const allocations *all, window *analysed, Py_ssize_t count)
{
    tables made;
    PyObject *tuple = NULL;
    if (tables_init(&made, all, count) == 0) {
        if (count == TABLES_OF_RETAINED) {
            fill_retained(&made, analysed);
        }
        else {
            fill_alive(&made);
        }
        tuple = tables_as_tuple(&made);
    }
    tables_clear(&made);
    return tuple;
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
        && (count == TABLES_OF_ALIVE || reachability_find(&all, external) == 0))
    {
        tuple = make_tables(&all, analysed, count);
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
