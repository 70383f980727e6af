"""The tables by type of a report: title, caption, and which of them are shown at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..formatting import human_size
from ..reports.thresholds import LITTLE, MOST, NEAR
from ..values import Amount, Diff, NearPeak, Summary
from .figures import FREE_LISTS, GARBAGE, NET, REACHABLE, RETAINED
from .phrases import covered_by_types, has_notable_garbage, is_notable, percent, thing


@dataclass(frozen=True, slots=True)
class Table:
    """A table by type. The terminal leaves a folded table out; a page shows it on demand.

    The numbers of a table that ``is_change`` have a sign.
    """

    title: str
    caption: str
    types: Diff
    folded_as: str = ""
    is_change: bool = False


def tables(summary: Summary) -> list[Table]:
    """Return the tables of a report that have rows, in the order in which they are shown."""
    return [table for table in _tables(summary) if table.types.rows(1)]


def _tables(summary: Summary) -> Iterator[Table]:
    if summary.near_peak is not None:
        yield _near_peak(summary, summary.near_peak)
    if summary.retained is not None:
        meaning = REACHABLE.format(thing=thing(summary))
        is_folded = not is_notable(summary, summary.retained)
        yield _of_amount(RETAINED.heading, meaning, summary.retained, is_folded)
    if summary.garbage is not None:
        is_folded = not has_notable_garbage(summary)
        yield _of_amount(GARBAGE.heading, GARBAGE.meaning, summary.garbage, is_folded)
    if summary.free_lists is not None:
        yield _of_amount(FREE_LISTS.heading, FREE_LISTS.meaning, summary.free_lists, True)
    if summary.net is not None:
        caption = NET.meaning.format(thing=thing(summary))
        yield Table(NET.heading, caption, summary.net, is_change=True)


def _near_peak(summary: Summary, near_peak: NearPeak) -> Table:
    place = f" at {near_peak.site}" if near_peak.site else ""
    loaded = f", after loading {near_peak.rows:,} {near_peak.model}{place}"
    after = loaded if near_peak.model else ""
    size, share = human_size(near_peak.diff.total.size), covered_by_types(summary)
    if share >= MOST or summary.peak is None:
        caption = f"{size} of this {thing(summary)} alive near its peak{after}"
        return Table("Near the peak", caption, near_peak.diff)
    peak = human_size(summary.peak.bytes)
    caption = f"{size} alive at once, {percent(share)} of the {peak} at the peak{after}"
    title = "Near the peak" if share >= NEAR else "Below the peak"
    return Table(title, caption, near_peak.diff, f"{size} by type" if share <= LITTLE else "")


def _of_amount(title: str, meaning: str, amount: Amount, is_folded: bool) -> Table:
    size = human_size(amount.bytes)
    return Table(title, f"{size}, {meaning}", amount.types, f"{size} by type" if is_folded else "")
