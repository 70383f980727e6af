"""Rollups: the figures of many requests, or of a process, added up over a minute, an hour, a day.

Sums of whole numbers, maxima and histograms only: adding rollups up in any order gives the equal
rollup.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any, Final, NamedTuple

from .histogram import Histogram
from .ownership import ours

NANOSECONDS: Final = 1_000_000_000
"""Durations are added up in nanoseconds: sums of fractions would depend on their order."""

OTHERS: Final = "(others)"
"""The route of the requests whose own route had no room."""

LARGEST_SUM: Final = 2**63 - 1
"""The largest number that a column holds."""


class Level(IntEnum):
    """What a rollup adds up."""

    PROCESS = 0
    """A minute of one process."""
    MINUTE = 1
    HOUR = 2
    DAY = 3

    @property
    def seconds(self) -> int:
        """The length of time."""
        return _SECONDS[self]

    def start(self, moment: float) -> int:
        """Return when the minute, hour or day of a moment began, in seconds of Unix time (UTC)."""
        return int(moment // self.seconds) * self.seconds


_SECONDS: Final = (60, 60, 3600, 86_400)


@ours
class RouteKey(NamedTuple):
    """What the requests that are added up have in common."""

    kind: str
    method: str
    route: str
    release: str

    @property
    def without_release(self) -> RouteKey:
        """The same of all releases."""
        return self._replace(release="")

    @property
    def of_others(self) -> RouteKey:
        """The key of the requests whose own key has no room."""
        return self._replace(method="", route=OTHERS)


@ours
class _Histograms(dict[str, Histogram]):
    __slots__ = ()


@ours
class RouteRollup:
    """The figures of requests of one route.

    ``histograms`` has each figure of ``FIGURES`` that any of the requests has, by its name.
    ``metered`` is how many requests have those of memory. Figures of other names are merged and
    stored as well: another release may have written them.
    """

    __slots__ = ("first_requests", "histograms", "metered", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self.first_requests = 0
        self.metered = 0
        self.histograms = _Histograms()

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RouteRollup)
            and self.counts() == other.counts()
            and self.document() == other.document()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<RouteRollup: {self.requests} requests, {self.metered} metered>"

    def __getitem__(self, figure: str) -> Histogram:
        """Return the histogram of a figure; an empty one if no request has the figure."""
        return self.histograms.get(figure) or Histogram()

    def add(self, figure: str, number: int | None, times: int = 1) -> None:
        """Count a figure of one request, or of several equal ones, unless it is not known."""
        if number is not None:
            histogram = self.histograms.get(figure)
            if histogram is None:
                histogram = self.histograms[figure] = Histogram()
            histogram.add(number, times)

    def merge(self, other: RouteRollup) -> None:
        """Add the requests of another rollup."""
        self.requests += other.requests
        self.first_requests += other.first_requests
        self.metered += other.metered
        for figure, histogram in other.histograms.items():
            self.histograms.setdefault(figure, Histogram()).merge(histogram)

    def merge_stored(self, requests: int, first_requests: int, metered: int, document: str) -> None:
        """Add the requests of a stored rollup, as `of` reads it."""
        self.requests += requests
        self.first_requests += first_requests
        self.metered += metered
        histograms = self.histograms
        for name, stored in _mapping(document).items():
            histogram = histograms.get(name)
            if histogram is None:
                histogram = histograms[name] = Histogram()
            histogram.merge_document(stored)

    def counts(self) -> dict[str, int]:
        """Return the numbers of requests."""
        return {
            "requests": self.requests,
            "first_requests": self.first_requests,
            "metered": self.metered,
        }

    def document(self) -> str:
        """Return the histograms as JSON, compact because there are many rows of them."""
        histograms = {name: self.histograms[name].document() for name in sorted(self.histograms)}
        return json.dumps(histograms, separators=(",", ":"))

    @classmethod
    def of(cls, requests: int, first_requests: int, metered: int, document: str) -> RouteRollup:
        """Return the rollup that was stored; without histograms if its document is unreadable."""
        rollup = cls()
        rollup.merge_stored(requests, first_requests, metered, document)
        return rollup


DURATION: Final = "duration"
"""The figure in nanoseconds; the others are bytes, or numbers."""
ROWS: Final = "rows"
STATEMENTS: Final = "statements"
RSS_CHANGE: Final = "rss_change"
PEAK: Final = "peak"
ALLOCATED: Final = "allocated"
RETAINED: Final = "retained"
GARBAGE: Final = "garbage"
RETAINED_LATER: Final = "retained_later"
"""What is retained by requests that were not metered as the first few of their route: a cache is
filled by then."""

FOLLOWED: Final = "followed"
"""What was retained by the requests whose retained bytes were followed (`values.survival`)."""
SURVIVED: Final = "survived"
"""How much of that was alive in the end."""

FIGURES: Final = (
    *(DURATION, ROWS, STATEMENTS, RSS_CHANGE, PEAK, ALLOCATED, RETAINED, GARBAGE, RETAINED_LATER),
    *(FOLLOWED, SURVIVED),
)
"""The figures of a request that are added up. From the peak on, only metered requests have them.

The first request of a route in a process fills caches and imports modules. So it has no figures in
bytes here, from the RSS change on."""


@ours
class ProcessKey(NamedTuple):
    """What the samples of a process have in common."""

    host: str
    pid: int
    release: str


SUMMED: Final = (
    *("samples", "requests", "collected_objects", "full_collections", "lost_requests"),
    *("rss_sum", "python_blocks_sum"),
)
"""The figures of a process that are added up."""

LARGEST: Final = ("rss_max", "python_blocks_max", "in_flight_max")
"""The figures of a process of which the largest is kept."""

LEAST: Final = ("rss_min",)
"""The figures of a process of which the least is kept. 0 is not known."""


@ours
class ProcessRollup:
    """The figures of one process, sampled once a minute.

    ``rss_sum`` and ``python_blocks_sum`` are divided by ``samples`` for an average. Python blocks
    are those of Python's own allocator (``sys.getallocatedblocks()``), ``collected_objects`` those
    that its collector freed, ``full_collections`` how often it examined all objects, and
    ``lost_requests`` are missing in the rollups of routes. ``rss_min`` of the first sample is the
    RSS before the first request.
    """

    __slots__ = (*SUMMED, *LARGEST, *LEAST)

    samples: int
    requests: int
    collected_objects: int
    full_collections: int
    lost_requests: int
    rss_sum: int
    rss_max: int
    python_blocks_sum: int
    python_blocks_max: int
    in_flight_max: int
    rss_min: int

    def __init__(self, **figures: int) -> None:
        for name in self.__slots__:
            setattr(self, name, figures.get(name, 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessRollup) and self.columns() == other.columns()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<ProcessRollup: {self.samples} samples>"

    @classmethod
    def of(cls, *figures: int) -> ProcessRollup:
        """Return the rollup of figures in the order of ``__slots__``, as it was stored."""
        return cls(**dict(zip(cls.__slots__, figures, strict=True)))

    def merge_stored(self, *figures: int) -> None:
        """Add the samples of a stored rollup, as `of` reads it."""
        self.merge(ProcessRollup.of(*figures))

    def merge(self, other: ProcessRollup) -> None:
        """Add the samples of another rollup."""
        for name in SUMMED:
            setattr(self, name, min(getattr(self, name) + getattr(other, name), LARGEST_SUM))
        for name in LARGEST:
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        for name in LEAST:
            known = filter(None, (getattr(self, name), getattr(other, name)))
            setattr(self, name, min(known, default=0))

    def columns(self) -> dict[str, int]:
        """Return the figures by name."""
        return {name: getattr(self, name) for name in self.__slots__}


def _mapping(document: str) -> dict[str, Any]:
    try:
        read = json.loads(document)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
