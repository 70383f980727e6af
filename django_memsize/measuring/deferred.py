"""Recordings that are closed and wait for their requests to be over.

A request and its response hold much of what was allocated. Whether the rest is retained is known
once both are gone: soon after the last byte, or, where they are in a reference cycle, when Python's
collector runs. A recording waits 0.25 s at most; then what refers to its request is looked for.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, TypeAlias

from .. import process
from ..values import OwnTuple, ours
from .errors import ErrorBoundary
from .referrers import ExternalObjects, Watched, find_external_objects
from .spans import uncredited

_LONGEST_WAIT: Final = 0.25
"""Seconds after which a recording is analysed although its request is still alive."""

_PAUSE: Final = 0.02
"""Seconds from the end of a request to its analysis, and between two looks of the background
thread."""

_MOST_WAITING: Final = 100
_MOST_FAULTS: Final = 5
"""Faults in a row after which the background thread ends, so that it never runs for ever."""

Callback: TypeAlias = Callable[[ExternalObjects | None], object]
"""Analyses a recording, given the external objects that refer to its request, if any."""

_contained: Final = ErrorBoundary("django-memsize: analysing a recording")


@ours
class _Waiting:
    """A closed recording that waits: ``callback`` analyses it."""

    __slots__ = ("_gone_since", "_since", "callback", "group", "max_overhead", "watched")

    def __init__(
        self, watched: Watched, callback: Callback, group: object, max_overhead: float
    ) -> None:
        self.watched = watched
        self._since = time.monotonic()
        self._gone_since: float | None = None
        self.callback = callback
        self.group = group
        self.max_overhead = max_overhead

    def is_due(self) -> bool:
        """Return whether the recording can be analysed, if need be with external objects."""
        is_late = time.monotonic() - self._since >= _LONGEST_WAIT
        return is_late if self.is_alive() else self.is_gone()

    def is_gone(self) -> bool:
        """Return whether the watched objects are freed, so that there are no external objects."""
        # The collector clears weak references first, and frees the objects last. In between it
        # runs finalisers, and with them any thread (Modules/gcmodule.c, Python/gc.c).
        now = time.monotonic()
        if self._gone_since is None and not self.is_alive():
            self._gone_since = now
        return self._gone_since is not None and now - self._gone_since >= _PAUSE

    def is_alive(self) -> bool:
        """Return whether a watched object is alive."""
        return any(reference() is not None for reference in self.watched)


@ours
class _WaitingList(list[_Waiting]):
    __slots__ = ()


@ours
class _Deferred:
    """The waiting recordings of this process, and the lock that its one background thread holds."""

    __slots__ = ("thread_lock", "waiting")

    def __init__(self) -> None:
        self.waiting = _WaitingList()
        self.reset()

    def reset(self) -> None:
        self.thread_lock = threading.Lock()
        self.waiting.clear()


_deferred: Final = process.register(_Deferred())


def watch(*objects: object) -> Watched:
    """Return weak references that the collector clears before it runs finalisers.

    Since Python 3.15 it does so only for weak references with a callback; others are cleared after
    the finalisers (Python/gc.c, ``handle_weakrefs``). ``id`` is a callback that does nothing.
    """
    return OwnTuple(weakref.ref(watched, id) for watched in objects)


def wait(
    watched: Watched, callback: Callback, group: object = None, max_overhead: float = 1.0
) -> bool:
    """Call ``callback`` once the objects in ``watched`` are gone, or after 0.25 s.

    The callback takes the external objects that refer to those that are still alive, or None.
    Looking for external objects stops at ``max_overhead`` as a share of the CPU time of the
    process. ``group`` is any object; ``analyse_now(group)`` selects the recordings that wait with
    it. Returns False, and defers nothing, if 100 recordings wait already.
    """
    if len(_deferred.waiting) >= _MOST_WAITING:
        return False
    _deferred.waiting.append(_Waiting(watched, callback, group, max_overhead))
    return True


def analyse_now(group: object = None) -> None:
    """Call the callbacks of a group, or for None all of them, without waiting any longer."""
    _analyse(lambda waiting: group is None or waiting.group is group)


def analyse_what_is_over() -> None:
    """Call the callbacks that are due.

    While the background thread runs, those that need a search for external objects are left to it.
    """
    if _deferred.waiting:
        is_busy = _deferred.thread_lock.locked()
        _analyse(_Waiting.is_gone if is_busy else _Waiting.is_due)


def start_thread(afterwards: Callable[[], bool]) -> None:
    """Call what is due from a background thread, until nothing waits and ``afterwards()`` is True.

    Does nothing while such a thread runs.
    """
    thread_lock = _deferred.thread_lock  # reset() replaces it in a forked child
    if thread_lock.acquire(blocking=False):
        try:
            threading.Thread(
                target=_run, args=(afterwards, thread_lock), name="memsize", daemon=True
            ).start()
        except BaseException:
            thread_lock.release()
            raise


def _run(afterwards: Callable[[], bool], thread_lock: threading.Lock) -> None:
    done, faults = False, 0
    try:
        while _deferred.waiting or not done:
            time.sleep(_PAUSE)
            faults += 1
            if faults > _MOST_FAULTS:
                return  # the thread that the next recording starts tries again
            with _contained:
                _analyse(_Waiting.is_due)
                done = afterwards()
                faults = 0
    finally:
        thread_lock.release()
    if _deferred.waiting:  # added after the last look, by a caller that found the thread running
        start_thread(afterwards)


def _analyse(is_wanted: Callable[[_Waiting], bool]) -> None:
    """Call the callbacks of the wanted recordings. If one raises, those after it wait again."""
    taken = _take(is_wanted)
    external = None
    try:
        with _contained, uncredited():
            external = _find_external_objects(taken)
        while taken:
            taken.pop(0).callback(external)
    finally:
        _deferred.waiting.extend(taken)
        if external is not None:
            external.clear()


def _take(is_wanted: Callable[[_Waiting], bool]) -> _WaitingList:
    """Remove the wanted recordings from those that wait, and return them."""
    taken = _WaitingList()
    for waiting in tuple(_deferred.waiting):
        if is_wanted(waiting):
            try:
                _deferred.waiting.remove(waiting)
            except ValueError:  # another thread took it
                continue
            taken.append(waiting)
    return taken


def _find_external_objects(taken: _WaitingList) -> ExternalObjects | None:
    """Search once for all recordings; each bears an equal share of the cost."""
    alive = [waiting for waiting in taken if waiting.is_alive()]
    if not alive:
        return None
    watched = [reference for waiting in alive for reference in waiting.watched]
    external = find_external_objects(watched, max(waiting.max_overhead for waiting in alive))
    external.cost /= len(taken)
    return external
