"""The figures of a report, each declared once.

The terminal, the pages of the admin and the README's tables read these declarations. A new figure
is a field of :class:`~django_memsize.values.Summary` and one ``Figure`` here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..formatting import markdown_table
from ..reports import thresholds
from ..values import LIVE, Amount, Reason, Summary
from .figure import (
    BLOCKS_AND_BYTES,
    BYTES,
    CHANGE_IN_BYTES,
    NUMBER,
    SECONDS,
    TEXT,
    TYPES,
    Figure,
    Instrument,
    ShownFigure,
)
from .phrases import REASONS, thing

REACHABLE: Final = "reachable from outside the {thing} after it ended"
"""What retained memory is."""


def _evaluations(summary: Summary) -> int:
    return len(summary.evaluations) + summary.evaluations_omitted


def _outside_python(summary: Summary) -> int | None:
    if summary.rss_change is None or summary.alive is None:
        return None
    return summary.rss_change - summary.alive.bytes


def _not_remembered(summary: Summary) -> Amount | None:
    return None if summary.is_remembered else summary.not_remembered


def _largest_evaluation(summary: Summary) -> int | None:
    sizes = (each.size_at_end for each in summary.evaluations)
    return max((size for size in sizes if size is not None), default=None)


def _instrument(summary: Summary) -> str:
    if summary.is_counted:
        return summary.instrument
    return f"{summary.instrument}, {summary.engine} engine"


def _reason(summary: Summary) -> str | None:
    """Return why a request was metered, unless whoever reads the report has just asked for it."""
    is_asked_for = summary.reason is None or summary.reason == Reason.COMMAND
    return None if is_asked_for else REASONS.get(str(summary.reason), summary.reason)


DURATION: Final = Figure(
    name="duration",
    value="duration",
    unit=SECONDS,
    meaning="time from start to end of the {thing}, without overhead",
)
PEAK: Final = Figure(
    name="peak",
    value="peak",
    unit=BLOCKS_AND_BYTES,
    meaning="most memory alive at once of what the {thing} allocated",
    details="A worker needs room for it.",
    shown_by=Instrument.METER,
    is_exact=lambda summary: summary.is_peak_exact,
)
ALLOCATED: Final = Figure(
    name="allocated",
    value="allocated",
    unit=BLOCKS_AND_BYTES,
    meaning="all memory that the {thing} ever allocated",
    shown_by=Instrument.METER,
    unknown="not known",
)
RETAINED: Final = Figure(
    name="retained",
    value="retained",
    unit=BLOCKS_AND_BYTES,
    meaning=f"{REACHABLE}. Under {{nothing}} counts as nothing",
    details=(
        "**Only this leaks.** The request object is older than the measurement, and what it refers "
        "to (session, user) may outlast the request a little: therefore {nothing}. For a block of "
        "code the limit is 1 KB."
    ),
    shown_by=Instrument.METER,
    unknown="not known",
)
GARBAGE: Final = Figure(
    name="garbage",
    value="garbage",
    unit=BLOCKS_AND_BYTES,
    meaning="unreachable and waiting for Python's collector",
    details=(
        "Objects that refer to each other in a cycle. Rendering a template creates a cycle, which "
        "holds all rows of the page. Garbage is no leak, but it piles up until the collector runs, "
        "and can make a worker as large as a leak does."
    ),
    shown_by=Instrument.METER,
    unknown="not known",
)
FREE_LISTS: Final = Figure(
    name="free lists",
    value="free_lists",
    unit=BLOCKS_AND_BYTES,
    meaning="freed objects that Python keeps for the next objects of their types",
    shown_by=Instrument.METER,
    unknown="not known",
)
NOT_REMEMBERED: Final = Figure(
    name="not remembered",
    value=_not_remembered,
    unit=BLOCKS_AND_BYTES,
    meaning="memory that the meter only counted, because its own memory (METER_MEMORY) was full",
    details="The peak is a lower bound then, and what is left at the end is not known.",
    shown_by=Instrument.METER,
)
NET: Final = Figure(
    name="net",
    value="net",
    unit=TYPES,
    meaning="change of the heap of the whole process from start to end of the {thing}",
    details=(
        "It includes other requests, what the response still holds, and garbage. A positive net is "
        "therefore not yet a leak."
    ),
    shown_by=Instrument.CENSUS,
    unknown="not known",
)
ROWS: Final = Figure(
    name="rows",
    value="rows",
    unit=NUMBER,
    meaning="loaded from the database by the ORM",
)
EVALUATIONS: Final = Figure(
    name="evaluations",
    value=_evaluations,
    unit=NUMBER,
    meaning="loadings of rows by the ORM; a loop over one statement is one evaluation",
    hides_zero=True,
)
LARGEST_EVALUATION: Final = Figure(
    name="largest evaluation",
    value=_largest_evaluation,
    unit=BYTES,
    meaning="most memory that one evaluation had alive at its end",
    details="Shown in lists of reports and routes.",
    shown_by=Instrument.NONE,
)
STATEMENTS: Final = Figure(
    name="statements",
    value="statements",
    unit=NUMBER,
    meaning=(
        "SQL outside evaluations: cursors, writes, count(), exists(). Statements that bypass "
        "Django's cursors are not seen"
    ),
    hides_zero=True,
)
CURSOR_ROWS: Final = Figure(
    name="cursor rows",
    value="cursor_rows",
    unit=NUMBER,
    meaning="fetched by Django's cursors without the ORM",
    hides_zero=True,
)
RSS: Final = Figure(
    name="RSS",
    value="rss_after",
    unit=BYTES,
    meaning="resident memory of the process at the end, from the operating system",
    details="Left out where the operating system does not provide it.",
)
RSS_CHANGE: Final = Figure(
    name="RSS change",
    value="rss_change",
    unit=CHANGE_IN_BYTES,
    meaning="from start to end of the {thing}; other requests contribute to it",
)
OUTSIDE_PYTHON: Final = Figure(
    name="outside Python",
    value=_outside_python,
    unit=CHANGE_IN_BYTES,
    meaning="RSS change minus retained, garbage and free lists: C libraries, other requests",
    details="It is negative where Python reused memory that the process already had.",
    shown_by=Instrument.METER,
)
IN_FLIGHT: Final = Figure(
    name="in flight",
    value="in_flight",
    unit=NUMBER,
    meaning="other requests at the same time. They blur a census and RSS, but not the meter",
)
OVERHEAD: Final = Figure(
    name="overhead",
    value="overhead",
    unit=SECONDS,
    meaning="CPU time that measuring took",
    details=(
        "Without what the meter adds to each allocation while the request runs: see "
        "[What it costs](#what-it-costs)."
    ),
)
OVERHEAD_BYTES: Final = Figure(
    name="overhead memory",
    value="overhead_bytes",
    unit=BYTES,
    meaning="memory that the meter itself used at the end, and then freed",
)
SOURCE: Final = Figure(
    name="source",
    value=lambda summary: None if summary.source == LIVE else summary.source,
    unit=TEXT,
    meaning="run: `memprofile run` made the {thing}. It is no traffic, and not among the routes",
    shown_by=Instrument.NONE,
)
INSTRUMENT: Final = Figure(
    name="instrument",
    value=_instrument,
    unit=TEXT,
    meaning="what measured the {thing}: meter, census, or counted (rows and RSS only)",
)
REASON: Final = Figure(
    name="reason",
    value=_reason,
    unit=TEXT,
    meaning="why the {thing} was metered, and not only counted",
    details="See [Which requests are measured](#which-requests-are-measured).",
)
REFUSED: Final = Figure(
    name="refused",
    value="refused",
    unit=NUMBER,
    meaning="requests of its process that were not metered so far: MAX_OVERHEAD was spent",
    hides_zero=True,
)
FIRST_REQUEST: Final = Figure(
    name="first request",
    value=lambda summary: "first" if summary.first_request else None,
    unit=TEXT,
    meaning="the first of its route in its process. It fills caches",
    details="`memprofile` leaves its bytes out: it counts as a request, and with its rows.",
    shown_by=Instrument.NONE,
)

FIGURES: Final = (
    DURATION,
    PEAK,
    ALLOCATED,
    RETAINED,
    GARBAGE,
    FREE_LISTS,
    NOT_REMEMBERED,
    NET,
    ROWS,
    EVALUATIONS,
    LARGEST_EVALUATION,
    STATEMENTS,
    CURSOR_ROWS,
    RSS,
    RSS_CHANGE,
    OUTSIDE_PYTHON,
    IN_FLIGHT,
    OVERHEAD,
    OVERHEAD_BYTES,
    INSTRUMENT,
    REASON,
    REFUSED,
    FIRST_REQUEST,
    SOURCE,
)
"""All figures of a report, in the order in which they are shown."""

RUN_COLUMNS: Final = {
    Instrument.METER: (PEAK, RETAINED, GARBAGE, ROWS, DURATION),
    Instrument.CENSUS: (NET, LARGEST_EVALUATION, ROWS, DURATION),
    Instrument.COUNTED: (RSS_CHANGE, ROWS, DURATION),
}
"""The columns of a table of several runs of the same request or code."""


def shown_figures(summary: Summary) -> list[ShownFigure]:
    """Return the figures that a report shows, in their order."""
    return list(_shown(summary, Instrument.of(summary)))


def readme_table() -> str:
    """Return the figures of a report as a table in Markdown."""
    return markdown_table(
        ("figure", "meaning"), ((each.name, _explained(each)) for each in FIGURES)
    )


def _shown(summary: Summary, instrument: Instrument) -> Iterator[ShownFigure]:
    for figure in FIGURES:
        text = figure.text(summary) if instrument & figure.shown_by else ""
        if text:
            yield ShownFigure(figure.name, text, filled(figure.meaning, summary))


def _explained(figure: Figure) -> str:
    text = f"{figure.meaning}. {figure.details}".strip()
    return filled(text)


def filled(text: str, summary: Summary | None = None) -> str:
    """Return a meaning in the words of a report, or of any request."""
    summary = Summary(kind="request") if summary is None else summary
    nothing = f"{thresholds.nothing_retained(summary) // 1024:,} KB"
    return text.format(thing=thing(summary), nothing=nothing)
