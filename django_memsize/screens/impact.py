"""The order of harm in words: routes with their impact on a worker and its reason, and workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ..formatting import counted, human_size, plain, signed_size, table
from ..reports import thresholds
from ..reports.impact import SORT_KEYS, Part, RankedRoute
from ..values import RouteKey, Summary
from ..values import rollup as names
from ..values.impact import Basis, Harm, Impact, RouteFigures, Worker, Workers
from .figure import CHANGE_IN_BYTES, NUMBER, SECONDS, UNKNOWN
from .figures import DURATION, GARBAGE, PEAK, RETAINED, ROWS, RSS_CHANGE
from .phrases import evaluation_phrase

if TYPE_CHECKING:
    pass

Evidence = Mapping[int, Summary]
"""The figures of reports by primary key."""

_MENTIONED: Final = 0.1
"""Share of the largest harm of a route from which a further one is mentioned."""

_RATE: Final = 600
"""Seconds that a process is known for from which a rate an hour is worth telling."""

_WIDE: Final = 1.25
"""How much larger the end of a range is than its middle, so that the range is told."""

_PARTS: Final = 3

_COLUMNS: Final = {
    "peak": PEAK.name,
    "retained": RETAINED.name,
    "garbage": GARBAGE.name,
    "rows": f"{ROWS.name} max",
    "duration": DURATION.name,
    "rss": RSS_CHANGE.name,
}
"""The heading of the column by which routes are sorted, where it is no column anyway."""


def text(ranked: Sequence[RankedRoute], sort: str, workers: Workers, evidence: Evidence) -> str:
    """Return routes as a table: the impact of each, its requests, and the reason in words."""
    sorted_by = [_COLUMNS[sort]] if sort in _COLUMNS else []
    has_views = any(route.figures.known.view for route in ranked)
    views = ("view",) if has_views else ()
    header = ("impact", "route", *views, "requests", *sorted_by, "report ID", "reason")
    rows = (_row(route, has_views, sort, workers, evidence) for route in ranked)
    return table(header, rows, prose=True)


def _row(
    route: RankedRoute, has_view: bool, sort: str, workers: Workers, evidence: Evidence
) -> tuple[str, ...]:
    view = [plain(route.figures.known.view, 255) or UNKNOWN] if has_view else []
    sorted_by = [_sorted_cell(route, sort)] if sort in _COLUMNS else []
    shown = report_of(route)
    return (
        human_size(route.bytes) if route.impacts else UNKNOWN,
        name_of(route.figures.key),
        *view,
        f"{route.rollup.requests:,}",
        *sorted_by,
        UNKNOWN if shown is None else str(shown),
        reason(route, workers, evidence),
    )


def _sorted_cell(route: RankedRoute, sort: str) -> str:
    number = SORT_KEYS[sort](route)
    if sort == "duration":
        return SECONDS.cell(number / names.NANOSECONDS)
    if sort in ("rows", "rss"):
        return (NUMBER if sort == "rows" else CHANGE_IN_BYTES).cell(number)
    return human_size(number) if number else UNKNOWN


def name_of(key: RouteKey) -> str:
    """Return the method and the route."""
    return plain(f"{key.method} {key.route}".strip(), 255)


def report_of(route: RankedRoute) -> int | None:
    """Return the primary key of the report that shows the largest harm, or the latest one."""
    for impact in route.impacts:
        if impact.report is not None:
            return impact.report
    return route.figures.known.latest


def reason(route: RankedRoute, workers: Workers, evidence: Evidence) -> str:
    """Return the harms of a route in words, the largest first."""
    harms = [
        impact
        for impact in route.impacts
        if impact.bytes >= _MENTIONED * route.bytes and _is_worth_a_word(impact, route)
    ]
    if harms:
        return "; ".join(sentence(impact, route.figures, workers, evidence) for impact in harms)
    rollup = route.rollup
    if rollup.requests and rollup.requests == rollup.first_requests:
        return "first requests only, which fill caches: their bytes do not count"
    if rollup.metered:
        return "no harm found"
    return "only counted, and no rows"


def _is_worth_a_word(impact: Impact, route: RankedRoute) -> bool:
    return impact is route.impacts[0] or impact.bytes >= thresholds.MUCH


def sentence(impact: Impact, figures: RouteFigures, workers: Workers, evidence: Evidence) -> str:
    """Return one harm in words: ``"peak 83.0 MB: 50,000 shop.Order at shop/views.py:31"``."""
    shown = None if impact.report is None else evidence.get(impact.report)
    if impact.harm is Harm.PEAK:
        return _peak(impact, figures, shown)
    if impact.harm is Harm.RETAINED:
        return _retained(impact, workers, shown)
    if impact.harm is Harm.GARBAGE:
        return (
            f"{human_size(impact.each)} of garbage a request, {human_size(impact.bytes)} "
            "until a full collection"
        )
    if impact.harm is Harm.RSS:
        return _rss(impact, workers)
    return f"net {signed_size(impact.each)} a request, by census"


def _peak(impact: Impact, figures: RouteFigures, shown: Summary | None) -> str:
    size = human_size(impact.bytes)
    if impact.basis is Basis.ROWS:
        rows = figures.rollup[names.ROWS].maximum or 0
        largest = None if shown is None or shown.rows < rows else shown.largest_evaluation
        what = f"{rows:,} rows" if largest is None else evaluation_phrase(largest)
        return f"{what}, {_if_alive(impact.bytes)}"
    largest = None if shown is None else shown.largest_evaluation
    if shown is None or largest is None:
        return f"peak {size}"
    if impact.basis is Basis.EVALUATION:
        return f"loading {evaluation_phrase(largest)} takes {size}"
    own = largest.size_at_peak
    is_of_this = shown.peak is not None and shown.peak.bytes >= thresholds.MOST * impact.bytes
    if not is_of_this or own is None or own < thresholds.MOST * impact.bytes:
        return f"peak {size}"
    return f"peak {size}: {evaluation_phrase(largest)}"


def _retained(impact: Impact, workers: Workers, shown: Summary | None) -> str:
    requests = counted(round(impact.requests), "request")
    sample = f"{impact.sample:,} metered"
    if not impact.each:
        most = f"; up to {human_size(impact.high)} in all" if _is_wide(impact) else ""
        return f"retained {human_size(impact.bytes)} in {sample} of {requests}{most}"
    size = human_size(impact.bytes)
    if workers.hours * 3600 >= _RATE:
        hourly = impact.bytes / workers.hours
        total = f"{human_size(hourly)} an hour, {size} in {requests} of a worker"
    else:
        total = f"{size} in {requests} of a worker"
    if _is_wide(impact):
        total += f" ({human_size(impact.low)} to {human_size(impact.high)}, {sample})"
    return f"retains {human_size(impact.each)} a request{_retained_what(shown)}: {total}"


def _is_wide(impact: Impact) -> bool:
    return impact.high > _WIDE * impact.bytes or impact.bytes > _WIDE * impact.low


def _retained_what(shown: Summary | None) -> str:
    """Return which evaluation most of it is from, or else of which type it is, in brackets."""
    if shown is None or shown.retained is None:
        return ""
    sizes = [(each.retained.bytes, each) for each in shown.evaluations if each.retained is not None]
    size, largest = max(sizes, key=lambda pair: pair[0], default=(0, None))
    if largest is not None and size >= thresholds.MOST * shown.retained.bytes:
        return f" ({evaluation_phrase(largest)})"
    for name, total in shown.retained.types.ranked()[:1]:
        if total.size >= shown.retained.bytes / 2:
            return f" (mostly {plain(name, 100)})"
    return ""


def _rss(impact: Impact, workers: Workers) -> str:
    each, requests = signed_size(impact.each), counted(impact.sample, "request")
    others = workers.in_flight_max
    in_flight = f", with up to {others:,} in flight" if others > 1 else ""
    return f"RSS {each} in each of {requests}{in_flight}"


def _if_alive(size: float) -> str:
    return f"counted: some {human_size(size)} if all are alive at once"


def worker_sentence(
    worker: Worker, parts: Sequence[Part], began: datetime, has_other_days: bool
) -> str:
    """Return by how much the RSS of a process grew, and what the routes account for of it."""
    when = f"{began:%Y-%m-%d %H:%M}" if has_other_days else f"{began:%H:%M}"
    name = f"PID {worker.key.pid}" + (f" on {worker.key.host}" if worker.key.host else "")
    grown = (
        f"{plain(name, 300)} grew from {human_size(worker.rss_first)} to "
        f"{human_size(worker.rss_last)} since {when}, in {counted(worker.requests, 'request')}"
    )
    if not parts:
        return f"{grown}. The routes do not account for it."
    return f"{grown}: {', '.join(_parts(parts))}."


def _parts(parts: Sequence[Part]) -> Iterator[str]:
    words = {
        Harm.RETAINED: "retained by",
        Harm.PEAK: "for the peak of",
        Harm.GARBAGE: "of garbage of",
        Harm.RSS: "of RSS by",
    }
    for part in parts[:_PARTS]:
        yield f"{human_size(part.bytes)} {words[part.harm]} {name_of(part.figures.key)}"
    others = sum(part.bytes for part in parts[_PARTS:])
    if others:
        yield f"{human_size(others)} by {counted(len(parts) - _PARTS, 'other route')}"


def document(route: RankedRoute, workers: Workers, evidence: Evidence) -> dict[str, Any]:
    """Return a route as JSON: sizes in bytes, durations in seconds."""
    rollup = route.rollup
    duration, rows, change = (
        rollup[name] for name in (names.DURATION, names.ROWS, names.RSS_CHANGE)
    )
    return {
        **route.figures.key._asdict(),
        "view": route.figures.known.view,
        **rollup.counts(),
        "impact_bytes": route.bytes,
        "reason": reason(route, workers, evidence),
        "harms": [
            {
                "name": str(impact.harm),
                "bytes": impact.bytes,
                "low": impact.low,
                "high": impact.high,
                "each": impact.each,
                "requests": impact.requests,
                "sample": impact.sample,
                "basis": str(impact.basis),
                "report": impact.report,
                "sentence": sentence(impact, route.figures, workers, evidence),
            }
            for impact in route.impacts
        ],
        "rows_max": rows.maximum,
        "rows_sum": rows.sum,
        "duration_sum": duration.sum / names.NANOSECONDS,
        "rss_change_sum": change.sum,
        "report": report_of(route),
        "latest_report": route.figures.known.latest,
    }


def worker_document(worker: Worker, parts: Sequence[Part]) -> dict[str, Any]:
    """Return a process as JSON."""
    return {
        **worker.key._asdict(),
        "start": worker.start,
        "end": worker.end,
        "requests": worker.requests,
        "full_collections": worker.full_collections,
        "rss_first": worker.rss_first,
        "rss_last": worker.rss_last,
        "rss_max": worker.rss_max,
        "in_flight_max": worker.in_flight_max,
        "parts": [
            {"route": name_of(part.figures.key), "harm": str(part.harm), "bytes": part.bytes}
            for part in parts
        ],
    }
