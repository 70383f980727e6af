"""Which requests are among the worst of their route, by rows or by growth of the process.

So that something big is seen whatever share of the requests is measured. One process remembers
this for itself, and not for long.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ..values import OwnTuple, ours

ROWS: Final = 1_000
"""A request that loads fewer rows is never worth a report for its rows."""

GROWTH: Final = 8 * 1024**2
"""The same for the bytes by which the process grew meanwhile."""

MARGIN: Final = 1.25
"""By so much it has to be worse than the worst of its route."""

MEMORY: Final = 3600.0
"""After so many seconds the worst of a route is forgotten."""

ROUTES: Final = 1_000
"""Of so many routes the worst is remembered; the one longest not heard of goes."""

A_MINUTE: Final = 6
"""Requests of one process that may be worth a report within a minute."""


@ours
class _Worst:
    __slots__ = ("growth", "rows", "since")

    def __init__(self, rows: int, growth: int, since: float) -> None:
        self.rows = rows
        self.growth = growth
        self.since = since


@ours
class _Routes(dict[OwnTuple[str], _Worst]):
    __slots__ = ()


@ours
class _Times(deque[float]):
    __slots__ = ()


@ours
class Extremes:
    """The worst requests that were told, by route."""

    __slots__ = ("_routes", "_told")

    def __init__(self) -> None:
        self._routes = _Routes()
        self._told = _Times(maxlen=A_MINUTE)

    def is_one(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> bool:
        """Tell whether a request is so much worse than others of its route that it be told."""
        if rows < ROWS and growth < GROWTH:
            return False
        worst = self._routes.get(route)
        if worst is not None and now - worst.since < MEMORY:
            more_rows = rows >= ROWS and rows > MARGIN * worst.rows
            if not more_rows and not (growth >= GROWTH and growth > MARGIN * worst.growth):
                return False
        return len(self._told) < A_MINUTE or now - self._told[0] >= 60

    def tell(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> None:
        """Remember a request that is told because it was one of the worst."""
        self._told.append(now)
        self.remember(route, rows, growth, now)

    def remember(self, route: OwnTuple[str], rows: int, growth: int, now: float) -> None:
        """Remember a request that is told anyway."""
        worst = self._routes.pop(route, None)
        if worst is None or now - worst.since >= MEMORY:
            worst = _Worst(rows, growth, now)
        self._routes[route] = worst
        worst.rows, worst.growth = max(worst.rows, rows), max(worst.growth, growth)
        if len(self._routes) > ROUTES:
            # Another thread may do the same.
            self._routes.pop(next(iter(list(self._routes))), None)

    def forget(self) -> None:
        """Forget all."""
        self._routes.clear()
        self._told.clear()
