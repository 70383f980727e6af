#include "walk.h"

#include "attributes.h"

/* With so many objects put by, they are followed before more are met: a container of millions of
   containers does not need a stack of millions. */
#define PENDING_MOST 512
#define PENDING_FIRST_ROOM 1024
#define NESTING_MOST 32

void
walk_init(walk *pass)
{
    *pass = (walk){.pending = NULL};
    addresses_init(&pass->own_met);
    pass->met = &pass->own_met;
}

void
walk_clear(walk *pass)
{
    addresses_clear(&pass->own_met);
    tally_clear(&pass->counts);
    PyMem_RawFree(pass->pending);
    PyMem_RawFree(pass->wanted);
    pass->pending = pass->wanted = NULL;
}

static int
append(PyObject ***objects, size_t *count, size_t *room, PyObject *object)
{
    if (*count == *room) {
        size_t more = *room ? 2 * *room : PENDING_FIRST_ROOM;
        PyObject **moved = PyMem_RawRealloc(*objects, more * sizeof(PyObject *));
        if (!moved) {
            PyErr_NoMemory();
            return -1;
        }
        *objects = moved;
        *room = more;
    }
    (*objects)[(*count)++] = object;
    return 0;
}

static int
follow_dict(PyObject *dict, visitproc visit, void *arg)
{
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        Py_VISIT(key);
        Py_VISIT(value);
    }
    return 0;
}

static int
follow_set(PyObject *set, visitproc visit, void *arg)
{
    const PySetObject *table = (const PySetObject *)set;
    for (Py_ssize_t at = 0; at <= table->mask; at++) {
        /* The mark of a deleted entry has no hash. */
        if (table->table[at].hash != -1) {
            Py_VISIT(table->table[at].key);
        }
    }
    return 0;
}

/* From the end, as lists and tuples themselves show their items. */
static int
follow_items(PyObject *const *items, Py_ssize_t count, visitproc visit, void *arg)
{
    while (count--) {
        Py_VISIT(items[count]);
    }
    return 0;
}

/* A code object does not show its members to the collector. */
static int
follow_code(PyObject *measured, visitproc visit, void *arg)
{
    const PyCodeObject *code = (const PyCodeObject *)measured;
    Py_VISIT(code->co_consts);
    Py_VISIT(code->co_names);
    Py_VISIT(code->co_localsplusnames);
    Py_VISIT(code->co_localspluskinds);
    Py_VISIT(code->co_filename);
    Py_VISIT(code->co_name);
    Py_VISIT(code->co_qualname);
    Py_VISIT(code->co_linetable);
    Py_VISIT(code->co_exceptiontable);
    return 0;
}

/* Untracked objects may be half built. */
static int
follow_tracked(PyObject *measured, visitproc visit, void *arg)
{
    return PyObject_GC_IsTracked(measured) ? Py_TYPE(measured)->tp_traverse(measured, visit, arg)
                                           : 0;
}

/* On 3.12 this module shows iterators that it has freed: Modules/_asynciomodule.c. */
static bool
shows_what_is_freed(PyObject *module)
{
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    const PyModuleDef *definition = PyModule_GetDef(module);
    return definition && definition->m_name && strcmp(definition->m_name, "_asyncio") == 0;
#else
    (void)module;
    return false;
#endif
}

static int
follow(PyObject *measured, shape_rule shape, bool has_attributes, visitproc visit, void *arg)
{
    switch (shape) {
    case SHAPE_LEAF:
        return 0;
    case SHAPE_LIST:
        return PyObject_GC_IsTracked(measured)
                   ? follow_items(((PyListObject *)measured)->ob_item, Py_SIZE(measured), visit, arg)
                   : 0;
    case SHAPE_TUPLE:
        return follow_items(((PyTupleObject *)measured)->ob_item, Py_SIZE(measured), visit, arg);
    case SHAPE_SET:
        return PyObject_GC_IsTracked(measured) ? follow_set(measured, visit, arg) : 0;
    case SHAPE_DICT:
        return follow_dict(measured, visit, arg);
    case SHAPE_DICT_SUBCLASS: {
        int ended = PyObject_GC_IsTracked(measured) ? follow_dict(measured, visit, arg) : 0;
        return ended ? ended : follow_tracked(measured, visit, arg);
    }
    case SHAPE_CODE:
        return follow_code(measured, visit, arg);
    case SHAPE_MODULE:
        return shows_what_is_freed(measured) ? 0 : follow_tracked(measured, visit, arg);
    case SHAPE_TRAVERSED:
        break;
    }
    if (has_attributes) {
        /* On 3.13 the collector need not go from an instance to its dict. */
        Py_VISIT(attributes_dict(measured));
    }
    return follow_tracked(measured, visit, arg);
}

int
walk_referents(PyObject *measured, visitproc visit, void *arg)
{
    anatomy kind;
    if (anatomy_of(Py_TYPE(measured), &kind) < 0) {
        return -1;
    }
    return follow(measured, kind.shape, kind.has_attributes, visit, arg);
}

static int
follow_pending(walk *pass)
{
    while (pass->pending_count) {
        PyObject *measured = pass->pending[--pass->pending_count];
        const tally_row *row = tally_row_of(&pass->counts, Py_TYPE(measured));
        if (!row
            || follow(measured, row->kind.shape, row->kind.has_attributes, walk_visit, pass) < 0)
        {
            return -1;
        }
    }
    return 0;
}

static int
put_by(walk *pass, PyObject *measured)
{
    if (append(&pass->pending, &pass->pending_count, &pass->pending_room, measured) < 0) {
        return -1;
    }
    if (pass->pending_count < PENDING_MOST || pass->nesting == NESTING_MOST) {
        return 0;
    }
    pass->nesting++;
    int failed = follow_pending(pass);
    pass->nesting--;
    return failed;
}

/* Count an object in the row of its type, unless it is left out. -1 with an exception; otherwise
   sets the row, valid until the next call, to NULL where nothing was counted. */
static int
count(walk *pass, PyObject *found, tally_row **counted)
{
    *counted = NULL;
    tally_row *row = tally_row_of(&pass->counts, Py_TYPE(found));
    if (MEMSIZE_RARELY(row && row->kind.is_method && pass->counts.excluded_count)) {
        /* What is bound to an object that is left out is left out with it. */
        row = tally_row_of(&pass->counts, Py_TYPE(PyMethod_GET_SELF(found)));
        if (row && !row->is_left_out) {
            row = tally_row_of(&pass->counts, Py_TYPE(found));
        }
    }
    if (!row) {
        return -1;
    }
    if (row->is_left_out) {
        return 0;
    }
    Py_ssize_t bytes = anatomy_bytes(&row->kind, found);
    if (MEMSIZE_RARELY(bytes < 0)) {
        return -1;
    }
    row->objects++;
    row->bytes += bytes;
    *counted = row;
    return row->is_wanted
               ? append(&pass->wanted, &pass->wanted_count, &pass->wanted_room, found)
               : 0;
}

static int
arrive(walk *pass, PyObject *found)
{
    tally_row *row;
    if (pass->is_census && PyObject_GC_IsTracked(found)) {
        pass->frozen_met++;
    }
    if (count(pass, found, &row) < 0) {
        return -1;
    }
    return row && row->kind.shape != SHAPE_LEAF ? put_by(pass, found) : 0;
}

int
walk_visit(PyObject *found, void *arg)
{
    walk *pass = arg;
    int is_new = addresses_add(pass->met, found);
    if (is_new <= 0) {
        if (MEMSIZE_RARELY(is_new < 0)) {
            PyErr_NoMemory();
        }
        return is_new;
    }
    MEMSIZE_PREFETCH(found);
    PyObject **place = pass->waiting + pass->next_waiting++ % WALK_WAITING;
    PyObject *arrived = *place;
    *place = found;
    return arrived ? arrive(pass, arrived) : 0;
}

int
walk_take(walk *pass, PyObject *taken)
{
    tally_row *row;
    if (count(pass, taken, &row) < 0) {
        return -1;
    }
    if (row
        && follow(taken, row->kind.shape, row->kind.has_attributes, walk_visit, pass) < 0)
    {
        return -1;
    }
    return pass->pending_count ? follow_pending(pass) : 0;
}

int
walk_finish(walk *pass)
{
    bool is_over;
    do {
        if (follow_pending(pass) < 0) {
            return -1;
        }
        is_over = true;
        for (size_t at = 0; at < WALK_WAITING; at++) {
            PyObject *arrived = pass->waiting[at];
            pass->waiting[at] = NULL;
            if (arrived) {
                is_over = false;
                if (arrive(pass, arrived) < 0) {
                    return -1;
                }
            }
        }
    } while (!is_over);
    return 0;
}
