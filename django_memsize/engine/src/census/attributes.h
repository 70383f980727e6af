/* What an instance keeps outside its object: a block of values, or a dict.

   The only file that reads what CPython does not publish. It proves itself on a class of ours
   before it is believed; where it cannot, every function here answers "nothing". */
#ifndef MEMSIZE_ATTRIBUTES_H
#define MEMSIZE_ATTRIBUTES_H

#include "platform.h"

/* Try what this file believes. False, with no exception, where CPython is not as it believes;
   -1, with an exception, where it could not be tried. */
int attributes_prove(void);

/* Bytes of the block of values that belongs to an instance alone, 0 where it has none. Once the
   instance has a dict, the block is the dict's, which tells its size. */
Py_ssize_t attributes_block(PyObject *instance);

/* The dict of an instance, borrowed, if it has one by now; makes none. */
PyObject *attributes_dict(PyObject *instance);

/* The start of an allocation of its own that holds an instance's values, or NULL. */
const void *attributes_allocation(PyObject *instance);

/* The same of a dict's. */
const void *attributes_allocation_of_dict(PyObject *dict);

/* Whether so many bytes behind an instance of a type, at that address, may be its values. */
bool attributes_fit(PyTypeObject *type, const void *values, Py_ssize_t bytes);

/* Bytes that ``dict.__sizeof__`` leaves out, less those it adds too many, of the block of values
   that is a dict's: it takes the slots of every block for those of the next to be made. */
Py_ssize_t attributes_left_out(PyObject *dict);

#endif
