#include "analysis/reachability.h"

#include "census/attributes.h"
#include "analysis/external.h"
#include "census/tally.h"
#include "census/walk.h"

/* What is read first of most objects lies in so many bytes around them. */
#define READ_FROM (-32)
#define READ_UNTIL 16

/* What is to be followed: a part, or a guest. */
typedef struct {
    PyObject **objects;
    size_t count, room;
} pile;

/* References wait a little for what is known of their objects to reach the processor's cache: first
   the head of its chain, half-way the part. */
#define WAITING 16

typedef struct {
    parts *found;
    PyObject *waiting[WAITING]; /* NULL: nobody */
    unsigned next_waiting;
    tally kinds; /* what is known of types; counts nothing */
    guest_list guests;
    pile pending;
    const PyObject *awaited; /* an instance's dict */
    size_t shown;            /* so many referents, since it was last set */
    bool has_failed;
} trial;

static void
put_on(trial *under_way, PyObject *object)
{
    pile *pending = &under_way->pending;
    MEMSIZE_PREFETCH((char *)object + READ_FROM);
    MEMSIZE_PREFETCH((char *)object + READ_UNTIL);
    if (pending->count == pending->room) {
        size_t more = pending->room ? 2 * pending->room : 1024;
        PyObject **moved = PyMem_RawRealloc(pending->objects, more * sizeof(PyObject *));
        if (!moved) {
            under_way->has_failed = true;
            return;
        }
        pending->objects = moved;
        pending->room = more;
    }
    pending->objects[pending->count++] = object;
}

static int
show_to(PyObject *referent, visitproc visit, void *arg)
{
    return referent ? visit(referent, arg) : 0;
}

/* The collector need not see text keys, where all keys of a dict are text: then no more was shown
   than there are values. Of a shared table they are not the dict's. */
static void
show_text_keys(PyObject *dict, size_t shown, visitproc visit, void *arg)
{
    if (((PyDictObject *)dict)->ma_values || shown > (size_t)PyDict_GET_SIZE(dict)) {
        return;
    }
    Py_ssize_t at = 0;
    PyObject *key;
    while (PyDict_Next(dict, &at, &key, NULL)) {
        (void)visit(key, arg);
    }
}

static int
count_shown(PyObject *Py_UNUSED(referent), void *arg)
{
    (*(size_t *)arg)++;
    return 0;
}

/* Show what an object refers to, each reference once: what its tp_traverse shows, and the
   references that it leaves out as they cannot be part of a cycle. */
static void
show(const anatomy *kind, PyObject *object, visitproc visit, trial *arg)
{
    PyTypeObject *type = Py_TYPE(object);
    (void)show_to(anatomy_zone(kind, object), visit, arg);
    if (kind->shape == SHAPE_CODE) {
        (void)walk_follow_code(object, visit, arg);
        return;
    }
    bool is_plain = kind->shape == SHAPE_DICT || kind->shape == SHAPE_TUPLE;
    if (kind->shape == SHAPE_LEAF || (kind->shape == SHAPE_MODULE && walk_shows_freed(object))
        || (!is_plain && !PyObject_GC_IsTracked(object)))
    {
        return;
    }
    arg->awaited = kind->has_attributes ? attributes_dict(object) : NULL;
    arg->shown = 0;
    (void)type->tp_traverse(object, visit, arg);
    size_t shown = arg->shown;
    if (arg->awaited) { /* not shown: 3.13 */
        PyObject *dict = (PyObject *)arg->awaited;
        (void)visit(dict, arg);
    }
    if (kind->shape == SHAPE_DICT_SUBCLASS) {
        shown = 0;
        (void)PyDict_Type.tp_traverse(object, count_shown, &shown);
    }
    if (kind->shape == SHAPE_DICT || kind->shape == SHAPE_DICT_SUBCLASS) {
        show_text_keys(object, shown, visit, arg);
    }
    if (kind->is_class && ((PyTypeObject *)object)->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyHeapTypeObject *class = (PyHeapTypeObject *)object;
        (void)show_to(class->ht_name, visit, arg);
        (void)show_to(class->ht_qualname, visit, arg);
        (void)show_to(class->ht_slots, visit, arg);
    }
}

/* Let a referent wait, NULL for nobody, and return the one whose turn it is, or NULL. */
MEMSIZE_INLINE PyObject *
waited(trial *under_way, PyObject *shown)
{
    const parts *found = under_way->found;
    unsigned turn = under_way->next_waiting++;
    PyObject **place = under_way->waiting + turn % WAITING;
    PyObject *half_way = under_way->waiting[(turn + WAITING / 2) % WAITING];
    PyObject *next = *place;
    *place = shown;
    parts_expect(&found->objects, shown);
    parts_expect_soon(found, &found->objects, half_way);
    return next;
}

/* Of a referent that an object shows. As waited: what is no part need not wait. */
MEMSIZE_INLINE PyObject *
met(trial *under_way, PyObject *shown)
{
    if (shown == under_way->awaited) {
        under_way->awaited = NULL;
    }
    under_way->shown++;
    return parts_span(under_way->found, shown) ? waited(under_way, shown) : shown;
}

static void
account_for(trial *under_way, PyObject *referent)
{
    part *one = parts_object_at(under_way->found, referent);
    if (one) {
        one->references--;
        return;
    }
    guest *known = guests_meet(&under_way->guests, referent);
    if (known) {
        known->references++;
        if (guest_is_ours(known) && !known->is_presumed) {
            put_on(under_way, referent);
        }
    }
}

static int
account_for_shown(PyObject *shown, void *arg)
{
    PyObject *referent = met(arg, shown);
    if (referent) {
        account_for(arg, referent);
    }
    return 0;
}

static void
retain(trial *under_way, part *one)
{
    if (!one->is_retained) {
        one->is_retained = true;
        if (part_kind(under_way->found, one)->may_refer) {
            put_on(under_way, part_object(one));
        }
    }
}

static void
retain_referent(trial *under_way, PyObject *referent)
{
    part *one = parts_object_at(under_way->found, referent);
    if (one) {
        retain(under_way, one);
        return;
    }
    guest *known = guests_find(&under_way->guests, referent);
    if (known && !known->is_retained && guest_is_ours(known)) {
        known->is_retained = true;
        put_on(under_way, referent);
    }
}

static int
retain_shown(PyObject *shown, void *arg)
{
    PyObject *referent = met(arg, shown);
    if (referent) {
        retain_referent(arg, referent);
    }
    return 0;
}

static int
show_object(trial *under_way, PyObject *object, visitproc visit)
{
    const tally_row *row = tally_row_of(&under_way->kinds, Py_TYPE(object));
    if (!row) {
        return -1;
    }
    show(&row->kind, object, visit, under_way);
    return 0;
}

/* Take one of those that were put by first of the last few: the cache has it by now. */
static PyObject *
take_off(pile *pending)
{
    size_t at = pending->count - Py_MIN(pending->count, PARTS_AHEAD);
    PyObject *taken = pending->objects[at];
    pending->objects[at] = pending->objects[--pending->count];
    return taken;
}

/* Show the referents of all that is put by. -1 with an exception. */
static int
follow(trial *under_way, visitproc visit)
{
    while (under_way->pending.count) {
        if (show_object(under_way, take_off(&under_way->pending), visit) < 0) {
            return -1;
        }
    }
    if (under_way->has_failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

typedef void (*taker)(trial *under_way, PyObject *referent);

/* Follow until nobody waits. */
static int
finish(trial *under_way, visitproc visit, taker take)
{
    bool is_over;
    do {
        if (follow(under_way, visit) < 0) {
            return -1;
        }
        is_over = true;
        for (size_t at = 0; at < WAITING; at++) {
            PyObject *referent = waited(under_way, NULL);
            if (referent) {
                is_over = false;
                take(under_way, referent);
            }
        }
    } while (!is_over);
    return 0;
}

static bool
may_refer(const parts *found, const part *one)
{
    return one->state == PART_OBJECT && part_kind(found, one)->may_refer;
}

/* Presume that what is around the window's objects belongs with them. */
static void
presume(trial *under_way, PyObject *around)
{
    for (Py_ssize_t at = 0; around && at < PyList_GET_SIZE(around); at++) {
        PyObject *object = PyList_GET_ITEM(around, at);
        part *own = parts_object_at(under_way->found, object);
        guest *known = own ? NULL : guests_meet(&under_way->guests, object);
        if (own) {
            own->references--;
        }
        if (known) {
            known->references++;
        }
        else if (!own && guest_may_be(object)) {
            under_way->has_failed = true;
        }
        if (known && !known->is_presumed) {
            known->is_presumed = true;
            put_on(under_way, object);
        }
    }
}

/* Account for every reference that the window's objects, and what belongs with them, have. */
static int
account(trial *under_way, PyObject *around)
{
    const parts *found = under_way->found;
    presume(under_way, around);
    for (size_t at = 0; at < found->count; at++) {
        if (at + PARTS_AHEAD < found->count && may_refer(found, found->at + at + PARTS_AHEAD)) {
            part_expect(found->at + at + PARTS_AHEAD);
        }
        const part *one = found->at + at;
        if (may_refer(found, one)
            && show_object(under_way, part_object(one), account_for_shown) < 0)
        {
            return -1;
        }
    }
    return finish(under_way, account_for_shown, account_for);
}

/* The guest that an object of ``around`` is, if it was wrongly presumed to belong; else NULL. */
static guest *
held_guest(const trial *under_way, PyObject *object)
{
    guest *met = guests_find(&under_way->guests, object);
    return met && met->is_presumed && !guest_is_ours(met) ? met : NULL;
}

/* Retain what is held from outside, and all that it refers to. -1 with an exception. */
static int
retain_held(trial *under_way, PyObject *around)
{
    parts *found = under_way->found;
    int failed = 0;
    for (Py_ssize_t at = 0; around && !failed && at < PyList_GET_SIZE(around); at++) {
        guest *held = held_guest(under_way, PyList_GET_ITEM(around, at));
        if (held && !held->is_retained) {
            held->is_retained = true;
            put_on(under_way, held->object);
            failed = follow(under_way, retain_shown);
        }
    }
    for (size_t at = 0; !failed && at < found->count; at++) {
        part *one = found->at + at;
        if (one->state == PART_OBJECT && one->references > 0) {
            retain(under_way, one);
            failed = follow(under_way, retain_shown);
        }
    }
    return failed ? -1 : finish(under_way, retain_shown, retain_referent);
}

static void
clear(trial *under_way)
{
    guests_clear(&under_way->guests);
    tally_clear(&under_way->kinds);
    PyMem_RawFree(under_way->pending.objects);
}

int
reachability_tell(parts *found, PyObject *around)
{
    trial under_way = {.found = found};
    int failed = parts_index_objects(found) < 0 || account(&under_way, around) < 0
                     ? -1
                     : retain_held(&under_way, around);
    clear(&under_way);
    return failed;
}

int
reachability_is_closed(PyObject *around)
{
    parts none = {.at = NULL};
    trial under_way = {.found = &none};
    int closed = parts_index_objects(&none) < 0 || account(&under_way, around) < 0 ? -1 : 1;
    for (Py_ssize_t at = 0; closed > 0 && at < PyList_GET_SIZE(around); at++) {
        closed = !held_guest(&under_way, PyList_GET_ITEM(around, at));
    }
    clear(&under_way);
    parts_clear(&none);
    return closed;
}
