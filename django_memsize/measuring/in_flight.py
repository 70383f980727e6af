"""How many spans are in flight in this process at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .. import process
from ..values import ours


@ours
class _ByThread(dict[int, int]):
    """The number of spans in flight, by the thread that opened them."""

    __slots__ = ()


@ours
class _InFlightNow:
    """The spans in flight in this process.

    ``lock`` is reentrant: a collection may start in the locked lines, and run a finaliser that
    closes a span. ``gate`` is held while somebody relies on no span being opened; no finaliser
    needs it.
    """

    __slots__ = ("by_thread", "forks", "gate", "lock", "number", "opened")

    def __init__(self) -> None:
        self.by_thread = _ByThread()
        self.opened = 0
        self.forks = -1
        self.reset()

    def reset(self) -> None:
        self.gate = threading.Lock()
        self.lock = threading.RLock()
        self.number = 0
        self.by_thread.clear()
        self.forks += 1


_now: Final = process.register(_InFlightNow())


@ours
class InFlight:
    """One span in flight, from its construction until ``close()``."""

    __slots__ = ("_closed", "_forks", "_number", "_others_before", "_thread")

    def __init__(self) -> None:
        with _now.gate, _now.lock:
            self._others_before = _now.number
            _now.opened += 1
            _now.number += 1
            self._number = _now.opened
            self._forks = _now.forks
            self._closed = False
            self._thread = threading.get_ident()
            _now.by_thread[self._thread] = _now.by_thread.get(self._thread, 0) + 1

    def close(self) -> int:
        """End the span; return how many others were in flight at any moment of it.

        A second call ends nothing.
        """
        with _now.lock:
            if not self._closed:
                self._closed = True
                if self._forks == _now.forks:  # a span of the parent process is not counted here
                    _now.number -= 1
                    _now.by_thread[self._thread] -= 1
                    if not _now.by_thread[self._thread]:
                        del _now.by_thread[self._thread]
            return self._others_before + _now.opened - self._number


@contextmanager
def none_in_flight() -> Iterator[bool]:
    """Keep spans from being opened during the block; yield whether none is in flight."""
    with _now.gate:
        yield _now.number == 0


def in_flight_elsewhere() -> int:
    """Return how many spans are in flight that other threads opened."""
    return _now.number - _now.by_thread.get(threading.get_ident(), 0)
