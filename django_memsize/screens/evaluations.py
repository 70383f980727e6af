"""The figures of an evaluation, each declared once, and evaluations as lines of text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..formatting import capitalized, human_duration, human_size
from ..reports.compared import Compared
from ..reports.findings import Finding, findings
from ..values import Evaluation, Summary, bytes_of
from .figure import Instrument
from .figures import ALLOCATED, DURATION, PEAK, RETAINED
from .phrases import (
    evaluation_phrase,
    named_function,
    omitted_phrase,
    related_phrase,
    repetition_hint,
)

DEEPEST_LEVEL: Final = 6
"""Evaluations inside others are indented up to this level, as in the style sheet of the pages."""

_NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFigure:
    """One figure of an evaluation, which is a column of the table of evaluations.

    ``value`` returns the number, or None if it is not known, which a cell shows as ``unknown``.
    ``combined`` combines the known numbers of several evaluations of the same statement.
    """

    name: str
    value: Callable[[Evaluation], Any]
    shown_by: Instrument
    text: Callable[[Any], str] = human_size
    combined: Callable[[Iterable[Any]], Any] = sum
    unknown: str = "\N{EN DASH}"

    @property
    def heading(self) -> str:
        """The name as the heading of a column."""
        return capitalized(self.name)

    def cell(self, evaluations: Sequence[Evaluation]) -> str:
        """Return the figure of several evaluations of the same statement.

        If it is known of only some of them, the text says of how many.
        """
        values = [self.value(evaluation) for evaluation in evaluations]
        known = [value for value in values if value is not None]
        if not known:
            return self.unknown
        text = self.text(self.combined(known))
        if len(known) == len(values):
            return text
        return f"{text} ({len(known):,} of {len(values):,} measured)"


FIGURES: Final = (
    EvaluationFigure(
        name=ALLOCATED.name,
        value=lambda evaluation: bytes_of(evaluation.allocated),
        shown_by=Instrument.METER,
    ),
    EvaluationFigure(
        name=PEAK.name,
        value=lambda evaluation: bytes_of(evaluation.peak),
        shown_by=Instrument.METER,
        combined=max,
    ),
    EvaluationFigure(
        name="alive at the end",
        value=lambda evaluation: evaluation.size_at_end,
        shown_by=Instrument.METER | Instrument.CENSUS,
        unknown=_NOT_MEASURED,
    ),
    EvaluationFigure(
        name=RETAINED.name,
        value=lambda evaluation: bytes_of(evaluation.retained),
        shown_by=Instrument.METER,
    ),
    EvaluationFigure(
        name=DURATION.name,
        value=lambda evaluation: evaluation.duration,
        shown_by=Instrument.ANY,
        text=human_duration,
    ),
)
"""The figures of an evaluation that are columns, in their order. Duration is the last."""


def shown_figures(instrument: Instrument) -> list[EvaluationFigure]:
    """Return the figures of an evaluation that a report of this instrument has."""
    return [figure for figure in FIGURES if instrument & figure.shown_by]


def level(evaluation: Evaluation) -> int:
    """Return the level to which an evaluation is indented."""
    return max(0, min(evaluation.depth, DEEPEST_LEVEL))


def finding_lines(found: Iterable[Finding]) -> list[str]:
    """Return a line for each finding."""
    return [f"{finding.label} {finding.sentence}" for finding in found]


def hint(times: int, found: Iterable[Finding]) -> str:
    """Return the hint for a statement that ran several times, unless it is a finding; else ""."""
    return "" if any(each.is_n_plus_one for each in found) else repetition_hint(times)


def evaluation_lines(summary: Summary, others: Sequence[Compared] = ()) -> list[str]:
    """Return a line for each evaluation, and below it its findings and the hint for a loop.

    ``others`` is what other requests of the route retain, as ``findings()`` takes it.
    """
    instrument = Instrument.of(summary)
    lines = []
    found_in_each = findings(summary, others).evaluations
    for evaluation, found in zip(summary.evaluations, found_in_each, strict=True):
        indent = "  " * level(evaluation)
        lines.append(indent + _line(evaluation, instrument))
        indent += "  "
        lines += [indent + line for line in finding_lines(found)]
        if hinted := hint(evaluation.times, found):
            lines.append(indent + hinted)
    if omitted := omitted_phrase(summary):
        lines.append(f"and {omitted}")
    return lines


def _line(evaluation: Evaluation, instrument: Instrument) -> str:
    function = named_function(evaluation)
    inside = f" in {function}" if function else ""
    related = related_phrase(evaluation)
    built = f", {related}" if related else ""
    *sizes, duration = shown_figures(instrument)
    texts = [
        f"{figure.text(value)} {figure.name}"
        for figure in sizes
        if (value := figure.value(evaluation)) is not None
    ]
    if sizes and not texts:
        texts = [_NOT_MEASURED]
    texts.append(duration.text(duration.value(evaluation)))
    return f"{evaluation_phrase(evaluation)}{inside}{built}: {', '.join(texts)}"
