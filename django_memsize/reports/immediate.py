"""Storing a report at once, where no other thread may: in tests of the program that ask for it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import DatabaseError, InterfaceError, connections

from ..measuring.errors import ErrorBoundary
from ..models import Report
from ..values import ours
from ..workers.tally import Cause, State, tally
from . import database, retention, storage
from .connection import unnoticed
from .drops import describe, drop, is_table_missing

_contained: Final = ErrorBoundary("django-memsize: storing a report")


def running_test() -> weakref.ref[Any] | None:
    """Return the test that runs, by its transaction in this thread; None without one."""
    # Django marks the transaction of a test: see _from_testcase in django/db/transaction.py.
    blocks = [
        block
        for block in connections[database.alias()].atomic_blocks
        if getattr(block, "_from_testcase", False)
    ]
    return weakref.ref(blocks[-1]) if blocks else None


def is_over(test: weakref.ref[Any] | None) -> bool:
    """Return whether another test runs than this one. A thread without a test does not tell."""
    running = None if test is None else running_test()
    return running is not None and running != test


@ours
class _Outcome:
    """What became of the report in hand."""

    __slots__ = ("cause", "is_stored")

    def __init__(self) -> None:
        self.is_stored = False
        self.cause = Cause.DATABASE_FAILED

    def stored(self, items: Sequence[Any]) -> None:
        """Take the report, which is stored."""
        self.is_stored = True
        tally.move(State.WAITING, State.STORED, len(items))

    def refused(self, item: Any, error: Exception) -> None:
        """Take the report that the database refuses."""
        drop(State.WAITING, Cause.REFUSED, 1, describe(error))


@ours
class _InHand:
    """A report that is stored as it is."""

    __slots__ = ("_report",)

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def uid(self) -> Any:
        """What identifies the report."""
        return self._report.uid

    def report(self) -> Report:
        """Return the report."""
        return self._report


def write(report: Report) -> bool:
    """Insert a report through the connection of this thread, inside a savepoint, unnoticed.

    A test runner undoes what a test does in its connection, and in no other one. A database in
    memory is that of one connection alone.
    """
    outcome, alias = _Outcome(), database.alias()
    try:
        with _without_event_loop():
            _write_beside(report, alias, outcome)
    except Exception as error:
        if not outcome.is_stored:
            drop(State.WAITING, outcome.cause, 1, describe(error))
    return outcome.is_stored


def _write_beside(report: Report, alias: str, outcome: _Outcome) -> None:
    connection = connections[alias]
    was_open = connection.connection is not None
    try:
        with unnoticed(connection):
            if not connection.in_atomic_block and not connection.get_autocommit():
                raise DatabaseError("nobody would commit a report: the test is not in autocommit")
            try:
                storage.write(
                    [_InHand(report)], alias, tally, outcome, may_be_stored=report.pk is not None
                )
            except (DatabaseError, InterfaceError):
                if is_table_missing(alias):
                    outcome.cause = Cause.TABLE_MISSING
                raise
            if outcome.is_stored:
                with _contained:
                    retention.prune(alias)
    finally:
        if not was_open:
            connection.close()  # nobody else in this thread may be there to do so


@contextlib.contextmanager
def _without_event_loop() -> Iterator[None]:
    """Hide a running event loop, in which Django refuses its databases: a test may wait."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
