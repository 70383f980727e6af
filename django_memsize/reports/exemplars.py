"""Exemplars: the reports of each route that are kept longer, its newest and its worst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from ..models import ReportQuerySet

EXEMPLARS: Final = 3
"""Reports of a route that are kept longer: the newest, and the worst by each of three measures."""

Route: TypeAlias = tuple[str, str, str]
"""Kind, method and route of a report."""


class Candidate(NamedTuple):
    """The columns of a report that decide whether it is kept."""

    pk: int
    started_at: datetime
    kind: str
    method: str
    route: str
    first_request: bool
    retained_bytes: int | None
    net_bytes: int | None
    peak_bytes: int | None
    largest_evaluation_bytes: int | None
    rows: int

    @property
    def key(self) -> Route:
        """What the reports of one route have in common."""
        return self.kind, self.method, self.route

    def badness(self) -> tuple[int, int, int]:
        """Return the measures by which reports of a route are the worst. 0 is not bad.

        The first request of a route fills caches, so it would always be the worst one.
        """
        if self.first_request:
            return 0, 0, 0
        retained = self.net_bytes if self.retained_bytes is None else self.retained_bytes
        peak = self.largest_evaluation_bytes if self.peak_bytes is None else self.peak_bytes
        return retained or 0, peak or 0, self.rows


class Exemplars:
    """The exemplars of all routes during one call, read from the table when they are needed."""

    __slots__ = ("_by_route", "_examined", "_reports")

    def __init__(self, reports: ReportQuerySet, examined: int) -> None:
        self._reports = reports
        self._examined = examined
        self._by_route: dict[Route, list[Candidate]] | None = None

    def replaced_by(self, leaving: Sequence[Candidate]) -> list[int]:
        """Take in reports; return the primary keys of all that are no exemplars now, sorted."""
        if self._by_route is None:
            # By primary key alone: with the routes a database would rather read their index, which
            # has all recent reports as well.
            stored = self._reports.filter(pk__lte=self._examined)
            self._by_route = _by_route(candidates(stored) if self._examined else ())
        deleted = []
        for route, new in _by_route(leaving).items():
            same = [*self._by_route.get(route, ()), *new]
            kept = frozenset(_exemplars(same))
            self._by_route[route] = [report for report in same if report.pk in kept]
            deleted += [report.pk for report in same if report.pk not in kept]
        return sorted(deleted)


def candidates(reports: ReportQuerySet, number: int | None = None) -> list[Candidate]:
    """Return the oldest reports, without their documents."""
    rows = reports.order_by("pk").values_list(*Candidate._fields)[:number]
    return [Candidate(*row) for row in rows]


def _by_route(reports: Iterable[Candidate]) -> dict[Route, list[Candidate]]:
    by_route = defaultdict(list)
    for report in reports:
        by_route[report.key].append(report)
    return dict(by_route)


def _exemplars(same: Sequence[Candidate]) -> Iterator[int]:
    """Yield the primary keys of the newest and of the worst of reports of one route."""
    yield from sorted((report.pk for report in same), reverse=True)[:EXEMPLARS]
    measured = [(report.badness(), report.pk) for report in same]
    for measure in range(len(measured[0][0])):
        ranked = sorted(((badness[measure], pk) for badness, pk in measured), reverse=True)
        yield from (pk for badness, pk in ranked[:EXEMPLARS] if badness > 0)
