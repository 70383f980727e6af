"""Deep sizes are within 1 % of what Python's allocators handed out, as tracemalloc counts it.

Each thing is loaded three times, all three are kept, and the third is measured: by then classes
know their attributes, and texts are interned. The collector is off meanwhile.

An int of one digit counts 32 bytes, which is what database drivers and arithmetic allocate. No case
has many that are parsed from text, of which tracemalloc sees 28 bytes and the allocator uses 32.
"""

import json

import pytest

from tests.loadings import IS_LONG, NAMES, PROGRAM
from tests.programs import ended_well

pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin cannot see the values of instances",
    exc_type=ImportError,
)

WITH_INTS = {"rows of an int and a text", "tuples of an int and a text", "ints of one digit"}


@pytest.fixture(scope="module")
def figures():
    """Return name -> (bytes that tracemalloc saw, our deep size) of each case."""
    return json.loads(ended_well(PROGRAM, *([] if IS_LONG else NAMES), timeout=300))


def test_every_case_is_measured(figures):
    assert set(figures) == set(NAMES)
    assert len(NAMES) > (60 if IS_LONG else 18)


@pytest.mark.parametrize("name", NAMES)
def test_a_deep_size_is_within_one_percent_of_what_was_allocated(figures, name):
    allocated, size = figures[name]

    assert allocated > 50_000
    assert size == pytest.approx(allocated, rel=0.003 if name in WITH_INTS else 0.01)
