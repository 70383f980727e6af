#include "meter/crediting.h"

struct crediting_state crediting;

/* Add pending totals to a window and to all around it. */
static void
add_pending(window *innermost, const pending_totals *pending)
{
    Py_ssize_t blocks = pending->allocated_blocks - pending->freed_blocks;
    Py_ssize_t bytes = pending->peak_bytes - pending->below_peak;
    for (window *each = innermost; each; each = each->parent) {
        if (each->alive.bytes + pending->peak_bytes > each->peak.bytes) {
            each->peak.blocks = each->alive.blocks + pending->peak_blocks;
            each->peak.bytes = each->alive.bytes + pending->peak_bytes;
        }
        each->allocated.blocks += pending->allocated_blocks;
        each->allocated.bytes += pending->allocated_bytes;
        each->alive.blocks += blocks;
        each->alive.bytes += bytes;
        each->freed_older += pending->freed_older;
    }
}

static bool
is_looked_at(const window *innermost)
{
    const window *each = innermost;
    while (each && !each->is_looked_at) {
        each = each->parent;
    }
    return each;
}

static window *
outermost_of(window *one)
{
    while (one->parent) {
        one = one->parent;
    }
    return one;
}

/* Begin to add up for the current window. What its outermost one has alive may be less soon, by
   frees of blocks of other windows in it: then the peak is noted a little too early. */
static void
begin_pending(void)
{
    const window *outermost = outermost_of(crediting.current);
    crediting.pending = (pending_totals){
        .next_bytes = outermost->followed.next_bytes - outermost->alive.bytes,
    };
}

static void
flush_pending(void)
{
    if (crediting.current) {
        add_pending(crediting.current, &crediting.pending);
        begin_pending();
    }
}

Py_ssize_t
crediting_next_peak(Py_ssize_t bytes)
{
    return bytes < PY_SSIZE_T_MAX / PEAK_GROWTH ? PEAK_GROWTH * bytes : PY_SSIZE_T_MAX;
}

/* A flag and a pending call, no more: nothing may be looked at inside the program's allocator. The
   next peak is far above this one, even if this one is over before it is looked at.

   One call at most waits: CPython has room for 32, which are the program's as well, and the main
   thread may never make them. Without room, the next peak tries again. */
void
crediting_note_peak(void)
{
    if (is_looked_at(crediting.current)) {
        crediting.pending.next_bytes = PY_SSIZE_T_MAX; /* until the totals are flushed */
        return;
    }
    window *outermost = outermost_of(crediting.current);
    Py_ssize_t next = crediting_next_peak(outermost->alive.bytes + crediting.pending.peak_bytes);
    outermost->followed.is_noted = true;
    outermost->followed.next_bytes = next;
    crediting.pending.next_bytes = next - outermost->alive.bytes;
    if (!crediting.is_peak_pending) {
        /* Before, because from 3.13 on waiting for CPython's lock may give the GIL back. */
        crediting.is_peak_pending = true;
        if (Py_AddPendingCall(crediting.on_peak, NULL) < 0) {
            crediting.is_peak_pending = false;
        }
    }
}

void
crediting_flush_totals(void)
{
    crediting_run_frees();
    flush_pending();
}

void
crediting_switch(window *current)
{
    crediting_flush_totals();
    crediting.current = current;
    if (current) {
        begin_pending();
    }
    crediting.number = current ? current->number : 0;
    crediting.tag = crediting.number << NURSERY_WINDOW_SHIFT;
}

void
crediting_mark_incomplete(window *innermost)
{
    for (window *each = innermost; each; each = each->parent) {
        each->is_incomplete = true;
    }
}

/* Never the current window: it is open, and so has a handle. */
static void
destroy(window *unused)
{
    blocks_release_numbers(&crediting.blocks, &unused->own);
    windows_destroy(unused);
}

void
crediting_destroy_unused(window *innermost)
{
    for (window *each = innermost, *parent; each && windows_is_unused(each); each = parent) {
        parent = each->parent;
        destroy(each);
    }
}

void
crediting_destroy_unused_in(window *outer)
{
    for (window *each = windows_next_inside_out(outer, NULL), *next; each; each = next) {
        next = windows_next_inside_out(outer, each);
        if (windows_is_unused(each)) {
            destroy(each);
        }
    }
}

/* Subtract a block that is freed, or not remembered, from its window and from all around it. */
static void
subtract_from(window *allocated_in, Py_ssize_t bytes)
{
    if (allocated_in == crediting.current) {
        crediting_subtract(bytes);
        return;
    }
    flush_pending();
    window *each = allocated_in;
    do {
        each->alive.blocks--;
        each->alive.bytes -= bytes;
    } while ((each = each->parent));
    if (MEMSIZE_UNLIKELY(!allocated_in->alive.blocks)) {
        crediting_destroy_unused(allocated_in);
    }
}

void
crediting_subtract_block(uint64_t value)
{
    subtract_from(windows_at((uint32_t)(value >> NURSERY_WINDOW_SHIFT)), nursery_size(value));
}

/* Remove the block at an address from the table and from the totals, if it is in the table. */
static void
run_free(uintptr_t address)
{
    block_table *table = &crediting.blocks;
    uint32_t *link = blocks_find(table, address);
    if (link) {
        window *allocated_in = windows_at(blocks_window(table, *link & CHAIN_NUMBER));
        size_t size = block_size(blocks_at(table, *link & CHAIN_NUMBER));
        crediting.pending.freed_older += allocated_in->has_survivors;
        blocks_remove(table, link, &allocated_in->own);
        subtract_from(allocated_in, (Py_ssize_t)size);
    }
    else {
        crediting.pending.freed_older++;
    }
}

void
crediting_run_frees(void)
{
    size_t count = crediting.frees.count;
    crediting.frees.count = 0;
    for (size_t at = 0; at < count; at++) {
        blocks_prefetch_block(&crediting.blocks, crediting.frees.addresses[at]);
    }
    for (size_t at = 0; at < count; at++) {
        run_free(crediting.frees.addresses[at]);
    }
}

/* The table has a block where another one is now: its free was not seen, because another tool, or
   another interpreter, freed it. */
static void
run_unseen_free(uintptr_t address)
{
    uint32_t number = *blocks_find(&crediting.blocks, address) & CHAIN_NUMBER;
    crediting_mark_incomplete(windows_at(blocks_window(&crediting.blocks, number)));
    run_free(address);
}

/* Follow a block no further: whether and when it is freed will not be known. It counts as freed
   from now on, so that what is alive, and the peak, are lower bounds. */
static void
forget(window *allocated_in, Py_ssize_t bytes)
{
    for (window *each = allocated_in; each; each = each->parent) {
        each->not_remembered.blocks++;
        each->not_remembered.bytes += bytes;
    }
    subtract_from(allocated_in, bytes);
}

/* Add a block to the table. A block that cannot be added is not remembered. */
static void
promote(const nursery_block *promoted)
{
    uintptr_t address = promoted->address;
    Py_ssize_t size = nursery_size(promoted->value);
    uint32_t number = (uint32_t)(promoted->value >> NURSERY_WINDOW_SHIFT);
    window *allocated_in = windows_at(number);
    block_origin origin = (promoted->value >> BLOCK_SIZE_BITS) & ((1U << BLOCK_ORIGIN_BITS) - 1);
    block_outcome outcome = BLOCK_NOT_ADDED;
    if (!MEMSIZE_UNLIKELY((address & BLOCK_ADDRESS_UNUSED) != 0)) {
        while ((outcome = blocks_add(&crediting.blocks, address, (size_t)size, origin, number,
                                     &allocated_in->own))
               == BLOCK_EXISTS)
        {
            run_unseen_free(address);
        }
    }
    if (MEMSIZE_UNLIKELY(outcome != BLOCK_ADDED)) {
        blocks_uncount(&crediting.blocks, address);
        forget(allocated_in, size);
    }
}

/* Frees first: a block may have been promoted to where a freed one was. */
static void
run_promotions(void)
{
    crediting_run_frees();
    size_t count = crediting.promotions.count;
    crediting.promotions.count = 0;
    crediting.promotions.filter = 0;
    for (size_t at = 0; at < count; at++) {
        blocks_prefetch_block(&crediting.blocks, crediting.promotions.blocks[at].address);
    }
    for (size_t at = 0; at < count; at++) {
        promote(crediting.promotions.blocks + at);
    }
}

static uint64_t
promotion_filter_bit(uintptr_t address)
{
    return UINT64_C(1) << (((address >> 4) ^ (address >> 10)) & 63);
}

static void
queue_promotion(nursery_block *place)
{
    promotion_queue *queue = &crediting.promotions;
    if (queue->count == QUEUE_LENGTH) {
        run_promotions();
    }
    queue->blocks[queue->count++] = *place;
    queue->filter |= promotion_filter_bit(place->address);
    blocks_count(&crediting.blocks, place->address);
    blocks_prefetch_chain(&crediting.blocks, place->address);
    place->address = 0;
}

void
crediting_queue_free(uintptr_t address)
{
    if (crediting.promotions.filter & promotion_filter_bit(address)) {
        run_promotions();
    }
    if (crediting.frees.count == QUEUE_LENGTH) {
        crediting_run_frees();
    }
    crediting.frees.addresses[crediting.frees.count++] = address;
    blocks_prefetch_chain(&crediting.blocks, address);
}

/* Promote the block in the place; if it has that address itself, its free was not seen. */
void
crediting_vacate(nursery_block *place, uintptr_t address)
{
    if (MEMSIZE_UNLIKELY(place->address == address)) {
        crediting_mark_incomplete(windows_at((uint32_t)(place->value >> NURSERY_WINDOW_SHIFT)));
        place->address = 0;
        crediting_subtract_block(place->value);
    }
    else {
        queue_promotion(place);
    }
}

const block_table *
crediting_flush_blocks(void)
{
    for (size_t at = 0; at < NURSERY_BLOCKS; at++) {
        if (crediting.nursery[at].address) {
            queue_promotion(crediting.nursery + at);
        }
    }
    run_promotions();
    return &crediting.blocks;
}

bool
crediting_discard(window *outermost, size_t blocks)
{
    size_t left = blocks / BLOCKS_RUN + 1;
    for (window *each = outermost; each; each = windows_next_in(outermost, each)) {
        left = blocks_discard(&crediting.blocks, &each->own, left);
        if (each->own.run) {
            return true;
        }
    }
    return false;
}

void
crediting_discard_all(void)
{
    crediting.promotions.count = 0;
    crediting.promotions.filter = 0;
    for (size_t at = 0; at < NURSERY_BLOCKS; at++) {
        crediting.nursery[at].address = 0;
    }
    blocks_clear(&crediting.blocks);
}

size_t
crediting_bytes(void)
{
    return blocks_table_bytes(&crediting.blocks);
}

void
crediting_limit_bytes(size_t bytes)
{
    crediting.blocks.most_bytes = bytes;
}
