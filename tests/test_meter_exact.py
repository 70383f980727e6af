"""Windows tell the blocks and bytes that tracemalloc tells of the same code.

Each thing is loaded twice before, and kept: by then classes know their attributes, and texts are
interned. Both begin with CPython's free lists drained, and with the collector off: a window that
nobody is in drains them for tracemalloc.
"""

import json

import pytest

pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.loadings import IS_LONG, NAMES, PROGRAM
from tests.programs import ended_well

LOADINGS = PROGRAM.partition("def measured(load)")[0]

MEASURED = """
from tests.windows import forget_names, inside, metered, total

def metered_figures(load):
    with metered() as window:
        kept = load()
        found = [*window.alive, window.peak[1]]
    forget_names()  # any look-up of an attribute may drop a name from CPython's cache
    # In this order: an analysis may free what is on free lists.
    alive, by_type = window.alive[1], window.alive_by_type()
    assert total(*by_type) == alive
    analysed = window.analyse()
    assert total(*analysed) == window.alive[1] > 0
    assert not window.incomplete
    return found

def traced(load):
    # By blocks as well where asked for, as that takes long.
    window = compiled.Window()
    window.open()  # for its free lists: nobody is in it
    tracemalloc.start()
    kept = load()
    taken, most = tracemalloc.get_traced_memory()
    blocks = len(tracemalloc.take_snapshot().traces) if counts_blocks else None
    tracemalloc.stop()
    window.close()
    window.discard()
    return [blocks, taken, most]

def measured(load):
    before = [load(), load()]
    gc.collect()
    gc.freeze()
    gc.disable()
    figures = metered_figures(load)
    gc.collect()
    expected = traced(load)
    gc.enable()
    gc.unfreeze()
    return figures, expected

counts_blocks = True
names = sys.argv[1:]
print(json.dumps({name: measured(CASES[name]) for name in names}))
"""

NUMBER = 3000 if IS_LONG else 400


@pytest.fixture(scope="module")
def figures():
    """Return name -> (what the window tells, what tracemalloc does) of each loading."""
    program = LOADINGS.replace("NUMBER = 3000", f"NUMBER = {NUMBER}") + MEASURED
    return json.loads(ended_well(program, *NAMES, timeout=600))


@pytest.mark.parametrize("name", NAMES)
def test_a_window_tells_what_tracemalloc_tells(figures, name):
    (blocks, taken, peak), (expected_blocks, expected, expected_peak) = figures[name]

    # Two runs of these differ by that much: addresses decide about the order of sets.
    share = 0.04 if "prefetch" in name else 0.001
    # Before anything is loaded tracemalloc has a few blocks of its own, as has the window.
    assert blocks == pytest.approx(expected_blocks, rel=share, abs=16)
    assert taken == pytest.approx(expected, rel=share, abs=1024)
    assert peak == pytest.approx(expected_peak, rel=5 * share, abs=1024)
