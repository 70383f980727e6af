"""What a window retained is followed past its analysis: how much of it is freed, to the byte."""

import contextvars
import gc
import sys
import threading
import time

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.programs import ended_well  # noqa: E402
from tests.windows import inside, metered, names, no_collector  # noqa: E402

SIZE = 1000
BLOCK = sys.getsizeof(bytes(SIZE))
NUMBER = 1200
FEW = range(8)
"""Blocks that CPython keeps itself: the frame of a function, say, or an int."""


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        yield
    assert not compiled.hooks_installed()


class Node:
    """Refers to itself, and so is garbage."""

    __slots__ = ("itself", "text")

    def __init__(self):
        self.itself = self
        self.text = bytes(SIZE)


def followed(window, least_bytes=0, most_blocks=0):
    """Analyse a window, and return the one that has its survivors."""
    survivors = compiled.Window()
    tables = window.analyse(None, 0, False, survivors, least_bytes, most_blocks)
    assert not isinstance(tables, str)
    return survivors


def fill(kept):
    """Put a block into each place of a list that was there before."""
    for at in range(len(kept)):
        kept[at] = bytes(SIZE)


@pytest.fixture
def kept():
    return [None] * NUMBER


def test_what_is_retained_is_followed_and_nothing_else(kept):
    with metered() as window:
        for _ in range(NUMBER):
            Node()
        fill(kept)
    garbage = window.alive[0] - NUMBER

    survivors = followed(window)

    assert garbage >= NUMBER
    assert survivors.alive == survivors.allocated
    # From 3.14 on an int may be put on a free list, and is left out.
    assert window.retained[0] - survivors.alive[0] in FEW
    assert survivors.alive[0] - NUMBER in FEW
    assert not survivors.incomplete
    before = survivors.alive
    gc.collect()
    assert survivors.alive == before
    survivors.discard()


def test_each_free_is_seen_whoever_frees(kept):
    with metered() as window:
        fill(kept)
    survivors = followed(window)
    blocks, size = survivors.alive

    def freed():
        now = survivors.alive
        return blocks - now[0], size - now[1]

    kept[0] = None
    assert freed() == (1, BLOCK)
    thread = threading.Thread(target=kept.__setitem__, args=(slice(1, 301), [None] * 300))
    thread.start()
    thread.join()
    assert freed() == (301, 301 * BLOCK)
    with metered() as another:  # with allocations that are credited
        kept[301:601] = [bytes(SIZE) for _ in range(300)]
        assert freed() == (601, 601 * BLOCK)
    another.discard()
    kept.clear()
    assert freed() == (NUMBER, NUMBER * BLOCK)
    assert survivors.allocated == (blocks, size)
    survivors.discard()


def test_nothing_is_credited_any_more(kept):
    with metered() as window:
        fill(kept)
    survivors = followed(window)

    with inside(window):
        more = [bytes(SIZE) for _ in range(100)]
    with inside(survivors):
        more += [bytes(SIZE) for _ in range(100)]
    assert len(more) == 200
    assert survivors.allocated == survivors.alive == survivors.retained == window.retained
    survivors.discard()


def test_what_is_alive_is_broken_down_by_type(kept):
    with metered() as window:
        fill(kept)
        kept[0] = "a" * SIZE
    survivors = followed(window)

    del kept[100:]
    in_use, free_lists = survivors.alive_by_type()

    assert names(in_use) == {"bytes": 99, "str": 1}
    assert not names(free_lists)
    survivors.discard()


def test_the_window_itself_is_discarded_as_it_is_without(kept):
    with metered() as window:
        for _ in range(10):
            Node()
        fill(kept)
    survivors = followed(window)
    retained, alive = window.retained, window.alive

    kept.clear()
    assert (window.retained, window.alive) == (retained, alive)
    assert window.alive_by_type() == (({}, {}), ({}, {}))
    survivors.discard()


def test_the_blocks_of_windows_inside_are_followed_with_the_others(kept):
    with metered() as outer:
        kept[0] = bytes(SIZE)
        with metered() as inner:
            kept[1] = bytes(SIZE)
        with metered():  # is gone before the analysis, but for its block
            kept[2] = bytes(SIZE)
    own = followed(outer)

    assert own.alive == outer.retained
    del inner  # which is a block of the outer window
    before = own.alive[1]
    assert before - 3 * BLOCK in range(200)
    kept[1] = kept[2] = None
    assert before - own.alive[1] == 2 * BLOCK
    own.discard()


def test_a_window_inside_another_one_is_not_followed(kept):
    with metered() as outer:
        with metered() as inner:
            fill(kept)
        survivors = followed(inner)
    assert survivors.alive == survivors.allocated == (0, 0)
    assert outer.alive[0] >= NUMBER
    outer.discard()


@pytest.mark.parametrize(("least_bytes", "follows"), [(BLOCK, True), (NUMBER * BLOCK * 2, False)])
def test_too_little_is_not_followed(kept, least_bytes, follows):
    with metered() as window:
        fill(kept)
    survivors = followed(window, least_bytes)

    assert survivors.alive == (window.retained if follows else (0, 0))
    assert compiled.hooks_installed() is follows
    survivors.discard()


@pytest.mark.parametrize(
    ("most_blocks", "nth"), [(0, 1), (2 * NUMBER, 1), (NUMBER - 1, 2), (101, 12)]
)
def test_of_too_much_every_nth_block_is_followed(kept, most_blocks, nth):
    with metered() as window:
        fill(kept)
    survivors = followed(window, 0, most_blocks)

    blocks, size = survivors.alive
    assert survivors.allocated == (blocks, size)
    assert blocks == -(-window.retained[0] // nth)
    kept[:] = [None] * NUMBER
    assert survivors.alive[0] in FEW
    assert size - survivors.alive[1] == (blocks - survivors.alive[0]) * BLOCK
    survivors.discard()


@pytest.mark.parametrize(
    "make", [lambda n: (n % 200, 1), lambda n: [], lambda n: {"a": n % 200}, float]
)
def test_what_may_be_put_on_a_free_list_is_followed_where_little_else_is_retained(kept, make):
    """Once freed, its block is another object's, and is never seen to be freed."""
    del kept[600:]
    with metered() as window:
        for at in range(len(kept)):
            kept[at] = make(at)
    alone = followed(window)
    assert alone.alive[0] >= len(kept)
    others = [None] * len(kept)
    with metered() as window:
        for at in range(0, len(kept), 2):
            others[at] = make(at)
            others[at + 1] = bytes(SIZE)
    beside = followed(window)

    assert beside.retained[0] >= len(kept)
    assert beside.alive[0] - len(kept) // 2 in FEW
    assert beside.alive[1] - len(kept) // 2 * BLOCK in range(200)
    alone.discard()
    beside.discard()


def test_nothing_retained_is_not_followed():
    with metered() as window:
        bytes(SIZE)
    assert followed(window).allocated == (0, 0)


@pytest.mark.parametrize("length", [1, 19, 20])
def test_tuples_that_may_be_put_on_a_free_list_are_not_followed(length):
    kept = []
    with metered() as window:
        kept.append(bytes(20 * SIZE))
        kept.append([(str(number), *range(length - 1)) for number in range(500)])
    survivors = followed(window)
    kept.clear()

    assert survivors.alive[0] in FEW
    survivors.discard()


def test_a_block_that_realloc_makes_larger_is_freed_and_still_there():
    kept = []
    with metered() as window:
        kept.append(bytearray(SIZE))
        kept.append(bytearray(SIZE))
    survivors = followed(window)
    _, before = survivors.alive
    # From 3.15 on the buffer of a bytearray is a bytes object.
    size = BLOCK if sys.version_info >= (3, 15) else SIZE + 1

    kept[0].extend(bytes(100 * SIZE))
    assert survivors.resized == (1, size)
    assert before - survivors.alive[1] == size
    del kept[1][SIZE // 4 :]  # which is smaller
    assert survivors.resized == (1, size)
    assert before - survivors.alive[1] == 2 * size
    kept[0].extend(bytes(1000 * SIZE))  # a block that is not followed any more
    assert survivors.resized == (1, size)
    survivors.discard()


def test_a_free_in_the_queue_is_not_taken_for_one_of_the_block_that_came_after(kept):
    """The block at the address of a survivor may be another one when it is resized."""
    with metered() as window:
        fill(kept)
    survivors = followed(window)

    kept.clear()
    others = [bytearray(SIZE) for _ in range(NUMBER)]
    for other in others:
        other.extend(bytes(SIZE))
    assert survivors.alive[0] in FEW
    assert survivors.resized == (0, 0)
    survivors.discard()


def test_several_are_followed_at_once_and_each_is_discarded_by_itself():
    kept, all_followed = [], []
    for _ in range(5):
        with metered() as window:
            kept.append(bytes(SIZE))
        all_followed.append(followed(window))
    sizes = [each.alive[1] for each in all_followed]

    kept[2] = None
    assert sizes[2] - all_followed[2].alive[1] == BLOCK
    all_followed[1].discard()
    del all_followed[3]
    kept[0] = kept[4] = None
    assert sizes[0] - all_followed[0].alive[1] == sizes[4] - all_followed[-1].alive[1] == BLOCK
    for each in all_followed:
        each.discard()


def test_while_only_survivors_are_left_a_new_window_sees_everything(kept):
    class Made:
        """A class of which the engine may not know: nothing was credited when it was made."""

    with metered() as window:
        fill(kept)
    survivors = followed(window)
    for _ in range(3):

        class Later(Made):
            __slots__ = ("text",)

        with metered() as window:
            made = [Later() for _ in range(100)]
        tables = window.analyse()
        assert names(tables[0])[f"{Later.__module__}.{Later.__qualname__}"] == len(made)
        assert survivors.alive == survivors.allocated
    survivors.discard()


def test_the_meter_takes_the_memory_of_the_survivors_alone(kept):
    before = compiled.meter_bytes()
    others = [None] * 200_000
    all_kept, all_followed = [kept, kept[:]], []
    for each in all_kept:
        with metered() as window:
            for at in range(len(others)):
                others[at] = object()
            fill(each)
        assert compiled.meter_bytes() > 4_000_000
        others[:] = [None] * len(others)
        all_followed.append(followed(window))
        assert compiled.meter_bytes() - before < 300_000
    sizes = [survivors.alive for survivors in all_followed]

    assert [blocks - NUMBER in FEW for blocks, _ in sizes] == [True, True]
    for each, survivors, (blocks, size) in zip(all_kept, all_followed, sizes, strict=True):
        del each[700:]
        freed = NUMBER - 700
        assert survivors.alive == (blocks - freed, size - freed * BLOCK)
        assert names(survivors.alive_by_type()[0])["bytes"] == 700
        survivors.discard()
    assert compiled.meter_bytes() - before < 10_000


def test_survivors_may_be_broken_down_while_their_blocks_get_other_numbers(kept):
    with metered() as window:
        fill(kept)
    survivors, stop = followed(window), threading.Event()

    def grow():
        while not stop.is_set():
            with metered() as window:
                others = [object() for _ in range(80_000)]
                del others
            window.discard()

    thread = threading.Thread(target=grow)
    thread.start()
    compiled.set_turn(20)
    found = []
    try:
        while len(found) < 30:
            found.append(survivors.alive_by_type())
    finally:
        compiled.set_turn(0)
        stop.set()
        thread.join()
    tables = [each for each in found if not isinstance(each, str)]
    assert {names(in_use)["bytes"] for in_use, _ in tables} <= {NUMBER}
    assert names(survivors.alive_by_type()[0])["bytes"] == NUMBER
    survivors.discard()


@pytest.mark.parametrize("number", [1, 3])
def test_without_room_for_the_survivors_they_are_incomplete(number):
    """Those of a window are given new numbers before its others are free."""
    compiled.limit_meter(200_000)
    try:
        kept = [[None] * 1000 for _ in range(number)]
        all_followed = []
        for each in kept:
            with metered() as window:
                fill(each)
            if not window.not_remembered[0]:
                all_followed.append(followed(window))
            window.discard()
            assert compiled.meter_bytes() < 300_000
        for survivors in all_followed:
            assert survivors.incomplete or survivors.alive == survivors.allocated
            survivors.discard()
    finally:
        compiled.limit_meter(0)


def test_survivors_need_a_window_that_was_never_opened(kept):
    with metered() as window:
        fill(kept)
    with pytest.raises(RuntimeError, match="never opened"):
        window.analyse(None, 0, False, window)
    with pytest.raises(TypeError, match="a Window for survivors"):
        window.analyse(None, 0, False, 1)
    survivors = followed(window)
    with pytest.raises(RuntimeError, match="opens once"):
        survivors.open()
    survivors.close()
    assert survivors.alive == survivors.allocated
    survivors.discard()
    survivors.discard()


def test_turns_are_given_back_while_survivors_move(kept):
    compiled.set_turn(50)
    try:
        with metered() as window:
            fill(kept)
        compiled.set_turn(50)
        window.alive_by_type()
        without_moving, _ = compiled.set_turn(50)
        survivors = followed(window)
    finally:
        given_back, most = compiled.set_turn(0)
    assert given_back - without_moving >= 2 * NUMBER / 50
    assert most <= 100
    assert survivors.alive == window.retained
    assert not survivors.incomplete
    survivors.discard()


@pytest.mark.parametrize("waits", range(20))
def test_what_another_thread_frees_while_survivors_move_is_not_alive(kept, waits):
    with metered() as window:
        fill(kept)
    survivors, begun = compiled.Window(), threading.Event()

    def free():
        begun.wait()
        for _ in range(waits):
            time.sleep(0)
        kept[600] = None

    thread = threading.Thread(target=free)
    thread.start()
    compiled.set_turn(30)
    try:
        begun.set()
        tables = window.analyse(None, 0, False, survivors)
    finally:
        compiled.set_turn(0)
        thread.join()
    assert not isinstance(tables, str)
    assert survivors.alive[0] in (NUMBER - 1, NUMBER)  # the last is the thread's, maybe
    before = survivors.alive
    del kept[:]
    assert survivors.alive[0] <= 1 < before[0]
    survivors.discard()


def test_survivors_are_followed_across_contexts_and_windows_of_others(kept):
    with metered() as window:
        fill(kept)
    survivors = followed(window)
    another = compiled.Window()
    another.open()
    context = contextvars.copy_context()
    context.run(compiled.switch_window, another)
    context.run(fill, kept)
    assert survivors.alive[0] in FEW
    assert another.alive[0] - NUMBER in FEW
    another.close()
    another.discard()
    survivors.discard()


SETTING = """
import gc, os, sys, tracemalloc
from django_memsize.engine import compiled
from tests.windows import metered

def follow(kept):
    with metered() as window:
        kept[:] = [bytes(1000) for _ in range(1000)]
    survivors = compiled.Window()
    window.analyse(None, 0, False, survivors)
    return survivors

kept = []
"""


def test_where_another_tool_removes_the_hooks_survivors_are_incomplete():
    ended_well(
        SETTING
        + """
tracemalloc.start()
survivors = follow(kept)
assert survivors.alive[0] >= 1000 and not survivors.incomplete
tracemalloc.stop()
kept.clear()  # unseen
assert survivors.alive == (0, 0)
assert survivors.incomplete
assert not compiled.hooks_installed()
survivors = follow(kept)
assert survivors.alive[0] >= 1000 and not survivors.incomplete
"""
    )


def test_a_child_process_follows_nothing():
    ended_well(
        SETTING
        + """
survivors = follow(kept)
child = os.fork()
if not child:
    compiled.discard_windows()
    ended = survivors.incomplete and survivors.alive == (0, 0) and not compiled.hooks_installed()
    kept.clear()
    survivors.discard()
    again = follow(kept)
    os._exit(0 if ended and again.alive[0] >= 1000 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
del kept[500:]
assert 500 <= survivors.alive[0] < 510
survivors.discard()
assert not compiled.hooks_installed()
"""
    )
