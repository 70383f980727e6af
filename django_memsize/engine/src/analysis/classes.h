/* Which addresses are classes. The question is asked of any word of memory, which must not be
   followed before the answer is known. The references are weak: classes come and go. */
#ifndef MEMSIZE_CLASSES_H
#define MEMSIZE_CLASSES_H

#include "platform.h"

/* List all classes that there are now. -1 with an exception. */
int classes_update(void);

/* How often the classes were listed. */
size_t classes_version(void);

/* Whether a class that was listed is alive at an address. */
bool classes_contain(const void *address);

#endif
