"""Rows that come one after another: what makes one is its window's, and nothing else is."""

import contextvars
import importlib.util
import threading
import time

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.programs import ended_well  # noqa: E402

variable = contextvars.ContextVar("variable", default=None)


def stream(rows, begin=lambda: None, end=lambda count, types: None):
    return compiled.Stream(rows, variable, "span", begin, end)


def in_a_new_thread(program):
    """Return a program that runs another in a context where nothing was ever set."""
    lines = "".join(f"    {line}\n" for line in program.splitlines())
    return f"""
import contextvars, threading
from django_memsize.engine import compiled

variable = contextvars.ContextVar("variable")
faults = []

def work():
{lines}
def main():
    try:
        work()
    except BaseException as fault:
        faults.append(fault)

thread = threading.Thread(target=main)
thread.start()
thread.join()
assert not faults, faults
"""


def test_between_rows_nothing_is_credited_where_no_window_was_ever_set():
    ended_well(
        in_a_new_thread("""
window = compiled.Window()
window.open()
rows = compiled.Stream(
    map(bytearray, [5000] * 3), variable, "span", lambda: window, lambda *_: None
)
kept = []
for row in rows:
    made = window.allocated
    kept += [row, *(bytearray(5000) for _ in range(10))]
    assert window.allocated == made
assert window.allocated[1] >= 15000, window.allocated
""")
    )


def test_a_window_that_goes_with_its_rows_is_not_looked_for_where_it_was():
    ended_well(
        in_a_new_thread("""
watched = compiled.Window()
watched.open()
window = compiled.Window()
window.open()
rows = compiled.Stream(
    iter([1, 2]), variable, "span", lambda window=window: window, lambda count, types: None
)
next(rows)
del rows, window
kept = [bytearray(50) for _ in range(2000)]
assert watched.allocated == (0, 0), watched.allocated
""")
    )


def test_rows_that_are_closed_or_used_up_before_the_first_are_at_their_end():
    closed = stream(iter([1, 2]), lambda: closed.close())
    assert list(closed) == []
    used_up = stream(iter([1, 2]), lambda: list(used_up))
    assert list(used_up) == []


def test_rows_that_are_closed_before_they_begin_never_begin():
    heard = []
    rows = stream(iter([1, 2]), lambda: heard.append("begin"), lambda *said: heard.append(said))
    rows.close()
    assert list(rows) == []
    rows.close()
    assert heard == []


def test_rows_are_counted_by_their_type():
    heard = []
    rows = stream(iter([1, 2, "three", 4, None]), end=lambda *said: heard.append(said))

    assert len(list(rows)) == 5
    assert heard == [(5, {int: 3, str: 1, type(None): 1})]


def test_rows_that_nobody_wants_any_more_are_counted_as_far_as_they_came():
    heard = []
    rows = stream(iter([1, 2, "three"]), end=lambda *said: heard.append(said))
    next(rows)
    del rows

    assert heard == [(1, {int: 1})]


class Span:
    window = None


def test_the_window_is_asked_for_again_once_the_first_row_is_there():
    first, second, span = compiled.Window(), compiled.Window(), Span()
    first.open()
    second.open()

    def rows():
        span.window = second
        for _ in range(3):
            yield bytearray(5000)

    def begin():
        return first

    kept = list(compiled.Stream(rows(), variable, span, begin, lambda *_: None))
    first.close()
    second.close()
    assert 5000 <= first.allocated[1] < 10_000
    assert 10_000 <= second.allocated[1] < 15_500
    assert len(kept) == 3
    first.discard()
    second.discard()


BIG = 100_000


def big(window):
    """Return how many of the big blocks a window was credited with: all else is small."""
    return window.allocated[1] // BIG


def opened(number):
    windows = [compiled.Window() for _ in range(number)]
    for window in windows:
        window.open()
    return windows


def sized(number):
    for _ in range(number):
        yield bytearray(BIG)


def test_rows_that_are_made_inside_of_others_are_each_credited_to_their_own():
    outer, inner, beside = opened(3)

    def nested():
        for _ in range(4):
            made = bytearray(BIG)
            rows = compiled.Stream(sized(3), variable, "span", lambda: inner, lambda *_: None)
            next(rows)
            next(rows)
            made += bytes(1)
            before = compiled.switch_window(beside)  # as a recording inside would do
            bytearray(BIG)
            list(rows)
            compiled.switch_window(before)
            yield made

    def run():
        kept = [
            bytearray(BIG)  # the consumer's: nobody's
            for _ in compiled.Stream(nested(), variable, "span", lambda: outer, lambda *_: None)
        ]
        assert len(kept) == 4

    contextvars.copy_context().run(run)
    for window in (outer, inner, beside):
        window.close()
    # A bytearray that grows is allocated once more.
    assert [big(window) for window in (outer, inner, beside)] == [8, 12, 4]


def test_rows_that_take_turns_are_each_credited_to_their_own():
    windows = opened(3)
    streams = [
        compiled.Stream(sized(5), variable, "span", lambda window=window: window, lambda *_: None)
        for window in windows
    ]
    assert len(list(zip(*streams, strict=True))) == 5
    for window in windows:
        window.close()
    assert [big(window) for window in windows] == [5, 5, 5]


def test_rows_of_several_threads_are_each_credited_to_their_own():
    """A thread may come while another one makes a row, and go before it or after it."""
    windows, made = opened(6), []

    def rows():
        for number in range(40):
            time.sleep(0.0001 * (number % 3))
            yield bytearray(BIG)

    def run(window):
        stream = compiled.Stream(rows(), variable, "span", lambda: window, lambda *_: None)
        made.append(sum(1 for _ in stream))

    threads = [threading.Thread(target=run, args=(window,)) for window in windows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for window in windows:
        window.close()
    assert made == [40] * 6
    assert [big(window) for window in windows] == [40] * 6


def test_a_row_that_is_made_in_another_context_is_not_credited_where_nobody_asked():
    (window,) = opened(1)

    def rows():
        for number in range(4):
            yield contextvars.Context().run(bytearray, BIG) if number % 2 else bytearray(BIG)

    list(compiled.Stream(rows(), variable, "span", lambda: window, lambda *_: None))
    window.close()
    assert big(window) == 2


def test_a_child_that_is_born_while_a_row_is_made_goes_on():
    ended_well(
        in_a_new_thread("""
import os, threading, time, warnings
from django_memsize import engine
warnings.simplefilter("ignore", DeprecationWarning)  # to fork beside another thread
def child(): compiled.discard_windows()
os.register_at_fork(after_in_child=child)

window, other = compiled.Window(), compiled.Window()
window.open(); other.open()
busy = threading.Event()
def slow():
    yield 1
    busy.set()
    time.sleep(0.5)
    yield 2
elsewhere = threading.Thread(
    target=lambda: list(
        compiled.Stream(slow(), variable, "span", lambda: other, lambda *_: None)
    )
)
elsewhere.start()
busy.wait()
def rows():
    yield 1
    yield os.fork()
    yield bytearray(100)
for number, row in enumerate(
    compiled.Stream(rows(), variable, "span", lambda: window, lambda *_: None)
):
    if number == 1:
        forked = row
if not forked:
    made = [bytearray(100) for _ in range(100_000)]
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 7
elsewhere.join()
""")
    )


GREENLETS = """
from contextvars import ContextVar
from greenlet import getcurrent, greenlet
from django_memsize.engine import compiled
from tests.windows import metered

variable, hub = ContextVar("variable"), getcurrent()

class Span:
    pass

def make_row(_):
    hub.switch()
    return bytearray(5000)

def work(depth):
    if depth:  # the stack differs
        return list(map(work, [depth - 1]))
    with metered() as window:
        span = Span()
        span.window = window
        before = window.allocated[1]
        rows = compiled.Stream(
            map(make_row, range(20)), variable, span, lambda: window, lambda *_: None
        )
        made = [row for row in rows]
        allocated.append(window.allocated[1] - before)

allocated = []
waiting = [greenlet(work) for _ in range(40)]
while waiting:
    for number, each in enumerate(waiting):
        each.switch(*([number % 7] if not each else []))
        other = [bytearray(5000) for _ in range(20)]
    waiting = [each for each in waiting if not each.dead]
assert len(allocated) == 40
# What greenlet saves of the stacks is the program's as well. The hub made 2,000,000 bytes.
assert all(100_000 <= each < 400_000 for each in allocated), allocated
"""


@pytest.mark.skipif(not importlib.util.find_spec("greenlet"), reason="greenlet is not installed")
def test_greenlets_that_switch_while_a_row_is_made_are_credited_each_with_its_own():
    ended_well(GREENLETS)
