"""While the engine handles many blocks, other threads have their turns, and may change anything."""

import gc
import sys
import threading
import time
from array import array
from collections import deque
from contextlib import contextmanager
from itertools import repeat

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.windows import inside, metered, names, no_collector, total  # noqa: E402

NODE = f"{__name__}.Node"
NUMBER = 3000
TURN = 100
REASONS = ("size", "memory", "changes")


class Node:
    def __init__(self, other=None):
        self.other = other
        self.items = [other]
        self.names = {"key": (other, 1.5)}


@pytest.fixture(autouse=True)
def turns():
    """Have turns be short, and threads switch as soon as another one waits."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    compiled.set_turn(TURN)
    yield
    compiled.set_turn(0)
    compiled.limit_meter(0)
    sys.setswitchinterval(interval)


@contextmanager
def beside(work):
    """Call some work again and again in another thread, as long as it returns True."""
    stop, runs = threading.Event(), threading.Event()

    def run():
        while not stop.is_set() and work():
            runs.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert runs.wait(60)
        yield
    finally:
        stop.set()
        thread.join()


def retained_and_garbage():
    """Return retained nodes, and the number of pairs of nodes in cycles."""
    kept = [Node(bytearray(200)) for _ in range(NUMBER)]
    for _ in range(NUMBER):
        one = Node()
        one.other = Node(one)
    del one
    return kept


# How much


@pytest.mark.parametrize("call", ["alive_by_type", "analyse"])
def test_no_turn_handles_more_blocks_than_it_may(call):
    with no_collector(), metered() as window:
        kept = retained_and_garbage()
    blocks = window.alive[0]
    compiled.set_turn(TURN)
    tables = getattr(window, call)()
    given_back, most = compiled.set_turn(TURN)

    assert isinstance(tables, tuple)
    assert 0 < most <= TURN
    assert given_back >= 3 * blocks / TURN  # several passes
    assert kept
    window.discard()


def test_a_window_that_fits_into_one_turn_is_analysed_in_one():
    compiled.set_turn(0)
    with metered() as window:
        kept = retained_and_garbage()[:1]
    compiled.set_turn(0)
    window.analyse()
    given_back, most = compiled.set_turn(0)

    assert given_back <= 2
    assert 0 < most <= 50_000
    assert kept


def test_a_window_is_discarded_in_turns_beside_another_one():
    with metered() as other:
        pass
    with metered() as window:
        kept = [Node() for _ in range(NUMBER)]
    blocks, taken = window.alive[0], compiled.meter_bytes()
    compiled.set_turn(TURN)
    window.discard()
    given_back, most = compiled.set_turn(TURN)

    assert given_back >= blocks / (TURN + 16)
    assert most <= TURN
    assert window.alive == (0, 0)
    with metered() as following:  # in the same memory
        more = [Node() for _ in range(NUMBER)]
    assert compiled.meter_bytes() <= taken + 2 * 16 * 1024  # blocks that were in the nursery
    assert names(following.analyse()[0])[NODE] == NUMBER
    assert len(kept) == len(more)
    other.discard()


def test_windows_that_were_in_a_window_are_discarded_together():
    with metered() as other:
        pass
    kept = []
    with metered() as window:
        for _ in range(NUMBER):
            with metered() as inner:
                kept.append(object())
            del inner
    compiled.set_turn(20 * NUMBER)
    window.discard()
    given_back, _ = compiled.set_turn(TURN)

    assert given_back <= 1
    assert window.alive == (0, 0)
    other.discard()


@pytest.mark.parametrize(
    "make", [lambda: deque([None]) * 100_000, lambda: array("Q", [1]) * 100_000]
)
def test_the_words_of_long_buffers_are_read_in_turns(make):
    with no_collector(), metered() as window:
        kept = make()
    compiled.set_turn(TURN)
    counts, sizes = window.alive_by_type()[0]
    given_back, most = compiled.set_turn(TURN)

    name = "array.array" if isinstance(kept, array) else "collections.deque"
    assert counts[name] == 1
    assert sizes[name] >= 8 * len(kept)
    assert most <= TURN
    assert given_back >= len(kept) // 16 // TURN
    window.discard()


# What comes out


def analysed(turn):
    compiled.set_turn(turn)
    with no_collector():
        with metered() as window:
            kept = retained_and_garbage()
        by_type = window.alive_by_type()
        tables = window.analyse()
    del kept
    gc.collect()
    return by_type, tables


def test_turns_change_no_figure():
    expected = analysed(0)

    for turn in (1, 7, TURN, 10_000):
        assert analysed(turn) == expected, turn
    assert names(expected[1][0])[NODE] == NUMBER
    assert names(expected[1][1])[NODE] == 2 * NUMBER


def test_references_that_another_thread_moves_meanwhile_make_no_garbage():
    with no_collector():
        outside = [None] * NUMBER
        with metered() as window:
            inner = [None] * NUMBER
            outside[:] = [Node() for _ in range(NUMBER)]
        places = list(range(NUMBER))

        def move():
            for place in places:
                outside[place], inner[place] = inner[place], outside[place]
            return True

        with beside(move):
            retained, garbage, _ = window.analyse()

    assert names(retained)[NODE] == NUMBER
    assert NODE not in names(garbage)


def test_what_another_thread_allocates_meanwhile_changes_nothing():
    with metered() as window:
        kept = [Node() for _ in range(NUMBER)]
        more = []

        def allocate():
            with inside(window):
                more.append(Node())
            return len(more) < 100_000

        with beside(allocate):
            # The list that grows is older than the thread, and its items move.
            tables = window.alive_by_type()

    assert tables in REASONS or NUMBER <= names(tables[0])[NODE] <= NUMBER + len(more)
    assert kept
    window.discard()


def test_a_window_whose_blocks_are_freed_all_the_time_is_given_up_or_right():
    reasons = []
    for _ in range(200):
        with metered() as window:
            kept = [Node() for _ in range(NUMBER)]

        def free(kept=kept):
            if kept:
                del kept[-1]
            time.sleep(0)  # gives the GIL to the analysis
            return bool(kept)

        with beside(free):
            tables = window.analyse()
            alive = window.alive
        if tables in REASONS:
            reasons.append(tables)
            if len(reasons) == 3:
                break
        else:
            assert total(*tables) == alive[1]

    assert reasons == ["changes"] * 3


@pytest.mark.parametrize("call", ["alive_by_type", "analyse"])
def test_a_window_that_another_thread_discards_meanwhile_is_not_analysed(call):
    seen = set()
    for _ in range(20):
        with metered() as window:
            kept = [Node() for _ in range(200)]

        def analyse(window=window):
            tables = getattr(window, call)()
            seen.add(tables if tables in REASONS else names(tables[0]).get(NODE))

        compiled.set_turn(1)
        analysing = threading.Thread(target=analyse)
        analysing.start()
        while analysing.is_alive() and not compiled.set_turn(1)[0]:
            time.sleep(0)
        window.discard()
        analysing.join()

    assert "changes" in seen
    assert seen <= {"changes", len(kept)}


def test_a_window_in_which_another_one_ends_meanwhile_is_analysed_again():
    for _ in range(5):
        brief = []
        with metered() as window:
            kept = [Node() for _ in range(10)]
            inner = compiled.Window()
            inner.open(window)
            before = compiled.switch_window(inner)
            for _ in repeat(None, NUMBER):
                brief.append(object())
            compiled.switch_window(before)
            inner.close()
            del inner
        kept_blocks = window.alive[0] - NUMBER

        def clear(brief=brief, listed=kept_blocks + NUMBER // 4):
            given_back = 0
            while given_back < listed:  # until the blocks of the inner window are being listed
                given_back += compiled.set_turn(1)[0]
                time.sleep(0)
            brief.clear()

        compiled.set_turn(1)
        clearing = threading.Thread(target=clear)
        del brief, clear
        clearing.start()
        tables = window.alive_by_type()
        clearing.join()
        del clearing
        assert names(tables[0])[NODE] == len(kept)
        window.discard()


def test_two_threads_that_analyse_one_window_find_the_same():
    compiled.set_turn(0)
    with no_collector(), metered() as outer:
        with metered() as window:
            kept = retained_and_garbage()
        with metered() as beside_it:
            more = retained_and_garbage()
    outer.alive_by_type()  # so that all classes are known
    window.analyse()
    beside_it.analyse()
    expected = window.retained[0]
    found, totals = [], []

    def analyse():
        for _ in range(10):
            tables = window.analyse()
            found.append(tables if tables in REASONS else names(tables[0])[NODE])
            totals.append(window.retained[0])

    compiled.set_turn(TURN)
    with no_collector():
        threads = [threading.Thread(target=analyse) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        retained = outer.analyse()[0]

    assert set(found) <= {NUMBER, "changes"}
    assert all(abs(total - expected) < 100 for total in totals), (expected, totals)
    assert names(retained)[NODE] == len(kept) + len(more)


def test_classes_that_die_meanwhile_make_the_analysis_begin_again():
    with metered() as window:
        kept = [Node() for _ in range(NUMBER)]

        def make_and_drop():
            made = type("Made", (), {})
            made()
            del made
            gc.collect(0)
            return True

        with beside(make_and_drop):
            tables = window.alive_by_type()

    assert tables in REASONS or names(tables[0])[NODE] == NUMBER
    assert kept
    window.discard()


# What is not analysed


@pytest.mark.parametrize(("most", "is_analysed"), [(1000, False), (100_000, True), (0, True)])
def test_more_blocks_than_were_asked_for_are_not_analysed(most, is_analysed):
    with metered() as window:
        kept = [Node() for _ in range(NUMBER)]
    alive = window.alive
    tables = window.analyse(None, most)

    assert isinstance(tables, tuple) is is_analysed
    assert is_analysed or tables == "size"
    assert window.alive == alive
    assert (window.retained[0] > 5 * NUMBER) is is_analysed
    assert not compiled.hooks_installed()
    assert kept


def test_what_would_take_more_memory_than_the_meter_is_not_analysed():
    with metered() as window:
        kept = [object() for _ in range(40_000)]
    compiled.limit_meter(1024 * 1024)

    assert window.not_remembered == (0, 0)
    assert window.alive_by_type() == window.analyse() == "memory"
    assert kept


@pytest.mark.parametrize("older", [object, dict])
def test_more_references_than_the_blocks_that_were_asked_for_may_have_are_not_followed(older):
    most, before = 1000, [older() for _ in range(20_000)]
    found = []
    for number in (most // 4, len(before)):
        with metered() as window:
            kept = before[:number]
        alive = window.alive
        tables = window.analyse(None, most)
        found.append(tables)
        assert window.alive == alive
        assert tables == "size" or window.retained[1] >= 8 * len(kept)

    assert names(found[0][0])["list"] == 1
    assert found[1] == "size"


def test_more_objects_from_outside_than_the_memory_of_the_meter_has_room_for_are_not_followed():
    before = [{} for _ in range(20_000)]
    compiled.limit_meter(1024 * 1024)
    found = []
    for number in (2000, len(before)):
        with metered() as window:
            kept = before[:number]
        found.append(window.analyse())
        assert len(kept) == number

    assert names(found[0][0])["list"] == 1
    assert found[1] == "memory"
