/* The references of an object, each visited exactly once, so that they can be subtracted from
   reference counts. A walk of the census visits more: it asks only which objects there are. */
#ifndef MEMSIZE_REFERENCES_H
#define MEMSIZE_REFERENCES_H

#include "census/anatomy.h"

/* What was visited of the object whose references are being visited. */
typedef struct {
    const PyObject *unseen_dict; /* of an instance, until it is visited */
    size_t visited;
} references_progress;

/* Visit each reference of an object once: those that its tp_traverse shows, and those that it
   leaves out because they cannot be part of a cycle. ``visit`` must call references_note() for each
   object that it visits. */
void references_visit(const anatomy *kind, PyObject *object, visitproc visit, void *arg,
                      references_progress *progress);

/* Note that a referent is visited. */
MEMSIZE_INLINE void
references_note(references_progress *progress, const PyObject *referent)
{
    if (referent == progress->unseen_dict) {
        progress->unseen_dict = NULL;
    }
    progress->visited++;
}

#endif
