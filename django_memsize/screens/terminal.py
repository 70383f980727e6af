"""Reports as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .. import formatting
from ..formatting import human_size
from ..reports.findings import RetainedAt
from ..values import Diff, Summary, TypeTotal
from .evaluations import evaluation_lines
from .figure import UNKNOWN, Instrument
from .figures import ROUTE_COLUMNS, ROWS, RUN_COLUMNS, shown_figures
from .notes import explanations, notes
from .phrases import evaluation_phrase, sentence
from .tables import tables


def report(summary: Summary, top: int, heading: str, others: Sequence[RetainedAt] = ()) -> str:
    """Return a whole report: heading, sentence, figures, evaluations, tables, notes.

    A table has ``top`` types. ``others`` is what other requests of the route retain, as
    ``findings()`` takes it.
    """
    parts = [heading, sentence(summary), _figures_block(summary)]
    if summary.evaluations:
        parts.append("Evaluations:\n" + _indented(evaluation_lines(summary, others)))
    shown = [(title, types.rows(top)) for title, types in _tables(summary)]
    parts += [f"{title}:\n\n{_type_table(rows)}" for title, rows in shown]
    names = {name for _, rows in shown for name, _ in rows}
    remarks = [*notes(summary), *explanations(summary, names)]
    if remarks:
        parts.append("Notes:\n" + _indented(remarks))
    return "\n\n".join(parts)


def runs_table(runs: Iterable[tuple[str, Summary]]) -> str:
    """Return several runs of the same request or code as a table, one row for each.

    ``runs`` are pairs of a heading and a summary. The columns are those of the instrument that
    knows most.
    """
    runs = tuple(runs)
    used = {Instrument.of(summary) for _, summary in runs}
    columns = next(figures for instrument, figures in RUN_COLUMNS.items() if instrument in used)
    return formatting.table(
        ("run", *(figure.name for figure in columns)),
        ((heading, *(figure.cell(summary) for figure in columns)) for heading, summary in runs),
    )


def routes_table(routes: Iterable[Mapping[str, Any]]) -> str:
    """Return routes, as ``Report.objects.by_route()`` returns them, as a table.

    A column of sizes that no route has is left out, but not the last one.
    """
    routes = tuple(routes)
    columns = [
        (f"{statistic} {figure.name}".strip(), key)
        for statistic, figure, key in ROUTE_COLUMNS
        if key == ROUTE_COLUMNS[-1][-1] or any(route[key] is not None for route in routes)
    ]
    return formatting.table(
        ("route", "reports", *(title for title, _ in columns), ROWS.name, "latest ID"),
        (
            (
                f"{route['method']} {route['route']}".strip(),
                f"{route['reports']:,}",
                *(_size(route[key]) for _, key in columns),
                f"{route['most_rows']:,}",
                str(route["latest"]),
            )
            for route in routes
        ),
    )


def _tables(summary: Summary) -> Iterator[tuple[str, Diff]]:
    largest = summary.largest_evaluation
    if not summary.is_metered and largest is not None and largest.diff is not None:
        yield f"On the heap after loading {evaluation_phrase(largest)}", largest.diff
    for table in tables(summary):
        if not table.folded_as:
            yield f"{table.title}: {table.caption}", table.types


def _type_table(rows: Iterable[tuple[str, TypeTotal]]) -> str:
    return formatting.type_table((name, total.count, total.size) for name, total in rows)


def _figures_block(summary: Summary) -> str:
    figures = shown_figures(summary)
    names = max(len(figure.name) for figure in figures)
    texts = max(len(figure.text) for figure in figures)
    return "\n".join(
        f"  {figure.name:<{names}}  {figure.text:<{texts}}  {figure.meaning}" for figure in figures
    )


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _size(size: float | None) -> str:
    return UNKNOWN if size is None else human_size(size)
