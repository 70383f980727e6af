/* Retaining: what is retained is followed, and what that refers to is retained as well. */
#ifndef MEMSIZE_RETAINING_H
#define MEMSIZE_RETAINING_H

#include "analysis/trial.h"

/* Retain an object of the window, and follow it later. */
void retaining_add(trial *under_way, allocation *own);

/* Retain an external object, and follow it later. */
void retaining_add_external(trial *under_way, external_object *external);

/* Retain what a reference leads to, if that is of the window, or held by it alone. */
void retaining_add_referent(trial *under_way, PyObject *referent);

/* The visitor that retains. */
int retaining_visit(PyObject *visited, void *under_way);

#endif
