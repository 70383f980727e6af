#include "analysis/references.h"

#include "cpython.h"

/* Visit the keys of a dict that its tp_traverse did not visit. */
static void
visit_hidden_keys(PyObject *dict, size_t visited, visitproc visit, void *arg)
{
    if (!cpython_hides_keys(dict, visited)) {
        return;
    }
    Py_ssize_t at = 0;
    PyObject *key;
    while (PyDict_Next(dict, &at, &key, NULL)) {
        (void)visit(key, arg);
    }
}

static int
count_visited_referent(PyObject *Py_UNUSED(referent), void *arg)
{
    (*(size_t *)arg)++;
    return 0;
}

/* How many referents the dict of an instance of a subclass shows. */
static size_t
referents_of_dict(PyObject *dict)
{
    size_t count = 0;
    (void)PyDict_Type.tp_traverse(dict, count_visited_referent, &count);
    return count;
}

/* Whether an object's tp_traverse can be called and shows anything. Other untracked objects than
   dicts, frozendicts, tuples and frozensets may be half built. */
static bool
can_be_traversed(const anatomy *kind, PyObject *object)
{
    if (kind->shape == SHAPE_LEAF || (kind->shape == SHAPE_MODULE && cpython_shows_freed(object))) {
        return false;
    }
    return kind->shape == SHAPE_DICT || kind->shape == SHAPE_TUPLE || kind->shape == SHAPE_FROZENSET
           || PyObject_GC_IsTracked(object);
}

/* Call tp_traverse, and visit the instance's dict if that did not (3.13). Returns how many
   referents were visited without it. */
static size_t
traverse(const anatomy *kind, PyObject *object, visitproc visit, void *arg,
         references_progress *progress)
{
    progress->unseen_dict = kind->has_attributes ? cpython_instance_dict(object) : NULL;
    progress->visited = 0;
    (void)Py_TYPE(object)->tp_traverse(object, visit, arg);
    size_t visited = progress->visited;
    if (progress->unseen_dict) {
        PyObject *dict = (PyObject *)progress->unseen_dict;
        (void)visit(dict, arg);
    }
    return visited;
}

void
references_visit(const anatomy *kind, PyObject *object, visitproc visit, void *arg,
                 references_progress *progress)
{
    PyObject *timezone = anatomy_timezone(kind, object);
    if (timezone) {
        (void)visit(timezone, arg);
    }
    if (kind->shape == SHAPE_CODE) {
        (void)cpython_visit_code(object, visit, arg);
        return;
    }
    if (!can_be_traversed(kind, object)) {
        return;
    }
    size_t visited = traverse(kind, object, visit, arg, progress);
    if (kind->shape == SHAPE_DICT) {
        visit_hidden_keys(object, visited, visit, arg);
    }
    else if (kind->shape == SHAPE_DICT_SUBCLASS) {
        visit_hidden_keys(object, referents_of_dict(object), visit, arg);
    }
    if (kind->is_class && is_heap_type((PyTypeObject *)object)) {
        (void)cpython_visit_class_texts(object, visit, arg);
    }
}
