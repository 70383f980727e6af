"""The two instruments, and how each measures one span.

The census counts the whole heap before and after: the difference is net, whoever made it. The meter
credits each allocation to the window in whose context it happens.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final, TypeAlias

from .. import engine
from ..values import COUNTED, OURS, Amount, Diff, Snapshot, ours
from .referrers import ExternalObjects

if TYPE_CHECKING:
    from ..engine.compiled import Window

FREE_LISTS: Final = "(free lists)"
"""The row of a table for freed objects that CPython keeps, where they are not known by type."""


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

    __slots__ = ()

    def analyse(self, external: ExternalObjects | None = None) -> None:
        """Do nothing: only a meter can tell retained objects from garbage."""


@ours
class Census(_WithoutWindow):
    """Counts the whole heap, before and after. ``diff`` is the difference, once it is read.

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
        self._before = Snapshot(*engine.census(OURS))

    def close(self) -> None:
        """Do nothing: the second count decides what belongs to the span."""

    def read(self, by_type: bool = True) -> None:
        """Count the heap again, and set ``diff``."""
        before, self._before = self._before, None
        if before is None:
            self.incomplete = True
        else:
            self.diff = Snapshot(*engine.census(OURS)) - before

    def discard(self) -> None:
        """Switch Python's collector on again if ``open()`` switched it off."""
        self._before = None
        if self._paused:
            self._paused = False
            gc.enable()


@ours
class Meter:
    """Reads a window of the engine: what was allocated in it, the peak, and what is left of it.

    ``allocated``, ``peak`` and ``alive`` are known once the meter is read; ``retained``,
    ``garbage`` and ``free_lists`` once it has analysed the window.
    """

    name: Final = "meter"

    __slots__ = (
        "alive",
        "allocated",
        "diff",
        "free_lists",
        "garbage",
        "peak",
        "retained",
        "window",
    )

    def __init__(self) -> None:
        self.window: Window | None = None
        self.diff: Diff | None = None
        self.allocated: Amount | None = None
        self.peak: Amount | None = None
        self.alive: Amount | None = None
        self.retained: Amount | None = None
        self.garbage: Amount | None = None
        self.free_lists: Amount | None = None

    @property
    def incomplete(self) -> bool:
        """Whether the window missed allocations or frees."""
        return self.window is None or self.window.incomplete

    def open(self, outer: Window | None) -> None:
        """Open a window inside another one, or inside none."""
        window = engine.Window()
        if outer is None:
            window.open()
        else:
            window.open(outer)
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
            self.alive = self.alive_by_type() if by_type else Amount(*self.window.alive)
            self.diff = self.alive.types if by_type else None

    def alive_by_type(self) -> Amount:
        """Return what was allocated in the window and is not freed, by type."""
        if self.window is None:
            return Amount()
        (counts, sizes), (free_counts, free_sizes) = self.window.alive_by_type()
        if free_counts:
            counts[FREE_LISTS] = sum(free_counts.values())
            sizes[FREE_LISTS] = sum(free_sizes.values())
        return Amount(*self.window.alive, Diff(counts, sizes))

    def analyse(self, external: ExternalObjects | None = None) -> None:
        """Divide what is alive into retained objects, garbage and free lists.

        ``external`` are objects from outside of the window that may be garbage with it.
        """
        window = self.window
        if window is None:
            return
        tables = window.analyse() if external is None else window.analyse(external)
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


Instrument: TypeAlias = Census | Meter | NoInstrument


def instrument_named(name: str) -> Census | Meter:
    """Return the instrument of the name ``"census"`` or ``"meter"``.

    For ``"auto"``, the meter. Where the engine has no meter, the census in any case.
    """
    if name == "census" or engine.Window is None:
        return Census()
    return Meter()
