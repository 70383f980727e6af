#include "meter/keeping.h"

/* Queued frees first: the block at the address may be another one by now. */
void
keeping_note_resize(uintptr_t address, size_t size)
{
    block_table *table = &crediting.blocks;
    if (!blocks_may_contain(table, address)) {
        return;
    }
    crediting_run_frees();
    const uint32_t *link = blocks_find(table, address);
    if (!link) {
        return;
    }
    uint32_t number = *link & CHAIN_NUMBER;
    window *allocated_in = windows_at(blocks_window(table, number));
    size_t before = block_size(blocks_at(table, number));
    if (allocated_in->has_survivors && size >= before) {
        allocated_in->resized.blocks++;
        allocated_in->resized.bytes += (Py_ssize_t)before;
    }
}

static void
add_block(window_total *total, Py_ssize_t bytes)
{
    total->blocks++;
    total->bytes += bytes;
}

bool
keeping_move(uintptr_t address, uint32_t from, window *to)
{
    block_table *table = &crediting.blocks;
    /* Before the look-up, because it may put all blocks into other chains. */
    if (!blocks_reserve(table, &to->own, to->number)) {
        return false;
    }
    uint32_t *link = blocks_find(table, address);
    if (!link || blocks_window(table, *link & CHAIN_NUMBER) != from) {
        return true; /* freed meanwhile */
    }
    const block moved = *blocks_at(table, *link & CHAIN_NUMBER);
    Py_ssize_t bytes = (Py_ssize_t)block_size(&moved);
    window *before = windows_at(from);
    blocks_remove(table, link, &before->own);
    for (window *each = before; each; each = each->parent) {
        each->alive.blocks--;
        each->alive.bytes -= bytes;
    }
    blocks_count(table, address);
    (void)blocks_add(table, address, (size_t)bytes, moved.origin, to->number, &to->own);
    add_block(&to->allocated, bytes);
    add_block(&to->alive, bytes);
    return true;
}

/* A table is made anew if it takes so many bytes, and so many for each of its blocks. With fewer
   blocks than that, it takes some milliseconds. */
#define LARGE_BYTES ((size_t)1 << 20)
#define MANY_BYTES_EACH 100
#define MOST_BLOCKS 200000

/* Add the blocks of a window to another table. False without memory. */
static bool
copy_blocks(block_table *into, block_list *list, const window *copied)
{
    const block_table *from = &crediting.blocks;
    uint32_t number = blocks_next(from, &copied->own, 0);
    for (; number; number = blocks_next(from, &copied->own, number)) {
        const block *one = blocks_at(from, number);
        uintptr_t address = block_address(one);
        blocks_count(into, address);
        if (blocks_add(into, address, block_size(one), one->origin, copied->number, list)
            != BLOCK_ADDED)
        {
            return false;
        }
    }
    return true;
}

/* Copy all blocks. The lists are those of the windows with survivors, in the order of windows. */
static bool
copy_all(block_table *into, block_list *lists)
{
    for (const window *each = windows_latest_outermost(); each; each = each->older) {
        if (each->has_survivors && !copy_blocks(into, lists++, each)) {
            return false;
        }
    }
    return true;
}

static void
replace_table(block_table *table, const block_list *lists)
{
    blocks_clear(&crediting.blocks);
    crediting.blocks = *table;
    crediting.compactions++;
    for (window *each = windows_latest_outermost(); each; each = each->older) {
        if (each->has_survivors) {
            each->own = *lists++;
        }
    }
}

static size_t
windows_with_survivors(void)
{
    size_t count = 0;
    for (const window *each = windows_latest_outermost(); each; each = each->older) {
        count += each->has_survivors;
    }
    return count;
}

void
keeping_compact(void)
{
    crediting_run_frees();
    const block_table *before = &crediting.blocks;
    size_t bytes = blocks_table_bytes(before);
    if (bytes < LARGE_BYTES || before->used > MOST_BLOCKS || bytes < before->used * MANY_BYTES_EACH)
    {
        return;
    }
    /* Not on the stack: 16 KB of counters. */
    block_table *made = PyMem_RawCalloc(1, sizeof(block_table));
    block_list *lists = PyMem_RawCalloc(windows_with_survivors() + 1, sizeof(block_list));
    if (made && lists) {
        made->most_bytes = before->most_bytes;
        if (copy_all(made, lists)) {
            replace_table(made, lists);
        }
        else {
            blocks_clear(made);
        }
    }
    PyMem_RawFree(lists);
    PyMem_RawFree(made);
}
