#include "analysis/taken.h"

/* Each time that threads change, others may take as much as is on a free list. */
#define MOST_TAKEN ((size_t)6 * CPYTHON_FREE_CONTAINERS)

/* Marks in place of gc_refs, of what may have been taken. */
enum { MAYBE_TAKEN = -1, HELD = -2 };

/* Beyond so many passes nothing is taken: only chains of the program are so long. */
#define MOST_PASSES 8

static bool
is_of(const allocations *all, const allocation *one, const PyTypeObject *type)
{
    return allocation_type(all, one)->type == type;
}

static bool
is_in_window(const allocations *all, const void *buffer)
{
    return buffer && allocations_find(all, &all->buffers, buffer);
}

/* Whether a table of keys is on no free list, and of the kind that is put on one. */
static bool
is_table_of_keys(const allocation *buffer)
{
    return cpython_is_keys_in_use((const void *)allocation_address(buffer), (size_t)buffer->bytes);
}

/* The items of a list, and the values of a dict, are on no free list, so one that was taken has
   those of the other thread, or none. Its keys may have been taken as well. */
static bool
may_be_taken(const allocations *all, const allocation *one)
{
    if (one->state != ALLOCATION_OBJECT || !one->is_retained) {
        return false;
    }
    PyObject *object = allocation_object(one);
    if (is_of(all, one, &PyList_Type)) {
        return !is_in_window(all, ((PyListObject *)object)->ob_item);
    }
    if (is_of(all, one, &PyTuple_Type)) {
        return PyTuple_GET_SIZE(object) <= CPYTHON_FREE_TUPLES_LENGTH;
    }
    if (is_of(all, one, &PyDict_Type)) {
        const void *keys = ((PyDictObject *)object)->ma_keys;
        const allocation *buffer = allocations_find(all, &all->buffers, keys);
        return !is_in_window(all, cpython_dict_values_block(object))
               && (!buffer || is_table_of_keys(buffer));
    }
    return false;
}

/* A pass over what may have been taken. */
typedef struct {
    const allocations *all;
    bool has_changed;
} pass;

/* What a pass does with an object of the window that another one refers to. False ends it. */
typedef bool (*referent_function)(pass *under_way, allocation *referent);

static bool
with_referent(pass *under_way, PyObject *object, referent_function function)
{
    allocation *referent = allocations_find_object(under_way->all, object);
    return !referent || function(under_way, referent);
}

static bool
with_referents(pass *under_way, const allocation *one, referent_function function)
{
    PyObject *object = allocation_object(one), *key, *value;
    Py_ssize_t at = 0;
    bool goes_on = true;
    if (PyDict_CheckExact(object)) {
        while (goes_on && PyDict_Next(object, &at, &key, &value)) {
            goes_on = with_referent(under_way, key, function)
                      && with_referent(under_way, value, function);
        }
        return goes_on;
    }
    PyObject **items = PySequence_Fast_ITEMS(object);
    for (; goes_on && at < Py_SIZE(object); at++) {
        goes_on = with_referent(under_way, items[at], function);
    }
    return goes_on;
}

static bool
is_marked(pass *Py_UNUSED(under_way), allocation *referent)
{
    return referent->gc_refs < 0;
}

/* Unmark what has an object of the window that was not taken. */
static void
unmark(pass *under_way, allocation *one)
{
    if (!with_referents(under_way, one, is_marked)) {
        one->gc_refs = 0;
        under_way->has_changed = true;
    }
}

static bool
hold(pass *under_way, allocation *referent)
{
    if (referent->gc_refs == MAYBE_TAKEN) {
        referent->gc_refs = HELD;
        under_way->has_changed = true;
    }
    return true;
}

/* What is held refers to from outside of the window, because it is another thread's. */
static void
hold_referents(pass *under_way, allocation *one)
{
    if (one->gc_refs == HELD) {
        (void)with_referents(under_way, one, hold);
    }
}

/* Repeat a pass over all that is marked until nothing changes. False if it does not come to that.
 */
static bool
repeat(const allocations *all, void (*with_marked)(pass *, allocation *))
{
    pass under_way = {.all = all, .has_changed = true};
    for (int left = MOST_PASSES; left && under_way.has_changed; left--) {
        under_way.has_changed = false;
        for (size_t at = 0; at < all->count; at++) {
            allocation *one = all->items + at;
            if (one->state == ALLOCATION_OBJECT && one->gc_refs < 0) {
                with_marked(&under_way, one);
            }
        }
    }
    return !under_way.has_changed;
}

static void
mark(const allocations *all)
{
    for (size_t at = 0; at < all->count; at++) {
        allocation *one = all->items + at;
        if (one->state == ALLOCATION_OBJECT) {
            bool is_held = one->gc_refs > 0;
            one->gc_refs = !may_be_taken(all, one) ? 0 : is_held ? HELD : MAYBE_TAKEN;
        }
    }
}

typedef enum { TAKEN_NOT, TAKEN_LIST_WITHOUT_ITEMS, TAKEN_DICT, TAKEN_KEYS, TAKEN_ANY } taken_kind;

static const size_t most_taken[] = {
    [TAKEN_LIST_WITHOUT_ITEMS] = CPYTHON_FREE_CONTAINERS, /* most are soon filled */
    [TAKEN_DICT] = MOST_TAKEN,
    [TAKEN_KEYS] = MOST_TAKEN,
    [TAKEN_ANY] = SIZE_MAX,
};

static taken_kind
kind_of(const allocations *all, const allocation *one)
{
    if (one->state == ALLOCATION_BUFFER) {
        return is_table_of_keys(one) ? TAKEN_KEYS : TAKEN_NOT;
    }
    if (one->state != ALLOCATION_OBJECT || one->gc_refs != HELD) {
        return TAKEN_NOT;
    }
    if (is_of(all, one, &PyDict_Type)) {
        return TAKEN_DICT;
    }
    bool has_items
        = !is_of(all, one, &PyList_Type) || ((PyListObject *)allocation_object(one))->ob_item;
    return has_items ? TAKEN_ANY : TAKEN_LIST_WITHOUT_ITEMS;
}

void
taken_mark(allocations *all)
{
    mark(all);
    if (!repeat(all, unmark)) {
        return;
    }
    (void)repeat(all, hold_referents);
    size_t count[TAKEN_ANY + 1] = {0};
    for (size_t at = 0; at < all->count; at++) {
        count[kind_of(all, all->items + at)]++;
    }
    for (size_t at = 0; at < all->count; at++) {
        allocation *one = all->items + at;
        taken_kind kind = kind_of(all, one);
        if (kind != TAKEN_NOT && count[kind] <= most_taken[kind]) {
            one->type = one->state == ALLOCATION_BUFFER ? TYPE_OF_FREE_LISTS : one->type;
            one->state = ALLOCATION_FREED;
        }
    }
}
