"""A recording becomes a report: its figures as one document, and columns to filter and sort by."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from .. import conf
from ..formatting import plain
from ..measuring.recording import Recording
from ..models import Report
from ..values import Amount, Diff, Evaluation, NearPeak, OwnTuple, Summary, bytes_of, ours
from . import serialization
from .sql import without_literals

EVALUATIONS_STORED: Final = 100
"""Evaluations of one report that are stored: those with most bytes, then with most rows."""

EVALUATION_TYPES: Final = 15
"""Types of one evaluation that are stored by name."""

_DEFAULT_TYPES: Final = 50

_MEASURED: Final = tuple(
    field.name for field in dataclasses.fields(Summary) if hasattr(Recording, field.name)
)
"""The figures that a recording has under the names that a summary gives them."""


_SAME_COLUMNS: Final = (
    *("kind", "method", "duration", "engine", "instrument", "release", "host", "pid", "rows"),
    *("in_flight", "incomplete", "first_request"),
)
"""The columns that the document has under the same names, cut to what a column holds."""


@ours
@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of a request beside its figures. ``route`` is its URL pattern."""

    route: str
    method: str = ""
    status: int | None = None

    @property
    def key(self) -> OwnTuple[str]:
        """The method and the route as stored: what requests of one route have in common."""
        return OwnTuple((self.method, plain(self.route, 255)))


def build(recording: Recording, facts: RequestFacts) -> Report:
    """Return the report of a closed recording, not stored yet."""
    return report_of(summary_of(recording, facts))


def summary_of(recording: Recording, facts: RequestFacts) -> Summary:
    """Return the figures of a closed recording."""
    config = conf.active()
    types = config.top_types if config else _DEFAULT_TYPES
    summary = Summary(
        **{name: getattr(recording, name) for name in _MEASURED}
        | {
            "name": facts.route,
            "method": facts.method,
            "status": facts.status,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "release": config.release if config else "",
            "first_request": bool(recording.first_request),
        }
    )
    if recording.window is not None and recording.incomplete:
        summary = _without_remains(summary)
    return _shortened(summary, types)


def report_of(summary: Summary) -> Report:
    """Return a report of the figures, not stored yet."""
    sizes = [each.size_at_end for each in summary.evaluations if each.size_at_end is not None]
    document = serialization.to_document(summary)
    return Report(
        **{name: document[name] for name in _SAME_COLUMNS},
        route=document["name"],
        started_at=datetime.fromtimestamp(summary.started_at, UTC),
        peak_bytes=_number(bytes_of(summary.peak)),
        retained_bytes=_number(bytes_of(summary.retained)),
        garbage_bytes=_number(bytes_of(summary.garbage)),
        net_bytes=_number(None if summary.net is None else summary.net.total.size),
        largest_evaluation_bytes=_number(max(sizes, default=None)),
        document=document,
    )


def _without_remains(summary: Summary) -> Summary:
    """Return the figures of a metered recording that was cut: what is left of it is not known."""
    return dataclasses.replace(
        summary,
        alive=None,
        retained=None,
        garbage=None,
        free_lists=None,
        evaluations=tuple(dataclasses.replace(each, retained=None) for each in summary.evaluations),
    )


def _shortened(summary: Summary, types: int) -> Summary:
    """Return the figures with the largest types by name, and the largest evaluations."""
    evaluations = _largest(summary.evaluations)
    omitted = len(summary.evaluations) - len(evaluations)
    return dataclasses.replace(
        summary,
        retained=_top_amount(summary.retained, types),
        garbage=_top_amount(summary.garbage, types),
        free_lists=_top_amount(summary.free_lists, types),
        net=_top(summary.net, types),
        near_peak=_top_near_peak(summary.near_peak, types),
        evaluations=OwnTuple(map(_stored_evaluation, evaluations)),
        evaluations_omitted=summary.evaluations_omitted + omitted,
    )


def _top(diff: Diff | None, types: int) -> Diff | None:
    return None if diff is None else diff.top(types)


def _top_amount(amount: Amount | None, types: int) -> Amount | None:
    return None if amount is None else dataclasses.replace(amount, types=amount.types.top(types))


def _top_near_peak(near_peak: NearPeak | None, types: int) -> NearPeak | None:
    if near_peak is None:
        return None
    return dataclasses.replace(near_peak, diff=near_peak.diff.top(types))


def _stored_evaluation(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(
        evaluation,
        sql=without_literals(evaluation.sql),
        diff=_top(evaluation.diff, EVALUATION_TYPES),
    )


def _largest(evaluations: Iterable[Evaluation]) -> list[Evaluation]:
    """Return the evaluations that are worth storing, in their order."""
    ranked = sorted(
        enumerate(evaluations), key=lambda pair: (-(pair[1].size_at_peak or 0), -pair[1].rows)
    )
    return [evaluation for _, evaluation in sorted(ranked[:EVALUATIONS_STORED], key=_index)]


def _index(pair: tuple[int, Any]) -> int:
    return pair[0]


def _number(number: int | None) -> int | None:
    return None if number is None else serialization.stored_number(number)
