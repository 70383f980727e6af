"""What routes cost a worker, in bytes: the values that pass between questions, ranking and screens.

A *worker* is the process with the most requests in a period.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from .rollup import ProcessKey, RouteKey, RouteRollup


class Harm(StrEnum):
    """What a route costs a worker."""

    PEAK = "peak"
    RETAINED = "retained"
    GARBAGE = "garbage"
    RSS = "rss"
    NET = "net"


class Basis(StrEnum):
    """What a figure is known from."""

    METERED = "metered"
    EVALUATION = "evaluation"
    """An evaluation of a first request, whose other bytes may be those of imports."""
    ROWS = "rows"
    """Rows that were counted: an estimate."""
    RSS = "rss"
    CENSUS = "census"


@dataclass(frozen=True, slots=True)
class Impact:
    """One harm of a route to a worker, in ``bytes``, within ``low`` and ``high``.

    ``each`` is what one request contributes, ``requests`` how many of them add up, and ``sample``
    how many were measured. ``report`` is the primary key of a report that shows it, or None.
    """

    harm: Harm
    bytes: int
    low: int
    high: int
    each: float
    requests: float = 1.0
    sample: int = 0
    basis: Basis = Basis.METERED
    report: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the reports of a route know beside its rollup. Primary keys are None without a report.

    ``view`` is that of the ``latest``. The ``peak`` is the highest but for first requests;
    ``evaluation`` the largest evaluation of those, in bytes. ``metered_rows`` are the most rows of
    a metered request, and ``metered_peak`` is its peak. ``net`` is the average net of a census.
    """

    latest: int | None = None
    view: str = ""
    peak: int = 0
    peak_report: int | None = None
    evaluation: int = 0
    evaluation_report: int | None = None
    metered_rows: int = 0
    metered_peak: int = 0
    rows_report: int | None = None
    retained_report: int | None = None
    garbage_report: int | None = None
    net: float | None = None


_ENOUGH_SAMPLES: Final = 10
"""Minutes after which what a process accumulates shows."""

_LARGEST_BLOCK: Final = 512
"""Bytes: see SMALL_REQUEST_THRESHOLD in CPython's Objects/obmalloc.c."""

_ROOM: Final = 8 * 1024**2
"""Bytes of larger objects for which the room of earlier peaks is used again."""

_NO_KEY: Final = ProcessKey("", 0, "")


@dataclass(frozen=True, slots=True)
class Worker:
    """One process in a period. Times are seconds of Unix time, sizes bytes.

    ``blocks_first`` and ``blocks_last`` are the blocks of Python's own allocator in its first and
    last minute. ``rss_first`` is its RSS at the beginning, before its first request if the period
    has that, and ``rss_last`` its RSS at the end.
    """

    key: ProcessKey = _NO_KEY
    start: int = 0
    end: int = 0
    requests: int = 0
    full_collections: int = 0
    rss_first: int = 0
    rss_last: int = 0
    rss_max: int = 0
    in_flight_max: int = 0
    samples: int = 0
    blocks_first: int = 0
    blocks_last: int = 0

    @property
    def growth(self) -> int:
        """The bytes by which the RSS grew."""
        return self.rss_last - self.rss_first

    @property
    def accumulated(self) -> float:
        """The bytes that have accumulated in it at most; infinity where that is not known.

        Small objects are blocks of Python's own allocator, and larger ones raise the RSS once the
        room of earlier peaks is used.
        """
        if self.samples < _ENOUGH_SAMPLES or not self.blocks_first:
            return math.inf
        blocks = max(0, self.blocks_last - self.blocks_first)
        return _LARGEST_BLOCK * blocks + max(0, self.growth) + _ROOM


_NO_WORKER: Final = Worker()


@dataclass(frozen=True, slots=True)
class Workers:
    """What the ranking needs of the processes of a period.

    ``share`` is that of the requests which the ``busiest`` process served.
    """

    share: float = 1.0
    busiest: Worker = _NO_WORKER
    rss_max: int = 0
    in_flight_max: int = 1

    @classmethod
    def of(cls, workers: Sequence[Worker]) -> Workers:
        """Return what processes have in common; without any, one that served all requests."""
        requests = sum(worker.requests for worker in workers)
        if not requests:
            return cls(rss_max=max((worker.rss_max for worker in workers), default=0))
        busiest = max(workers, key=lambda worker: worker.requests)
        return cls(
            busiest.requests / requests,
            busiest,
            max(worker.rss_max for worker in workers),
            max(1, *(worker.in_flight_max for worker in workers)),
        )

    @property
    def hours(self) -> float:
        """The hours that the busiest process is known for."""
        return (self.busiest.end - self.busiest.start) / 3600

    def within(self, size: float) -> int:
        """Return bytes that a worker has: no more than its RSS, where that is known."""
        return round(min(size, self.rss_max) if self.rss_max else size)


_NO_REPORTS: Final = Known()


@dataclass(frozen=True, slots=True)
class RouteFigures:
    """One route in a period: all of its requests, and what its reports know."""

    key: RouteKey
    rollup: RouteRollup
    known: Known = _NO_REPORTS
