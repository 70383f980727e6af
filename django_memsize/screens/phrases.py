"""Parts of sentences: what a report says first, and how an evaluation is named."""

from __future__ import annotations

from typing import Final

from ..formatting import counted, human_size, signed_size
from ..orm import methods
from ..reports import thresholds
from ..values import Amount, Evaluation, Summary

_KINDS_NAMED: Final = frozenset({"request", "block"})


def thing(summary: Summary) -> str:
    """Return the noun for the measured span: "request", "block", or "run" for any other kind."""
    return summary.kind if summary.kind in _KINDS_NAMED else "run"


def is_notable(summary: Summary, amount: Amount | None) -> bool:
    """Return whether an amount is known and counts as something in a report of this kind."""
    return amount is not None and amount.bytes >= thresholds.nothing_for(summary.kind)


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


def repetition_hint(times: int) -> str:
    """Return how to avoid that the same statement runs several times; empty if it ran once."""
    if times <= 1:
        return ""
    return (
        f"The same statement ran {times:,} times in succession. If a loop loads one row at a time, "
        "select_related() or prefetch_related() loads them together."
    )


def related_phrase(evaluation: Evaluation) -> str:
    """Return ``"with 3,090 bank.Branch"``: instances built beyond one of the model for each row.

    The text is empty if there are none.
    """
    instances = dict(evaluation.instances)
    if instances.get(evaluation.model) == evaluation.rows:
        del instances[evaluation.model]
    ranked = sorted(instances.items(), key=lambda item: (-item[1], item[0]))
    built = ", ".join(f"{number:,} {model}" for model, number in ranked)
    return f"with {built}" if built else ""


def _streamed(evaluation: Evaluation) -> str:
    return " by iterator()" if evaluation.streamed else ""


def _peak(summary: Summary, peak: Amount) -> str:
    size = f"Peak {'at least ' if summary.incomplete else ''}{human_size(peak.bytes)}"
    largest = summary.largest_evaluation
    if largest is None:
        return f"{size}, no rows loaded"
    phrase = f"{evaluation_phrase(largest)}{_other_rows(summary, largest)}"
    own_peak = largest.size_at_peak
    if own_peak is None or own_peak >= thresholds.MOST * peak.bytes:
        return f"{size} loading {phrase}"
    return f"{size}; loading {phrase} had a peak of {human_size(own_peak)}"


def _remainder(summary: Summary) -> str:
    if summary.retained is None:
        return "retained bytes are not known"
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
