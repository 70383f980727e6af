#include "turns.h"

static size_t most_blocks = TURNS_BLOCKS;
static size_t times_given_back, most_handled;

size_t
turns_most_blocks(void)
{
    return most_blocks;
}

void
turns_end(size_t blocks)
{
    most_handled = Py_MAX(most_handled, blocks);
}

void
turns_give_back(size_t blocks)
{
    turns_end(blocks);
    times_given_back++;
    PyThreadState *thread = PyEval_SaveThread();
    PyEval_RestoreThread(thread);
}

void
turns_set_most_blocks(size_t blocks)
{
    most_blocks = blocks ? blocks : TURNS_BLOCKS;
}

void
turns_take_figures(size_t *given_back, size_t *most)
{
    *given_back = times_given_back;
    *most = most_handled;
    times_given_back = most_handled = 0;
}
