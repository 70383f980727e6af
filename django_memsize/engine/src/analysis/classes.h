/* Which addresses are classes: asked of what may be any word of memory, which must not be looked
   behind before it is known. Holds weak references only: a class comes and goes as it likes. */
#ifndef MEMSIZE_CLASSES_H
#define MEMSIZE_CLASSES_H

#include "platform.h"

/* Learn all classes there are now. -1 with an exception. */
int classes_learn(void);

/* Whether there is a class at the address, of those that were learnt, and alive. */
bool classes_have(const void *address);

#endif
