#include "reachability.h"

#include "attributes.h"
#include "guests.h"
#include "walk.h"

/* What is to be followed: a part, or a guest. */
typedef struct {
    PyObject **objects;
    size_t count, room;
} pile;

typedef struct {
    parts *found;
    guest_list guests;
    pile pending;
    const PyObject *awaited; /* an instance's dict */
    bool has_failed;
} trial;

static void
put_on(trial *under_way, PyObject *object)
{
    pile *pending = &under_way->pending;
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

static int
count_shown(PyObject *Py_UNUSED(referent), void *arg)
{
    (*(size_t *)arg)++;
    return 0;
}

/* The collector need not see text keys, where all keys of a dict are text. Of a shared table they
   are not the dict's. */
static void
show_text_keys(PyObject *dict, visitproc visit, void *arg)
{
    if (((PyDictObject *)dict)->ma_values) {
        return;
    }
    size_t shown = 0;
    (void)PyDict_Type.tp_traverse(dict, count_shown, &shown);
    if (shown > (size_t)PyDict_GET_SIZE(dict)) {
        return;
    }
    Py_ssize_t at = 0;
    PyObject *key;
    while (PyDict_Next(dict, &at, &key, NULL)) {
        (void)visit(key, arg);
    }
}

static void
show_code(PyObject *measured, visitproc visit, void *arg)
{
    const PyCodeObject *code = (const PyCodeObject *)measured;
    PyObject *const held[] = {code->co_consts,   code->co_names,           code->co_localsplusnames,
                              code->co_filename, code->co_localspluskinds, code->co_name,
                              code->co_qualname, code->co_linetable,       code->co_exceptiontable};
    for (size_t at = 0; at < Py_ARRAY_LENGTH(held); at++) {
        (void)show_to(held[at], visit, arg);
    }
}

/* Show what an object refers to, each reference once: what its tp_traverse shows, and the
   references that it leaves out as they cannot be part of a cycle. */
static void
show(const anatomy *kind, PyObject *object, visitproc visit, trial *arg)
{
    PyTypeObject *type = Py_TYPE(object);
    (void)show_to(anatomy_zone(kind, object), visit, arg);
    if (kind->shape == SHAPE_CODE) {
        show_code(object, visit, arg);
        return;
    }
    bool is_plain = kind->shape == SHAPE_DICT || kind->shape == SHAPE_TUPLE;
    if (kind->shape == SHAPE_LEAF || (kind->shape == SHAPE_MODULE && walk_shows_freed(object))
        || (!is_plain && !PyObject_GC_IsTracked(object)))
    {
        return;
    }
    arg->awaited = kind->has_attributes ? attributes_dict(object) : NULL;
    (void)type->tp_traverse(object, visit, arg);
    if (arg->awaited) { /* not shown: 3.13 */
        PyObject *dict = (PyObject *)arg->awaited;
        (void)visit(dict, arg);
    }
    if (kind->shape == SHAPE_DICT || kind->shape == SHAPE_DICT_SUBCLASS) {
        show_text_keys(object, visit, arg);
    }
    if (kind->is_class && ((PyTypeObject *)object)->tp_flags & Py_TPFLAGS_HEAPTYPE) {
        PyHeapTypeObject *class = (PyHeapTypeObject *)object;
        (void)show_to(class->ht_name, visit, arg);
        (void)show_to(class->ht_qualname, visit, arg);
        (void)show_to(class->ht_slots, visit, arg);
    }
}

static part *
part_shown(trial *under_way, PyObject *referent)
{
    if (referent == under_way->awaited) {
        under_way->awaited = NULL;
    }
    return parts_at(under_way->found, referent);
}

static int
account_for(PyObject *referent, void *arg)
{
    trial *under_way = arg;
    part *shown = part_shown(under_way, referent);
    if (shown) {
        shown->references--;
        return 0;
    }
    guest *met = guests_meet(&under_way->guests, referent);
    if (met) {
        met->references++;
        if (guest_is_ours(met) && !met->is_presumed) {
            put_on(under_way, referent);
        }
    }
    return 0;
}

static void
retain(trial *under_way, part *one)
{
    if (!one->is_retained) {
        one->is_retained = true;
        put_on(under_way, one->object);
    }
}

static int
retain_shown(PyObject *referent, void *arg)
{
    trial *under_way = arg;
    part *shown = part_shown(under_way, referent);
    if (shown) {
        retain(under_way, shown);
        return 0;
    }
    guest *met = guests_find(&under_way->guests, referent);
    if (met && !met->is_retained && guest_is_ours(met)) {
        met->is_retained = true;
        put_on(under_way, referent);
    }
    return 0;
}

static int
show_object(trial *under_way, PyObject *object, visitproc visit)
{
    const tally_row *row = tally_row_of(&under_way->found->kinds, Py_TYPE(object));
    if (!row) {
        return -1;
    }
    show(&row->kind, object, visit, under_way);
    return 0;
}

/* Follow all that is put by. -1 with an exception. */
static int
follow(trial *under_way, visitproc visit)
{
    while (under_way->pending.count) {
        PyObject *next = under_way->pending.objects[--under_way->pending.count];
        if (show_object(under_way, next, visit) < 0) {
            return -1;
        }
    }
    if (under_way->has_failed) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Presume that what is around the window's objects belongs with them. */
static void
presume(trial *under_way, PyObject *around)
{
    for (Py_ssize_t at = 0; around && at < PyList_GET_SIZE(around); at++) {
        PyObject *object = PyList_GET_ITEM(around, at);
        part *own = parts_at(under_way->found, object);
        guest *met = own ? NULL : guests_meet(&under_way->guests, object);
        if (own) {
            own->references--;
        }
        if (met) {
            met->references++;
        }
        else if (!own && guest_may_be(object)) {
            under_way->has_failed = true;
        }
        if (met && !met->is_presumed) {
            met->is_presumed = true;
            put_on(under_way, object);
        }
    }
}

/* Account for every reference that the window's objects, and what belongs with them, have. */
static int
account(trial *under_way, PyObject *around)
{
    parts *found = under_way->found;
    presume(under_way, around);
    for (size_t at = 0; at < found->count; at++) {
        part *one = found->at + at;
        parts_look_ahead(found, at);
        one->references += one->state == PART_OBJECT ? Py_REFCNT(one->object) : 0;
    }
    for (size_t at = 0; at < found->count; at++) {
        const part *one = found->at + at;
        parts_look_ahead(found, at);
        if (one->state == PART_OBJECT && show_object(under_way, one->object, account_for) < 0) {
            return -1;
        }
    }
    return follow(under_way, account_for);
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
    return failed;
}

static void
clear(trial *under_way)
{
    guests_clear(&under_way->guests);
    PyMem_RawFree(under_way->pending.objects);
}

int
reachability_tell(parts *found, PyObject *around)
{
    trial under_way = {.found = found};
    int failed = account(&under_way, around) < 0 ? -1 : retain_held(&under_way, around);
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
