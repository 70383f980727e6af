/* What a registry has as long as an object lives (finalizers.h) is retained with that object. */
#ifndef MEMSIZE_REGISTERED_H
#define MEMSIZE_REGISTERED_H

#include "analysis/trial.h"

/* Retain what is registered and waits for an object that is retained, or is none of those that may
   be garbage; and what has the object that it waits for, because that is never freed. -1 with an
   exception, or if it is given up. */
int registered_retain(trial *under_way);

#endif
