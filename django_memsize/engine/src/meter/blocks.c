#include "meter/blocks.h"

#define FIRST_HEADS 1024
#define FIRST_CHUNKS 16
#define RUNS_IN_CHUNK (BLOCKS_CHUNK / BLOCKS_RUN)

void
blocks_clear(block_table *table)
{
    for (size_t at = 0; at < table->chunk_count; at++) {
        PyMem_RawFree(table->chunks[at]);
    }
    PyMem_RawFree(table->chunks);
    PyMem_RawFree(table->runs);
    PyMem_RawFree(table->heads);
    *table = (block_table){.most_bytes = table->most_bytes};
}

size_t
blocks_table_bytes(const block_table *table)
{
    return table->capacity * sizeof(uint32_t) + table->chunk_count * BLOCKS_CHUNK * sizeof(block)
           + table->chunk_capacity * (sizeof(block *) + RUNS_IN_CHUNK * sizeof(block_run));
}

/* Whether the table may take so many bytes more. */
static bool
has_room_for(const block_table *table, size_t bytes)
{
    return !table->most_bytes || blocks_table_bytes(table) + bytes <= table->most_bytes;
}

/* Double the number of heads, and put all blocks into their new chains. */
static bool
grow_heads(block_table *table)
{
    size_t capacity = table->capacity ? 2 * table->capacity : FIRST_HEADS;
    /* The old heads are there as well until the new ones are. */
    uint32_t *heads = has_room_for(table, capacity * sizeof(uint32_t))
                          ? PyMem_RawCalloc(capacity, sizeof(uint32_t))
                          : NULL;
    if (!heads) {
        return false;
    }
    PyMem_RawFree(table->heads);
    table->heads = heads;
    table->capacity = capacity;
    uint32_t end = table->unused_run << BLOCKS_RUN_BITS;
    for (uint32_t number = BLOCKS_RUN; number < end; number++) {
        block *moved = blocks_at(table, number);
        if (moved->place) {
            chain into = blocks_chain(table, block_address(moved));
            moved->link = *into.head;
            chain_push(into, number);
        }
    }
    return true;
}

/* Make room for more chunks, and for the runs in them. Not array.h: both have one capacity, which
   must hold if only one of them could grow. */
static bool
grow_chunks(block_table *table)
{
    size_t capacity = table->chunk_capacity ? 2 * table->chunk_capacity : FIRST_CHUNKS;
    /* Twice: realloc() may move what there is. */
    if (!has_room_for(table, capacity * (sizeof(block *) + RUNS_IN_CHUNK * sizeof(block_run)))) {
        return false;
    }
    block **chunks = PyMem_RawRealloc(table->chunks, capacity * sizeof(block *));
    if (!chunks) {
        return false;
    }
    table->chunks = chunks;
    block_run *runs = PyMem_RawRealloc(table->runs, capacity * RUNS_IN_CHUNK * sizeof(block_run));
    if (!runs) {
        return false;
    }
    table->runs = runs;
    table->chunk_capacity = capacity;
    return true;
}

static bool
add_chunk(block_table *table)
{
    if (table->chunk_count >> (CHAIN_NUMBER_BITS - BLOCKS_CHUNK_BITS)) {
        return false;
    }
    if (table->chunk_count == table->chunk_capacity && !grow_chunks(table)) {
        return false;
    }
    block *chunk = has_room_for(table, BLOCKS_CHUNK * sizeof(block))
                       ? PyMem_RawMalloc(BLOCKS_CHUNK * sizeof(block))
                       : NULL;
    if (!chunk) {
        return false;
    }
    table->chunks[table->chunk_count++] = chunk;
    if (!table->unused_run) {
        table->unused_run = 1; /* no block has the number 0 */
    }
    return true;
}

/* Give a run to a window. */
static bool
add_run(block_table *table, block_list *list, uint32_t window)
{
    uint32_t run = table->free_run;
    if (run) {
        table->free_run = table->runs[run].next;
    }
    else {
        if (table->unused_run >= table->chunk_count * RUNS_IN_CHUNK && !add_chunk(table)) {
            return false;
        }
        run = table->unused_run++;
    }
    for (uint32_t at = 0; at < BLOCKS_RUN; at++) {
        *blocks_at(table, (run << BLOCKS_RUN_BITS) + at) = (block){.place = 0};
    }
    table->runs[run] = (block_run){.window = window, .next = list->run};
    list->run = run;
    list->unused = BLOCKS_RUN;
    return true;
}

bool
blocks_reserve(block_table *table, block_list *list, uint32_t window)
{
    bool has_number = list->free || list->unused || add_run(table, list, window);
    return has_number && (table->used < table->capacity || grow_heads(table));
}

uint32_t
blocks_next(const block_table *table, const block_list *list, uint32_t number)
{
    uint32_t run = number ? number >> BLOCKS_RUN_BITS : list->run;
    uint32_t at = number ? (number & (BLOCKS_RUN - 1)) + 1 : 0;
    while (run) {
        for (const block *first = blocks_at(table, run << BLOCKS_RUN_BITS); at < BLOCKS_RUN; at++) {
            if (first[at].place) {
                return (run << BLOCKS_RUN_BITS) + at;
            }
        }
        run = table->runs[run].next;
        at = 0;
    }
    return 0;
}

void
blocks_release_numbers(block_table *table, block_list *list)
{
    for (uint32_t run = list->run, next; run; run = next) {
        next = table->runs[run].next;
        table->runs[run].next = table->free_run;
        table->free_run = run;
    }
    *list = (block_list){.run = 0};
}

/* Remove the blocks of a run from the table. */
static void
empty_run(block_table *table, block_list *list, uint32_t run)
{
    for (uint32_t at = 0; at < BLOCKS_RUN; at++) {
        const block *removed = blocks_at(table, (run << BLOCKS_RUN_BITS) + at);
        if (removed->place) {
            blocks_remove(table, blocks_find(table, block_address(removed)), list);
        }
    }
}

size_t
blocks_discard(block_table *table, block_list *list, size_t most_runs)
{
    for (; list->run && most_runs; most_runs--) {
        uint32_t run = list->run;
        empty_run(table, list, run);
        list->run = table->runs[run].next;
        table->runs[run].next = table->free_run;
        table->free_run = run;
    }
    list->unused = list->free = 0; /* they may be of a run that is free now */
    return most_runs;
}
