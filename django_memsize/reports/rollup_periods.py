"""What this process has added up and not stored yet: by minute, and coarser if that takes long.

While the database fails, minutes are merged into hours, and hours into days, so that the memory
does not grow with the time.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..values import ProcessKey, ProcessRollup, RouteKey, RouteRollup, ours
from ..values.rollup import Level

MOST_ROUTES: Final = 500
"""Routes of one period that are told apart. All others are one row."""

MOST_ROWS: Final = 2_000
"""Rows of routes that wait."""

MOST_SAMPLES: Final = 120
"""Periods of the process that wait."""


@ours
class Period(NamedTuple):
    """A minute, hour or day, and its start in seconds of Unix time."""

    level: Level
    start: int

    @classmethod
    def of(cls, level: Level, moment: float) -> Period:
        """Return the period of a moment."""
        return cls(level, level.start(moment))


@ours
class Row(NamedTuple):
    """What is to be stored of one route and one period."""

    level: Level
    start: int
    key: RouteKey
    rollup: RouteRollup


@ours
class Sample(NamedTuple):
    """What is to be stored of this process and one period."""

    level: Level
    start: int
    key: ProcessKey
    rollup: ProcessRollup


@ours
class _Routes(dict[RouteKey, RouteRollup]):
    """The routes of one period."""

    __slots__ = ()

    def rollup(self, key: RouteKey) -> RouteRollup:
        """Return the rollup of a route, or that of all routes that have no room."""
        known = self.get(key)
        if known is None:
            has_room = len(self) < MOST_ROUTES
            known = self.setdefault(key if has_room else key.of_others, RouteRollup())
        return known

    @property
    def requests(self) -> int:
        """How many requests are added up."""
        return sum(rollup.requests for rollup in self.values())


@ours
class RoutePeriods(dict[Period, _Routes]):
    """The routes of each period."""

    __slots__ = ()

    @property
    def requests(self) -> int:
        """How many requests are added up."""
        return sum(routes.requests for routes in self.values())

    def rollup(self, key: RouteKey, moment: float) -> RouteRollup:
        """Return what is added up of a route in the minute of a moment."""
        minute = Period.of(Level.PROCESS, moment)
        routes = self.get(minute)
        if routes is None:
            routes = self[minute] = _Routes()
        return routes.rollup(key)

    def take(self, most: int, now: float | None) -> list[Row]:
        """Remove rows and return them, the oldest first; with ``now`` not of an open minute."""
        rows: list[Row] = []
        for period in sorted(self, key=_by_start):
            end = period.start + period.level.seconds
            is_over = period.level is not Level.PROCESS or now is None or end <= now
            while is_over and self[period] and len(rows) < most:
                rows.append(Row(*period, *self[period].popitem()))
            if not self[period]:
                del self[period]
        return rows

    def make_room(self) -> int:
        """Merge periods until there are few rows; return how many requests are lost even so."""
        for level in (Level.HOUR, Level.DAY):
            if not self._is_full:
                return 0
            self._coarsen(level)
        lost = 0
        while self._is_full:
            lost += self.pop(min(self, key=_by_start)).requests
        return lost

    @property
    def _is_full(self) -> bool:
        return sum(map(len, self.values())) > MOST_ROWS

    def _coarsen(self, level: Level) -> None:
        for period in list(self):
            if period.level < level:
                coarser = Period.of(level, period.start)
                into, routes = self.setdefault(coarser, _Routes()), self.pop(period)
                for key, rollup in routes.items():
                    into.rollup(key).merge(rollup)


@ours
class SamplePeriods(dict[Period, ProcessRollup]):
    """The samples of this process in each period."""

    __slots__ = ()

    def add(self, moment: float, sample: ProcessRollup) -> None:
        """Add a sample to the minute of a moment."""
        self._add(Period.of(Level.PROCESS, moment), sample)
        for level in (Level.HOUR, Level.DAY):
            if len(self) > MOST_SAMPLES:
                for period in [period for period in self if period.level < level]:
                    sample = self.pop(period)
                    self._add(Period.of(level, period.start), sample)

    def _add(self, period: Period, sample: ProcessRollup) -> None:
        self.setdefault(period, ProcessRollup()).merge(sample)


def _by_start(period: Period) -> int:
    return period.start
