"""Outliers: which counted requests are so much worse than others of their route to be reported.

So that a large request is seen whatever share of the requests is metered. A process remembers the
worst requests of its routes for an hour.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..measuring.routes import MANY_ROWS, MUCH_GROWTH
from ..values import OwnTuple, ours

ROWS: Final = MANY_ROWS
"""A request that loads fewer rows is no outlier by its rows."""

GROWTH: Final = MUCH_GROWTH
"""A request during which the RSS grew by fewer bytes is no outlier by its growth."""

MARGIN: Final = 1.25
"""An outlier exceeds the worst known request of its route by this factor."""

MEMORY: Final = 3600.0
"""Seconds after which the worst request of a route is forgotten."""

ROUTES: Final = 1_000
"""Routes whose worst request is remembered; the route that was reported longest ago goes first."""

A_MINUTE: Final = 6
"""Outliers of one process that are reported within a minute."""


@ours
class _Worst:
    """The most rows and the largest growth among the reported requests of a route."""

    __slots__ = ("growth", "rows", "since")

    def __init__(self, rows: int, growth: int, since: float) -> None:
        self.rows = rows
        self.growth = growth
        self.since = since


@ours
class _ByRoute(dict[OwnTuple[str], _Worst]):
    __slots__ = ()


@ours
class _Times(deque[float]):
    __slots__ = ()


@ours
class Outliers:
    """The worst reported requests of each route. Times are seconds of ``time.monotonic()``."""

    __slots__ = ("_by_route", "_reported_at")

    def __init__(self) -> None:
        self._by_route = _ByRoute()
        self._reported_at = _Times(maxlen=A_MINUTE)

    def is_outlier(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> bool:
        """Return whether a request of these rows and this growth of RSS should be reported."""
        if rows < ROWS and growth < GROWTH:
            return False
        worst = self._by_route.get(route)
        if worst is not None and now - worst.since < MEMORY:
            has_more_rows = rows >= ROWS and rows > MARGIN * worst.rows
            has_grown_more = growth >= GROWTH and growth > MARGIN * worst.growth
            if not has_more_rows and not has_grown_more:
                return False
        return len(self._reported_at) < A_MINUTE or now - self._reported_at[0] >= 60

    def add_outlier(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> None:
        """Remember an outlier that is reported."""
        self._reported_at.append(now)
        self.add(route, rows, growth, now)

    def add(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> None:
        """Remember a request that is reported anyway."""
        worst = self._by_route.pop(route, None)
        if worst is None or now - worst.since >= MEMORY:
            worst = _Worst(rows, growth, now)
        self._by_route[route] = worst
        worst.rows, worst.growth = max(worst.rows, rows), max(worst.growth, growth)
        if len(self._by_route) > ROUTES:
            # Another thread may remove the same route.
            self._by_route.pop(next(iter(list(self._by_route))), None)

    def reset(self) -> None:
        """Forget all requests."""
        self._by_route.clear()
        self._reported_at.clear()
