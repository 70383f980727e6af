"""Rows that come one after another: what makes one is its window's, and nothing else is."""

import contextvars

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.programs import ended_well  # noqa: E402

variable = contextvars.ContextVar("variable", default=None)


def stream(rows, begin=lambda: None, end=lambda count: None):
    return compiled.Stream(rows, variable, "stretch", begin, end)


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
    map(bytearray, [5000] * 3), variable, "stretch", lambda: window, lambda count: None
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
    iter([1, 2]), variable, "stretch", lambda window=window: window, lambda count: None
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
    rows = stream(iter([1, 2]), lambda: heard.append("begin"), heard.append)
    rows.close()
    assert list(rows) == []
    rows.close()
    assert heard == []
