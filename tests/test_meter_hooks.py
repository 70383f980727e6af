"""Other tools on the same hooks, interpreters beside this one, and forks: nobody crashes."""

import importlib.util
import os
import sys

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests import programs  # noqa: E402


def ended_well(source, *arguments):
    """Run a program, which would go on for ever where hooks call themselves."""
    return programs.ended_well(source, *arguments, timeout=600 if IS_LONG else 40)


IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"

SETTING = """
import contextlib, gc, itertools, os, sys, time, tracemalloc
from django_memsize.engine import compiled
from django_memsize.engine.compiled import Window, switch_window
from tests.windows import inside, metered, total

class Plain:
    __slots__ = ("first",)

def make(number=1000):
    return [Plain() for _ in range(number)]

def begin():
    window = Window()
    window.open()
    switch_window(window)
    return window

def end(window):
    window.close()
    switch_window(None)
    by_type = window.alive_by_type()
    tables = window.analyse()
    assert total(*by_type) == total(*tables)
    return tables[0][0].get("__main__.Plain", 0)

def works_again():
    # What was there before is left there, and a new window sees everything.
    for _ in range(2):
        window = begin()
        kept = make()
        assert end(window) == 1000
        assert not window.incomplete
        assert not compiled.hooks_installed()
"""


def test_a_window_that_tracemalloc_takes_the_hooks_from_is_incomplete_and_empty():
    ended_well(
        SETTING
        + """
older = make(10)
tracemalloc.start()
window = begin()
kept = make(300_000)
tracemalloc.stop()
del kept  # unseen
gc.collect()
window.close()
assert window.incomplete
assert window.alive == (0, 0)
assert window.alive_by_type() == (({}, {}), ({}, {}))
assert end(window) == 0
assert not compiled.hooks_installed()
works_again()
"""
    )


def test_hundreds_of_thousands_of_blocks_freed_unseen_are_not_read_by_the_next_window():
    ended_well(
        SETTING
        + """
for _ in range(3):
    tracemalloc.start()
    window = begin()
    kept = make(200_000)
    tracemalloc.stop()
    del kept
    gc.collect()
    following = begin()  # this one finds out
    assert window.incomplete and not window.is_open
    kept = make(500)
    assert following.alive_by_type()[0][0]["__main__.Plain"] == 500
    assert end(following) == 500
    assert not following.incomplete
    end(window)
works_again()
"""
    )


@pytest.mark.parametrize(
    "drop", ["del window", "window.close()", "window.analyse", "window.alive_by_type()"]
)
def test_whoever_touches_a_window_first_finds_out_that_the_hooks_are_gone(drop):
    ended_well(
        SETTING
        + f"""
for _ in range(20):
    tracemalloc.start()
    window = begin()
    inner = begin()
    kept = make(5000)
    tracemalloc.stop()
    del kept
    switch_window(None)
    {drop}
    del inner
    window = None
    gc.collect()
    assert not compiled.hooks_installed()
works_again()
"""
    )


ORDERS = """
TOOLS = {"tracemalloc": (tracemalloc.start, tracemalloc.stop)}

if sys.argv[1:] == ["memray"]:
    import memray, tempfile
    folder, number, tracker = tempfile.mkdtemp(), itertools.count(), []
    def start():
        tracker.append(memray.Tracker(f"{folder}/{next(number)}.bin", trace_python_allocators=True))
        tracker[-1].__enter__()
    def stop():
        tracker.pop().__exit__(None, None, None)
    TOOLS["memray"] = start, stop

def run(steps):
    windows, kept, seen = {}, [], []
    for step in steps:
        name, begins = step
        if name in TOOLS:
            TOOLS[name][not begins]()
        elif begins:
            windows[name] = window = Window()
            window.open()
            switch_window(window)
        else:
            window = windows.pop(name)
            window.close()
            switch_window(None)
            by_type = window.alive_by_type()
            if window.incomplete:
                assert by_type == (({}, {}),) * 2, by_type
            if window.is_outermost:
                alive, tables = window.alive[1], window.analyse()
                assert total(*tables) == alive
            seen.append(window.incomplete)
        kept.append(make(300))
        del kept[:-2]
    assert not compiled.hooks_installed()
    return any(seen)

def orders(names):
    # Each begins before it ends; otherwise in every order.
    steps = [(name, begins) for name in names for begins in (True, False)]
    for order in itertools.permutations(steps):
        if all(order.index((name, True)) < order.index((name, False)) for name in names):
            yield order

def crossed(order, one, other):
    # Two tools that end in the order in which they began leave a hook of the first behind, with or
    # without a window.
    at = order.index
    return (at((one, True)) < at((other, True)) < at((one, False)) < at((other, False))
        or at((other, True)) < at((one, True)) < at((other, False)) < at((one, False)))
"""


def test_tracemalloc_in_every_order_with_two_windows_does_no_harm():
    ended_well(
        SETTING
        + ORDERS
        + """
seen = [run(order) for order in orders(["tracemalloc", "first", "second"])]
assert len(seen) == 90
assert 0 < sum(seen) < 90
works_again()
"""
    )


@pytest.mark.skipif(not importlib.util.find_spec("memray"), reason="memray is not installed")
def test_memray_and_tracemalloc_in_every_order_with_a_window_do_no_harm():
    ended = programs.run(  # memray writes warnings
        SETTING
        + ORDERS
        + """
seen = [
    run(order)
    for names in (["memray", "first", "second"], ["memray", "tracemalloc", "first"])
    for order in orders(names)
    if "tracemalloc" not in names or not crossed(order, "memray", "tracemalloc")
]
assert 0 < sum(seen) < len(seen)
works_again()
""",
        "memray",
        timeout=100,
    )

    assert ended.returncode == 0, ended.stderr


# A tool such as tracemalloc: it puts its hooks on top, and takes off with them what came later.
TOOL = """
import _testcapi

class Tool:
    def start(self):
        _testcapi.set_nomemory(1 << 30)  # never fails; its hooks are in all domains
    def stop(self):
        _testcapi.remove_mem_hooks()
"""

needs_hooks = pytest.mark.skipif(
    not importlib.util.find_spec("_testcapi"), reason="this Python has no _testcapi"
)


@needs_hooks
def test_hooks_that_another_tool_still_calls_are_not_put_on_top_of_it():
    ended_well(
        SETTING
        + TOOL
        + """
tool = Tool()
window = begin()
tool.start()  # on top of the window's
tracemalloc.start()  # on top of the tool's
tool.stop()  # takes off both
end(window)  # so the window's can come off
tracemalloc.stop()  # and this brings the tool's back, which call them
works_again()
"""
    )


@needs_hooks
def test_what_is_freed_while_the_hooks_are_off_is_not_read_when_they_come_back():
    """For AddressSanitizer to see. The last block is as large as a context's values are."""
    ended_well(
        SETTING
        + TOOL
        + """
class Large:
    __slots__ = ("first", "second", "third")

def run(kept, stop):
    kept[0] = Large()
    stop()  # takes off the window's and tracemalloc's
    kept.clear()
    tracemalloc.stop()  # brings back the window's
    return [[] for _ in range(100)]

tool = Tool()
tool.start()
window = begin()
tracemalloc.start()
assert len(run([None] * 9, tool.stop)) == 100
window.close()
window.discard()
switch_window(None)
works_again()
"""
    )


def test_a_fragmented_heap_is_accounted_for_like_any():
    ended_well(
        SETTING
        + """
held = [bytearray(n % 3000) for n in range(200_000 if len(sys.argv) > 1 else 60_000)]
kept = held[::7]
del held
window = begin()
made = [Plain() for _ in range(30_000)] + [bytearray(n % 3000) for n in range(3000)]
del kept
assert end(window) == 30_000
works_again()
""",
        *(["long"] if IS_LONG else []),
    )


# Interpreters.

INTERPRETERS = """
import threading
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    def create(is_alone):
        return interpreters.create("isolated" if is_alone else "legacy")
else:
    import _xxsubinterpreters as interpreters
    def create(is_alone):
        return interpreters.create(isolated=is_alone)

def run_in(interpreter, source):
    failure = interpreters.run_string(interpreter, source)
    assert failure is None, failure
"""


@pytest.mark.parametrize("is_alone", [False, True], ids=["sharing", "alone"])
def test_what_another_interpreter_allocates_is_none_of_a_window_s(is_alone):
    ended_well(
        SETTING
        + INTERPRETERS
        + f"""
other = create({is_alone})
run_in(other, "kept = [[n] for n in range(100)]")
window = begin()
mine = make(500)
before = window.alive[1]
run_in(other, "kept += [[n, {{}}, object()] for n in range(20_000)]")
run_in(other, "del kept[:10_000]")
assert abs(window.alive[1] - before) < 100_000, (window.alive, before)
assert end(window) == 500
assert not window.incomplete
interpreters.destroy(other)
works_again()
"""
    )


def test_an_interpreter_that_allocates_in_a_thread_does_no_harm_to_windows():
    ended_well(
        SETTING
        + INTERPRETERS
        + """
def work(is_alone):
    other = create(is_alone)
    for _ in range(15):
        run_in(other, "kept = [[n, {}, object()] for n in range(5000)]; kept.clear()")
    interpreters.destroy(other)

threads = [threading.Thread(target=work, args=(is_alone,)) for is_alone in (False, True)]
for thread in threads: thread.start()
while any(thread.is_alive() for thread in threads):
    time.sleep(1e-4)  # interpreters do not take turns by themselves
    window = begin()
    kept = make(100)
    window.close()
    switch_window(None)
    assert window.analyse()[0][0]["__main__.Plain"] == 100
for thread in threads: thread.join()
works_again()
"""
    )


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="interpreters share no texts from 3.12 on")
def test_what_another_interpreter_frees_is_known_to_be_gone():
    ended_well(
        SETTING
        + INTERPRETERS
        + """
other = create(False)
shared = "".join(["a text ", "of both"])
window = begin()
mine = [sys.intern(f"{shared} {number}") for number in range(1000)]
run_in(other, '''
import sys
kept = [sys.intern(f"a text of both {number}") for number in range(1000)]
''')
before = window.alive[0]
mine.clear()
run_in(other, "kept.clear()")
assert before - window.alive[0] >= 1000, (before, window.alive)
end(window)
interpreters.destroy(other)
works_again()
"""
    )


def test_a_child_process_begins_without_windows():
    ended_well(
        SETTING
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
os.register_at_fork(after_in_child=compiled.discard_windows)
for _ in range(5):
    window = begin()
    inner = begin()
    kept = make(5000)
    child = os.fork()
    if not child:
        assert not compiled.hooks_installed() and not window.is_open
        assert window.alive == inner.alive == (0, 0)
        del kept
        more = make(100)
        window.close()
        assert window.analyse() == (({}, {}),) * 3
        del window, inner
        switch_window(None)
        works_again()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert window.is_open
    assert end(window) == 5000
works_again()
"""
    )


@pytest.mark.parametrize("left", ["open", "closed", "unknown"])
def test_an_interpreter_ends_whatever_window_there_is(left):
    ended_well(
        SETTING
        + f"""
import builtins
class Last:
    def __del__(self, make=make, window=Window, switch=switch_window):
        inner = window()
        inner.open()
        switch(inner)
        kept = make(100)
        inner.close()
        inner.alive_by_type()
window = begin()
inner = begin()
kept = make(10_000)
loop = Last()
loop.itself = loop
builtins.held = Last()
if {left!r} == "closed":
    window.close()
elif {left!r} == "unknown":
    del window, inner
"""
    )


def test_an_engine_that_is_imported_again_does_no_harm_to_open_windows():
    ended_well(
        SETTING
        + """
import importlib
window = begin()
kept = make(1000)
for _ in range(3):
    del sys.modules["django_memsize.engine.compiled"]
    again = importlib.import_module("django_memsize.engine.compiled")
    other = again.Window()
    other.open()
    again.switch_window(other)
    more = make(500)
    other.close()
    again.switch_window(None)
    other.alive_by_type()
    del other, again
    gc.collect()
window.close()
assert window.analyse()[0][0]["__main__.Plain"] >= 1000
"""
    )
