/* What lives as long as an object that it refers to weakly: finalisers of the module weakref, with
   their arguments, and the weak references in its weak dicts and sets. CPython drops them when it
   frees the object. So where that is garbage they are garbage as well, although a registry outside
   of the window refers to them. */
#ifndef MEMSIZE_FINALIZERS_H
#define MEMSIZE_FINALIZERS_H

#include "analysis/allocations.h"

/* Find the types and the functions in question. -1 with an exception. */
int finalizers_prepare(void);

/* Account for the registry's references to what waits for its object alone, and add each weak
   reference's holder, or the weak reference itself, to the array. False without memory. */
bool finalizers_account(const allocations *all, object_array *registered);

/* The object that a registered object waits for, borrowed; NULL if it is freed, or not known. */
PyObject *finalizers_referent(PyObject *registered);

#endif
