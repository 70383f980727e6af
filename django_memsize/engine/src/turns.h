/* Turns: how much the engine does before other threads of the program have theirs. */
#ifndef MEMSIZE_TURNS_H
#define MEMSIZE_TURNS_H

#include "platform.h"

/* Blocks that are handled in one turn, unless a test says otherwise: they take 5 to 15 ms. */
#define TURNS_BLOCKS 50000

/* How many blocks a turn handles at most, or little more. */
size_t turns_most_blocks(void);

/* End a turn in which so many blocks were handled, and give the GIL back in between. Anything may
   have changed afterwards. */
void turns_give_back(size_t blocks);

/* End the last turn. */
void turns_end(size_t blocks);

/* Have turns handle so many blocks at most; 0 is the default. */
void turns_set_most_blocks(size_t blocks);

/* How often the GIL was given back, and the most blocks that a turn has handled, since the last
   call. */
void turns_take_figures(size_t *given_back, size_t *most_blocks);

#endif
