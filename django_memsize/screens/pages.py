"""Reports as values for the templates of the admin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Final

from django.utils.html import format_html

from .. import formatting
from ..formatting import capitalized, human_size, signed_size
from ..models import Report
from ..reports.findings import Finding, findings
from ..values import LIVE, Diff, Evaluation, Summary, TypeTotal
from . import evaluations
from .figure import Instrument, ShownFigure
from .figures import shown_figures
from .notes import explanations, notes
from .phrases import evaluation_phrase, named_function, omitted_phrase, related_phrase, sentence
from .tables import Table, tables

TYPES_SHOWN: Final = 15
"""Rows of a table by type; further types are folded away."""


def title(report: Report, longest: int) -> str:
    """Return the method and route of a report, cut to ``longest`` characters."""
    return formatting.plain(str(report), longest) or "(no route)"


def title_and_view(report: Report, longest: int) -> str:
    """Return the title of a report, and its view as HTML below it."""
    view = formatting.plain(report.view, longest)
    below = format_html('<span class="memsize-view">{}</span>', view) if view else ""
    return format_html("{} {}", title(report, longest), below)


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One type of a table. ``percent`` is the length of its bar, 100 for the largest type."""

    name: str
    objects: str
    size: str
    percent: int
    is_decrease: bool

    @classmethod
    def of(cls, name: str, total: TypeTotal, largest: int, is_change: bool) -> TypeRow:
        """Return the row of a type; the numbers have a sign if the table ``is_change``."""
        return cls(
            name=name,
            objects=f"{total.count:+,}" if is_change and total.count else f"{total.count:,}",
            size=signed_size(total.size) if is_change else human_size(total.size),
            percent=round(100 * abs(total.size) / largest) if largest else 0,
            is_decrease=total.size < 0,
        )


@dataclass(frozen=True, slots=True)
class TypeTable:
    """A table by type: the largest types, their sum, and the other types that have a name."""

    rows: tuple[TypeRow, ...]
    total: TypeRow
    others: tuple[TypeRow, ...] = ()

    @classmethod
    def of(cls, types: Diff, is_change: bool = False) -> TypeTable:
        """Return the table: the largest types first, beyond ``TYPES_SHOWN`` as one row."""
        shown = types.rows(TYPES_SHOWN)
        others = types.ranked()[TYPES_SHOWN:]
        largest = max((abs(total.size) for _, total in shown), default=0)

        def rows(totals: Iterable[tuple[str, TypeTotal]]) -> tuple[TypeRow, ...]:
            return tuple(TypeRow.of(name, total, largest, is_change) for name, total in totals)

        all_types = TypeRow.of("All types", types.total, largest, is_change)
        return cls(rows(shown), all_types, rows(others))

    @property
    def has_decrease(self) -> bool:
        """Whether there are fewer bytes of a type than before."""
        return any(row.is_decrease for row in (*self.rows, *self.others))


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation, or several consecutive ones of the same statement.

    ``cells`` are its figures, in the order of ``ReportPage.headings``.
    """

    rows: str
    model: str
    how: str
    related: str
    place: str
    function: str
    cells: tuple[str, ...]
    level: int
    times: int
    hint: str
    sql: str
    database: str
    types: TypeTable | None
    types_caption: str
    is_largest: bool
    findings: tuple[Finding, ...]

    @classmethod
    def of(
        cls,
        same: Sequence[Evaluation],
        largest: Evaluation | None,
        found: Iterable[Finding],
        instrument: Instrument,
    ) -> EvaluationRow:
        """Return the row of evaluations that differ in their figures only, and their findings."""
        first = same[0]
        times = sum(each.times for each in same)
        found = tuple(dict.fromkeys(found))
        shown = max(same, key=lambda each: (each is largest, each.size_at_end or -1))
        return cls(
            rows=f"{sum(each.rows for each in same):,}",
            model=first.model,
            how=", ".join(filter(None, (first.kind, "iterator()" if first.streamed else ""))),
            related=related_phrase(first),
            place=str(first.site or ""),
            function=named_function(first),
            cells=tuple(figure.cell(same) for figure in evaluations.shown_figures(instrument)),
            level=evaluations.level(first),
            times=times,
            hint=evaluations.hint(times, found),
            sql=first.sql,
            database=first.database,
            types=None if shown.diff is None else TypeTable.of(shown.diff),
            types_caption=f"On the heap after loading {evaluation_phrase(shown)}",
            is_largest=shown is largest,
            findings=found,
        )


@dataclass(frozen=True, slots=True)
class TableSection:
    """A table by type with a heading; ``folded_as`` is the text of the fold, if it is folded."""

    title: str
    caption: str
    types: TypeTable
    folded_as: str

    @classmethod
    def of(cls, table: Table) -> TableSection:
        """Return the section of a table."""
        types = TypeTable.of(table.types, table.is_change)
        return cls(table.title, capitalized(table.caption), types, table.folded_as)


@dataclass(frozen=True, slots=True)
class ReportPage:
    """All that the page of a report shows."""

    facts: list[str]
    sentence: str
    findings: tuple[Finding, ...]
    figures: list[ShownFigure]
    notes: list[str]
    headings: list[str]
    evaluations: list[EvaluationRow]
    omitted: str
    tables: list[TableSection]
    explanations: list[str]

    @classmethod
    def of(cls, report: Report) -> ReportPage:
        """Return the page of a stored report."""
        summary = report.summary()
        instrument = Instrument.of(summary)
        found = findings(summary, report.retained_by_others())
        return cls(
            facts=_facts(summary),
            sentence=sentence(summary),
            findings=found.request,
            figures=shown_figures(summary),
            notes=notes(summary),
            headings=[figure.heading for figure in evaluations.shown_figures(instrument)],
            evaluations=_evaluation_rows(summary, found.evaluations, instrument),
            omitted=omitted_phrase(summary, "omitted"),
            tables=[TableSection.of(table) for table in tables(summary)],
            explanations=explanations(summary),
        )

    @property
    def columns(self) -> int:
        """The number of columns of the table of evaluations, without that of the rows."""
        return len(("Model", "Call site")) + len(self.headings)

    @property
    def is_wide(self) -> bool:
        """Whether the table of evaluations has too many columns for a narrow window."""
        return len(self.headings) > len(("Alive at the end", "Duration"))


def _facts(summary: Summary) -> list[str]:
    """Return what identifies a report beside its route and its time."""
    facts = (
        ("view", summary.view),
        ("status", summary.status),
        ("release", summary.release),
        ("host", summary.host),
        ("process", summary.pid),
        ("thread", summary.thread),
        ("source", "" if summary.source == LIVE else summary.source),
    )
    return [f"{name} {value}" for name, value in facts if value]


def _evaluation_rows(
    summary: Summary, found: Sequence[tuple[Finding, ...]], instrument: Instrument
) -> list[EvaluationRow]:
    # The table near the peak is that of the largest evaluation: it is unfolded once only.
    largest = summary.largest_evaluation if summary.near_peak is None else None
    with_findings = zip(summary.evaluations, found, strict=True)
    rows = []
    for _, group in groupby(with_findings, lambda pair: _statement(pair[0])):
        same, of_each = zip(*group, strict=True)
        rows.append(EvaluationRow.of(same, largest, chain.from_iterable(of_each), instrument))
    return rows


def _statement(evaluation: Evaluation) -> tuple[Any, ...]:
    """Return what consecutive evaluations of the same statement have in common."""
    place = (evaluation.site, evaluation.depth, evaluation.streamed)
    return (evaluation.model, evaluation.kind, evaluation.sql, evaluation.database, *place)
