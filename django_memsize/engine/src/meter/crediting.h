/* What every allocation is credited to, and until when: what the hooks run for each of the
   program's, made to be a part of them.

   An allocation is credited to the innermost open window of its context. The block is remembered
   until it is freed: while it is young in a place by its address, afterwards in a table. */
#ifndef MEMSIZE_CREDITING_H
#define MEMSIZE_CREDITING_H

#include "meter/meter.h"

/* A class takes no less: below that an allocation is not of one. */
#define LEAST_CLASS ((size_t)sizeof(PyHeapTypeObject))

/* Most blocks are freed before another takes their place here. */
#define YOUNGEST 256

/* So many wait for the cache, which is told of them, before the table is changed. */
#define WAITING 16

/* A young block: its size, its origin, and the number of its window. */
#define YOUNG_WINDOW (BLOCK_SIZE_BITS + BLOCK_ORIGIN_BITS)
#define YOUNG_ORIGIN(origin) ((uint64_t)(origin) << BLOCK_SIZE_BITS)

typedef struct {
    uintptr_t address; /* 0: none is here */
    uint64_t what;
} young;

/* What was allocated and freed of one window's blocks, and is not yet in its totals. */
typedef struct {
    Py_ssize_t births, deaths; /* blocks */
    Py_ssize_t born_bytes;
    Py_ssize_t most_blocks, most_bytes; /* more alive than at first, when that was most */
    Py_ssize_t below;                   /* bytes by which less is alive than then */
} crediting_pending;

/* Blocks that go into the table next. */
typedef struct {
    size_t count;
    uint64_t signs; /* a bit of 64 for each */
    young at[WAITING];
} crediting_growing;

/* Blocks that were freed and may be in the table. */
typedef struct {
    size_t count;
    uintptr_t at[WAITING];
} crediting_leaving;

extern struct crediting_state {
    /* Where the window was looked up last, and what was found. Nothing else is found there until
       the thread has another context, or the variable may have another value, or the windows
       change. */
    uint64_t thread, version;
    window *found;
    uint64_t number; /* its number, or 0 */
    uint64_t tag;    /* the same, where a young block has it */
    crediting_pending pending;
    /* What CPython allocates last before the variables of a context have other values. Anybody may
       set ours, as asgiref does with all that it copies. */
    size_t values_bytes;
    uintptr_t values; /* the context's, when the window was looked up */
    /* The latest block of that size, if the context may have it, and whose the window is if not. */
    uintptr_t doubt;
    uint64_t doubted_thread;
    bool saw_a_class;
    crediting_growing growing;
    crediting_leaving leaving;
    young youngest[YOUNGEST];
    block_table blocks;
} crediting;

/* Make ready, once there is the ContextVar. -1 with an exception. */
int crediting_prepare(void);

/* Find the innermost open window of the thread's context, or NULL: without an exception in either
   case. */
window *crediting_look_up(const PyThreadState *thread);

/* One window in the place of another: in the thread and the context where it is put there, and as
   long as the variable has the value that it has then: without a new context's values each time. */
typedef struct crediting_stand_in {
    uint64_t thread;
    const PyObject *context, *value;
    PyObject *handle; /* of the window; the caller has it */
    struct crediting_stand_in *below;
} crediting_stand_in;

/* Put the window of a handle there, until it is taken away. What is written lies with the caller.
 */
void crediting_put(crediting_stand_in *put, PyObject *handle);
void crediting_take_away(crediting_stand_in *put);

/* What would be found may have changed. All totals are those of this moment. */
void crediting_look_anew(void);

/* Bring the totals of all windows up to date. */
void crediting_sum_up(void);

/* Do not credit what is allocated from now on, by ourselves, until it is resumed. Meanwhile
   nothing is known. */
void crediting_pause(void);
void crediting_resume(void);

/* Whether something as large as a class was allocated since the last call. */
bool crediting_saw_a_class(void);

/* All blocks that are known, none of them young any more. */
const block_table *crediting_blocks(void);

/* Forget the blocks of a window, or those of all. */
void crediting_forget(window *left);
void crediting_forget_all(void);

/* Give back the room for the blocks of a window that has none any more. */
void crediting_give_back(window *left);

/* Bytes that the table takes. */
size_t crediting_own_bytes(void);

/* Credit an allocation, if there is a window, whose size says something else as well. */
void crediting_notice(const void *block, size_t size, uint64_t origin);

/* Take out of the table what leaves it. */
void crediting_take_out(void);

/* Give the place to a block at that address: it is somebody's. Returns it. */
young *crediting_make_way(young *place, uintptr_t address);

/* A block was freed that is not young, if it was one of ours; and a young one, of another window
   than the one that was found last. */
void crediting_gone(uintptr_t address);
void crediting_young_gone(uint64_t what);

/* Something was not seen, or cannot be remembered, of a window and of those around it. */
void crediting_mark_incomplete(window *born_in);

MEMSIZE_INLINE young *
young_place(uintptr_t address)
{
    return crediting.youngest + (((address >> 4) ^ (address >> 14)) & (YOUNGEST - 1));
}

MEMSIZE_INLINE Py_ssize_t
young_size(uint64_t what)
{
    return (Py_ssize_t)(what & BLOCK_SIZE_MOST);
}

/* A block of the window that was found last is freed. */
MEMSIZE_INLINE void
debit_found(Py_ssize_t size)
{
    crediting.pending.deaths++;
    crediting.pending.below += size;
}

MEMSIZE_INLINE void
credit_found(Py_ssize_t size)
{
    crediting_pending *pending = &crediting.pending;
    if (pending->below < size && crediting.leaving.count) {
        crediting_take_out(); /* less may be alive than it seems */
    }
    pending->births++;
    pending->born_bytes += size;
    pending->below -= size;
    if (pending->below < 0) {
        pending->most_bytes -= pending->below;
        pending->most_blocks = pending->births - pending->deaths;
        pending->below = 0;
    }
}

/* A block of the window that was found last is allocated: neither as large as a class, nor as a
   context's values. */
MEMSIZE_INLINE void
credit_young(uintptr_t address, size_t size, uint64_t origin)
{
    young *place = young_place(address);
    if (place->address) {
        place = crediting_make_way(place, address);
    }
    place->address = address;
    place->what = size | origin | crediting.tag;
    credit_found((Py_ssize_t)size);
}

/* Credit an allocation to the window that was found last, if any. */
MEMSIZE_INLINE void
credit_born(const void *block, size_t size, uint64_t origin)
{
    if (MEMSIZE_RARELY(size >= LEAST_CLASS || size == crediting.values_bytes)) {
        crediting_notice(block, size, origin);
    }
    else if (MEMSIZE_MOSTLY(crediting.number)) {
        credit_young((uintptr_t)block, size, origin);
    }
}

MEMSIZE_INLINE void
credit_gone(const void *block)
{
    uintptr_t address = (uintptr_t)block;
    young *place = young_place(address);
    if (place->address == address) {
        uint64_t what = place->what;
        place->address = 0;
        if (what >> YOUNG_WINDOW == crediting.number) {
            debit_found(young_size(what));
        }
        else {
            crediting_young_gone(what);
        }
    }
    else if (blocks_may_have(&crediting.blocks, address)) {
        crediting_gone(address);
    }
}

#endif
