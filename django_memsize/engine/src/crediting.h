/* What every allocation is credited to, and until when: what the hooks run for each of the
   program's, made to be a part of them.

   An allocation is credited to the innermost open window of its context. The block is remembered
   until it is freed: while it is young in a place by its address, afterwards in a table. */
#ifndef MEMSIZE_CREDITING_H
#define MEMSIZE_CREDITING_H

#include "meter.h"

/* A class takes no less: below that an allocation is not of one. */
#define LEAST_CLASS ((size_t)sizeof(PyHeapTypeObject))

/* Most blocks are freed before another takes their place here. */
#define YOUNGEST 256

#define YOUNG_PLACE_BITS (BLOCK_ADDRESS_BITS - BLOCK_ADDRESS_ZEROS)

typedef struct {
    uint64_t place; /* of the address, and above it the number of the window; 0 where none is */
    uint64_t size;  /* and above it the origin */
} young;

extern struct crediting_state {
    /* Where the window was looked up last, and what was found. Nothing else is found there until
       the thread has another context, or the variable may have another value, or the windows
       change. */
    uint64_t thread, version;
    window *found;
    /* What CPython allocates last before the variables of a context have other values. Anybody may
       set ours, as asgiref does with all that it copies. */
    size_t values_bytes;
    bool saw_a_class;
    young youngest[YOUNGEST];
} crediting;

/* Make ready, once there is the ContextVar. -1 with an exception. */
int crediting_prepare(void);

/* The innermost open window of the thread's context, or NULL: without an exception in either case.
 */
window *crediting_look_up(const PyThreadState *thread);

/* What would be found may have changed. */
void crediting_look_anew(void);

/* Do not credit what is allocated from now on, by ourselves, until it is resumed. */
void crediting_pause(void);
void crediting_resume(void);

/* Whether something as large as a class was allocated since the last call. */
bool crediting_saw_a_class(void);

/* All blocks that are known, none of them young any more. */
const block_table *crediting_blocks(void);

/* Forget the blocks of a window, or those of all. */
void crediting_forget(window *left);
void crediting_forget_all(void);

/* Bytes that the table takes. */
size_t crediting_own_bytes(void);

/* Give the place to a block at that address: it is somebody's. */
void crediting_make_way(young *place, const void *address);

/* A block was freed that is not young, if it was one of ours. */
void crediting_gone(const void *address);

/* Something was not seen, or cannot be remembered, of a window and of those around it. */
void crediting_mark_incomplete(window *born_in);

MEMSIZE_INLINE young *
young_place(uintptr_t address)
{
    return crediting.youngest + (((address >> 4) ^ (address >> 14)) & (YOUNGEST - 1));
}

MEMSIZE_INLINE uintptr_t
young_address(const young *one)
{
    return (uintptr_t)(one->place & ((UINT64_C(1) << YOUNG_PLACE_BITS) - 1)) << BLOCK_ADDRESS_ZEROS;
}

MEMSIZE_INLINE window *
young_window(const young *one)
{
    return meter_window((uint32_t)(one->place >> YOUNG_PLACE_BITS));
}

MEMSIZE_INLINE size_t
young_size(const young *one)
{
    return one->size & BLOCK_SIZE_MOST;
}

/* All around an open window are open as well. */
MEMSIZE_INLINE void
credit(window *born_in, Py_ssize_t bytes)
{
    for (window *each = born_in; each; each = each->parent) {
        each->allocated.blocks++;
        each->allocated.bytes += bytes;
        each->alive.blocks++;
        each->alive.bytes += bytes;
        if (each->alive.bytes > each->peak.bytes) {
            each->peak = each->alive;
        }
    }
}

MEMSIZE_INLINE void
debit(window *born_in, Py_ssize_t bytes)
{
    window *each = born_in;
    do {
        each->alive.blocks--;
        each->alive.bytes -= bytes;
        each = each->parent;
    } while (each);
    if (MEMSIZE_RARELY(!born_in->alive.blocks)) {
        meter_let_go(born_in);
    }
}

MEMSIZE_INLINE void
credit_born(const void *address, size_t size, block_origin origin, const PyThreadState *thread)
{
    if (MEMSIZE_RARELY(size >= LEAST_CLASS) && origin == BLOCK_OF_OBJECTS) {
        crediting.saw_a_class = true;
    }
    bool is_known = crediting.version == thread->context_ver && crediting.thread == thread->id;
    window *born_in = MEMSIZE_RARELY(!is_known) ? crediting_look_up(thread) : crediting.found;
    if (size == crediting.values_bytes) {
        crediting.thread = 0;
    }
    if (!born_in) {
        return;
    }
    uintptr_t start = (uintptr_t)address;
    if (MEMSIZE_RARELY((start & BLOCK_ADDRESS_ODD) != 0)) {
        crediting_mark_incomplete(born_in);
        return;
    }
    young *place = young_place(start);
    if (place->place) {
        crediting_make_way(place, address);
    }
    size = Py_MIN(size, BLOCK_SIZE_MOST);
    place->place = start >> BLOCK_ADDRESS_ZEROS | (uint64_t)born_in->number << YOUNG_PLACE_BITS;
    place->size = size | (uint64_t)origin << BLOCK_SIZE_BITS;
    credit(born_in, (Py_ssize_t)size);
}

MEMSIZE_INLINE void
credit_gone(const void *address)
{
    young *place = young_place((uintptr_t)address);
    if (young_address(place) == (uintptr_t)address) {
        window *born_in = young_window(place);
        place->place = 0;
        debit(born_in, (Py_ssize_t)young_size(place));
    }
    else {
        crediting_gone(address);
    }
}

#endif
