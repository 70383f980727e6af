#include "census/walk.h"

#include "census/attributes.h"

/* With so many objects put by, they are followed before more are met: a container of millions of
   containers does not need a stack of millions. */
#define PENDING_MOST 512
#define FIRST_ROOM 1024
#define NESTING_MOST 32

/* What a walk reads of most objects lies between the collector's header and a text's state: in one
   cache line, or two. */
#define READ_FROM (-16)
#define READ_UNTIL 32

void
walk_init(walk *pass)
{
    *pass = (walk){.pending = NULL};
    addresses_init(&pass->own_met);
    pass->met = &pass->own_met;
    pass->traversing = &pass->own_traversing;
}

void
walk_clear(walk *pass)
{
    addresses_clear(&pass->own_met);
    tally_clear(&pass->counts);
    PyMem_RawFree(pass->pending);
    PyMem_RawFree(pass->unsized);
    pass->pending = pass->unsized = NULL;
}

MEMSIZE_INLINE int
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

MEMSIZE_INLINE int
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
MEMSIZE_INLINE int
follow_items(PyObject *const *items, Py_ssize_t count, visitproc visit, void *arg)
{
    while (count--) {
        Py_VISIT(items[count]);
    }
    return 0;
}

/* On 3.12 this module shows iterators that it has freed: Modules/_asynciomodule.c. */
bool
walk_shows_freed(PyObject *module)
{
#if PY_VERSION_HEX >= 0x030C0000 && PY_VERSION_HEX < 0x030D0000
    const PyModuleDef *definition = PyModule_GetDef(module);
    return definition && definition->m_name && strcmp(definition->m_name, "_asyncio") == 0;
#else
    (void)module;
    return false;
#endif
}

/* Show each referent to a function, of which it is known here whether it can be called inline, or
   through a pointer. Of untracked objects only exact dicts, tuples and code are followed: others
   may be half built. */
MEMSIZE_INLINE int
follow(PyObject *measured, shape_rule shape, bool has_attributes, bool is_tracked, visitproc visit,
       visitproc by_pointer, void *arg)
{
    switch (shape) {
    case SHAPE_LEAF:
        return 0;
    case SHAPE_TUPLE:
        return follow_items(((PyTupleObject *)measured)->ob_item, Py_SIZE(measured), visit, arg);
    case SHAPE_DICT:
        return follow_dict(measured, visit, arg);
    case SHAPE_CODE:
        return walk_follow_code(measured, visit, arg);
    default:
        break;
    }
    if (has_attributes) {
        /* On 3.13 the collector need not go from an instance to its dict. */
        Py_VISIT(attributes_dict(measured));
    }
    if (!is_tracked && !PyObject_GC_IsTracked(measured)) {
        return 0;
    }
    switch (shape) {
    case SHAPE_LIST:
        return follow_items(((PyListObject *)measured)->ob_item, Py_SIZE(measured), visit, arg);
    case SHAPE_SET:
        return follow_set(measured, visit, arg);
    case SHAPE_DICT_SUBCLASS: {
        int ended = follow_dict(measured, visit, arg);
        if (ended) {
            return ended;
        }
        break;
    }
    case SHAPE_MODULE:
        if (walk_shows_freed(measured)) {
            return 0;
        }
        break;
    default:
        break;
    }
    return Py_TYPE(measured)->tp_traverse(measured, by_pointer, arg);
}

int
walk_referents(PyObject *measured, visitproc visit, void *arg)
{
    anatomy kind;
    if (anatomy_of(Py_TYPE(measured), &kind) < 0) {
        return -1;
    }
    return follow(measured, kind.shape, kind.has_attributes, false, visit, visit, arg);
}

/* What walk_visit does with an object, once its address was added, or could not be. */
static int visit_added(walk *pass, PyObject *found, int is_new);

MEMSIZE_INLINE int
visit_inline(PyObject *found, void *arg)
{
    walk *pass = arg;
    int is_new = addresses_add(pass->met, found);
    return is_new ? visit_added(pass, found, is_new) : 0;
}

int
walk_visit(PyObject *found, void *arg)
{
    return visit_inline(found, arg);
}

/* Append to a list of a walk. -1 with an exception. */
static int
append(PyObject ***objects, size_t *count, size_t *room, PyObject *object)
{
    if (*count == *room) {
        size_t more = *room ? 2 * *room : FIRST_ROOM;
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

/* Size what had to wait. An extension may not be asked inside its tp_traverse: PyO3 ends the
   process that does. */
static int
size_waiting(walk *pass)
{
    while (pass->unsized_count) {
        PyObject *measured = pass->unsized[--pass->unsized_count];
        tally_row *row = tally_row_of(&pass->counts, Py_TYPE(measured));
        Py_ssize_t bytes = row ? anatomy_bytes(&row->kind, measured) : -1;
        if (bytes < 0) {
            return -1;
        }
        row->bytes += bytes;
    }
    return 0;
}

/* What a tp_traverse returns is not believed: CPython's collector does not look at it, so one may
   drop what a visit returned. */
static int
follow_counted(walk *pass, PyObject *measured, const tally_row *row, bool is_tracked)
{
    shape_rule shape = row->kind.shape;
    bool has_attributes = row->kind.has_attributes;
    bool is_foreign = shape >= SHAPE_MODULE || shape == SHAPE_DICT_SUBCLASS;
    *pass->traversing += is_foreign;
    (void)follow(measured, shape, has_attributes, is_tracked, visit_inline, walk_visit, pass);
    *pass->traversing -= is_foreign;
    if (MEMSIZE_RARELY(pass->has_failed)) {
        return -1;
    }
    return pass->unsized_count && !*pass->traversing ? size_waiting(pass) : 0;
}

static int
follow_pending(walk *pass)
{
    while (pass->pending_count) {
        PyObject *measured = pass->pending[--pass->pending_count];
        const tally_row *row = tally_row_of(&pass->counts, Py_TYPE(measured));
        if (!row || follow_counted(pass, measured, row, false) < 0) {
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

/* Begin the inner walks of the types that this is an instance of. */
static int
visit_inside(walk *pass, PyObject *found)
{
    for (Py_ssize_t at = 0; at < pass->counts.wanted_count; at++) {
        if (PyType_IsSubtype(Py_TYPE(found), pass->counts.wanted[at])) {
            pass->inner[at].instances++;
            if (walk_visit(found, pass->inner + at) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Count an object whose type asks for more than to add it up. As count. */
static int
count_with_care(walk *pass, PyObject *found, tally_row *row, tally_row **counted)
{
    if (row->kind.is_method && pass->counts.excluded_count) {
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
    Py_ssize_t bytes = 0;
    if (row->kind.is_asked_apart && *pass->traversing) {
        if (append(&pass->unsized, &pass->unsized_count, &pass->unsized_room, found) < 0) {
            return -1;
        }
    }
    else {
        bytes = anatomy_bytes(&row->kind, found);
        if (bytes < 0) {
            return -1;
        }
    }
    row->objects++;
    row->bytes += bytes;
    *counted = row;
    return row->is_wanted ? visit_inside(pass, found) : 0;
}

/* Count an object in the row of its type, unless it is left out. -1 with an exception; otherwise
   sets the row, valid until the next call, to NULL where nothing was counted. */
MEMSIZE_INLINE int
count(walk *pass, PyObject *found, tally_row **counted)
{
    *counted = NULL;
    tally_row *row = tally_row_of(&pass->counts, Py_TYPE(found));
    if (MEMSIZE_RARELY(!row)) {
        return -1;
    }
    if (MEMSIZE_RARELY(row->takes_care)) {
        return count_with_care(pass, found, row, counted);
    }
    Py_ssize_t bytes = anatomy_bytes(&row->kind, found);
    if (MEMSIZE_RARELY(bytes < 0)) {
        return -1;
    }
    row->objects++;
    row->bytes += bytes;
    *counted = row;
    return 0;
}

static int
arrive(walk *pass, PyObject *found)
{
    if (pass->is_census && PyType_HasFeature(Py_TYPE(found), Py_TPFLAGS_HAVE_GC)
        && PyObject_GC_IsTracked(found))
    {
        if (pass->leaves_tracked && !walk_is_immortal(found)) {
            return 0;
        }
        pass->frozen_met++;
    }
    tally_row *row;
    if (count(pass, found, &row) < 0) {
        return -1;
    }
    return row && row->kind.shape != SHAPE_LEAF ? put_by(pass, found) : 0;
}

static int
visit_added(walk *pass, PyObject *found, int is_new)
{
    if (MEMSIZE_RARELY(is_new < 0)) {
        PyErr_NoMemory();
        pass->has_failed = true;
    }
    if (MEMSIZE_RARELY(pass->has_failed)) {
        return -1;
    }
    MEMSIZE_PREFETCH((char *)found + READ_FROM);
    MEMSIZE_PREFETCH((char *)found + READ_UNTIL);
    PyObject **place = pass->waiting + pass->next_waiting++ % WALK_WAITING;
    PyObject *arrived = *place;
    *place = found;
    if (arrived && arrive(pass, arrived) < 0) {
        pass->has_failed = true;
        return -1;
    }
    return 0;
}

int
walk_take(walk *pass, PyObject *taken)
{
    tally_row *row;
    if (count(pass, taken, &row) < 0 || (row && follow_counted(pass, taken, row, true) < 0)) {
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
    return size_waiting(pass);
}
