"""Parts of sentences: what a report says first, and how an evaluation is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..formatting import counted, human_size, lower_bound, signed_size
from ..orm import methods
from ..reports import thresholds
from ..values import Amount, Evaluation, Reason, Summary

REASONS: Final[dict[str, str]] = {
    Reason.FIRST: "first requests of its route",
    Reason.INTERVAL: "one of its route in each interval",
    Reason.ROWS: "many rows",
    Reason.RSS: "rising RSS",
    Reason.RETAINED: "retained bytes",
    Reason.RATE: "sampled",
    Reason.CALLABLE: "chosen by SAMPLE",
    Reason.TOKEN: "asked by a token",
    Reason.COMMAND: "asked by a command",
}
"""Why a request was metered, by the word that a document has for it."""

_KINDS_NAMED: Final = frozenset({"request", "block"})


def thing(summary: Summary) -> str:
    """Return the noun for the measured span: "request", "block", or "run" for any other kind."""
    return summary.kind if summary.kind in _KINDS_NAMED else "run"


def is_notable(summary: Summary, amount: Amount | None) -> bool:
    """Return whether an amount is known and counts as something in a report of this kind."""
    return amount is not None and amount.bytes >= thresholds.nothing_retained(summary)


def has_notable_garbage(summary: Summary) -> bool:
    """Return whether the garbage of a report is known and counts as something."""
    garbage = summary.garbage
    return garbage is not None and garbage.bytes >= thresholds.NOTHING_FOR_A_REQUEST


def sentence(summary: Summary) -> str:
    """Return the most important figures of a report as one sentence."""
    if summary.is_counted:
        return f"{_rows_counted(summary)}; {_process_change(summary)}."
    if summary.peak is not None:
        return f"{_peak(summary, summary.peak)}; {_remainder(summary)}."
    return f"{_rows_loaded(summary)}; {_heap_change(summary)}."


def evaluation_phrase(evaluation: Evaluation) -> str:
    """Return ``"3,090 bank.Account as values at bank/views.py:41"``."""
    times = f" \N{MULTIPLICATION SIGN}{evaluation.times:,}" if evaluation.times > 1 else ""
    how = f"{methods.phrase(evaluation.kind)}{_streamed(evaluation)}{times}"
    return f"{evaluation.rows:,} {evaluation.model}{how}{call_site_phrase(evaluation)}"


def call_site_phrase(evaluation: Evaluation) -> str:
    """Return ``" at bank/views.py:41"``, or an empty text where the call site is not known."""
    return f" at {evaluation.site}" if evaluation.site else ""


def named_function(evaluation: Evaluation) -> str:
    """Return the function of the call site; empty if that is named with its view instead."""
    site = evaluation.site
    return site.function if site and not site.view else ""


def repetition_hint(times: int) -> str:
    """Return how to avoid that the same statement runs several times; empty if it ran once."""
    if times <= 1:
        return ""
    return (
        f"The same statement ran {times:,} times in succession. If a loop loads one row at a time, "
        "select_related() or prefetch_related() loads them together."
    )


def omitted_phrase(summary: Summary, verb: str = "") -> str:
    """Return ``"7 smaller evaluations, with 40 bank.Branch"``: those that are not stored.

    A verb comes before the comma. The text is empty if there are none.
    """
    if not summary.evaluations_omitted:
        return ""
    number = f"{counted(summary.evaluations_omitted, 'smaller evaluation')} {verb}".rstrip()
    built = _built(summary.omitted_instances or {})
    return f"{number}, {built}" if built else number


def related_phrase(evaluation: Evaluation) -> str:
    """Return ``"with 3,090 bank.Branch"``: instances built beyond one of the model for each row.

    The text is empty if there are none.
    """
    instances = dict(evaluation.instances)
    if instances.get(evaluation.model) == evaluation.rows:
        del instances[evaluation.model]
    return _built(instances)


def _built(instances: Mapping[str, int]) -> str:
    ranked = sorted(instances.items(), key=lambda item: (-item[1], item[0]))
    built = ", ".join(f"{number:,} {model}" for model, number in ranked)
    return f"with {built}" if built else ""


def _streamed(evaluation: Evaluation) -> str:
    return " by iterator()" if evaluation.streamed else ""


def _peak(summary: Summary, peak: Amount) -> str:
    number = human_size(peak.bytes)
    size = f"Peak {number if summary.is_peak_exact else lower_bound(number)}"
    largest = summary.largest_evaluation
    if largest is None:
        return f"{size}, no rows loaded"
    phrase = f"{evaluation_phrase(largest)}{_other_rows(summary, largest)}"
    own_peak = largest.size_at_peak
    if own_peak is None or own_peak >= thresholds.MOST * peak.bytes:
        return f"{size} loading {phrase}"
    others = _share_of_others(summary, peak)
    if others >= thresholds.MOST:
        return f"{size}, at least {percent(others)} of it not loaded by the ORM"
    return f"{size}; loading {phrase} had a peak of {human_size(own_peak)}"


def _share_of_others(summary: Summary, peak: Amount) -> float:
    """Return the share of a peak that all evaluations together cannot have made; 0 if unknown."""
    sizes = [each.size_at_peak for each in summary.evaluations if not each.depth]
    if summary.evaluations_omitted or None in sizes or not peak.bytes:
        return 0.0
    return max(0.0, 1 - sum(size or 0 for size in sizes) / peak.bytes)


def percent(share: float) -> str:
    """Return a share as whole percent, rounded down."""
    return f"{int(100 * share)} %"


def covered_by_types(summary: Summary) -> float:
    """Return the share of the peak that the table near the peak covers; 1 if that is not known."""
    if summary.near_peak is None or summary.peak is None or not summary.peak.bytes:
        return 1.0
    return summary.near_peak.diff.total.size / summary.peak.bytes


def _remainder(summary: Summary) -> str:
    if summary.retained is None:
        if summary.alive is None:
            return "retained bytes are not known"
        size = human_size(summary.alive.bytes)
        return f"{size} alive at the end: how much of it is retained is not known"
    is_retained = is_notable(summary, summary.retained)
    retained = human_size(summary.retained.bytes) if is_retained else "nothing"
    if summary.garbage is None or not has_notable_garbage(summary):
        return f"{retained} retained"
    size = human_size(summary.garbage.bytes)
    return f"{size} of garbage, waiting for Python's collector; {retained} retained"


def _rows_counted(summary: Summary) -> str:
    largest = summary.largest_evaluation
    by_cursors = f"{counted(summary.cursor_rows, 'row')} fetched by cursors"
    if largest is None:
        return by_cursors if summary.cursor_rows else "No rows were loaded"
    loaded = f"Loaded {evaluation_phrase(largest)}{_other_rows(summary, largest)}"
    return f"{loaded}, {by_cursors}" if summary.cursor_rows else loaded


def _process_change(summary: Summary) -> str:
    change = summary.rss_change
    if change is None:
        return "bytes were not measured"
    if change <= 0:
        return "bytes were not measured, and the process did not grow"
    return f"bytes were not measured, and the process grew by {human_size(change)}"


def _rows_loaded(summary: Summary) -> str:
    largest = summary.largest_evaluation
    if largest is None:
        return "No rows were loaded"
    size = largest.size_at_end
    added = "" if size is None else f" added {human_size(size)} to the heap"
    return f"Loading {evaluation_phrase(largest)}{added}{_other_rows(summary, largest)}"


def _other_rows(summary: Summary, largest: Evaluation) -> str:
    others = summary.rows - largest.rows
    if others <= 0:
        return ""
    verb = "was" if others == 1 else "were"
    return f" ({counted(others, 'more row')} {verb} loaded by other evaluations)"


def _heap_change(summary: Summary) -> str:
    if summary.net is None:
        return "the change of the heap is not known"
    change = summary.net.total.size
    during = f"during the {thing(summary)}"
    if abs(change) < thresholds.NOTHING_FOR_A_REQUEST:
        return f"the heap did not grow {during} (net {signed_size(change)})"
    verb = "grew" if change > 0 else "shrank"
    return f"the heap {verb} by {human_size(abs(change))} {during}"
