"""The questions to the database behind the order of harm: all requests, joined with the reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from django.db.models import Max, Min, Sum

from .. import models
from ..values import COUNTED, LIVE, ProcessKey, RouteKey, RouteRollup, Summary
from ..values import rollup as names
from ..values.impact import Known, RouteFigures, Worker
from ..values.rollup import Level
from . import rollup_storage
from .build import moment
from .rollup_merging import readable_since

_GROWN: Final = 20
"""Processes whose first and last rows are read: those whose RSS differed most. And the busiest."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about: a time on in seconds of Unix time, a release, routes by a pattern."""

    since: float
    release: str | None = None
    route: str | None = None

    def has(self, key: RouteKey) -> bool:
        """Return whether a route is asked about."""
        return self.route is None or fnmatchcase(key.route, self.route)


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known of a period.

    ``since`` is its start in seconds of Unix time. ``workers`` are sorted by the growth of their
    RSS, the largest first. ``reports`` is the number of reports of live traffic that were looked
    at, ``only_newest`` whether there are older ones in the period, ``dropped`` how many reports,
    and ``lost_requests`` how many requests, could not be stored.
    """

    since: int
    routes: tuple[RouteFigures, ...]
    workers: tuple[Worker, ...]
    reports: int
    only_newest: bool
    dropped: int
    lost_requests: int


def read(alias: str, question: Question, now: float) -> Overview:
    """Return what is known since a time: requests of minutes that are over, and all reports.

    Reports are looked at as far as they are among the newest ``models.NEWEST``. Raises what the
    database raises.
    """
    since = readable_since(question.since, now)
    rollups = rollup_storage.read_routes(alias, since, question.release)
    reports, only_newest = _reports(alias, since, question)
    by_route: dict[RouteKey, list[_Row]] = {}
    for row in reports:
        by_route.setdefault(_key(row, question), []).append(row)
    keys = [key for key in {**rollups, **by_route} if question.has(key)]
    workers, lost_requests = _workers(alias, since, question.release)
    return Overview(
        since,
        tuple(_figures(key, rollups.get(key), by_route.get(key, ())) for key in keys),
        workers,
        len(reports),
        only_newest,
        sum(row.dropped for row in reports),
        lost_requests,
    )


def summaries(alias: str, keys: Iterable[int | None]) -> dict[int, Summary]:
    """Return the figures of reports by primary key; a report that is gone meanwhile is missing."""
    known = {key for key in keys if key is not None}
    found = models.Report.objects.using(alias).filter(pk__in=known)
    return {report.pk: report.summary() for report in found}


_COLUMNS: Final = (
    *(
        "pk",
        "kind",
        "method",
        "route",
        "view",
        "release",
        "instrument",
        "first_request",
        "duration",
    ),
    *("rows", "peak_bytes", "retained_bytes", "garbage_bytes", "net_bytes"),
    *("largest_evaluation_bytes", "dropped"),
)


class _Row(NamedTuple):
    """The columns of a report."""

    pk: int
    kind: str
    method: str
    route: str
    view: str
    release: str
    instrument: str
    first_request: bool
    duration: float
    rows: int
    peak: int | None
    retained: int | None
    garbage: int | None
    net: int | None
    evaluation: int | None
    dropped: int


def _reports(alias: str, since: int, question: Question) -> tuple[list[_Row], bool]:
    """Return the newest reports of live traffic, the oldest first; and whether there are more."""
    found = models.Report.objects.using(alias).filter(started_at__gte=moment(since), source=LIVE)
    found = found.exclude(kind=models.Report.Kind.CODE)
    if question.release is not None:
        found = found.filter(release=question.release)
    newest = found.order_by("-started_at").values_list(*_COLUMNS)[: models.NEWEST + 1]
    rows = [_Row(*values) for values in newest]
    return rows[models.NEWEST - 1 :: -1], len(rows) > models.NEWEST


def _key(row: _Row, question: Question) -> RouteKey:
    release = "" if question.release is None else row.release
    return RouteKey(row.kind, row.method, row.route, release)


def _figures(key: RouteKey, rollup: RouteRollup | None, reports: Sequence[_Row]) -> RouteFigures:
    """Return the figures of a route.

    A process hands its rollups over once a minute, its reports at once: where these know of more
    requests, their figures stand for the rollup.
    """
    if rollup is None or rollup.requests < len(reports):
        rollup = _rollup_of(reports)
    return RouteFigures(key, rollup, _known(reports))


def _rollup_of(reports: Iterable[_Row]) -> RouteRollup:
    rollup = RouteRollup()
    for row in reports:
        rollup.requests += 1
        rollup.first_requests += row.first_request
        rollup.metered += row.peak is not None
        rollup.add(names.DURATION, round(row.duration * names.NANOSECONDS))
        rollup.add(names.ROWS, row.rows)
        if not row.first_request:
            rollup.add(names.PEAK, row.peak)
            rollup.add(names.RETAINED, row.retained)
            rollup.add(names.GARBAGE, row.garbage)
    return rollup


def _known(reports: Sequence[_Row]) -> Known:
    """Return what the reports of a route know."""
    if not reports:
        return Known()
    usual = [row for row in reports if not row.first_request]
    metered = [row for row in reports if row.instrument != COUNTED]
    known = Known(
        latest=reports[-1].pk,
        view=reports[-1].view,
        rows_report=max(reports, key=lambda row: row.rows).pk,
    )
    if usual:
        nets = [row.net for row in usual if row.net is not None and row.retained is None]
        peak, retained, garbage = (
            max(usual, key=lambda row: getattr(row, name) or 0)
            for name in ("peak", "retained", "garbage")
        )
        known = replace(
            known,
            peak=peak.peak or 0,
            peak_report=peak.pk if peak.peak else None,
            retained_report=retained.pk if retained.retained else None,
            garbage_report=garbage.pk if garbage.garbage else None,
            net=sum(nets) / len(nets) if nets else None,
        )
    if metered:
        most = max(metered, key=lambda row: row.rows)
        # Where there is a peak, an evaluation is a part of it; not so in a first request.
        heaviest = max(metered, key=_evaluation)
        known = replace(
            known,
            evaluation=_evaluation(heaviest),
            evaluation_report=heaviest.pk,
            metered_rows=most.rows,
            metered_peak=_size(most),
        )
    return known


def _evaluation(row: _Row) -> int:
    return row.evaluation or 0


def _size(row: _Row) -> int:
    """Return the peak; of a first request, or one of a census, the largest evaluation."""
    return _evaluation(row) if row.first_request or row.peak is None else row.peak


def _workers(alias: str, since: int, release: str | None) -> tuple[tuple[Worker, ...], int]:
    """Return the processes that served requests, and how many requests all of them lost."""
    found = models.ProcessRollup.objects.using(alias).filter(
        level__in=list(Level), start__gte=since, samples__gt=0
    )
    if release is not None:
        found = found.filter(release=release)
    totals = found.values_list(*ProcessKey._fields).annotate(
        Min("start"),
        Max("start"),
        Sum("requests"),
        Sum("full_collections"),
        Max("rss_max"),
        Max("in_flight_max"),
        Sum("lost_requests"),
        Min("rss_min"),
        Sum("samples"),
    )
    workers, lost = [], 0
    for host, pid, own_release, *figures in totals.order_by():
        start, end, requests, full, rss_max, in_flight, lost_requests, lowest, samples = figures
        lost += lost_requests
        key, end = ProcessKey(host, pid, own_release), end + Level.PROCESS.seconds
        sizes = (lowest, rss_max, rss_max)
        workers.append(Worker(key, start, end, requests, full, *sizes, in_flight, samples))
    workers.sort(key=lambda worker: -worker.growth)
    busiest = max(workers, key=lambda worker: worker.requests, default=None)
    known = [
        _with_ends(worker, found) if place < _GROWN or worker is busiest else worker
        for place, worker in enumerate(workers)
    ]
    return tuple(sorted(known, key=lambda worker: -worker.growth)), lost


def _with_ends(worker: Worker, rows: Any) -> Worker:
    """Return the process with the least RSS of its first row, and averages of its last one."""
    columns = ("rss_min", "rss_sum", "python_blocks_sum", "samples", "level", "start")
    own = rows.filter(**worker.key._asdict())
    first, last = (
        own.order_by(order).values_list(*columns, named=True).first()
        for order in ("start", "-start")
    )
    if first is None or last is None:  # pruned meanwhile
        return worker
    return replace(
        worker,
        rss_first=first.rss_min,
        rss_last=last.rss_sum // last.samples,
        blocks_first=first.python_blocks_sum // first.samples,
        blocks_last=last.python_blocks_sum // last.samples,
        end=last.start + Level(last.level).seconds,
    )
