#include "analysis/steps.h"

#include "analysis/classes.h"
#include "collector.h"
#include "meter/crediting.h"
#include "meter/lookup.h"
#include "meter/meter.h"

static void
pause_program(steps *under_way)
{
    under_way->was_collector_enabled = collector_pause();
    lookup_pause();
    (void)meter_check();
}

static void
resume_program(const steps *under_way)
{
    lookup_resume();
    collector_resume(under_way->was_collector_enabled);
}

/* Blocks that were freed since the window was opened. */
static Py_ssize_t
freed_blocks(const window *one)
{
    crediting_flush_totals();
    return one->allocated.blocks - one->alive.blocks;
}

void
steps_begin(steps *begun, window *analysed, const type_table *types)
{
    *begun = (steps){.analysed = analysed, .types = types};
    pause_program(begun);
    steps_renew(begun);
}

void
steps_renew(steps *renewed)
{
    renewed->freed = freed_blocks(renewed->analysed);
    renewed->destroyed = renewed->analysed->destroyed;
    renewed->classes_version = classes_version();
    renewed->compactions = crediting.compactions;
    renewed->most_work = turns_most_blocks();
    renewed->was_given_back = renewed->is_stale = false;
}

void
steps_end(steps *ended)
{
    turns_end(ended->work);
    resume_program(ended);
}

static bool
are_types_alive(const type_table *types)
{
    for (size_t number = TYPES_RESERVED; number < types->count; number++) {
        if (!classes_contain(types->infos[number].type)) {
            return false;
        }
    }
    return true;
}

static bool
is_valid(const steps *under_way)
{
    const window *analysed = under_way->analysed;
    return !windows_is_forgotten(analysed) && freed_blocks(analysed) == under_way->freed
           && analysed->destroyed == under_way->destroyed
           && crediting.compactions == under_way->compactions
           && classes_version() == under_way->classes_version && are_types_alive(under_way->types);
}

void
steps_spoil(steps *spoilt)
{
    spoilt->is_stale = true;
    spoilt->most_work = 0;
}

void
steps_give_up(steps *given_up, const char *reason)
{
    given_up->given_up = reason;
    steps_spoil(given_up);
}

static void
give_back(steps *under_way)
{
    resume_program(under_way);
    turns_give_back(under_way->work);
    under_way->work = 0;
    pause_program(under_way);
    under_way->was_given_back = true;
}

bool
steps_give_back_at_end(steps *under_way)
{
    const window *analysed = under_way->analysed;
    size_t destroyed = analysed->destroyed;
    give_back(under_way);
    return !windows_is_forgotten(analysed) && analysed->destroyed == destroyed;
}

bool
steps_give_back(steps *under_way)
{
    if (under_way->is_stale) {
        return false;
    }
    give_back(under_way);
    if (!is_valid(under_way)) {
        steps_spoil(under_way);
    }
    return !under_way->is_stale;
}
