"""The two instruments, and how each measures one span, or neither.

A census counts the whole heap before and after: what there is more of is net, whoever made it. The
meter has every allocation credited to the window in whose context it happens.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final, TypeAlias

from .. import engine
from ..values import COUNTED, OURS, Amount, Diff, Snapshot, ours
from .referrers import ExternalObjects

if TYPE_CHECKING:
    from ..engine.compiled import Window

ON_FREE_LISTS: Final = "(free lists)"
"""The row of what CPython keeps of freed objects, where they are not told apart."""


@ours
class _Windowless:
    """What has no window knows nothing of what only a meter can know."""

    window: Final = None
    allocated: Final = None
    peak: Final = None
    alive: Final = None
    retained: Final = None
    garbage: Final = None
    free_lists: Final = None

    __slots__ = ()

    def analyse(self, around: ExternalObjects | None = None) -> None:
        """Add nothing: there is no more to know."""


@ours
class Census(_Windowless):
    """Counts the whole heap, before and after."""

    name: Final = "census"

    __slots__ = ("_before", "_paused", "_pauses_collector", "diff", "incomplete")

    def __init__(self, pauses_collector: bool = False) -> None:
        # A collection in between would take away old dead rows from the new ones.
        self._pauses_collector = pauses_collector
        self._paused = False
        self._before: Snapshot | None = None
        self.diff: Diff | None = None
        self.incomplete = False

    def open(self, around: Window | None) -> None:
        """Count what there is."""
        if self._pauses_collector:
            self._paused = gc.isenabled()
            gc.disable()
        self._before = Snapshot(*engine.census(OURS))

    def stop(self) -> None:
        """Go on: a census counts up to the moment when it is taken."""

    def read(self, by_type: bool = True) -> None:
        """Count again: ``diff`` is what there is more."""
        before, self._before = self._before, None
        if before is None:
            self.incomplete = True
        else:
            self.diff = Snapshot(*engine.census(OURS)) - before

    def leave(self) -> None:
        """Have the collector as it was."""
        self._before = None
        if self._paused:
            self._paused = False
            gc.enable()


@ours
class Meter:
    """Reads a window: what was allocated in it, how high it stood, what is left of it."""

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
        """Whether something was not seen."""
        return self.window is None or self.window.incomplete

    def open(self, around: Window | None) -> None:
        """Open the window, inside the one around."""
        window = engine.Window()
        if around is None:
            window.open()
        else:
            window.open(around)
        self.window = window

    def stop(self) -> None:
        """Close the window: nothing is credited to it any more."""
        if self.window is not None:
            self.window.close()

    def read(self, by_type: bool = True) -> None:
        """Take down what is known at the end; what is alive then by type, or only in sum."""
        if self.window is not None:
            self.allocated = Amount(*self.window.allocated)
            self.peak = Amount(*self.window.peak)
            self.alive = self.alive_by_type() if by_type else Amount(*self.window.alive)
            self.diff = self.alive.types if by_type else None

    def alive_by_type(self) -> Amount:
        """Return what was allocated in the window and is not freed, by type."""
        if self.window is None:
            return Amount()
        (counts, sizes), (kept, kept_sizes) = self.window.alive_by_type()
        if kept:
            counts[ON_FREE_LISTS] = sum(kept.values())
            sizes[ON_FREE_LISTS] = sum(kept_sizes.values())
        return Amount(*self.window.alive, Diff(counts, sizes))

    def analyse(self, around: ExternalObjects | None = None) -> None:
        """Tell what of it is retained, dead and parked."""
        window = self.window
        if window is None:
            return
        retained, garbage, free_lists = (
            window.analyse() if around is None else window.analyse(around)
        )
        blocks, size = window.alive
        self.alive = Amount(blocks, size)
        self.retained = Amount(*window.retained, Diff(*retained))
        self.free_lists = Amount(
            sum(free_lists[0].values()), sum(free_lists[1].values()), Diff(*free_lists)
        )
        self.garbage = Amount(
            blocks - self.retained.blocks - self.free_lists.blocks,
            size - self.retained.bytes - self.free_lists.bytes,
            Diff(*garbage),
        )
        self.diff = self.retained.types

    def leave(self) -> None:
        """Close the window, and have what was allocated in an outermost one forgotten."""
        if self.window is not None:
            self.window.close()
            self.window.discard()


@ours
class NoInstrument(_Windowless):
    """Measures nothing: where rows are only counted."""

    name: Final = COUNTED
    diff: Final = None
    incomplete: Final = False

    __slots__ = ()

    def open(self, around: Window | None) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""

    def read(self, by_type: bool = True) -> None:
        """Find nothing."""

    def leave(self) -> None:
        """Leave everything as it is."""


Instrument: TypeAlias = Census | Meter | NoInstrument


def instrument_for(instrument: str) -> Instrument:
    """Return the instrument asked for; for ``"auto"`` the meter, where there is one."""
    if instrument == "census" or engine.Window is None:
        return Census()
    return Meter()
