"""A recording becomes a report: its figures as one document, and columns to filter and sort by."""

from __future__ import annotations

import dataclasses
import operator
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.utils import timezone

from .. import conf, process
from ..measuring import overhead
from ..measuring.recording import Recording
from ..measuring.routes import key_of
from ..models import Report
from ..values import (
    LIVE,
    Amount,
    CallSite,
    Diff,
    Evaluation,
    Instances,
    NearPeak,
    OwnTuple,
    Summary,
    Survival,
    bytes_of,
    ours,
)
from . import serialization
from .sql import vendor_of, without_literals
from .view_names import View

EVALUATIONS_STORED: Final = 100
"""Evaluations of one report that are stored: those with most bytes, then with most rows."""

EVALUATION_TYPES: Final = 15
"""Types of one evaluation that are stored by name."""

_DEFAULT_TYPES: Final = 50

_Named: TypeAlias = Callable[[CallSite | None], CallSite | None]

_MEASURED: Final = tuple(
    field.name for field in dataclasses.fields(Summary) if hasattr(Recording, field.name)
)
"""The figures that a recording has under the names that a summary gives them."""

_measured_of: Final = operator.attrgetter(*_MEASURED)

_SAME_COLUMNS: Final = (
    *("kind", "method", "view", "duration", "engine", "instrument", "source", "release", "host"),
    *("pid", "rows", "in_flight", "incomplete", "first_request"),
)
"""The columns that the document has under the same names, cut to what a column holds."""


@ours
@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What is known of a request beside its figures.

    ``route`` is its URL pattern, and the name that tells its requests apart, if they have one.
    """

    route: str
    method: str = ""
    status: int | None = None
    view: View | None = None

    @property
    def view_name(self) -> str:
        """The name of the view; empty if there is none."""
        return "" if self.view is None else self.view.name(self.method)

    def with_view(self, site: CallSite | None) -> CallSite | None:
        """Return a call site with the view, if it is not a line of the view itself.

        It is one of a library then, or of a decorator that only calls the view.
        """
        if site is None or self.view is None:
            return site
        is_decorator = (site.file, site.function) in self.view.decorators
        if not is_decorator and not site.is_library:
            return site
        return dataclasses.replace(site, view=self.view_name)

    @property
    def key(self) -> OwnTuple[str]:
        """The method and the route as stored: what requests of one route have in common."""
        return key_of(self.method, self.route)


def build(
    recording: Recording,
    facts: RequestFacts,
    source: str = LIVE,
    survival: Iterable[Survival] = (),
) -> Report:
    """Return the report of a closed recording, not stored yet.

    ``source`` and ``survival`` are as `summary_of` takes them.
    """
    return report_of(summary_of(recording, facts, source, survival))


def summary_of(
    recording: Recording,
    facts: RequestFacts,
    source: str = LIVE,
    survival: Iterable[Survival] = (),
) -> Summary:
    """Return the figures of a closed recording. ``source`` is LIVE or RUN.

    ``survival`` is what became of what earlier requests of the route retained.
    """
    config = conf.active()
    figures = dict(zip(_MEASURED, _measured_of(recording), strict=True)) | {
        "name": facts.route,
        "method": facts.method,
        "view": facts.view_name,
        "status": facts.status,
        "source": source,
        "host": process.host(),
        "pid": os.getpid(),
        "release": config.release if config else "",
        "first_request": bool(recording.first_request),
        "omitted_instances": recording.log.omitted_instances,
        "refused": overhead.refusals(),
        "survival": OwnTuple(
            dataclasses.replace(each, types=_top(each.types, EVALUATION_TYPES)) for each in survival
        ),
    }
    if not _is_remainder_known(recording):
        figures |= _without_remainder(recording.evaluations)
    types = config.top_types if config else _DEFAULT_TYPES
    return Summary(**figures | _shortened(figures, types, facts.with_view))


def report_of(summary: Summary) -> Report:
    """Return a report of the figures, not stored yet."""
    sizes = [each.size_at_end for each in summary.evaluations if each.size_at_end is not None]
    document = serialization.to_document(summary)
    return Report(
        **{name: document[name] for name in _SAME_COLUMNS},
        route=document["name"],
        started_at=moment(summary.started_at),
        peak_bytes=_number(bytes_of(summary.peak)),
        retained_bytes=_number(bytes_of(summary.retained)),
        garbage_bytes=_number(bytes_of(summary.garbage)),
        net_bytes=_number(None if summary.net is None else summary.net.total.size),
        largest_evaluation_bytes=_number(max(sizes, default=None)),
        document=document,
    )


def moment(seconds: float) -> datetime:
    """Return a moment as the settings of the program have its times: aware, or naive."""
    aware = datetime.fromtimestamp(seconds, UTC)
    if settings.USE_TZ:
        return aware
    return timezone.make_naive(aware, timezone.get_default_timezone())


def _is_remainder_known(recording: Recording) -> bool:
    """Return whether the figures of what is left are right, if a meter has made them."""
    missed = recording.not_remembered
    return recording.window is None or not (
        recording.incomplete or recording.request_held or (missed is not None and missed.blocks)
    )


def _without_remainder(evaluations: Iterable[Evaluation]) -> dict[str, Any]:
    """Return the figures of what is left of a metered recording, where it is not known."""
    return {
        "alive": None,
        "retained": None,
        "garbage": None,
        "free_lists": None,
        "evaluations": tuple(dataclasses.replace(each, retained=None) for each in evaluations),
    }


def _shortened(figures: Mapping[str, Any], types: int, named: _Named) -> dict[str, Any]:
    """Return the figures with the largest types by name, and the largest evaluations.

    ``named`` returns a call site with the view, where that belongs to it.
    """
    all_evaluations = figures["evaluations"]
    evaluations = _largest(all_evaluations)
    omitted = len(all_evaluations) - len(evaluations)
    instances = Counter(figures["omitted_instances"] or {})
    if omitted:
        instances += _instances_of(all_evaluations) - _instances_of(evaluations)
    return {
        "retained": _top_amount(figures["retained"], types),
        "garbage": _top_amount(figures["garbage"], types),
        "free_lists": _top_amount(figures["free_lists"], types),
        "net": _top(figures["net"], types),
        "near_peak": _top_near_peak(figures["near_peak"], types, named),
        "evaluations": OwnTuple(_stored_evaluation(each, named) for each in evaluations),
        "evaluations_omitted": figures["evaluations_omitted"] + omitted,
        "omitted_instances": Instances(instances) if instances else None,
    }


def _instances_of(evaluations: Iterable[Evaluation]) -> Counter[str]:
    """Return how many instances evaluations built, by the label of their model."""
    return sum((Counter(each.instances) for each in evaluations), start=Counter())


def _top(diff: Diff | None, types: int) -> Diff | None:
    return None if diff is None else diff.top(types)


def _top_amount(amount: Amount | None, types: int) -> Amount | None:
    if amount is None or len(amount.types) <= types:
        return amount
    return dataclasses.replace(amount, types=amount.types.top(types))


def _top_near_peak(near_peak: NearPeak | None, types: int, named: _Named) -> NearPeak | None:
    if near_peak is None:
        return None
    return dataclasses.replace(
        near_peak, site=named(near_peak.site), diff=near_peak.diff.top(types)
    )


def _stored_evaluation(evaluation: Evaluation, named: _Named) -> Evaluation:
    return dataclasses.replace(
        evaluation,
        site=named(evaluation.site),
        sql=without_literals(evaluation.sql, vendor_of(evaluation.database)),
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
