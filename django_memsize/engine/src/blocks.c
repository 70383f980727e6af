#include "blocks.h"

#define FIRST_ROOM 1024

void
blocks_clear(block_table *table)
{
    for (size_t at = 0; at < table->chunk_count; at++) {
        PyMem_RawFree(table->chunks[at]);
    }
    PyMem_RawFree(table->chunks);
    PyMem_RawFree(table->heads);
    *table = (block_table){.heads = NULL};
}

size_t
blocks_own_bytes(const block_table *table)
{
    return table->room * sizeof(uint32_t) + table->chunk_count * BLOCKS_CHUNK * sizeof(block)
           + table->chunk_room * sizeof(block *);
}

/* Double the heads, and put all blocks there are into their new chains. */
static bool
make_heads(block_table *table)
{
    block_table larger = *table;
    larger.room = table->room ? 2 * table->room : FIRST_ROOM;
    larger.heads = PyMem_RawCalloc(larger.room, sizeof(uint32_t));
    if (!larger.heads) {
        return false;
    }
    for (uint32_t number = 1; number < table->never_used; number++) {
        block *moved = blocks_at(table, number);
        if (moved->place) {
            block_chain chain = blocks_chain(&larger, block_address(moved));
            moved->chained = *chain.head;
            *chain.head = (*chain.head & ~BLOCKS_NUMBER) | chain.sign | number;
        }
    }
    PyMem_RawFree(table->heads);
    *table = larger;
    return true;
}

static bool
add_chunk(block_table *table)
{
    if (table->end >> BLOCK_NUMBER_BITS) {
        return false;
    }
    if (table->chunk_count == table->chunk_room) {
        size_t more = table->chunk_room ? 2 * table->chunk_room : 16;
        block **moved = PyMem_RawRealloc(table->chunks, more * sizeof(block *));
        if (!moved) {
            return false;
        }
        table->chunks = moved;
        table->chunk_room = more;
    }
    block *chunk = PyMem_RawMalloc(BLOCKS_CHUNK * sizeof(block));
    if (!chunk) {
        return false;
    }
    table->chunks[table->chunk_count++] = chunk;
    table->end += BLOCKS_CHUNK;
    if (!table->never_used) {
        table->never_used = 1; /* 0 is no block */
    }
    return true;
}

bool
blocks_make_room(block_table *table)
{
    bool has_numbers = table->spare || table->never_used < table->end;
    return (has_numbers || add_chunk(table)) && (table->used < table->room || make_heads(table));
}
