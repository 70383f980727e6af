#include "part_index.h"

int
part_index_init(part_index *made, size_t most)
{
    size_t room = 16;
    while (room < most) {
        room *= 2;
    }
    *made = (part_index){
        .heads = PyMem_RawCalloc(room, sizeof(uint32_t)),
        .links = PyMem_RawMalloc((most + 1) * sizeof(uint32_t)),
        .mask = room - 1,
    };
    if (!made->heads || !made->links) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
part_index_clear(part_index *index)
{
    PyMem_RawFree(index->heads);
    PyMem_RawFree(index->links);
    *index = (part_index){.heads = NULL};
}
