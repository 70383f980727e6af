#include "analysis/classes.h"

#include "census/roots.h"

typedef struct {
    const void *address; /* NULL: empty */
    PyObject *reference; /* weak; NULL for a class that never goes */
} known;

static known *table;
static unsigned room_bits;

static known *
place_of(known *places, unsigned bits, const void *address)
{
    size_t mask = ((size_t)1 << bits) - 1;
    size_t at = place_by_address(address, bits);
    while (places[at].address && places[at].address != address) {
        at = (at + 1) & mask;
    }
    return places + at;
}

static void
let_go(known *places, unsigned bits)
{
    for (size_t at = 0; places && at < (size_t)1 << bits; at++) {
        Py_XDECREF(places[at].reference);
    }
    PyMem_RawFree(places);
}

static bool
is_alive(const known *place)
{
    if (!place->reference) {
        return true;
    }
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *found;
    if (PyWeakref_GetRef(place->reference, &found) <= 0) {
        return false;
    }
    bool is_same = found == place->address;
    Py_DECREF(found);
    return is_same;
#else
    return PyWeakref_GetObject(place->reference) == place->address;
#endif
}

bool
classes_have(const void *address)
{
    const known *place = table ? place_of(table, room_bits, address) : NULL;
    return place && place->address && is_alive(place);
}

int
classes_learn(void)
{
    roots from = {.listed = NULL};
    int failed = roots_list_classes(&from);
    unsigned bits = 6;
    while ((size_t)1 << bits < 2 * from.class_count) {
        bits++;
    }
    known *places = failed ? NULL : PyMem_RawCalloc((size_t)1 << bits, sizeof(known));
    if (!places) {
        if (!failed) {
            PyErr_NoMemory();
        }
        roots_clear(&from);
        return -1;
    }
    for (size_t at = 0; !failed && at < from.class_count; at++) {
        PyTypeObject *listed = from.classes[at];
        known *place = place_of(places, bits, listed);
        place->address = listed;
        if (listed->tp_flags & Py_TPFLAGS_HEAPTYPE) {
            /* The one that its base has of it already. */
            place->reference = PyWeakref_NewRef((PyObject *)listed, NULL);
            failed = place->reference ? 0 : -1;
        }
    }
    roots_clear(&from);
    if (failed) {
        let_go(places, bits);
        return -1;
    }
    known *before = table;
    unsigned bits_before = room_bits;
    table = places;
    room_bits = bits;
    let_go(before, bits_before);
    return 0;
}
