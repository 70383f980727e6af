"""A report as its page shows it: text, and the widths of bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Final

from .. import formatting
from ..formatting import counted, human_duration, human_size, signed_size
from ..models import Report
from ..reports.findings import Finding as Verdict
from ..reports.findings import RetainedAt as Kept
from ..reports.findings import findings as verdicts
from ..values import Amount, Diff, Evaluation, Summary, TypeTotal
from . import terminal

TYPES_SHOWN: Final = 15
"""Rows of a table by type; further ones are folded away."""

_UNKNOWN: Final = "\N{EN DASH}"

_UNREADABLE: Final = (
    "The tables of this report cannot be read: another version of django-memsize "
    "may have stored them."
)


def title(report: Report, longest: int) -> str:
    """Return a name for the report, cut to ``longest`` characters."""
    return formatting.plain(str(report), longest) or "(no route)"


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One type of a table, and a bar as wide as its bytes are against the largest."""

    name: str
    objects: str
    size: str
    percent: int
    is_less: bool

    @classmethod
    def of(cls, name: str, total: TypeTotal, largest: int, is_change: bool) -> TypeRow:
        """Return the row; what there is more of says so where the table ``is_change``."""
        return cls(
            name=name,
            objects=f"{total.count:+,}" if is_change and total.count else f"{total.count:,}",
            size=signed_size(total.size) if is_change else human_size(total.size),
            percent=round(100 * abs(total.size) / largest) if largest else 0,
            is_less=total.size < 0,
        )


@dataclass(frozen=True, slots=True)
class TypePage:
    """A table by type, ready to be shown."""

    rows: tuple[TypeRow, ...]
    total: TypeRow
    others: tuple[TypeRow, ...] = ()
    """Those of the row "other types" whose names are known."""

    @classmethod
    def of(cls, types: Diff, is_change: bool = False) -> TypePage:
        """Return the table: the largest first, beyond ``TYPES_SHOWN`` as one row at the end."""
        ranked = types.ranked()
        shown, named = ranked[:TYPES_SHOWN], ranked[TYPES_SHOWN:]
        others = types.others + len(named)
        if others:
            rest = sum((total for _, total in named), types.other)
            shown.append((f"({counted(others, 'other type')})", rest))
        largest = max((abs(total.size) for _, total in shown), default=0)
        return cls(
            tuple(TypeRow.of(name, total, largest, is_change) for name, total in shown),
            TypeRow.of("All types", types.total, largest, is_change),
            tuple(TypeRow.of(name, total, largest, is_change) for name, total in named),
        )

    @property
    def has_less(self) -> bool:
        """Whether there is less of something than there was."""
        return any(row.is_less for row in (*self.rows, *self.others))


@dataclass(frozen=True, slots=True)
class EvaluationRow:
    """An evaluation, or several of the same statement one after another, ready to be shown."""

    rows: str
    model: str
    how: str
    related: str
    place: str
    function: str
    allocated: str
    peak: str
    size: str
    kept: str
    duration: str
    level: int
    times: int
    sql: str
    database: str
    types: TypePage | None
    types_of: str
    is_largest: bool
    verdicts: tuple[Verdict, ...]

    @classmethod
    def of(
        cls, loadings: list[Evaluation], largest: Evaluation | None, found: Iterable[Verdict]
    ) -> EvaluationRow:
        """Return the row of loadings that differ in their figures only, with what was found."""
        first = loadings[0]
        shown = max(loadings, key=lambda one: (one is largest, one.size_at_end or -1))
        return cls(
            rows=f"{sum(one.rows for one in loadings):,}",
            model=first.model,
            how=_how(first),
            place=str(first.site or ""),
            function=first.site.function if first.site else "",
            allocated=_sum(one.allocated and one.allocated.bytes for one in loadings),
            peak=_optional(
                max((one.peak.bytes for one in loadings if one.peak is not None), default=None)
            ),
            size=_sizes(loadings),
            kept=_sum(one.retained and one.retained.bytes for one in loadings),
            duration=human_duration(sum(one.duration for one in loadings)),
            level=min(first.depth, 6),
            times=sum(one.times for one in loadings),
            related=terminal.related_phrase(first),
            sql=first.sql,
            database=first.database,
            types=None if shown.diff is None else TypePage.of(shown.diff),
            types_of=terminal.loading_phrase(shown),
            is_largest=shown is largest,
            verdicts=tuple(dict.fromkeys(found)),
        )


@dataclass(frozen=True, slots=True)
class TableSection:
    """A table by type under its own heading; folded away where it says little."""

    title: str
    caption: str
    types: TypePage
    folded_as: str = ""

    @classmethod
    def of(
        cls, title: str, meaning: str, amount: Amount | None, types: Diff, is_folded: bool
    ) -> TableSection:
        """Return the section of an amount; empty where that is not known."""
        size = "" if amount is None else human_size(amount.bytes)
        folded_as = f"{size} by type" if is_folded else ""
        return cls(title, f"{size} {meaning}", TypePage.of(types), folded_as)


@dataclass(frozen=True, slots=True)
class ReportPage:
    """A report, ready to be shown: text, and the widths of bars."""

    sentence: str
    figures: list[tuple[str, str, str]]
    notes: list[str]
    evaluations: list[EvaluationRow]
    omitted: str
    thing: str
    is_metered: bool
    is_counted: bool
    words: list[str]
    tables: list[TableSection]

    @classmethod
    def of(cls, report: Report) -> ReportPage:
        """Return the page of a report; where its documents make no sense, without them."""
        try:
            return cls._of(report.summary(), report.retained_by_others())
        except KeyError:
            return cls(
                sentence=_UNREADABLE,
                figures=[
                    ("duration", human_duration(report.duration), "without our own work"),
                    ("rows", f"{report.rows:,}", "loaded from the database by the ORM"),
                ],
                notes=[],
                evaluations=[],
                omitted="",
                thing="",
                is_metered=False,
                is_counted=False,
                words=[],
                tables=[],
            )

    @classmethod
    def _of(cls, summary: Summary, others: Sequence[Kept]) -> ReportPage:
        omitted = summary.evaluations_omitted
        return cls(
            sentence=terminal.sentence(summary),
            figures=terminal.figures(summary),
            notes=terminal.notes(summary),
            evaluations=_evaluations(summary, others),
            omitted=f"{counted(omitted, 'smaller evaluation')} left out" if omitted else "",
            thing=terminal.thing(summary),
            is_metered=summary.is_metered,
            is_counted=summary.is_counted,
            words=terminal.words(summary),
            tables=[section for section in _tables(summary) if section.types.rows],
        )

    @property
    def columns(self) -> int:
        """How many columns an evaluation has beside its rows."""
        if self.is_counted:
            return 3
        return 7 if self.is_metered else 4


def _tables(summary: Summary) -> Iterator[TableSection]:
    thing = terminal.thing(summary)
    if summary.is_counted:
        return
    if not summary.is_metered:
        yield TableSection(
            f"At the end of the {thing}, against its start",
            "What the process had more or less of, by type",
            TypePage.of(summary.net, is_change=True),
        )
        return
    if summary.near_peak is not None:
        yield TableSection(
            "The largest moment",
            terminal.moment_phrase(summary, summary.near_peak),
            TypePage.of(summary.near_peak.diff),
        )
    for title, meaning, amount, types, is_folded in (
        (
            "Retained",
            f"still reachable once the {thing} was over",
            summary.retained,
            summary.retained.types,
            not terminal.is_kept(summary),
        ),
        (
            "Dead",
            "no longer reachable, waiting for Python's collector",
            summary.garbage,
            summary.garbage.types,
            not terminal.is_worth_a_word(summary.garbage),
        ),
        (
            "Parked",
            "freed, and kept by Python for the next of their types",
            summary.free_lists,
            summary.free_lists.types,
            True,
        ),
    ):
        yield TableSection.of(title, meaning, amount, types, is_folded)


def _evaluations(summary: Summary, others: Sequence[Kept]) -> list[EvaluationRow]:
    # With the table of the largest moment, that of the largest loading would be there twice.
    largest = summary.largest_evaluation if summary.near_peak is None else None
    judged = zip(summary.evaluations, verdicts(summary, others), strict=True)
    rows = []
    for _, same in groupby(judged, lambda one: _statement(one[0])):
        loadings, found = zip(*same, strict=True)
        rows.append(EvaluationRow.of(list(loadings), largest, chain.from_iterable(found)))
    return rows


def _statement(loading: Evaluation) -> tuple[Any, ...]:
    """Return what evaluations have in common that a loop made."""
    place = (loading.site, loading.depth, loading.streamed)
    return (loading.model, loading.kind, loading.sql, loading.database, *place)


def _how(loading: Evaluation) -> str:
    streamed = "one after another" if loading.streamed else ""
    return ", ".join(filter(None, (loading.kind, streamed)))


def _sum(sizes: Iterable[int | None]) -> str:
    known = [size for size in sizes if size is not None]
    return _optional(sum(known) if known else None)


def _optional(size: int | None) -> str:
    return _UNKNOWN if size is None else human_size(size)


def _sizes(loadings: Iterable[Evaluation]) -> str:
    sizes = [one.size_at_end for one in loadings]
    measured = [size for size in sizes if size is not None]
    if not measured:
        return "not measured"
    total = human_size(sum(measured))
    if len(measured) == len(sizes):
        return total
    return f"{total} ({len(measured):,} of {len(sizes):,} measured)"
