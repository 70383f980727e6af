"""The two instruments, and how each measures one span.

The census counts the whole heap before and after: the difference is net, whoever made it. The meter
credits each allocation to the window in whose context it happens.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .. import engine
from ..values import COUNTED, Amount, Diff, Snapshot, ours
from .near_peak import types_alive
from .walks import count_heap

if TYPE_CHECKING:
    from ..engine.compiled import Window

LEAST_FOLLOWED: Final = 4 * 1024
MOST_FOLLOWED: Final = 20_000
MEMORY_OF_FOLLOWED: Final = 1000
"""Retained bytes from which they are followed, the most blocks (of more, every nth: so many take
half a megabyte), and the bytes that the meter may take for each, of which a block takes 2 %."""

Watched: TypeAlias = tuple[weakref.ref[Any], ...]
"""The objects of the program whose end is the end of a recording: a request and its response."""


@ours
class _WithoutWindow:
    """An instrument without a window does not know the figures of a meter."""

    window: Final = None
    allocated: Final = None
    peak: Final = None
    alive: Final = None
    retained: Final = None
    garbage: Final = None
    free_lists: Final = None
    is_doubtful: Final = False
    not_remembered: Final = None
    not_analysed: Final = None
    freed_older: Final = None

    __slots__ = ()

    def analyse(
        self, older: Watched = (), shares_free_lists: bool = False, follows: bool = False
    ) -> Window | None:
        """Do nothing: only a meter can tell retained objects from garbage."""
        return None


@ours
class Census(_WithoutWindow):
    """Counts the whole heap, before and after. ``diff`` is the difference, once it is read.

    Each count walks the heap, and holds the GIL meanwhile. A count is left out, and the census is
    ``incomplete``, while another one walks.

    With ``pauses_collector`` Python's collector is off from ``open()`` to ``discard()``. Otherwise
    a collection would free older garbage, and so hide as many of the new objects.
    """

    name: Final = "census"

    __slots__ = ("_before", "_paused", "_pauses_collector", "diff", "incomplete")

    def __init__(self, pauses_collector: bool = False) -> None:
        self._pauses_collector = pauses_collector
        self._paused = False
        self._before: Snapshot | None = None
        self.diff: Diff | None = None
        self.incomplete = False

    def open(self, outer: Window | None) -> None:
        """Count the heap."""
        if self._pauses_collector:
            self._paused = gc.isenabled()
            gc.disable()
        self._before = count_heap()

    def close(self) -> None:
        """Do nothing: the second count decides what belongs to the span."""

    def read(self, by_type: bool = True) -> None:
        """Count the heap again, and set ``diff``."""
        before, self._before = self._before, None
        after = None if before is None else count_heap()
        if before is None or after is None:
            self.incomplete = True
        else:
            self.diff = after - before

    def discard(self) -> None:
        """Switch Python's collector on again if ``open()`` switched it off."""
        self._before = None
        if self._paused:
            self._paused = False
            gc.enable()


@ours
class _External(list[Any]):
    """Objects from before a window that may be garbage with it. Nothing else of ours holds them."""

    __slots__ = ()


@ours
class Meter:
    """Reads a window of the engine: what was allocated in it, the peak, and what is left of it.

    ``allocated``, ``peak`` and ``alive`` are known once the meter is read; ``retained``,
    ``garbage`` and ``free_lists`` once it has analysed the window. They are wrong, maybe, if
    ``is_doubtful``.

    ``limit`` is the memory in bytes that the meter of the process may take for the blocks of all
    windows; 0 is no limit. ``not_remembered`` are the blocks of this window beyond it: ``peak`` and
    ``alive`` are lower bounds then, too low by at most these bytes, and ``retained``, ``garbage``
    and ``free_lists`` are not known, because an object that is not remembered may refer to others.

    These three are not known either where ``not_analysed`` has a reason: ``"size"``, because more
    than ``most_analysed`` blocks were alive (0 is no limit), or these refer to so many objects that
    other threads would wait too long;
    ``"memory"``, because the analysis would take more than ``limit``; ``"changes"``, because the
    program freed some of them each time that other threads ran meanwhile.
    """

    name: Final = "meter"

    __slots__ = (
        "alive",
        "allocated",
        "diff",
        "free_lists",
        "freed_older",
        "garbage",
        "limit",
        "most_analysed",
        "not_analysed",
        "not_remembered",
        "peak",
        "retained",
        "window",
    )

    def __init__(self, limit: int = 0, most_analysed: int = 0) -> None:
        self.limit = limit
        self.most_analysed = most_analysed
        self.window: Window | None = None
        self.diff: Diff | None = None
        self.allocated: Amount | None = None
        self.peak: Amount | None = None
        self.alive: Amount | None = None
        self.retained: Amount | None = None
        self.garbage: Amount | None = None
        self.free_lists: Amount | None = None
        self.not_remembered: Amount | None = None
        self.not_analysed: str | None = None
        self.freed_older: int | None = None

    @property
    def is_doubtful(self) -> bool:
        """Whether it is not known what of an object that is older than the window is garbage."""
        return self.window is not None and self.window.external_is_held

    @property
    def incomplete(self) -> bool:
        """Whether the window missed allocations or frees."""
        return self.window is None or self.window.incomplete

    def open(self, outer: Window | None, is_looked_at: bool = False) -> None:
        """Open a window inside another one, or inside none.

        ``is_looked_at`` is whether the caller breaks down what is alive at the end of the span: the
        engine then looks for no peak inside it.
        """
        window = engine.Window()
        if outer is None:
            engine.limit_meter(self.limit)
            window.open()
        else:
            window.open(outer, is_looked_at)
        self.window = window

    def close(self) -> None:
        """Close the window: no allocation is credited to it any more."""
        if self.window is not None:
            self.window.close()

    def read(self, by_type: bool = True) -> None:
        """Set the figures known at the end; break ``alive`` down by type if asked to."""
        if self.window is not None:
            self.allocated = Amount(*self.window.allocated)
            self.peak = Amount(*self.window.peak)
            self.freed_older = self.window.freed_older
            self.diff = self.alive_by_type() if by_type else None
            # Afterwards: what was in the meter's cache until then may have had no room either.
            self.not_remembered = Amount(*self.window.not_remembered)
            alive = self.window.alive
            self.alive = Amount(*alive) if self.diff is None else Amount(*alive, self.diff)

    def alive_by_type(self) -> Diff | None:
        """Return what was allocated in the window and is not freed, by type.

        Returns None where the engine could not break it down: see ``not_analysed``.
        """
        if self.window is None:
            return Diff({}, {})
        tables = self.window.alive_by_type()
        if isinstance(tables, str):
            return None
        return types_alive(*tables)

    def analyse(
        self, older: Watched = (), shares_free_lists: bool = False, follows: bool = False
    ) -> Window | None:
        """Divide what is alive into retained objects, garbage and free lists.

        ``older`` are objects that were there before the window, or that such objects may hold. They
        are presumed to be garbage if only the window's objects, and what these alone hold, refer
        to them. ``shares_free_lists`` is whether other requests ran meanwhile, whose threads may
        have taken freed objects of this one from CPython's free lists.

        With ``follows``, returns a window of what is retained, whose ``alive`` tells what is not
        freed since, until it is discarded. Returns None if that is too little or too much, or not
        known.
        """
        window = self.window
        if window is None:
            return None
        self.not_remembered = Amount(*window.not_remembered)
        if self.not_remembered.blocks:
            self.alive = Amount(*window.alive)
            self.discard()
            return None
        # No empty list in place of None: it could come from a free list that the window filled.
        external = None
        if older:
            external = _External()
            # No name refers to an object of the list: that would be a reference from outside.
            external.extend(map(weakref.ref.__call__, older))
        survivors = engine.Window() if follows else None
        most = self.limit // MEMORY_OF_FOLLOWED or MOST_FOLLOWED
        limits = LEAST_FOLLOWED, min(most, MOST_FOLLOWED)
        tables = window.analyse(external, self.most_analysed, shares_free_lists, survivors, *limits)
        if external is not None:
            external.clear()
        self.not_remembered = Amount(*window.not_remembered)
        if self.not_remembered.blocks:  # by now: as above
            self.alive = Amount(*window.alive)
            return None
        if isinstance(tables, str):
            self.not_analysed = tables
            self.alive = Amount(*window.alive)
            return None
        retained, garbage, free_lists = (Diff(*table) for table in tables)
        blocks, size = window.alive
        self.alive = Amount(blocks, size)
        self.retained = Amount(*window.retained, retained)
        self.free_lists = Amount(free_lists.total.count, free_lists.total.size, free_lists)
        self.garbage = Amount(
            blocks - self.retained.blocks - self.free_lists.blocks,
            size - self.retained.bytes - self.free_lists.bytes,
            garbage,
        )
        self.diff = retained
        if survivors is None or not survivors.allocated[0]:
            return None
        if self.incomplete or self.is_doubtful or survivors.incomplete:
            survivors.discard()
            return None
        return survivors

    def discard(self) -> None:
        """Close the window; if it is an outermost one, have the engine forget its blocks."""
        if self.window is not None:
            self.window.close()
            self.window.discard()


@ours
class NoInstrument(_WithoutWindow):
    """Measures nothing, for a request that is only counted."""

    name: Final = COUNTED
    diff: Final = None
    incomplete: Final = False

    __slots__ = ()

    def open(self, outer: Window | None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def read(self, by_type: bool = True) -> None:
        """Do nothing."""

    def discard(self) -> None:
        """Do nothing."""


NO_INSTRUMENT: Final = NoInstrument()
"""Has no state, so that all counted requests have the same one."""

Instrument: TypeAlias = Census | Meter | NoInstrument


def instrument_named(name: str, limit: int = 0, most_analysed: int = 0) -> Census | Meter:
    """Return the instrument of the name ``"census"`` or ``"meter"``, which has limits (`Meter`).

    For ``"auto"``, the meter. Where the engine has no meter, the census in any case.
    """
    if name == "census" or engine.Window is None:
        return Census()
    return Meter(limit, most_analysed)


def is_sampled(name: str) -> bool:
    """Return whether requests that nobody asked for are measured, given the name in the settings.

    A census halts the process for as long as it walks the heap. Without a meter, requests are only
    counted, unless the settings name the census.
    """
    return name == "census" or engine.Window is not None
