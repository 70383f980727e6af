"""Recordings that have ended, until their requests are really over.

A request and its response hold much of what was allocated: whether the rest is retained can be told
once they are gone. That is soon after the last byte, or, where they are part of a cycle, whenever
Python's collector comes: nobody waits for that longer than a moment. Then it is looked for.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from ..values import ours
from .errors import ErrorBoundary
from .referrers import ExternalObjects, Watched, find_external_objects
from .spans import uncredited

_LATEST: Final = 0.25
_PAUSE: Final = 0.02
_AT_MOST: Final = 100

Then: TypeAlias = Callable[[ExternalObjects | None], object]

_contained: Final = ErrorBoundary("django-memsize: settling a recording")


@ours
class _Ended:
    __slots__ = ("_gone_since", "_since", "of", "share", "then", "watched")

    def __init__(self, watched: Watched, then: Then, of: object, share: float) -> None:
        self.watched = watched
        self._since = time.monotonic()
        self._gone_since: float | None = None
        self.then = then
        self.of = of
        self.share = share

    def is_over(self) -> bool:
        is_late = time.monotonic() - self._since >= _LATEST
        return is_late if self.is_alive() else self.is_gone()

    def is_gone(self) -> bool:
        # The collector clears weak references first, and frees what they referred to last: in
        # between it runs finalisers, and with them any thread (Modules/gcmodule.c).
        now = time.monotonic()
        if self._gone_since is None and not self.is_alive():
            self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _PAUSE

    def is_alive(self) -> bool:
        return any(reference() is not None for reference in self.watched)


@ours
class _Waiting(list[_Ended]):
    __slots__ = ()


_waiting: Final = _Waiting()
_ticking = threading.Lock()


def wait(watched: Watched, then: Then, of: object = None, share: float = 1.0) -> bool:
    """Have ``then`` called once what ``watched`` refers to is gone, or may as well be.

    It is given what leads there where that is alive by then, and all our work within this share of
    the CPU time of the process. False, and nothing is done, where too many wait already. ``of`` is
    for ``analyse``.
    """
    if len(_waiting) >= _AT_MOST:
        return False
    _waiting.append(_Ended(watched, then, of, share))
    return True


def analyse(of: object = None) -> None:
    """Wait no longer: for those of something, or for all."""
    _analyse(lambda ended: of is None or ended.of is of)


def analyse_what_is_over() -> None:
    """Settle those whose time has come, but what has to be looked for if time is kept."""
    if _waiting:
        _analyse(_Ended.is_gone if _ticking.locked() else _Ended.is_over)


def keep_time(afterwards: Callable[[], bool]) -> None:
    """Settle in the background from now on, until nothing waits and ``afterwards()`` is done."""
    ticking = _ticking
    if ticking.acquire(blocking=False):
        try:
            threading.Thread(
                target=_tick, args=(afterwards, ticking), name="memsize", daemon=True
            ).start()
        except BaseException:
            ticking.release()
            raise


def forget() -> None:
    """Forget what waits, as a new process would."""
    global _ticking
    _ticking = threading.Lock()
    _waiting.clear()


def _tick(afterwards: Callable[[], bool], ticking: threading.Lock) -> None:
    done = False
    try:
        while _waiting or not done:
            time.sleep(_PAUSE)
            done = True
            with _contained:
                _analyse(_Ended.is_over)
                done = afterwards()
    finally:
        ticking.release()
    if _waiting:  # since the last look, by somebody who still found us here
        keep_time(afterwards)


def _analyse(wanted: Callable[[_Ended], bool]) -> None:
    taken = _take(wanted)
    around = None
    try:
        with _contained, uncredited():
            around = _find_external_objects(taken)
        while taken:
            taken.pop(0).then(around)
    finally:
        _waiting.extend(taken)
        if around is not None:
            around.clear()


def _take(wanted: Callable[[_Ended], bool]) -> _Waiting:
    taken = _Waiting()
    for ended in tuple(_waiting):
        if wanted(ended):
            try:
                _waiting.remove(ended)
            except ValueError:  # another thread was quicker
                continue
            taken.append(ended)
    return taken


def _find_external_objects(taken: _Waiting) -> ExternalObjects | None:
    """Look once for all of them."""
    alive = [ended for ended in taken if ended.is_alive()]
    if not alive:
        return None
    watched = [reference for ended in alive for reference in ended.watched]
    around = find_external_objects(watched, max(ended.share for ended in alive))
    around.cost /= len(taken)
    return around


os.register_at_fork(after_in_child=forget)
