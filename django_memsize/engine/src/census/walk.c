#include "census/walk.h"

#include "census/sizes.h"

/* With this many pending objects, they are followed before more are visited: a container of
   millions of containers must not need an array of millions. */
#define MOST_PENDING 512
#define MOST_NESTING 32

/* A walk reads most objects from the collector's header to the state of a text: in one line of the
   cache, or two. */
#define READ_FROM (-16)
#define READ_TO 32

void
walk_init(walk *pass)
{
    *pass = (walk){.inner = NULL};
    addresses_init(&pass->own_seen);
    pass->seen = &pass->own_seen;
    pass->traversing = &pass->own_traversing;
}

void
walk_clear(walk *pass)
{
    addresses_clear(&pass->own_seen);
    tally_clear(&pass->counts);
    array_clear(&pass->pending);
    array_clear(&pass->unsized);
}

MEMSIZE_INLINE int
visit_dict(PyObject *dict, visitproc visit, void *arg)
{
    Py_ssize_t at = 0;
    PyObject *key, *value;
    while (PyDict_Next(dict, &at, &key, &value)) {
        Py_VISIT(key);
        Py_VISIT(value);
    }
    return 0;
}

/* From the last item to the first, as the tp_traverse of list and tuple do. */
MEMSIZE_INLINE int
visit_items(PyObject *const *items, Py_ssize_t count, visitproc visit, void *arg)
{
    while (count--) {
        Py_VISIT(items[count]);
    }
    return 0;
}

/* Visit each referent of an object. The visitproc is passed twice: as a constant, to be inlined,
   and as a pointer for a tp_traverse. Untracked objects other than exact dicts, frozendicts,
   tuples, frozensets and code are not followed: they may be half built. A frozenset of untracked
   items is untracked since 3.15 (Objects/setobject.c); nothing refers to it before it is filled. */
MEMSIZE_INLINE int
visit_referents(PyObject *measured, shape_rule shape, bool has_attributes, bool is_tracked,
                visitproc visit, visitproc visit_by_pointer, void *arg)
{
    switch (shape) {
    case SHAPE_LEAF:
        return 0;
    case SHAPE_TUPLE:
        return visit_items(((PyTupleObject *)measured)->ob_item, Py_SIZE(measured), visit, arg);
    case SHAPE_DICT:
        return visit_dict(measured, visit, arg);
    case SHAPE_FROZENSET:
        return cpython_visit_set(measured, visit, arg);
    case SHAPE_CODE:
        return cpython_visit_code(measured, visit, arg);
    default:
        break;
    }
    if (has_attributes) {
        Py_VISIT(cpython_instance_dict(measured));
    }
    if (!is_tracked && !PyObject_GC_IsTracked(measured)) {
        return 0;
    }
    switch (shape) {
    case SHAPE_LIST:
        return visit_items(((PyListObject *)measured)->ob_item, Py_SIZE(measured), visit, arg);
    case SHAPE_SET:
        return cpython_visit_set(measured, visit, arg);
    case SHAPE_DICT_SUBCLASS: {
        int ended = visit_dict(measured, visit, arg);
        if (ended) {
            return ended;
        }
        break;
    }
    case SHAPE_MODULE:
        if (cpython_shows_freed(measured)) {
            return 0;
        }
        break;
    default:
        break;
    }
    return Py_TYPE(measured)->tp_traverse(measured, visit_by_pointer, arg);
}

int
walk_referents(PyObject *measured, visitproc visit, void *arg)
{
    anatomy kind;
    if (anatomy_of(Py_TYPE(measured), &kind) < 0) {
        return -1;
    }
    return visit_referents(measured, kind.shape, kind.has_attributes, false, visit, visit, arg);
}

/* Complete a visit whose object is seen for the first time (1), or could not be added to the seen
   ones for want of memory (-1). */
static int visit_added(walk *pass, PyObject *visited, int is_new);

MEMSIZE_INLINE int
visit_inline(PyObject *visited, void *arg)
{
    walk *pass = arg;
    int is_new = addresses_add(pass->seen, visited);
    return is_new ? visit_added(pass, visited, is_new) : 0;
}

int
walk_visit(PyObject *visited, void *pass)
{
    return visit_inline(visited, pass);
}

/* -1 with an exception. */
static int
append_to(object_array *array, PyObject *object)
{
    if (!array_append(array, object)) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

/* Add the bytes of the objects that could not be sized inside a tp_traverse: an extension written
   with PyO3 ends the process if it is called there. */
static int
size_unsized(walk *pass)
{
    while (pass->unsized.count) {
        PyObject *measured = pass->unsized.items[--pass->unsized.count];
        tally_row *row = tally_row_of(&pass->counts, Py_TYPE(measured));
        Py_ssize_t bytes = row ? sizes_bytes(&row->kind, measured) : -1;
        if (bytes < 0) {
            return -1;
        }
        row->bytes += bytes;
    }
    return 0;
}

/* The result of a tp_traverse is ignored. CPython's collector ignores it as well, so a tp_traverse
   may drop what a visit returned. */
static int
follow(walk *pass, PyObject *measured, const tally_row *row, bool is_tracked)
{
    shape_rule shape = row->kind.shape;
    bool has_attributes = row->kind.has_attributes;
    bool is_foreign = shape >= SHAPE_MODULE || shape == SHAPE_DICT_SUBCLASS;
    *pass->traversing += is_foreign;
    (void)visit_referents(measured, shape, has_attributes, is_tracked, visit_inline, walk_visit,
                          pass);
    *pass->traversing -= is_foreign;
    if (MEMSIZE_UNLIKELY(pass->has_failed)) {
        return -1;
    }
    return pass->unsized.count && !*pass->traversing ? size_unsized(pass) : 0;
}

static int
follow_pending(walk *pass)
{
    while (pass->pending.count) {
        PyObject *measured = pass->pending.items[--pass->pending.count];
        const tally_row *row = tally_row_of(&pass->counts, Py_TYPE(measured));
        if (!row || follow(pass, measured, row, false) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
follow_later(walk *pass, PyObject *measured)
{
    if (append_to(&pass->pending, measured) < 0) {
        return -1;
    }
    if (pass->pending.count < MOST_PENDING || pass->nesting == MOST_NESTING) {
        return 0;
    }
    pass->nesting++;
    int failed = follow_pending(pass);
    pass->nesting--;
    return failed;
}

/* Visit an instance in the inner walk of each wanted type that it belongs to. */
static int
visit_inner(walk *pass, PyObject *instance)
{
    for (Py_ssize_t at = 0; at < pass->counts.wanted_count; at++) {
        if (PyType_IsSubtype(Py_TYPE(instance), pass->counts.wanted[at])) {
            pass->inner[at].instances++;
            if (walk_visit(instance, pass->inner + at) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

/* Count an object of an exceptional type. The same contract as count(). */
static int
count_exceptional(walk *pass, PyObject *counted, tally_row *row, tally_row **counted_in)
{
    if (row->kind.is_method && pass->counts.excluded_count) {
        /* A method bound to an excluded object is excluded as well. */
        row = tally_row_of(&pass->counts, Py_TYPE(PyMethod_GET_SELF(counted)));
        if (row && !row->is_excluded) {
            row = tally_row_of(&pass->counts, Py_TYPE(counted));
        }
    }
    if (!row) {
        return -1;
    }
    if (row->is_excluded) {
        return 0;
    }
    Py_ssize_t bytes = 0;
    if (row->kind.has_foreign_sizeof && *pass->traversing) {
        if (append_to(&pass->unsized, counted) < 0) {
            return -1;
        }
    }
    else {
        bytes = sizes_bytes(&row->kind, counted);
        if (bytes < 0) {
            return -1;
        }
    }
    row->objects++;
    row->bytes += bytes;
    *counted_in = row;
    return row->is_wanted ? visit_inner(pass, counted) : 0;
}

/* Count an object in the row of its type, unless the type is excluded. Sets the row, or NULL if
   nothing was counted; it is valid until the next call. -1 with an exception. */
MEMSIZE_INLINE int
count(walk *pass, PyObject *counted, tally_row **counted_in)
{
    *counted_in = NULL;
    tally_row *row = tally_row_of(&pass->counts, Py_TYPE(counted));
    if (MEMSIZE_UNLIKELY(!row)) {
        return -1;
    }
    if (MEMSIZE_UNLIKELY(row->is_exceptional)) {
        return count_exceptional(pass, counted, row, counted_in);
    }
    Py_ssize_t bytes = sizes_bytes(&row->kind, counted);
    if (MEMSIZE_UNLIKELY(bytes < 0)) {
        return -1;
    }
    row->objects++;
    row->bytes += bytes;
    *counted_in = row;
    return 0;
}

static int
count_visited(walk *pass, PyObject *visited)
{
    if (pass->is_census && PyType_HasFeature(Py_TYPE(visited), Py_TPFLAGS_HAVE_GC)
        && PyObject_GC_IsTracked(visited))
    {
        if (pass->skips_tracked && !cpython_is_immortal(visited)) {
            return 0;
        }
        pass->frozen_seen++;
    }
    tally_row *row;
    if (count(pass, visited, &row) < 0) {
        return -1;
    }
    return row && row->kind.shape != SHAPE_LEAF ? follow_later(pass, visited) : 0;
}

static int
visit_added(walk *pass, PyObject *visited, int is_new)
{
    if (MEMSIZE_UNLIKELY(is_new < 0)) {
        PyErr_NoMemory();
        pass->has_failed = true;
    }
    if (MEMSIZE_UNLIKELY(pass->has_failed)) {
        return -1;
    }
    MEMSIZE_PREFETCH((char *)visited + READ_FROM);
    MEMSIZE_PREFETCH((char *)visited + READ_TO);
    PyObject **place = pass->prefetched + pass->next_prefetched++ % WALK_AHEAD;
    PyObject *ready = *place;
    *place = visited;
    if (ready && count_visited(pass, ready) < 0) {
        pass->has_failed = true;
        return -1;
    }
    return 0;
}

int
walk_count(walk *pass, PyObject *listed)
{
    tally_row *row;
    if (count(pass, listed, &row) < 0 || (row && follow(pass, listed, row, true) < 0)) {
        return -1;
    }
    return pass->pending.count ? follow_pending(pass) : 0;
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
        for (size_t at = 0; at < WALK_AHEAD; at++) {
            PyObject *ready = pass->prefetched[at];
            pass->prefetched[at] = NULL;
            if (ready) {
                is_over = false;
                if (count_visited(pass, ready) < 0) {
                    return -1;
                }
            }
        }
    } while (!is_over);
    return size_unsized(pass);
}
