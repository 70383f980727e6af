"""Reports as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .. import formatting
from ..reports.compared import Compared
from ..reports.findings import findings
from ..values import Diff, Summary, TypeTotal
from .evaluations import evaluation_lines, finding_lines
from .figure import Instrument
from .figures import RUN_COLUMNS, shown_figures
from .notes import explanations, notes
from .phrases import evaluation_phrase, sentence
from .tables import tables


def report(summary: Summary, top: int, heading: str, others: Sequence[Compared] = ()) -> str:
    """Return a whole report: heading, sentence, findings, figures, evaluations, tables, notes.

    A table has ``top`` types. ``others`` is what other requests of the route retain, as
    ``findings()`` takes it.
    """
    found = finding_lines(findings(summary, others).request)
    parts = [heading, sentence(summary), *found, _figures_block(summary)]
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
