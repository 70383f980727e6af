"""What the engine in C needs for itself while it walks: less than a twentieth of the heap.

On Python 3.11 the collector says what it tracks only in a list, of a pointer for each object, and
lists grow by an eighth.
"""

import sys

import pytest

from tests.programs import ended_well

pytest.importorskip(
    "django_memsize.engine.compiled", reason="the engine in C is not built", exc_type=ImportError
)

# tracemalloc sees what the engine takes: it wraps the allocator of raw memory, too.
PROGRAM = """
import collections, gc, tracemalloc
from django_memsize.engine import compiled

class Node:
    __slots__ = ("content", "next")

def chain(length):
    first = None
    for number in range(length):
        node = Node()
        node.content, node.next, first = [number], first, node
    return first

def nested(depth):
    inside = ()
    for number in range(depth):
        inside = (inside, {"number": 1000 + number})
    return inside

gc.disable()
kept = BUILT
gc.enable()
gc.collect()  # takes tuples and dicts off the collector's list
gc.collect()
sizes = compiled.census()[1]
size = compiled.sizeof([kept])
for walk in (compiled.census, lambda: compiled.sizeof([kept]), lambda: compiled.instances([Node])):
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    walk()
    taken = tracemalloc.get_traced_memory()[1] - before
    print(taken, sum(sizes.values()), size, len(gc.get_objects()))
    tracemalloc.stop()
"""


@pytest.mark.parametrize(
    "built",
    [
        "[float(number) for number in range(4_000_000)]",
        "[(number, str(number)) for number in range(500_000)]",
        "collections.deque((number, [number]) for number in range(300_000))",
        "{number: (number, {'a': float(number)}) for number in range(300_000)}",
        "{(number, (float(number),)) for number in range(300_000)}",
        "chain(300_000)",
        "nested(200_000)",
    ],
)
def test_a_walk_takes_less_than_a_twentieth_of_the_heap(built):
    written = ended_well(PROGRAM.replace("BUILT", built), timeout=200)

    for line in written.splitlines():
        taken, heap, size, tracked = map(int, line.split())
        assert 10_000_000 < size < heap
        listed = tracked * 9 if sys.version_info < (3, 12) else 0
        assert 0 < taken < heap / 20 + listed
