"""What a window has alive by type, now or at the highest moment that the engine has looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ..values import Diff

if TYPE_CHECKING:
    from ..engine.compiled import Window

_Table: TypeAlias = tuple[dict[str, int], dict[str, int]]
"""Objects, and bytes, by the name of their type."""

FIRST: Final = 512 * 1024
"""Bytes alive from which the engine looks at what is near a peak. Less is not worth the time."""

FREE_LISTS: Final = "(free lists)"
"""The row of a table for freed objects that CPython keeps, where they are not known by type."""

_OURS: Final = f"{__name__.partition('.')[0]}."


def follow_peak(window: Window, most_blocks: int) -> None:
    """Have the engine look at what is near the peak of an outermost window, whoever allocates.

    Moments with more than ``most_blocks`` are left out; 0 is no limit.
    """
    window.follow_peak(FIRST, most_blocks)


def types_near_peak(window: Window) -> Diff | None:
    """Return what was alive at the highest moment that the engine has looked at; None for none.

    It looks at safe points of the main thread, also while an object of ours is at work: these are
    left out.
    """
    if window.near_peak is None:
        return None
    (counts, sizes), free_lists = window.near_peak
    names = [name for name in counts if not name.startswith(_OURS)]
    in_use = {name: counts[name] for name in names}, {name: sizes[name] for name in names}
    return types_alive(in_use, free_lists)


def types_alive(in_use: _Table, free_lists: _Table) -> Diff:
    """Return the two tables of what is alive as one, in which free lists are one row."""
    (counts, sizes), (free_counts, free_sizes) = in_use, free_lists
    if free_counts:
        counts = counts | {FREE_LISTS: sum(free_counts.values())}
        sizes = sizes | {FREE_LISTS: sum(free_sizes.values())}
    return Diff(counts, sizes)
