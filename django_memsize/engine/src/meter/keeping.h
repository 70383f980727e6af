/* Keeping: the blocks of survivors (survivors.h) stay in the table of blocks after their window. */
#ifndef MEMSIZE_KEEPING_H
#define MEMSIZE_KEEPING_H

#include "meter/crediting.h"

/* Have a block belong to another outermost window, which is closed, if it is in the table and of
   the window with that number. False without memory, with no exception. All blocks must be in the
   table. Destroys no window. */
bool keeping_move(uintptr_t address, uint32_t from, window *to);

/* Note that a block gets another size, before it is freed: it may be a survivor. */
void keeping_note_resize(uintptr_t address, size_t size);

/* Give back memory of a table that was much larger before. All blocks in it must be survivors. Does
   nothing without memory. */
void keeping_compact(void);

#endif
