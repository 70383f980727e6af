"""The order of harm: routes by the bytes that they cost a worker, so that unlike harms compare.

The harms, and the rules by which they become bytes, are in `reports.harms`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from ..values import RouteRollup
from ..values import rollup as names
from ..values.impact import Harm, Impact, RouteFigures, Worker, Workers
from .harms import harms_of
from .thresholds import MUCH


@dataclass(frozen=True, slots=True)
class RankedRoute:
    """A route with its harms, the largest first."""

    figures: RouteFigures
    impacts: tuple[Impact, ...]

    @property
    def bytes(self) -> int:
        """The bytes of the largest harm: the harms of one route overlap, so they are no sum."""
        return self.impacts[0].bytes if self.impacts else 0

    @property
    def rollup(self) -> RouteRollup:
        """All requests of the route."""
        return self.figures.rollup

    def of(self, harm: Harm) -> Impact | None:
        """Return the impact by one harm; None for none."""
        return next((impact for impact in self.impacts if impact.harm is harm), None)


def _bytes_by(harm: Harm) -> Callable[[RankedRoute], int]:
    def measure(route: RankedRoute) -> int:
        impact = route.of(harm)
        return 0 if impact is None else impact.bytes

    return measure


SORT_KEYS: Final[dict[str, Callable[[RankedRoute], int]]] = {
    "impact": lambda route: route.bytes,
    "peak": _bytes_by(Harm.PEAK),
    "retained": _bytes_by(Harm.RETAINED),
    "garbage": _bytes_by(Harm.GARBAGE),
    "rows": lambda route: route.rollup[names.ROWS].maximum or 0,
    "requests": lambda route: route.rollup.requests,
    "duration": lambda route: route.rollup[names.DURATION].sum,
    "rss": lambda route: route.rollup[names.RSS_CHANGE].sum,
}
"""What routes are sorted by, the largest first: rows of one request, duration (in nanoseconds) and
RSS change of all."""


def rank(
    routes: Iterable[RouteFigures], workers: Workers, sort: str = "impact"
) -> list[RankedRoute]:
    """Return the routes with their harms, sorted by a key of ``SORT_KEYS``, then by impact."""
    measure = SORT_KEYS[sort]
    ranked = [RankedRoute(figures, harms_of(figures, workers)) for figures in routes]
    return sorted(ranked, key=lambda route: (-measure(route), -route.bytes, route.figures.key))


_TOO_MUCH: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the growth of a process: the harm of one route, in bytes."""

    figures: RouteFigures
    harm: Harm
    bytes: int


def parts_of(worker: Worker, ranked: Iterable[RankedRoute], workers: Workers) -> list[Part]:
    """Return what the routes account for of the growth of a process, the largest first.

    That is what each route retains in its requests, or the RSS that they raise if that is more; and
    the highest peak of any, and the most garbage of any: the room for one is used again by the
    next. Parts below 1 MB are left out. So are all of them where they are more than twice the
    growth: which process served which route is not stored, and this one served others.
    """
    ranked = list(ranked)
    share = worker.requests / workers.busiest.requests if workers.busiest.requests else 1.0
    found = _parts(ranked, (Harm.RETAINED, Harm.RSS), share)
    for harm in (Harm.PEAK, Harm.GARBAGE):
        found += sorted(_parts(ranked, (harm,), 1.0), key=_size, reverse=True)[:1]
    parts = sorted((part for part in found if part.bytes >= MUCH), key=_size, reverse=True)
    return parts if sum(map(_size, parts)) <= _TOO_MUCH * worker.growth else []


def _parts(ranked: Iterable[RankedRoute], harms: Collection[Harm], share: float) -> list[Part]:
    """Return the largest of these harms of each route that has one."""
    found = []
    for route in ranked:
        largest = next((each for each in route.impacts if each.harm in harms), None)
        if largest is not None:
            found.append(Part(route.figures, largest.harm, round(largest.bytes * share)))
    return found


def _size(part: Part) -> int:
    return part.bytes
