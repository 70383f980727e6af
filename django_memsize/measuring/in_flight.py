"""How many others were under way at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..values import ours

# Reentrant: the collector may run in the locked lines, and with it a finaliser that leaves.
_lock = threading.RLock()
# Held while somebody counts on being alone: nobody arrives meanwhile. No finaliser needs it.
_gate = threading.Lock()
_arrived = 0
_present = 0
_forks = 0


@ours
class _Threads(dict[int, int]):
    """How many are under way, by the thread that began them."""

    __slots__ = ()


_threads = _Threads()


@ours
class InFlight:
    """One span under way, from its making until ``leave()``."""

    __slots__ = ("_ahead", "_forks", "_left", "_number", "_thread")

    def __init__(self) -> None:
        global _arrived, _present
        with _gate, _lock:
            self._ahead = _present
            _arrived += 1
            _present += 1
            self._number = _arrived
            self._forks = _forks
            self._left = False
            self._thread = threading.get_ident()
            _threads[self._thread] = _threads.get(self._thread, 0) + 1

    def leave(self) -> int:
        """Return how many others were under way at any moment in between. Counts out only once."""
        global _present
        with _lock:
            if not self._left:
                self._left = True
                if self._forks == _forks:  # else it was counted in the parent process
                    _present -= 1
                    _threads[self._thread] -= 1
                    if not _threads[self._thread]:
                        del _threads[self._thread]
            return self._ahead + _arrived - self._number


@contextmanager
def none_in_flight() -> Iterator[bool]:
    """Keep others from arriving; say whether nobody is under way."""
    with _gate:
        yield _present == 0


def in_flight_elsewhere() -> int:
    """Return how many are under way now that other threads began."""
    return _present - _threads.get(threading.get_ident(), 0)


def _forget() -> None:
    global _forks, _gate, _lock, _present
    _gate = threading.Lock()
    _lock = threading.RLock()
    _present = 0
    _threads.clear()
    _forks += 1


os.register_at_fork(after_in_child=_forget)
