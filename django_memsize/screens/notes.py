"""What a reader should know about the figures of a report."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from ..formatting import counted, human_size
from ..reports import thresholds
from ..values import Diff, Summary
from .figure import Instrument
from .phrases import covered_by_types, has_notable_garbage, is_notable, percent, thing

_BUFFERS: Final = "(buffers)"
_FREE_LISTS: Final = "(free lists)"


def notes(summary: Summary) -> list[str]:
    """Return what limits the figures of this report, the most serious first."""
    notes_by_instrument = {
        Instrument.METER: _meter_notes,
        Instrument.CENSUS: _census_notes,
        Instrument.COUNTED: _counted_notes,
    }
    return list(notes_by_instrument[Instrument.of(summary)](summary))


def explanations(summary: Summary, names: Container[str] | None = None) -> list[str]:
    """Return what the words of a metered report mean, if this report has them.

    ``names`` are the names of types that the reader sees; None means all names of the report.
    """
    if not summary.is_metered:
        return []
    return list(_explanations(summary, _type_names(summary) if names is None else names))


def _meter_notes(summary: Summary) -> Iterator[str]:
    if summary.incomplete:
        yield (
            "Incomplete: the meter's hooks on Python's allocators were removed before the "
            f"{thing(summary)} ended, as tracemalloc and memray do when they stop. The retained "
            "bytes are not known, and the peak may have been higher."
        )
    if summary.request_held:
        yield (
            "The retained bytes are not known: the request is still alive, and it was made before "
            "the measuring began. What refers to it may belong to the program, or wait for "
            "Python's collector. Under Django's WSGI and ASGI handlers, and in its synchronous "
            "test client, the measuring begins before the request is made, and can tell."
        )
    yield from _not_remembered_note(summary)
    yield from _not_analysed_note(summary)
    yield from _near_peak_note(summary)
    yield from _first_request_note(summary)
    yield from _code_note(summary)
    if summary.query_log_bytes:
        yield (
            f"DEBUG: Django's log of statements got {human_size(summary.query_log_bytes)}. The "
            "next request empties it, and it is in no figure of this report."
        )
    yield from _without_types_note(summary)


def _not_remembered_note(summary: Summary) -> Iterator[str]:
    peak, dropped, allocated = summary.peak, summary.not_remembered, summary.allocated
    if peak is None or dropped is None or allocated is None or summary.is_remembered:
        return
    yield (
        f"The meter's memory (METER_MEMORY) was full: {dropped.blocks:,} of {allocated.blocks:,} "
        f"blocks were only counted. The peak is at least {human_size(peak.bytes)} and at most "
        f"{human_size(peak.bytes + dropped.bytes)}. What is retained is not known. The figures of "
        "the evaluations and the tables by type may lack the same blocks. A larger METER_MEMORY "
        "has room for them."
    )


def _near_peak_note(summary: Summary) -> Iterator[str]:
    near_peak, share = summary.near_peak, covered_by_types(summary)
    if near_peak is None or summary.peak is None or share > thresholds.LITTLE:
        return
    yield (
        f"No table by type is of a moment near the peak: the largest is of "
        f"{human_size(near_peak.diff.total.size)}, {percent(share)} of the "
        f"{human_size(summary.peak.bytes)}."
    )


_REASONS: Final = {
    "size": (
        "there were so many blocks, or references, that the other threads of the process would "
        "have been halted for too long. memprofile run and measure() analyse any number"
    ),
    "memory": "the analysis would have taken more memory than METER_MEMORY allows",
    "changes": "other threads freed some of the blocks each time that they ran meanwhile",
}


def _not_analysed_note(summary: Summary) -> Iterator[str]:
    if summary.not_analysed and summary.alive is not None:
        reason = _REASONS.get(summary.not_analysed, "the reason is not known to this release")
        yield (
            f"{human_size(summary.alive.bytes)} in {counted(summary.alive.blocks, 'block')} were "
            "alive at the end. How much of it is retained and how much is garbage was not "
            f"analysed: {reason}."
        )


def _census_notes(summary: Summary) -> Iterator[str]:
    if summary.incomplete:
        yield "Incomplete: the measurement was cut short, and its figures are too low."
    if summary.in_flight:
        yield (
            f"{counted(summary.in_flight, 'other request')} ran at the same time. A census counts "
            "the whole process, so part of these figures may belong to them. Only the figures of "
            "requests that ran alone are exact."
        )
    if summary.net is not None and not summary.net.comparable:
        yield "gc.freeze() or gc.unfreeze() ran meanwhile: the net figures are not comparable."
    yield from _first_request_note(summary)
    if summary.collected_objects > thresholds.COLLECTED:
        yield (
            f"Python's collector ran meanwhile and freed {summary.collected_objects:,} objects. "
            "Some of them may be garbage of earlier requests. The net is lower by their bytes, and "
            "can be negative although the request retained memory."
        )
    yield from _code_note(summary)
    if summary.kind == "request":
        yield (
            "The net is measured after the last byte of the response. Rows alive then have one of "
            "three reasons. The response still holds them, and is freed right after. Or they are "
            "garbage in a cycle (rendering a template creates one). Or the program retains them: "
            "only this leaks. A census cannot distinguish the three. If the net stays high, "
            "call gc.collect() and use memsize.Tracker(Model)."
        )
    yield from _without_types_note(summary)
    if any(evaluation.streamed for evaluation in summary.evaluations):
        yield (
            "An evaluation by iterator() has no table by type: a census cannot distinguish its "
            "rows from the work of the code that consumes them."
        )


def _counted_notes(summary: Summary) -> Iterator[str]:
    yield (
        "This request was counted, not metered: its rows and RSS are known, its bytes are not. The "
        "report was stored because the request loaded more rows, or the process grew more, than in "
        "any request of this route in the hour before. To measure the bytes, make the request "
        f"again with memprofile run, or {_how_to_measure(summary)}."
    )
    if summary.in_flight:
        yield (
            f"{counted(summary.in_flight, 'other request')} ran at the same time, and the process "
            "may have grown by their memory. The rows are this request's own."
        )
    yield from _first_request_note(summary)


def _how_to_measure(summary: Summary) -> str:
    if summary.engine == "python":
        return "set INSTRUMENT to 'census': there is no compiled engine, and so no meter"
    return "raise SAMPLE_RATE"


def _first_request_note(summary: Summary) -> Iterator[str]:
    if summary.first_request:
        yield (
            "The first request of its route in this process: it fills caches, so its figures are "
            "higher than those of later requests."
        )


def _code_note(summary: Summary) -> Iterator[str]:
    if summary.kind == "code":
        yield (
            "The value of the last expression is still referenced at the end, so it is retained."
        )


def _without_types_note(summary: Summary) -> Iterator[str]:
    if summary.evaluations_without_types:
        yield (
            f"No table by type for {counted(summary.evaluations_without_types, 'evaluation')}: "
            "measuring it would have exceeded MAX_OVERHEAD or METER_MEMORY."
        )


def _explanations(summary: Summary, names: Container[str]) -> Iterator[str]:
    what = thing(summary)
    if is_notable(summary, summary.retained) and summary.kind != "code":
        yield (
            f"Retained: an object outside this {what} refers to this memory, such as a list or a "
            "cache of the program. A cache is filled once. Memory that grows with each request is "
            "a leak."
        )
    if has_notable_garbage(summary):
        yield (
            "Garbage: objects that refer to each other in a cycle (rendering a template creates "
            "one), and that Python's collector frees later. Garbage is no leak, but the garbage of "
            f"one {what} adds to that of the next until the collector runs."
        )
    if _BUFFERS in names:
        yield (
            f"{_BUFFERS}: memory that no object of this {what} owns. It belongs to C code, or to "
            "an older object, such as a list that grows. It counts as retained."
        )
    if _FREE_LISTS in names:
        yield (
            f"{_FREE_LISTS}: freed objects of a few types that Python keeps for the next objects "
            "of these types. They are not retained."
        )


def _type_names(summary: Summary) -> set[str]:
    return {name for table in _types_of(summary) for name in table}


def _types_of(summary: Summary) -> Iterator[Diff]:
    for amount in (summary.retained, summary.garbage, summary.free_lists):
        if amount is not None:
            yield amount.types
    for evaluation in summary.evaluations:
        if evaluation.diff is not None:
            yield evaluation.diff
    if summary.near_peak is not None:
        yield summary.near_peak.diff
