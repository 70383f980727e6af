"""How many spans are in flight in this process at the same time."""

from __future__ import annotations

import threading
from typing import Final

from .. import process
from ..values import ours


@ours
class _InFlightNow:
    """The spans in flight in this process.

    ``lock`` is reentrant: a collection may start in the locked lines, and run a finaliser that
    closes a span.
    """

    __slots__ = ("forks", "lock", "number", "opened")

    def __init__(self) -> None:
        self.opened = 0
        self.forks = -1
        self.reset()

    def reset(self) -> None:
        self.lock = threading.RLock()
        self.number = 0
        self.forks += 1


_now: Final = process.register(_InFlightNow())


@ours
class InFlight:
    """One span in flight, from its construction until ``close()``."""

    __slots__ = ("_closed", "_forks", "_number", "_others_before")

    def __init__(self) -> None:
        with _now.lock:
            self._others_before = _now.number
            _now.opened += 1
            _now.number += 1
            self._number = _now.opened
            self._forks = _now.forks
            self._closed = False

    def close(self) -> int:
        """End the span; return how many others were in flight at any moment of it.

        A second call ends nothing.
        """
        with _now.lock:
            if not self._closed:
                self._closed = True
                if self._forks == _now.forks:  # a span of the parent process is not counted here
                    _now.number -= 1
            return self.others()

    def others(self) -> int:
        """Return how many others were in flight since it began, up to now. Takes no lock."""
        return self._others_before + _now.opened - self._number


def number_in_flight() -> int:
    """Return how many spans are in flight now. Takes no lock."""
    return _now.number
