#include "analysis/analysis.h"

#include "analysis/listing.h"
#include "analysis/owners.h"
#include "analysis/tables.h"
#include "meter/crediting.h"

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
fill_alive(tables *filled, steps *under_way)
{
    const allocations *all = filled->all;
    for (size_t at = 0; at < all->count && steps_count(under_way, 1); at++) {
        prefetch_owner(all, at + ALLOCATIONS_AHEAD);
        (void)add_to_table(filled, all->items + at);
    }
}

/* What is retained of a window itself. */
typedef struct {
    uint32_t window;
    window_total total;
} retained_of_window;

typedef struct {
    retained_of_window *items;
    size_t count, capacity;
} retained_array;

/* The total of a window, whose allocations come one after another. NULL with an exception. */
static window_total *
retained_total(retained_array *found, uint32_t window_number)
{
    if (found->count && found->items[found->count - 1].window == window_number) {
        return &found->items[found->count - 1].total;
    }
    if (found->count == found->capacity) {
        retained_of_window *grown
            = array_grow(found->items, sizeof(retained_of_window), &found->capacity);
        if (!grown) {
            PyErr_NoMemory();
            return NULL;
        }
        found->items = grown;
    }
    found->items[found->count] = (retained_of_window){.window = window_number};
    return &found->items[found->count++].total;
}

/* Set the retained total of the analysed window, and of all in it. At once: another thread may
   analyse them as well, or read the totals. */
static void
set_retained(window *analysed, const retained_array *found)
{
    clear_retained(analysed);
    for (size_t at = 0; at < found->count; at++) {
        windows_at(found->items[at].window)->retained = found->items[at].total;
    }
    add_up_retained(analysed);
}

/* Fill the tables, and find the totals. -1 with an exception. */
static int
add_up_all(tables *filled, window_total *total, retained_array *found, steps *under_way)
{
    const allocations *all = filled->all;
    for (size_t at = 0; at < all->count && steps_count(under_way, 1); at++) {
        prefetch_owner(all, at + ALLOCATIONS_AHEAD);
        const allocation *one = all->items + at;
        add_to_total(total, one);
        if (add_to_table(filled, one) == TABLE_RETAINED) {
            window_total *retained = retained_total(found, one->window);
            if (!retained) {
                return -1;
            }
            add_to_total(retained, one);
        }
    }
    return 0;
}

/* Fill the tables, and set the totals. The analysed total is that of what was listed, because
   making dicts of the tables may free what is on free lists. -1 with an exception. */
static int
fill_retained(tables *filled, steps *under_way)
{
    window_total total = {0, 0};
    retained_array found = {.items = NULL};
    int failed = add_up_all(filled, &total, &found, under_way);
    if (!failed && !under_way->is_stale) {
        under_way->analysed->analysed = total;
        set_retained(under_way->analysed, &found);
    }
    PyMem_RawFree(found.items);
    return failed;
}

/* The tables as a tuple. NULL without an exception if the state became stale. */
static PyObject *
make_tables(const allocations *all, Py_ssize_t count, steps *under_way)
{
    tables made;
    PyObject *tuple = NULL;
    int failed = tables_init(&made, all, count);
    if (!failed && count == TABLES_OF_RETAINED) {
        failed = fill_retained(&made, under_way);
    }
    else if (!failed) {
        fill_alive(&made, under_way);
    }
    if (!failed && !under_way->is_stale) {
        tuple = tables_as_tuple(&made);
    }
    tables_clear(&made);
    return tuple;
}

static bool
is_stale(int failed, const steps *under_way)
{
    return failed || under_way->is_stale;
}

/* Fill in allocations up to what is needed for tables of what is alive, or retained. True with an
   exception, or if the state became stale. */
static bool
find_all(allocations *all, const reachability_question *question, steps *with)
{
    return is_stale(listing_make(all, with), with) || is_stale(owners_find(all, with), with)
           || is_stale(listing_mark_freed(all, with), with)
           || (question
               && (is_stale(allocations_index_objects(all, with), with)
                   || is_stale(reachability_find(all, question, with), with)));
}

/* The tables: of what is alive without a question. NULL without an exception if the state became
   stale, with a reason if to begin again is of no use. */
static PyObject *
analyse_once(window *analysed, const reachability_question *question, const char **reason)
{
    PyObject *tuple = NULL;
    allocations all = {.items = NULL};
    steps under_way;
    steps_begin(&under_way, analysed, &all.types);
    if (!find_all(&all, question, &under_way)) {
        tuple = make_tables(&all, question ? TABLES_OF_RETAINED : TABLES_OF_ALIVE, &under_way);
    }
    if (tuple && question) {
        survivors_keep(&all, &question->survivors, &under_way);
    }
    allocations_clear(&all);
    steps_end(&under_way);
    /* Discarded meanwhile: what is not known any more is not nothing. */
    bool is_forgotten = under_way.is_stale && windows_is_forgotten(analysed);
    *reason = is_forgotten ? STEPS_CHANGED : under_way.given_up;
    return tuple;
}

/* A free of a block of the window makes the state stale: more attempts than a few would be for
   nothing where the program frees some all the time. */
#define ATTEMPTS 4

/* The tables, or a reason. NULL with an exception. */
static PyObject *
analyse(window *analysed, const reachability_question *question)
{
    crediting_flush_totals();
    size_t blocks = (size_t)analysed->alive.blocks, most_bytes = crediting.blocks.most_bytes;
    if (question && question->most_blocks && blocks > question->most_blocks) {
        return PyUnicode_FromString(STEPS_TOO_LONG);
    }
    if (most_bytes && blocks * ALLOCATIONS_BYTES_EACH > most_bytes) {
        return PyUnicode_FromString(STEPS_TOO_LARGE);
    }
    PyObject *tuple = NULL;
    const char *reason = NULL;
    for (int left = ATTEMPTS; !tuple && !reason && !PyErr_Occurred() && left; left--) {
        tuple = analyse_once(analysed, question, &reason);
    }
    if (tuple || PyErr_Occurred()) {
        return tuple;
    }
    return PyUnicode_FromString(reason ? reason : STEPS_CHANGED);
}

PyObject *
analysis_alive(window *analysed)
{
    return analyse(analysed, NULL);
}

PyObject *
analysis_retained(window *analysed, const reachability_question *question)
{
    return analyse(analysed, question);
}
