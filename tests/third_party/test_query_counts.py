"""Libraries that change querysets behave the same with django-memsize before or after them."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# By way of loading: the number of its statements and of the rows that they load.
WAYS = {
    "none": {
        "subclasses": (1, 2),
        "subclasses_of_an_iterator": (1, 2),
        "subclass": (1, 1),
        "polymorphic": (4, 5),  # animals, content types and dogs
        "polymorphic_iterator": (4, 5),
        "polymorphic_get": (4, 4),
        "not_polymorphic": (1, 2),
        "polymorphic_values": (1, 2),
        "polymorphic_prefetch": (5, 6),
        "polymorphic_relation": (2, 2),
        "tree": (2, 4),
        "ancestors": (2, 3),
        "cached_tree": (1, 3),
        "pages": (1, 3),
        "children_of_a_page": (2, 3),
        "dump_of_pages": (1, 3),
        "relation_of_peers": (2, 5),
        "relation_of_one": (2, 2),
    },
    # Rows from a cache are loaded by no statement, so they are not counted.
    "cachalot": {
        "asked_twice": (1, 2),
        "get_twice": (1, 1),
        "values_twice": (1, 2),
        "iterated_twice": (1, 2),
        "relations_twice": (2, 5),
        "prefetched_twice": (2, 5),
        "counted_twice": (1, 0),
        "asked_again_after_a_change": (4, 5),
    },
    "cacheops": {
        "asked_twice": (1, 2),
        "get_twice": (1, 1),
        "values_twice": (1, 2),
        "iterated_twice": (2, 4),  # iterators are not cached
        "relations_twice": (2, 5),
        "prefetched_twice": (2, 5),
        "counted_twice": (1, 0),
        "asked_again_after_a_change": (5, 6),
    },
}


@functools.cache
def found(place, cache):
    """Return the result of the program, with django_memsize at a place in INSTALLED_APPS."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.third_party.program", place, cache],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("cache", WAYS)
def test_every_way_is_in_the_table(cache):
    assert list(found("without", cache)) == list(WAYS[cache])


@pytest.mark.parametrize(
    ("cache", "way", "statements", "rows"),
    [(cache, way, *numbers) for cache, ways in WAYS.items() for way, numbers in ways.items()],
)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_library_behaves_as_it_does_without_us(place, cache, way, statements, rows):
    without, recorded = found("without", cache)[way], found(place, cache)[way]

    assert len(without["statements"]) == statements
    assert recorded["unrecorded"] == without
    assert recorded["recorded"] == without
    assert recorded["rows"] == rows
