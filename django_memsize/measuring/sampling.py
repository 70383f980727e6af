"""Which requests are metered: some of every route, within the budget of overhead.

Of each route (URL pattern and method) a process meters the first requests after the very first one,
then one in each interval, and beside that a share chosen by chance. A route whose figures are
suspicious (many rows, an RSS that rises, retained bytes) is metered five times as often as one in
each interval. The budget alone refuses a request that is wanted, and counts it.

The route of a request is a guess from its path (`shapes`). Where the guess is wrong, the request
was metered for another route, and the guessed one is still owed its measurement.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from .. import process
from ..values import Counts, OwnTuple, Reason, ours
from . import overhead, tokens
from .callables import ProgramCallable
from .routes import Route, Rules, pattern_of
from .shapes import Shapes

_MOST_ROUTES: Final = 1_000
"""Routes that are followed. Those beyond are metered by chance only."""

_RESERVING: Final = frozenset(
    {Reason.FIRST, Reason.INTERVAL, Reason.ROWS, Reason.RSS, Reason.RETAINED}
)
"""The reasons that a route has itself."""

UNRESOLVED: Final = "(unresolved)"
"""What stands for the route of a request that has none. It is metered by chance only, so that
whoever asks for thousands of random paths does not take the budget."""

_callable: Final = ProgramCallable("SAMPLE", "neither None, nor a bool, nor a number from 0 to 1")

REFUSED: Final = "refused"
ROUTES: Final = "routes"
OWED: Final = "owed"
FIGURES: Final = (REFUSED, ROUTES, OWED, *Reason)
"""The names of the figures of a process: see `figures`."""


@ours
class _Routes(dict[OwnTuple[str], Route]):
    __slots__ = ()


@ours
class _Chance(random.Random):
    """Random numbers that are no part of the program's, which may have seeded its own."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """What the callable of ``SAMPLE`` is asked about: a request that Django has not made yet.

    Its ``repr`` shows neither the path nor a header, because a program may log it.
    """

    method: str
    path: str = field(repr=False)
    route: str
    """The route that the request probably has, as reports name it; empty if it is not known."""
    _source: Mapping[str, Any] = field(repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """Return a header of the request; None if it has none of this name."""
        return tokens.header_of(self._source, name)


@ours
class _Sampling:
    """The routes of this process, and how many of its requests were metered, by reason."""

    __slots__ = ("_chance", "_metered", "_routes", "_rules", "_shapes")

    def __init__(self) -> None:
        self._rules: Rules | None = None
        self.reset()

    def reset(self) -> None:
        self._chance = _Chance()
        self._metered = Counts(dict.fromkeys(Reason, 0))
        self._routes = _Routes()
        self._shapes = Shapes[Route]()

    def choose(
        self, rules: Rules, method: str, path: str, source: Mapping[str, Any]
    ) -> tuple[Reason | None, Route | None]:
        """Return why a request is to be metered, and the route that it probably has.

        Without a reason it is only counted. ``source`` is a WSGI environ or an ASGI scope.
        """
        if rules is not self._rules:
            self.reset()
            self._rules = rules
        routes = self._shapes.routes(method, path)
        route = None if routes is None else routes[0]
        rate = _rate_of(rules, path) if route is None else route.rate
        if tokens.asks(source):
            return _within_budget(rules, rate, Reason.TOKEN), route
        if rules.sample:
            name = "" if route is None else route.pattern
            request = IncomingRequest(method, path, name, source)
            share = _callable.answer(rules.sample, request, _is_share)
            if share is not None:
                is_chosen = self._chance.random() < share
                return _within_budget(rules, rate, Reason.CALLABLE) if is_chosen else None, route
        if _is_unlimited(rules, rate):
            return Reason.RATE, route
        if routes is not None:
            now = time.monotonic()
            for each in routes:
                if each.due_at <= now:
                    is_granted = overhead.grants(rules.max_overhead)
                    return each.reserve(now) if is_granted else None, each
        if self._chance.random() < rate:
            return _within_budget(rules, rate, Reason.RATE), route
        return None, route

    def conclude(
        self, guess: Route | None, reason: Reason | None, method: str, pattern: str, path: str
    ) -> Route | None:
        """Return the route of a request, once Django has resolved it; None if it is not followed.

        ``guess`` and ``reason`` are what was chosen for it.
        """
        now = time.monotonic()
        is_right = guess is not None and guess.pattern == pattern and guess.method == method
        route = guess if is_right else self._learn(method, pattern, path)
        is_reserved = guess is not None and reason in _RESERVING
        if guess is not None and reason is not None and is_reserved:
            if is_right:
                guess.hit()
            else:
                guess.miss(reason, now)
        if reason is not None:
            self._metered[reason] += 1
            if route is not None and not (is_reserved and is_right):
                route.meter(now)
        return route

    def _learn(self, method: str, pattern: str, path: str) -> Route | None:
        if pattern == UNRESOLVED or self._rules is None:
            return None
        key = OwnTuple((method, pattern))
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _MOST_ROUTES:
                return None
            rate = _rate_of(self._rules, "/" + pattern_of(pattern).lstrip("^/"))
            # Another thread may have made the route meanwhile.
            route = self._routes.setdefault(key, Route(method, pattern, rate, self._rules))
        self._shapes.learn(method, path, pattern_of(pattern), route)
        return route

    def figures(self) -> Counts:
        """Return how many requests were refused by the budget, and metered by reason, so far.

        And how many routes are known, and how many of them are owed some of their first requests.
        """
        routes = list(self._routes.values())
        owed = sum(route.owed > 0 for route in routes)
        known = {REFUSED: overhead.refusals(), ROUTES: len(routes), OWED: owed}
        return Counts(known | self._metered)


def give_back(guess: Route | None, reason: Reason | None) -> None:
    """Have a route be owed the measurement that it reserved for a request that is not concluded.

    The client of the request left, or an exception ended it, or it was for a page of
    django-memsize. Such a request counts as a wrong guess, so that a route whose requests all end
    in this way does not take the budget.
    """
    if guess is not None and reason is not None and reason in _RESERVING:
        guess.miss(reason, time.monotonic())


def _is_unlimited(rules: Rules, rate: float) -> bool:
    """Return whether every request of a route with this share is metered, whatever the budget."""
    return rate >= 1 and rules.sample_rate >= 1


def _within_budget(rules: Rules, rate: float, reason: Reason) -> Reason | None:
    is_granted = _is_unlimited(rules, rate) or overhead.grants(rules.max_overhead)
    return reason if is_granted else None


def _rate_of(rules: Rules, name: str) -> float:
    """Return the share of the requests of a route, or of a path whose route is not known."""
    for pattern, rate in rules.sample_rates.items():
        if fnmatchcase(name, pattern):
            return rate
    return rules.sample_rate


def _is_share(answer: Any) -> bool:
    return isinstance(answer, (int, float)) and 0 <= answer <= 1


_sampling: Final = process.register(_Sampling())

choose: Final = _sampling.choose
conclude: Final = _sampling.conclude
figures: Final = _sampling.figures
