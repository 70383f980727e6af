#include "analysis/survivors.h"

#include "meter/keeping.h"
#include "meter/meter.h"

/* Move every nth of the retained blocks. False if that ended early. */
static bool
move_blocks(const allocations *all, window *into, size_t nth, steps *under_way)
{
    size_t retained = 0;
    for (size_t at = 0; at < all->count; at++) {
        const allocation *one = all->items + at;
        bool is_turn_over = ++under_way->work >= under_way->most_work;
        if (is_turn_over && !steps_give_back_at_end(under_way)) {
            return false;
        }
        if (survivors_contain(all, one) && retained++ % nth == 0
            && !keeping_move(allocation_address(one), one->window, into))
        {
            return false;
        }
    }
    return true;
}

static bool
is_asked_for(const survivors_question *question, const window *analysed)
{
    /* Another thread may have opened it meanwhile, or analysed with it. */
    bool is_usable = question->into && !question->into->was_opened;
    return is_usable && !analysed->parent && analysed->retained.blocks
           && analysed->retained.bytes >= question->least_bytes;
}

void
survivors_keep(const allocations *all, const survivors_question *question, steps *under_way)
{
    window *into = question->into;
    if (!is_asked_for(question, under_way->analysed)) {
        return;
    }
    (void)crediting_flush_blocks();
    meter_keep(into);
    into->retained = under_way->analysed->retained;
    size_t most = question->most_blocks, blocks = (size_t)into->retained.blocks;
    size_t nth = most ? (blocks + most - 1) / most : 1;
    into->is_incomplete |= !move_blocks(all, into, nth, under_way);
}
