"""The fate of every report of this process: how many wait, are queued, stored, or dropped.

A report is in exactly one state. The number of reports made is the sum over the states, so none can
be lost without a trace.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from .. import process
from ..values import Counts, ours


class State(StrEnum):
    """What a report may be doing."""

    WAITING = "waiting"
    """Its recording is closed and waits for its analysis."""
    QUEUED = "queued"
    """It waits for the writer."""
    STORED = "stored"


class Cause(StrEnum):
    """Why a report was dropped. The words are shown as they are."""

    NOT_ANALYSED = "too many waited for analysis"
    QUEUE_FULL = "queue full"
    DATABASE_FAILED = "database failed"
    TABLE_MISSING = "table missing"
    REFUSED = "refused by the database"
    FAULT = "fault of django-memsize"
    LOST = "lost at exit"


class Mirror(Protocol):
    """A copy of the numbers outside of this process's own memory."""

    def set_number(self, name: str, number: int) -> None:
        """Store a number. Raises nothing."""


MADE: Final = "made"
INHERITED: Final = "taken over"
"""The drops of processes that ended. They are among the drops, and not among those made here."""


def told(cause: str) -> str:
    """Return the name of the number of drops by ``cause`` that a stored report has told."""
    return f"told {cause}"


NUMBERS: Final = (MADE, INHERITED, *State, *Cause, *map(told, Cause))
"""The names of all numbers of a tally, in the order in which a file has them."""

_Change = tuple[str | None, str, int]


@ours
class _Changes(deque[_Change]):
    __slots__ = ()


@ours
class Tally:
    """Counts reports by state, and drops by cause.

    Nobody waits for the lock to count: a change is appended to a queue, and added up by whoever has
    the lock, at the latest when it releases it. So a finaliser may count at any moment.
    """

    __slots__ = ("_changes", "_lock", "_mirror", "_numbers")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin as a new process does."""
        self._changes = _Changes()
        self._lock = threading.Lock()
        self._numbers = Counts(dict.fromkeys(NUMBERS, 0))
        self._mirror: Mirror | None = None

    def made(self, state: str, number: int = 1) -> None:
        """Count reports that are made and begin in this state."""
        self._change(None, state, number)

    def move(self, source: str, target: str, number: int = 1) -> None:
        """Count reports that pass from one state to another, as far as the first one has any."""
        self._change(source, target, number)

    def inherit(self, cause: str, number: int) -> None:
        """Count drops of a process that ended, to be told by a report of this one."""
        self._change("", INHERITED, number)
        self._change("", cause, number)

    def tell(self, drops: Mapping[str, int]) -> None:
        """Count drops as told by a stored report."""
        for cause, number in drops.items():
            self._change("", told(cause), number)

    def numbers(self) -> Counts:
        """Return a copy of all numbers by name, with every change so far."""
        with self._lock:
            self._add_up()
            numbers = Counts(self._numbers)
        self._try_to_add_up()
        return numbers

    def untold(self) -> Counts:
        """Return the drops that no stored report has told, by cause, without those of none."""
        return untold(self.numbers())

    def mirror_to(self, mirror: Mirror | None) -> None:
        """Copy all numbers to a mirror now, and each change from now on."""
        with self._lock:
            self._add_up()
            self._mirror = mirror
            if mirror is not None:
                for name, number in self._numbers.items():
                    mirror.set_number(name, number)
        self._try_to_add_up()

    def _change(self, source: str | None, target: str, number: int) -> None:
        # With an empty source a number is only added to.
        self._changes.append((source, target, number))
        self._try_to_add_up()

    def _try_to_add_up(self) -> None:
        while self._changes and self._lock.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                self._lock.release()

    def _add_up(self) -> None:
        while self._changes:
            source, target, number = self._changes.popleft()
            if source is None:
                self._add(MADE, number)
            elif source:
                # A thread may finish a report that the end of the process has counted as lost.
                number = min(number, self._numbers[source])
                self._add(source, -number)
            self._add(target, number)

    def _add(self, name: str, number: int) -> None:
        self._numbers[name] += number
        if self._mirror is not None:
            self._mirror.set_number(name, self._numbers[name])


def untold(numbers: Mapping[str, int]) -> Counts:
    """Return the drops among these numbers that no stored report has told, by cause."""
    drops = {str(cause): numbers[cause] - numbers[told(cause)] for cause in Cause}
    return Counts({cause: number for cause, number in drops.items() if number > 0})


def lost(numbers: Mapping[str, int]) -> int:
    """Return how many reports a process neither stored nor dropped: at its end they are lost."""
    known = numbers[State.STORED] + sum(numbers[cause] for cause in Cause)
    return max(0, numbers[MADE] + numbers[INHERITED] - known)


tally: Final = process.register(Tally())
