"""Recordings that have ended, until their requests are really over.

A request and its response hold much of what was allocated: whether the rest is retained can be told
once they are gone. That is soon after the last byte, or, where they are part of a cycle, whenever
Python's collector comes: nobody waits for that longer than a moment.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from .faults import Contained
from .values import ours

_LATEST: Final = 0.25
_PAUSE: Final = 0.02
_AT_MOST: Final = 100

Over: TypeAlias = tuple[weakref.ref[Any], ...]

_contained: Final = Contained("django-memsize: settling a recording")


@ours
class _Ended:
    __slots__ = ("_gone_since", "_over", "_since", "of", "then")

    def __init__(self, over: Over, then: Callable[[], object], of: object) -> None:
        self._over = over
        self._since = time.monotonic()
        self._gone_since: float | None = None
        self.then = then
        self.of = of

    def is_over(self) -> bool:
        now = time.monotonic()
        return now - self._since >= _LATEST or self._is_gone(now)

    def _is_gone(self, now: float) -> bool:
        # The collector clears weak references first, and frees what they referred to last: in
        # between it runs finalisers, and with them any thread (Modules/gcmodule.c).
        if self._gone_since is None and all(reference() is None for reference in self._over):
            self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _PAUSE


@ours
class _Waiting(list[_Ended]):
    __slots__ = ()


_waiting: Final = _Waiting()
_clock: threading.Thread | None = None


def wait(over: Over, then: Callable[[], object], of: object = None) -> bool:
    """Have ``then`` called once what ``over`` refers to is gone, or may as well be.

    False, and nothing is done, where too many wait already. ``of`` is for ``settle``.
    """
    if len(_waiting) >= _AT_MOST:
        return False
    _waiting.append(_Ended(over, then, of))
    return True


def settle(of: object = None) -> None:
    """Wait no longer: for those of something, or for all."""
    _settle(lambda ended: of is None or ended.of is of)


def settle_what_is_over() -> None:
    """Settle those whose time has come."""
    if _waiting:
        _settle(_Ended.is_over)


def keep_time(afterwards: Callable[[], bool]) -> None:
    """Settle in the background from now on, until nothing waits and ``afterwards()`` is done."""
    global _clock
    if _clock is None:
        _clock = threading.Thread(target=_tick, args=(afterwards,), name="memsize", daemon=True)
        _clock.start()


def forget() -> None:
    """Forget what waits, as a new process would."""
    global _clock
    _clock = None
    _waiting.clear()


def _tick(afterwards: Callable[[], bool]) -> None:
    global _clock
    done = False
    while _waiting or not done:
        time.sleep(_PAUSE)
        done = True
        with _contained:
            settle_what_is_over()
            done = afterwards()
    _clock = None


def _settle(wanted: Callable[[_Ended], bool]) -> None:
    for ended in tuple(_waiting):
        if wanted(ended):
            try:
                _waiting.remove(ended)
            except ValueError:  # another thread was quicker
                continue
            ended.then()


os.register_at_fork(after_in_child=forget)
