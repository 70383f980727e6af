"""Windows as programs open and close them: nested, across threads and tasks, in any order."""

import asyncio
import contextvars
import gc
import os
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.programs import ended_well  # noqa: E402
from tests.windows import inside, metered, no_collector, total  # noqa: E402

IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"
SIZE = 1_000_000
BLOCK = sys.getsizeof(bytes(SIZE))


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        yield


def blocks(bytes_):
    """Return how many of the big blocks there are in so many bytes: all else is small."""
    return round(bytes_ / BLOCK)


def test_what_others_set_the_variable_to_is_found_at_once():
    """asgiref sets every variable of a context that it copied, one by one."""
    first, second = compiled.Window(), compiled.Window()
    first.open()
    second.open()

    def run():
        compiled.switch_window(first)
        variable = next(v for v in contextvars.copy_context() if v.name == "memsize_window")
        bytes(SIZE)
        token = variable.set(second)
        bytes(SIZE)
        variable.reset(token)
        bytes(SIZE)
        variable.set(None)
        bytes(SIZE)
        variable.set(second)
        bytes(SIZE)

    contextvars.copy_context().run(run)
    first.close()
    second.close()
    assert [blocks(window.allocated[1]) for window in (first, second)] == [2, 2]


def test_what_is_taken_back_without_a_new_value_is_missed_soon():
    """Resetting a variable allocates nothing: the next block of 56 bytes makes the meter look.

    So many bytes have the values of a context, and a bytes object of 23 bytes.
    """
    window = compiled.Window()
    window.open()
    contexts = contextvars.Context(), contextvars.Context()
    contexts[0].run(compiled.switch_window, None)
    (variable,) = contexts[0]

    def run():
        token = variable.set(window)
        bytes(23)
        bytes(SIZE)
        variable.reset(token)
        bytes(23)
        bytes(SIZE)

    contexts[1].run(run)
    window.close()
    assert blocks(window.allocated[1]) == 1


class Last:
    """Allocates when it is finalised."""

    def __del__(self):
        bytes(SIZE)


@pytest.mark.parametrize("later", range(1, 12))
def test_a_value_that_is_set_while_the_collector_comes_is_found_soon(later):
    """Before 3.12 it may come before the object that has the new values is one."""
    first, second = compiled.Window(), compiled.Window()
    first.open()
    second.open()

    def run():
        compiled.switch_window(first)
        variable = next(v for v in contextvars.copy_context() if v.name == "memsize_window")
        last = Last()
        last.itself = last
        del last
        gc.set_threshold(gc.get_count()[0] + later)
        gc.enable()
        variable.set(second)
        bytearray(10 * SIZE)
        gc.disable()

    thresholds = gc.get_threshold()
    contextvars.copy_context().run(run)
    gc.set_threshold(*thresholds)
    first.close()
    second.close()
    assert blocks(first.allocated[1]) < 10 <= blocks(second.allocated[1])


def test_a_window_counts_what_is_allocated_in_it_and_what_is_left():
    outside = bytes(SIZE)
    with metered() as window:
        kept = [bytes(SIZE) for _ in range(10)]
        del kept[5:]
        del outside  # nothing of this window
    after = bytes(SIZE)

    assert blocks(window.allocated[1]) == blocks(window.peak[1]) == 10
    assert blocks(window.alive[1]) == len(kept) == 5
    kept.clear()
    assert blocks(window.alive[1]) == 0
    assert after
    window.discard()


def test_what_takes_the_place_of_what_is_freed_does_not_add_to_the_peak():
    """Also where hundreds of blocks are freed and allocated in turns, in a window inside or not."""
    with metered() as outer:
        kept = [bytes(1000) for _ in range(600)]
        at_first = outer.peak
        for at in range(0, 300, 7):
            for offset in range(7):
                kept[at + offset] = None
            for offset in range(7):
                kept[at + offset] = bytes(1000)
        after = outer.peak
        with metered() as inner:
            for at in range(300, 600):
                kept[at] = None
                kept[at] = bytes(1000)
        assert inner.peak[0] < 310
    a_few = 3 * sys.getsizeof(bytes(1000))

    assert at_first[1] <= after[1] <= outer.peak[1] < at_first[1] + a_few
    assert len(kept) == 600
    outer.discard()


def test_a_peak_is_that_of_the_moment_when_most_is_alive():
    """A new peak after the old blocks were freed."""
    with metered() as window:
        kept = [bytes(1000) for _ in range(600)]
        most = window.alive
        del kept[100:]
        few = window.alive
        kept += [bytes(1000) for _ in range(400)]
        assert window.peak == most or window.peak[1] - most[1] < 8 * 600  # the list itself
        kept += [bytes(1000) for _ in range(400)]
    size = sys.getsizeof(bytes(1000))

    assert window.peak[1] >= few[1] + 800 * size
    assert window.peak[1] < few[1] + 801 * size + 2 * sys.getsizeof(kept)
    window.discard()


def test_a_block_that_grows_is_freed_and_allocated():
    with metered() as window:
        grown = bytearray(SIZE)
        for _ in range(3):
            grown *= 2
    assert window.alive[1] == pytest.approx(sys.getsizeof(grown), rel=0.01)
    assert window.allocated[1] == pytest.approx(SIZE * (1 + 2 + 4 + 8), rel=0.2)
    window.discard()


def test_what_a_window_inside_allocates_counts_in_both():
    with metered() as outer:
        kept = [bytes(SIZE)]
        with metered() as inner:
            kept += [bytes(SIZE), bytes(SIZE)]
        kept.append(bytes(SIZE))

    assert (blocks(inner.allocated[1]), blocks(outer.allocated[1])) == (2, 4)
    assert not inner.is_outermost
    assert outer.is_outermost
    kept.clear()
    assert (blocks(inner.alive[1]), blocks(outer.alive[1])) == (0, 0)
    outer.discard()


FEW = 5
"""Blocks that CPython frees itself meanwhile."""


def test_older_blocks_that_are_freed_in_a_window_are_counted():
    older, others = ([bytes(1000) for _ in range(700)] for _ in range(2))
    with metered() as window:
        made = [bytes(1000) for _ in range(300)]
        del older[:500], made
        before = compiled.switch_window(None)
        del others[:]
        compiled.switch_window(before)

    assert 500 <= window.freed_older <= 500 + FEW


def test_older_blocks_that_are_freed_in_a_window_inside_count_in_both():
    older, inner = [bytes(1000) for _ in range(400)], compiled.Window()
    with metered() as window:
        inner.open()
        with inside(inner):
            del older[100:]
        del older[:]

    assert 300 <= inner.freed_older <= 300 + FEW
    assert 400 <= window.freed_older <= 400 + FEW


def test_blocks_of_another_window_that_are_freed_in_a_window_are_not_older():
    with metered() as first:
        made = [bytes(1000) for _ in range(1000)]
        with metered() as inner:
            del made[:]
    other = contextvars.copy_context()
    kept = []
    with metered() as window:
        kept += [bytes(1000) for _ in range(1000)]

    def free_in_another():
        with metered() as another:
            del kept[:]
        return another.freed_older

    assert inner.freed_older <= FEW
    assert first.freed_older <= FEW
    assert other.run(free_in_another) <= FEW
    assert window.alive[0] <= FEW


@pytest.mark.parametrize("elsewhere", ["in another thread", "in another context"])
def test_what_is_freed_elsewhere_is_not_freed_in_the_window(elsewhere):
    older, outside = [bytes(1000) for _ in range(3000)], contextvars.copy_context()
    with metered() as window:
        made = [bytes(1000)]
        if elsewhere == "in another context":
            outside.run(older.clear)
        else:
            thread = threading.Thread(target=older.clear)
            thread.start()
            thread.join()
        made.append(bytes(1000))

    assert window.freed_older <= 20


def test_a_window_that_cannot_be_opened_again_is_looked_at_as_before():
    window = compiled.Window()
    window.open()
    with pytest.raises(RuntimeError, match="opens once"):
        window.open(window, True)
    window.follow_peak(1000)
    with inside(window):
        made = [bytes(1000) for _ in range(100)]
        made.append(None)
    window.close()

    assert window.bytes_near_peak > 0


def test_survivors_that_are_freed_in_a_window_are_older():
    kept, survivors = [None] * 600, compiled.Window()
    with metered() as window:
        for at in range(600):
            kept[at] = bytes(1000)
    window.analyse(None, 0, False, survivors, 0, 0)
    with metered() as later:
        made = [bytes(1000)]  # the window is looked up when a block is allocated
        del kept[:]
    survivors.discard()

    assert 600 <= later.freed_older <= 600 + FEW
    assert made


def test_a_window_closes_the_windows_in_it():
    with metered() as outer, metered() as inner:
        outer.close()
        kept = bytes(SIZE)
        assert not inner.is_open

    assert kept
    assert blocks(outer.allocated[1]) == blocks(inner.allocated[1]) == 0
    outer.discard()


def test_in_a_closed_window_s_context_the_one_around_it_is_current():
    with metered() as outer, metered() as inner:
        inner.close()
        kept = bytes(SIZE)
        following = compiled.Window()
        following.open()

    assert kept
    assert (blocks(inner.alive[1]), blocks(outer.alive[1])) == (0, 1)
    assert not following.is_outermost
    assert not following.is_open
    outer.discard()


def test_a_window_opens_once_and_only_one_that_is_closed_is_analysed():
    with metered() as outer, metered() as inner:
        with pytest.raises(RuntimeError, match="opens once"):
            inner.open()
        for window in (outer, inner, compiled.Window()):
            with pytest.raises(RuntimeError, match="only a closed window"):
                window.analyse()
        inner.close()
        inner.close()
        retained, *_ = inner.analyse()
        assert retained[0]["django_memsize.engine.compiled.Window"] == 1
    outer.analyse()
    outer.close()
    assert outer.analyse() == (({}, {}),) * 3
    with pytest.raises(RuntimeError, match="opens once"):
        outer.open()
    never = compiled.Window()
    never.close()
    never.discard()
    assert never.alive_by_type() == (({}, {}),) * 2
    assert not compiled.hooks_installed()


def test_only_a_window_is_made_the_innermost():
    for wrong in (object(), 1, compiled.Window):
        with pytest.raises(TypeError):
            compiled.switch_window(wrong)
    with pytest.raises(TypeError):
        compiled.Window(1)
    with pytest.raises(TypeError):
        compiled.Window(name=1)


def test_a_window_whose_handle_is_dropped_is_over():
    with metered() as outer:
        inner = compiled.Window()
        inner.open()
        with inside(inner):
            kept = bytes(SIZE)
        del inner
        assert blocks(outer.alive[1]) == 1
        more = bytes(SIZE)
    assert kept
    assert more
    assert blocks(outer.alive_by_type()[0][1]["bytes"]) == 2
    del outer
    assert not compiled.hooks_installed()


def test_a_thousand_windows_one_in_another_count_the_same():
    windows = []
    with inside(None):
        for _ in range(1000):
            window = compiled.Window()
            window.open()
            compiled.switch_window(window)
            windows.append(window)
        kept = bytes(10 * SIZE)
        compiled.switch_window(None)
    assert kept
    assert all(blocks(window.allocated[1] // 10) == 1 for window in windows)
    assert blocks(windows[0].alive_by_type()[0][1]["bytes"]) == 10
    windows[500].close()
    assert [window.is_open for window in windows] == [True] * 500 + [False] * 500
    windows[0].close()
    windows[0].analyse()
    # From the middle, from the outermost one, and from the innermost one.
    del windows[300:400], windows[:100], windows[-100:], window
    assert windows[0].alive_by_type() == (({}, {}),) * 2
    windows.clear()
    assert not compiled.hooks_installed()


def test_a_thread_with_a_copied_context_is_credited_and_others_are_not():
    kept = []

    def allocate():
        kept.append(bytes(SIZE))

    with metered() as window:
        copied = contextvars.copy_context()
        threads = [
            threading.Thread(target=copied.run, args=(allocate,)),
            *(threading.Thread(target=allocate) for _ in range(3)),
        ]
        for thread in threads:
            thread.start()
            thread.join()

    assert len(kept) == 4
    assert blocks(window.alive[1]) == 1
    window.discard()


def test_a_window_is_closed_and_analysed_by_another_thread():
    with metered() as window:
        kept = [bytes(SIZE) for _ in range(5)]
        tables = []

        def close():
            window.close()
            tables.append(window.analyse())

        thread = threading.Thread(target=close)
        thread.start()
        thread.join()
        more = bytes(SIZE)

    assert more
    assert tables[0][0][0]["bytes"] == len(kept)
    assert blocks(window.allocated[1]) == 5


def test_each_task_is_credited_with_its_own():
    async def work(number):
        with metered() as window:
            kept = []
            for _ in range(number):
                kept.append(bytes(SIZE))
                await asyncio.sleep(0)
            await asyncio.to_thread(lambda: kept.append(bytes(SIZE)))
        return window, kept

    async def everything():
        return await asyncio.gather(*(work(number) for number in range(10)))

    ended = asyncio.run(everything())

    for number, (window, kept) in enumerate(ended):
        assert blocks(window.alive[1]) == len(kept) == number + 1
        window.discard()
    assert not compiled.hooks_installed()


def test_an_exception_that_is_pending_stays_what_it_was():
    ended_well(
        """
import sys
from tests.windows import metered

def deeper(depth):
    # Where it ends, objects are made, with the exception under way.
    return [depth, [], {}, object(), deeper(depth + 1)]

class Last:
    def __del__(self):
        seen.append([object() for _ in range(10)])

def raising():
    last = Last()
    raise KeyError("mine", [last])

seen = []
for limit in (80, 150, 400, 1000):
    sys.setrecursionlimit(limit)
    with metered() as window:
        for _ in range(50):
            try:
                deeper(0)
            except RecursionError as error:
                assert error.__context__ is None
            else:
                raise AssertionError("no limit")
            try:
                raising()
            except KeyError as error:
                kept = [object() for _ in range(10)]
                assert error.args[0] == "mine" and error.__context__ is None
                with metered() as inner:
                    more = [object() for _ in range(10)]
                assert inner.allocated[0] >= 10
                assert sys.exc_info()[1] is error
    window.alive_by_type()
    window.analyse()

def open_at_the_limit(depth):
    try:
        open_at_the_limit(depth + 1)
    except RecursionError:
        with metered() as window:
            kept = [object() for _ in range(10)]
        opened.append(window.allocated[0])
        raise
opened = []
try:
    open_at_the_limit(0)
except RecursionError:
    pass
assert max(opened) >= 10
"""
    )


def test_millions_of_allocations_while_windows_switch():
    ended_well(
        """
import random, sys, threading
from django_memsize.engine import compiled
from tests.windows import inside, metered

def work(seed):
    chance = random.Random(seed)
    windows, kept, made = [], [], 0
    while made < number:
        step = chance.random()
        if step < 0.1 and len(windows) < 20:
            window = compiled.Window()
            window.open()
            windows.append(window)
        elif step < 0.2 and windows:
            chance.choice(windows).close()
        elif step < 0.25 and windows:
            window = windows.pop(chance.randrange(len(windows)))
            if window.is_outermost and not window.is_open:
                window.alive_by_type()
                window.analyse()
            del window
        compiled.switch_window(chance.choice(windows) if windows else None)
        kept.append([[each, {}, str(each)] for each in range(50)])
        made += 150
        if len(kept) > 100:
            del kept[:: chance.randint(1, 5)]
    compiled.switch_window(None)
    for window in windows:
        assert window.alive[0] >= 0 and window.alive[1] >= 0
        assert window.peak[1] >= window.alive[1]

number = int(sys.argv[1])
sys.setswitchinterval(1e-4)
threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not compiled.hooks_installed()
""",
        "4000000" if IS_LONG else "60000",
        timeout=600,
    )


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "switch", "make", "grow", "drop", "raise", "thread"]),
        st.integers(0, 20),
    ),
    max_size=60,
)


class Model:
    """What windows should tell, of big blocks alone."""

    def __init__(self):
        self.windows, self.parents, self.is_open = [], [], []
        self.allocated, self.alive, self.peak = [], [], []
        self.current = None

    def innermost(self):
        found = self.current
        while found is not None and not self.is_open[found]:
            found = self.parents[found]
        return found

    def enclosing(self, window):
        while window is not None:
            yield window
            window = self.parents[window]

    def open(self, window):
        self.windows.append(window)
        self.parents.append(self.innermost())
        self.is_open.append(True)
        self.allocated.append(0)
        self.alive.append(0)
        self.peak.append(0)

    def close(self, number):
        for each in range(len(self.windows)):
            if number in self.enclosing(each):
                self.is_open[each] = False

    def allocate(self):
        for each in self.enclosing(self.innermost()):
            self.allocated[each] += 1
            self.alive[each] += 1
            self.peak[each] = max(self.peak[each], self.alive[each])
        return self.innermost()

    def free(self, allocated_in):
        for each in self.enclosing(allocated_in):
            self.alive[each] -= 1


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_any_program_gives_the_figures_of_a_simple_model(steps):
    model, made = Model(), []

    def make():
        made.append((bytes(SIZE), model.allocate()))

    with inside(None):
        for step, number in steps:
            if step == "open":
                window = compiled.Window()
                window.open()
                model.open(window)
            elif step == "close" and model.windows:
                number %= len(model.windows)
                model.windows[number].close()
                model.close(number)
            elif step == "switch" and model.windows:
                model.current = number % len(model.windows) if number % 4 else None
                compiled.switch_window(
                    None if model.current is None else model.windows[model.current]
                )
            elif step == "drop" and made:
                model.free(made.pop(number % len(made))[1])
            elif step == "thread":
                thread = threading.Thread(target=contextvars.copy_context().run, args=(make,))
                thread.start()
                thread.join()
            elif step == "raise":
                with pytest.raises(ZeroDivisionError):
                    made.append((bytes(SIZE), model.allocate(), 1 / 0))
                model.free(model.innermost())
            elif step in ("make", "grow"):
                make()
    for number, window in enumerate(model.windows):
        assert window.is_open == model.is_open[number]
        assert blocks(window.alive[1]) == model.alive[number]
        assert blocks(window.allocated[1]) == model.allocated[number]
        assert blocks(window.peak[1]) == model.peak[number]
        assert blocks(window.alive_by_type()[0][1].get("bytes", 0)) == model.alive[number]
    for window in model.windows:
        window.close()
        assert not window.incomplete
        if window.is_outermost:
            alive = window.alive[1]
            assert total(*window.analyse()) == alive
    made.clear()
    model.windows.clear()
    window = None
    assert not compiled.hooks_installed()


def test_what_a_window_takes_from_lists_that_another_filled_is_all_that_it_misses():
    with metered() as first, metered() as second:
        pass
    first.discard()
    with metered() as outer:
        made = [[] for _ in range(1000)]
        with metered() as inner:
            made.clear()  # CPython keeps some of these for later
            kept = [[] for _ in range(1000)]
        tables = inner.alive_by_type()[0][0].get("list", 0)
    assert second
    # Never more than there are, and fewer by no more than CPython keeps of a kind.
    assert 1000 - 80 <= tables <= len(kept) + 1
    assert outer.alive_by_type()[0][0]["list"] >= len(kept)
    outer.discard()


def test_what_another_window_took_off_the_lists_is_in_use_by_nobody():
    with metered() as window:
        made = [[] for _ in range(60)]
        floats = [number + 0.25 for number in range(60)]
        del made, floats
        other = compiled.Window()
        with inside(None):
            other.open()
        in_use, _free_lists = window.alive_by_type()
    other.close()
    assert in_use[0].get("list", 0) + in_use[0].get("float", 0) < 10
