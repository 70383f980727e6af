#include "meter/blocks.h"

#define FIRST_ROOM 1024
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
    *table = (block_table){.heads = NULL};
}

size_t
blocks_own_bytes(const block_table *table)
{
    return table->room * sizeof(uint32_t) + table->chunk_count * BLOCKS_CHUNK * sizeof(block)
           + table->chunk_room * (sizeof(block *) + RUNS_IN_CHUNK * sizeof(block_run));
}

/* Double the heads, and put all blocks there are into their new chains. */
static bool
make_heads(block_table *table)
{
    size_t room = table->room ? 2 * table->room : FIRST_ROOM;
    uint32_t *heads = PyMem_RawCalloc(room, sizeof(uint32_t));
    if (!heads) {
        return false;
    }
    PyMem_RawFree(table->heads);
    table->heads = heads;
    table->room = room;
    uint32_t end = table->never_run << BLOCKS_RUN_BITS;
    for (uint32_t number = BLOCKS_RUN; number < end; number++) {
        block *moved = blocks_at(table, number);
        if (moved->place) {
            block_chain chain = blocks_chain(table, block_address(moved));
            moved->link = *chain.head;
            *chain.head = (*chain.head & ~BLOCKS_NUMBER) | chain.sign | number;
        }
    }
    return true;
}

/* Make room for more chunks, and for the runs in them. */
static bool
make_chunk_room(block_table *table)
{
    size_t more = table->chunk_room ? 2 * table->chunk_room : 16;
    block **chunks = PyMem_RawRealloc(table->chunks, more * sizeof(block *));
    if (!chunks) {
        return false;
    }
    table->chunks = chunks;
    block_run *runs = PyMem_RawRealloc(table->runs, more * RUNS_IN_CHUNK * sizeof(block_run));
    if (!runs) {
        return false;
    }
    table->runs = runs;
    table->chunk_room = more;
    return true;
}

static bool
add_chunk(block_table *table)
{
    if (table->chunk_count >> (BLOCK_NUMBER_BITS - BLOCKS_CHUNK_BITS)) {
        return false;
    }
    if (table->chunk_count == table->chunk_room && !make_chunk_room(table)) {
        return false;
    }
    block *chunk = PyMem_RawMalloc(BLOCKS_CHUNK * sizeof(block));
    if (!chunk) {
        return false;
    }
    table->chunks[table->chunk_count++] = chunk;
    if (!table->never_run) {
        table->never_run = 1; /* 0 is the number of no block */
    }
    return true;
}

/* Hand a run to the blocks of a window. */
static bool
add_run(block_table *table, block_list *list, uint32_t window)
{
    uint32_t run = table->spare_run;
    if (run) {
        table->spare_run = table->runs[run].next;
    }
    else {
        if (table->never_run >= table->chunk_count * RUNS_IN_CHUNK && !add_chunk(table)) {
            return false;
        }
        run = table->never_run++;
    }
    for (uint32_t at = 0; at < BLOCKS_RUN; at++) {
        *blocks_at(table, (run << BLOCKS_RUN_BITS) + at) = (block){.place = 0};
    }
    table->runs[run] = (block_run){.window = window, .next = list->run};
    list->run = run;
    list->left = BLOCKS_RUN;
    return true;
}

bool
blocks_make_room(block_table *table, block_list *list, uint32_t window)
{
    bool has_number = list->spare || list->left || add_run(table, list, window);
    return has_number && (table->used < table->room || make_heads(table));
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
blocks_give_back(block_table *table, block_list *list)
{
    for (uint32_t run = list->run, next; run; run = next) {
        next = table->runs[run].next;
        table->runs[run].next = table->spare_run;
        table->spare_run = run;
    }
    *list = (block_list){.run = 0};
}

void
blocks_forget(block_table *table, block_list *list)
{
    for (uint32_t number = 0; (number = blocks_next(table, list, number));) {
        blocks_remove(table, blocks_find(table, block_address(blocks_at(table, number))), list);
    }
    blocks_give_back(table, list);
}
