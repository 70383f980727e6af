#include "analysis/classes.h"

#include "census/roots.h"

typedef struct {
    const void *address;
    PyObject *reference; /* weak; NULL for a static class, which is never freed */
} class_entry;

static hashtable classes; /* of class_entry, as of the last update */
static size_t updates;

static void
release_classes(hashtable *released)
{
    const class_entry *entry = NULL;
    while ((entry = hashtable_next(released, sizeof(class_entry), entry))) {
        Py_XDECREF(entry->reference);
    }
    hashtable_clear(released);
}

size_t
classes_version(void)
{
    return updates;
}

bool
classes_contain(const void *address)
{
    const class_entry *entry = hashtable_find(&classes, sizeof(class_entry), (uintptr_t)address);
    return entry && (!entry->reference || weakref_leads_to(entry->reference, address));
}

/* -1 with an exception. */
static int
add_listed(hashtable *to, PyObject *class)
{
    class_entry *entry = hashtable_add(to, sizeof(class_entry), (uintptr_t)class);
    if (!entry) {
        PyErr_NoMemory();
        return -1;
    }
    if (is_heap_type((PyTypeObject *)class)) {
        /* Makes no new object: the class's base has this weak reference already. */
        entry->reference = PyWeakref_NewRef(class, NULL);
    }
    return entry->reference || !is_heap_type((PyTypeObject *)class) ? 0 : -1;
}

int
classes_update(void)
{
    roots from = {.listed = NULL};
    hashtable updated = {.entries = NULL};
    int failed = roots_list_classes(&from);
    if (!failed && !hashtable_reserve(&updated, sizeof(class_entry), from.classes.count)) {
        PyErr_NoMemory();
        failed = -1;
    }
    for (size_t at = 0; !failed && at < from.classes.count; at++) {
        failed = add_listed(&updated, from.classes.items[at]);
    }
    roots_clear(&from);
    if (failed) {
        release_classes(&updated);
        return -1;
    }
    /* Release the replaced table last, because that may run code. */
    hashtable replaced = classes;
    classes = updated;
    updates++;
    release_classes(&replaced);
    return 0;
}
