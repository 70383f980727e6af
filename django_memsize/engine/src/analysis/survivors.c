#include "analysis/survivors.h"

#include "meter/keeping.h"
#include "meter/meter.h"

static bool
is_retained(const allocations *all, const allocation *one)
{
    const allocation *owner = allocation_owner(all, one);
    return owner->state != ALLOCATION_FREED
           && (owner->state != ALLOCATION_OBJECT || owner->is_retained);
}

/* Whether a block is freed once its object is. */
static bool
is_lasting(const allocations *all, const allocation *one)
{
    if (one->state == ALLOCATION_OBJECT) {
        const type_info *info = allocation_type(all, one);
        return !cpython_may_be_put_on_free_list(info->type, one->bytes);
    }
    bool is_small = one->bytes <= CPYTHON_FREE_KEYS_BYTES;
    bool is_of_dict = one->state == ALLOCATION_OWNED
                      && allocation_type(all, all->items + one->owner)->buffers == BUFFERS_OF_DICT;
    return !(is_small && is_of_dict);
}

/* Which of the retained blocks are followed. */
typedef struct {
    bool only_lasting;
    size_t nth;
} selection;

static bool
is_candidate(const allocations *all, const allocation *one, const selection *selected)
{
    return is_retained(all, one) && (!selected->only_lasting || is_lasting(all, one));
}

static window_total
total_of_candidates(const allocations *all, const selection *selected)
{
    window_total total = {0, 0};
    for (size_t at = 0; at < all->count; at++) {
        const allocation *one = all->items + at;
        if (is_candidate(all, one, selected)) {
            total.blocks++;
            total.bytes += (Py_ssize_t)one->bytes;
        }
    }
    return total;
}

/* What lasts stands for the rest from such a part of the retained bytes on. */
#define ENOUGH_LASTING 10

static selection
select_blocks(const allocations *all, const window *analysed, size_t most)
{
    selection selected = {.only_lasting = true};
    window_total total = total_of_candidates(all, &selected);
    if (total.bytes < analysed->retained.bytes / ENOUGH_LASTING) {
        selected.only_lasting = false;
        total = analysed->retained;
    }
    size_t count = (size_t)total.blocks;
    selected.nth = most && count > most ? (count + most - 1) / most : 1;
    return selected;
}

/* Move the selected blocks. False if that ended early. */
static bool
move_blocks(const allocations *all, const survivors_question *question, steps *under_way)
{
    const selection selected = select_blocks(all, under_way->analysed, question->most_blocks);
    size_t candidates = 0;
    for (size_t at = 0; at < all->count; at++) {
        const allocation *one = all->items + at;
        bool is_turn_over = ++under_way->work >= under_way->most_work;
        if (is_turn_over
            && (!steps_give_back_at_end(under_way) || windows_is_forgotten(question->into)))
        {
            return false;
        }
        if (is_candidate(all, one, &selected) && candidates++ % selected.nth == 0
            && !keeping_move(allocation_address(one), one->window, question->into))
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
    into->is_incomplete |= !move_blocks(all, question, under_way);
}
