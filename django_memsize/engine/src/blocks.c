#include "blocks.h"

#define FIRST_ROOM 1024

/* As full as the hash table gets, and how much larger it then becomes: in 32nds, and in quarters.
   With a slot of 8 bytes and a block of 24 a live block costs 34 to 38 bytes. */
#define FULL_32NDS 26
#define GROWN_QUARTERS 6

static uint32_t
tag_of(const void *address)
{
    return (uint32_t)((((uint64_t)(uintptr_t)address >> 3) * UINT64_C(0x9E3779B97F4A7C15)) >> 32);
}

static size_t
place_of(const block_table *table, uint32_t tag)
{
    return (size_t)(((uint64_t)tag * table->room) >> 32);
}

static size_t
next_place(const block_table *table, size_t at)
{
    return at + 1 == table->room ? 0 : at + 1;
}

void
blocks_clear(block_table *table)
{
    for (size_t at = 0; at < table->chunk_count; at++) {
        PyMem_RawFree(table->chunks[at]);
    }
    PyMem_RawFree(table->chunks);
    PyMem_RawFree(table->slots);
    *table = (block_table){.slots = NULL};
}

size_t
blocks_own_bytes(const block_table *table)
{
    return table->room * sizeof(block_slot) + table->chunk_count * BLOCKS_CHUNK * sizeof(block)
           + table->chunk_room * sizeof(block *);
}

static void
put_slot(block_table *table, block_slot slot)
{
    size_t at = place_of(table, slot.tag);
    while (table->slots[at].number) {
        at = next_place(table, at);
    }
    table->slots[at] = slot;
}

/* Where the block at an address is, or is to be. */
static size_t
place_for(const block_table *table, uint32_t tag, const void *address)
{
    size_t at = place_of(table, tag);
    for (;;) {
        const block_slot *slot = table->slots + at;
        if (!slot->number
            || (slot->tag == tag && blocks_at(table, slot->number)->address == (uintptr_t)address))
        {
            return at;
        }
        at = next_place(table, at);
    }
}

static bool
make_room(block_table *table)
{
    block_table old = *table;
    size_t room = old.room ? old.room / 4 * GROWN_QUARTERS : FIRST_ROOM;
    block_slot *slots = PyMem_RawCalloc(room, sizeof(block_slot));
    if (!slots) {
        return false;
    }
    table->slots = slots;
    table->room = room;
    for (size_t at = 0; at < old.room; at++) {
        if (old.slots[at].number) {
            put_slot(table, old.slots[at]);
        }
    }
    PyMem_RawFree(old.slots);
    return true;
}

static bool
add_chunk(block_table *table)
{
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
    return true;
}

/* A number for a block to be; 0 without memory. */
static uint32_t
take_number(block_table *table)
{
    uint32_t number = table->spare;
    if (number) {
        table->spare = blocks_at(table, number)->next;
        return number;
    }
    if (table->never_used == table->chunk_count * BLOCKS_CHUNK && !add_chunk(table)) {
        return 0;
    }
    if (!table->never_used) {
        table->never_used = 1; /* 0 is no block */
    }
    return table->never_used++;
}

block_outcome
blocks_add(block_table *table, const void *address, size_t size, uint32_t window,
           block_origin origin, uint32_t *first)
{
    if (MEMSIZE_RARELY(32 * (table->used + 1) > FULL_32NDS * table->room) && !make_room(table)) {
        return BLOCK_NO_MEMORY;
    }
    uint32_t tag = tag_of(address);
    block_slot *slot = table->slots + place_for(table, tag, address);
    if (MEMSIZE_RARELY(slot->number != 0)) {
        return BLOCK_KNOWN;
    }
    uint32_t number = take_number(table);
    if (MEMSIZE_RARELY(!number)) {
        return BLOCK_NO_MEMORY;
    }
    *slot = (block_slot){.tag = tag, .number = number};
    table->used++;
    *blocks_at(table, number) = (block){
        .address = (uintptr_t)address,
        .size = size,
        .window = window,
        .origin = origin,
        .next = *first,
    };
    if (*first) {
        blocks_at(table, *first)->previous = number;
    }
    *first = number;
    return BLOCK_ADDED;
}

block_slot *
blocks_find(const block_table *table, const void *address)
{
    if (!table->used) {
        return NULL;
    }
    block_slot *slot = table->slots + place_for(table, tag_of(address), address);
    return slot->number ? slot : NULL;
}

/* Empty a slot, and move up those behind it that would not be found any more. */
static void
empty_slot(block_table *table, size_t hole)
{
    size_t at = hole;
    for (;;) {
        at = next_place(table, at);
        if (!table->slots[at].number) {
            break;
        }
        size_t wanted = place_of(table, table->slots[at].tag);
        bool stays = hole <= at ? hole < wanted && wanted <= at : hole < wanted || wanted <= at;
        if (!stays) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole].number = 0;
}

void
blocks_remove(block_table *table, block_slot *found, uint32_t *first)
{
    uint32_t number = found->number;
    block *removed = blocks_at(table, number);
    empty_slot(table, (size_t)(found - table->slots));
    table->used--;
    if (removed->previous) {
        blocks_at(table, removed->previous)->next = removed->next;
    }
    else {
        *first = removed->next;
    }
    if (removed->next) {
        blocks_at(table, removed->next)->previous = removed->previous;
    }
    removed->next = table->spare;
    table->spare = number;
}
