"""The one writer of a process: a thread with a connection of its own, and a bounded queue.

No thread of the program waits for it. A report that cannot be stored is dropped, and counted by
cause in ``workers.tally``.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable
from typing import Final

from .. import conf, process
from ..measuring import deferred
from ..measuring.errors import ErrorBoundary
from ..models import Report
from ..workers import worker
from ..workers.tally import Cause, State, tally
from . import database, immediate, rollup_writer
from .drops import drop
from .queue import Queued
from .rollups import rollups
from .writer_thread import WriterThread

_TO_EXIT: Final = 2.0
"""Seconds that the end of the process waits for the analysis and the storing of what is left."""

_LOOK: Final = 0.01
"""Seconds between two looks of a thread that waits until everything is stored."""

_contained: Final = ErrorBoundary("django-memsize: storing a report")
_writer: Final = process.register(WriterThread())


def is_running() -> bool:
    """Return whether the writer's thread runs."""
    return _writer.is_running


def begin() -> None:
    """Have the writer's thread run: at the end of the process none can be started any more."""
    _writer.begin()


def submit(report: Report) -> bool:
    """Queue a report that counts as waiting, for the writer; return whether it was accepted.

    If it raises, the report still counts as waiting.

    Where no other thread may write, the report is written at once instead, see `immediate`.
    """
    if conf.is_under_test() or database.is_in_memory(database.alias()):
        return immediate.write(report)
    if _writer.is_closed:  # the process ends
        drop(State.WAITING, Cause.LOST)
        return False
    item = Queued(report)
    tally.move(State.WAITING, State.QUEUED)  # before the thread may store it
    if not _writer.put(item):
        is_failing = _writer.is_failing
        drop(State.QUEUED, Cause.DATABASE_FAILED if is_failing else Cause.QUEUE_FULL)
        return False
    with _contained:
        _writer.begin()
    return True


def flush(timeout: float) -> bool:
    """Wait until every report is stored or dropped; return False if that takes too long.

    For commands, and for the end of the process. Returns early while the writer waits before
    another attempt, because the database failed; not in the middle of an attempt.
    """
    _wait(lambda: not _unfinished() or _writer.is_pausing, time.monotonic() + timeout)
    return not _unfinished()


def last_error() -> str:
    """Return why the last report was not stored, as far as it is known."""
    return _writer.error


def _unfinished() -> int:
    numbers = tally.numbers()
    return numbers[State.WAITING] + numbers[State.QUEUED]


def _wait(is_over: Callable[[], bool], deadline: float) -> None:
    """Have the writer's thread hurry until something is over, it ends, or it is too late."""
    while _writer.is_running and not is_over() and time.monotonic() < deadline:
        _writer.hurry()
        time.sleep(_LOOK)


# The end of the process


def _at_exit() -> None:
    with _contained:
        _end()


def _end() -> None:
    """Store what is left, for two seconds at most, and count the rest as lost."""
    deadline = time.monotonic() + _TO_EXIT
    if _unfinished():
        deferred.hurry()
        flush(_TO_EXIT)
    _end_rollups(deadline)
    _writer.end()
    numbers = tally.numbers()
    for state in (State.WAITING, State.QUEUED):
        if numbers[state]:
            drop(state, Cause.LOST, numbers[state])
    worker.end()


def _end_rollups(deadline: float) -> None:
    _writer.end_rollups()
    own = _writer.rollups
    _wait(lambda: _writer.is_pausing or own.is_pausing or own.is_done, deadline)
    left = rollups.requests_left()
    if left and not conf.is_under_test():
        rollup_writer.warn(left, "the process ended")


atexit.register(_at_exit)
