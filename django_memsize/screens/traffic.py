"""The requests of each route, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..formatting import counted, human_size, percentage, table
from ..values import Histogram, ProcessRollup, RouteKey, RouteRollup
from ..values import rollup as names
from ..values.histogram import MAX_ERROR
from .figure import BYTES, CHANGE_IN_BYTES, NUMBER, SECONDS, UNKNOWN, Unit
from .figures import ALLOCATED, DURATION, GARBAGE, PEAK, RETAINED, ROWS, RSS_CHANGE, STATEMENTS

QUANTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""The share of the requests that do not exceed a figure, by its name in JSON."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a figure is shown: ``divisor`` makes its unit of the number that is added up."""

    name: str
    unit: Unit
    divisor: int = 1


_KINDS: Final = {
    names.DURATION: _Kind(DURATION.name, SECONDS, names.NANOSECONDS),
    names.ROWS: _Kind(ROWS.name, NUMBER),
    names.STATEMENTS: _Kind(STATEMENTS.name, NUMBER),
    names.RSS_CHANGE: _Kind(RSS_CHANGE.name, CHANGE_IN_BYTES),
    names.PEAK: _Kind(PEAK.name, BYTES),
    names.ALLOCATED: _Kind(ALLOCATED.name, BYTES),
    names.RETAINED: _Kind(RETAINED.name, BYTES),
    names.RETAINED_LATER: _Kind(RETAINED.name, BYTES),
    names.GARBAGE: _Kind(GARBAGE.name, BYTES),
    names.FOLLOWED: _Kind(RETAINED.name, BYTES),
    names.SURVIVED: _Kind(RETAINED.name, BYTES),
}

COLUMNS: Final = (
    *((names.DURATION, statistic) for statistic in ("p50", "p95", "max")),
    *((names.PEAK, statistic) for statistic in ("p50", "p95", "max")),
    (names.ROWS, "p95"),
    (names.ROWS, "max"),
    (names.RSS_CHANGE, "sum"),
    (names.RSS_CHANGE, "max"),
)
"""The columns of the table: a figure, and what of it."""

SORT_KEYS: Final[dict[str, Callable[[RouteRollup], int]]] = {
    "requests": lambda rollup: rollup.requests,
    "duration": lambda rollup: rollup[names.DURATION].sum,
    "peak": lambda rollup: rollup[names.PEAK].maximum or 0,
    "rows": lambda rollup: rollup[names.ROWS].sum,
    "rss": lambda rollup: rollup[names.RSS_CHANGE].sum,
}
"""What the routes are sorted by, the largest first: duration, rows and RSS change in all."""


Routes = Sequence[tuple[RouteKey, RouteRollup]]


def in_order(routes: Mapping[RouteKey, RouteRollup], key: str) -> Routes:
    """Return the routes sorted by a key of ``SORT_KEYS``."""
    measure = SORT_KEYS[key]
    return sorted(routes.items(), key=lambda route: (-measure(route[1]), route[0]))


def text(routes: Routes, processes: ProcessRollup, since: datetime, top: int) -> str:
    """Return the table of the first routes, and sentences about all of them."""
    header = ("route", "requests", *map(_heading, COLUMNS))
    lines = [table(header, (_row(key, rollup) for key, rollup in routes[:top]))]
    if len(routes) > top:
        lines.append(f"and {len(routes) - top:,} more: --top N")
    return "\n".join([*lines, "", *_remarks(routes, processes, since)])


def document(routes: Routes, processes: ProcessRollup, since: datetime) -> dict[str, Any]:
    """Return the routes as JSON: durations in seconds, sizes in bytes."""
    return {
        "since": since.isoformat(),
        "routes": [_document_of(key, rollup) for key, rollup in routes],
        "processes": processes.columns(),
    }


def _document_of(key: RouteKey, rollup: RouteRollup) -> dict[str, Any]:
    figures = {
        figure: {name: value(rollup[figure], name, kind) for name in _STATISTICS}
        for figure, kind in _KINDS.items()
    }
    return {**key._asdict(), **rollup.counts(), **figures}


_STATISTICS: Final = ("count", "sum", "mean", *QUANTILES, "max")


def value(histogram: Histogram, statistic: str, kind: _Kind) -> float | None:
    """Return the sum, the mean, a quantile, the maximum or the number of a figure."""
    if statistic == "count":
        return histogram.count
    numbers = {"sum": histogram.sum, "mean": histogram.mean, "max": histogram.maximum}
    is_quantile = statistic in QUANTILES
    number = histogram.quantile(QUANTILES[statistic]) if is_quantile else numbers[statistic]
    if number is None or kind.divisor == 1:
        return number
    return number / kind.divisor


def _heading(column: tuple[str, str]) -> str:
    figure, statistic = column
    return f"{_KINDS[figure].name} {statistic}".removesuffix(" sum")


def _row(key: RouteKey, rollup: RouteRollup) -> tuple[str, ...]:
    cells = (_cell(rollup[figure], statistic, _KINDS[figure]) for figure, statistic in COLUMNS)
    return (f"{key.method} {key.route}".strip(), f"{rollup.requests:,}", *cells)


def _cell(histogram: Histogram, statistic: str, kind: _Kind) -> str:
    found = value(histogram, statistic, kind) if histogram.count else None
    if found is None:
        return UNKNOWN
    return kind.unit.cell(found if kind.divisor > 1 else round(found))


def _remarks(routes: Routes, processes: ProcessRollup, since: datetime) -> Iterator[str]:
    requests = sum(rollup.requests for _, rollup in routes)
    metered = sum(rollup.metered for _, rollup in routes)
    yield (
        f"{counted(requests, 'request')} since {since:%Y-%m-%d %H:%M %Z}".rstrip()
        + f". p50 and p95 are within {percentage(MAX_ERROR)}; sums and maxima are exact."
    )
    if metered < requests:
        yield f"{metered:,} of them were metered: the peak is of these alone."
    if processes.samples:
        yield (
            f"The largest process had {human_size(processes.rss_max)} (RSS) at the end of a minute."
        )
    if processes.lost_requests:
        yield f"{counted(processes.lost_requests, 'request')} could not be stored, and are missing."
