"""Recordings that are closed and wait for their requests to be over.

A request and its response hold much of what was allocated. Whether the rest is retained is known
once both are gone: soon after the last byte, or, where they are in a reference cycle, when Python's
collector runs. A recording waits 0.25 s at most: a request in its window is divided like the rest.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from .. import process
from ..values import OwnTuple, ours
from . import spans
from .errors import ErrorBoundary, was_raised_by_signal_handler
from .instruments import Watched

_LONGEST_WAIT: Final = 0.25
"""Seconds after which a recording is analysed although its request is still alive."""

_PAUSE: Final = 0.02
"""Seconds from the end of a request to its analysis."""

_LOOK: Final = 0.1
"""Seconds between two looks of the background thread: for each it waits for its turn among the
threads that serve requests, and so takes one of theirs."""

_IDLE: Final = 10.0
"""Seconds without work after which the background thread ends. To start one for each request costs
as much as to count a few."""

_MOST_WAITING: Final = 100
_MOST_FAULTS: Final = 5
"""Faults in a row after which the background thread ends, so that it never runs for ever."""

Callback: TypeAlias = Callable[[], object]
"""Analyses a recording."""

_contained: Final = ErrorBoundary("django-memsize: analysing a recording")


@ours
class _Waiting:
    """A closed recording that waits: ``callback`` analyses it."""

    __slots__ = ("_gone_since", "_since", "callback", "group", "watched")

    def __init__(self, watched: Watched, callback: Callback, group: object) -> None:
        self.watched = watched
        self._since = time.monotonic()
        self._gone_since: float | None = None
        self.callback = callback
        self.group = group

    def is_due(self) -> bool:
        """Return whether the recording can be analysed, or has waited long enough."""
        is_late = _deferred.in_a_hurry or time.monotonic() - self._since >= _LONGEST_WAIT
        return is_late if self.is_alive() else self.is_gone()

    def is_gone(self) -> bool:
        """Return whether the watched objects are freed."""
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
    """The waiting recordings of this process, and the lock that its one background thread holds.

    While the thread ``is_idle``, whatever is put into ``wake`` ends its wait.
    """

    __slots__ = ("in_a_hurry", "is_idle", "thread_lock", "waiting", "wake")

    def __init__(self) -> None:
        self.waiting = _WaitingList()
        self.reset()

    def reset(self) -> None:
        self.thread_lock = threading.Lock()
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.waiting.clear()
        self.in_a_hurry = False
        self.is_idle = False


_deferred: Final = process.register(_Deferred())


def watch(*objects: object) -> Watched:
    """Return weak references that the collector clears before it runs finalisers.

    Since Python 3.15 it does so only for weak references with a callback; others are cleared after
    the finalisers (Python/gc.c, ``handle_weakrefs``). ``id`` is a callback that does nothing.
    """
    return OwnTuple(weakref.ref(watched, id) for watched in objects)


def wait(watched: Watched, callback: Callback, group: object = None) -> bool:
    """Call ``callback`` once the objects in ``watched`` are gone, or after 0.25 s.

    ``group`` is any object; ``analyse_now(group)`` selects the recordings that wait with it.
    Returns False, and defers nothing, if 100 recordings wait already.
    """
    if len(_deferred.waiting) >= _MOST_WAITING:
        return False
    _deferred.waiting.append(_Waiting(watched, callback, group))
    return True


def analyse_now(group: object = None) -> None:
    """Call the callbacks of a group, or for None all of them, without waiting any longer."""
    _analyse(lambda waiting: group is None or waiting.group is group)


def hurry() -> None:
    """Have the background thread analyse everything without waiting: the process ends."""
    _deferred.in_a_hurry = True
    if _deferred.waiting:
        with _contained:
            start_thread()


def take_all(group: object = None) -> list[Callback]:
    """Remove the recordings that wait with this very group, and return their callbacks."""
    return [waiting.callback for waiting in _take(lambda waiting: waiting.group is group)]


def analyse_what_is_over() -> None:
    """Call the callbacks that are due."""
    if _deferred.waiting:
        _analyse(_Waiting.is_due)


def start_thread() -> None:
    """Call what is due from a background thread, until nothing has waited for ten seconds.

    While such a thread runs already, it goes on.
    """
    thread_lock = _deferred.thread_lock  # reset() replaces it in a forked child
    if thread_lock.acquire(blocking=False):
        try:
            spans.start_thread(_run, thread_lock, name="memsize")
        except BaseException:
            thread_lock.release()
            raise
    elif _deferred.is_idle and _deferred.wake.empty():
        _deferred.wake.put(None)


def _run(thread_lock: threading.Lock) -> None:
    faults, is_idle = 0, False
    try:
        while not is_idle and thread_lock is _deferred.thread_lock:  # else it was reset
            faults += 1
            if faults > _MOST_FAULTS:
                return  # the thread that the next recording starts tries again
            with _contained:
                is_idle = not _deferred.waiting and not _is_woken()
                if not is_idle:
                    time.sleep(_LOOK)
                    _analyse(_Waiting.is_due)
                faults = 0
    finally:
        thread_lock.release()
    if _deferred.waiting:  # added after the last look, by a caller that found the thread running
        start_thread()


def _is_woken() -> bool:
    """Wait for recordings; return False if none came for a while."""
    _deferred.is_idle = True  # whoever adds a recording looks at this afterwards
    try:
        if not _deferred.waiting:
            _deferred.wake.get(timeout=_IDLE)
    except Empty:
        return False
    finally:
        _deferred.is_idle = False
    return True


def _analyse(is_wanted: Callable[[_Waiting], bool]) -> None:
    """Call the callbacks of the wanted recordings. If one raises, those after it wait again."""
    taken = _take(is_wanted)
    try:
        while taken:
            taken.pop(0).callback()
    finally:
        _deferred.waiting.extend(taken)


def _take(is_wanted: Callable[[_Waiting], bool]) -> _WaitingList:
    """Remove the wanted recordings from those that wait, and return them."""
    taken = _WaitingList()
    for waiting in tuple(_deferred.waiting):
        if is_wanted(waiting):
            try:
                _deferred.waiting.remove(waiting)
            except ValueError as error:
                if was_raised_by_signal_handler(error):
                    raise
                continue  # another thread took it
            taken.append(waiting)
    return taken
