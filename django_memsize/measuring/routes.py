"""What a process knows of one route, and when it is to meter the next request of the route."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Final, Protocol

from ..formatting import plain
from ..values import OwnTuple, Reason, ours

MANY_ROWS: Final = 1_000
"""Rows from which a request makes its route suspicious."""

MUCH_GROWTH: Final = 8 * 1024**2
"""Bytes by which the RSS grew, over requests of a route, from which the route is suspicious."""

MORE_OFTEN: Final = 5
"""How much more often a suspicious route is metered: its interval is shorter by this factor."""

_MOST_MISSES: Final = 8
"""Guesses of a route that are wrong one after another until it waits for a request that has the
route, or for an interval."""

_NO_INTERVAL: Final = 300.0
"""Seconds that a route waits after wrong guesses, where the settings have no interval."""


_LONGEST: Final = 255


def named_route(pattern: str, name: str) -> str:
    """Return the route of those requests of a URL pattern that have a name."""
    return f"{plain(pattern, _LONGEST - len(name) - len(' []'))} [{name}]" if name else pattern


def pattern_of(route: str) -> str:
    """Return the URL pattern of a route, without the name of its requests."""
    return route.rpartition(" [")[0] or route if route.endswith("]") else route


def key_of(method: str, pattern: str) -> OwnTuple[str]:
    """Return what requests of one route have in common: its method and pattern, as stored."""
    return OwnTuple((method, plain(pattern, _LONGEST)))


class Rules(Protocol):
    """What the settings say."""

    @property
    def sample_rate(self) -> float:
        """Share of the requests that are metered by chance; at 1 all are, whatever the budget."""

    @property
    def sample_rates(self) -> Mapping[str, float]:
        """The same for patterns of routes. The first that matches counts."""

    @property
    def sample_first(self) -> int:
        """Requests of each route that are metered after its very first one."""

    @property
    def sample_interval(self) -> float | None:
        """Seconds in which one request of each route is metered."""

    @property
    def sample(self) -> str:
        """The name of a callable of the program that is asked first, or empty."""

    @property
    def max_overhead(self) -> float:
        """Share of the CPU time of the process that measuring may take."""


@ours
class Route:
    """What this process knows of one route. Times are seconds of ``time.monotonic()``.

    ``key`` is that of `key_of`.
    ``due_at`` is when the next request is to be metered: the past while the route is ``owed`` some
    of its first requests. It is changed without a lock: two requests at once may both be metered,
    and ``owed`` may fall below 0.
    """

    __slots__ = (
        "_grown",
        "_has_had_one",
        "_interval",
        "_metered_at",
        "_misses",
        "_reason",
        "_suspicious_until",
        "due_at",
        "key",
        "method",
        "owed",
        "pattern",
        "rate",
    )

    def __init__(self, method: str, pattern: str, rate: float, rules: Rules) -> None:
        self.method = method
        self.pattern = pattern
        self.key = key_of(method, pattern)
        self.rate = rate
        self.owed = rules.sample_first if rate > 0 else 0
        self._interval = (rules.sample_interval or math.inf) if rate > 0 else math.inf
        self.due_at = 0.0 if self.owed > 0 else time.monotonic() + self._interval
        self._metered_at = -math.inf
        self._suspicious_until = -math.inf
        self._reason = Reason.INTERVAL
        self._grown = 0
        self._misses = 0
        self._has_had_one = False

    def reserve(self, now: float) -> Reason:
        """Take the next request for a measurement that is due, and return why."""
        if self.owed > 0:
            self.owed -= 1
            reason = Reason.FIRST
        else:
            reason = self._reason if now < self._suspicious_until else Reason.INTERVAL
        self._wait(now)
        return reason

    def hit(self) -> None:
        """Take a metered request that had been reserved for this route."""
        self._misses = 0

    def miss(self, reason: Reason, now: float) -> None:
        """Be owed a measurement again: the request that was reserved did not have this route.

        Or it ended before Django told its route.
        """
        if reason is Reason.FIRST:
            self.owed = max(self.owed, 0) + 1
        self._misses += 1
        if self._misses < _MOST_MISSES:
            self.due_at = now
        else:
            waits = self._interval if self._interval < math.inf else _NO_INTERVAL
            self.due_at = now + waits

    def meter(self, now: float) -> None:
        """Take a metered request that had not been reserved for this route."""
        if self.owed > 0 and self._has_had_one:
            self.owed -= 1
        self._wait(now)

    def note(self, rows: int, growth: int, now: float) -> bool:
        """Take the figures of a request at its end; return whether it was the first that ended.

        The growth of the first fills caches. A request that was not guessed shows that the route is
        still asked for: the route has another try.
        """
        if self._misses >= _MOST_MISSES:
            self._misses -= 1
            if self.owed > 0:
                self.due_at = now
        if rows >= MANY_ROWS:
            self.suspect(Reason.ROWS, now)
        if not self._has_had_one:
            self._has_had_one = True
            return True
        if growth or self._grown:
            self._grown = max(0, self._grown + growth)
            if self._grown >= MUCH_GROWTH:
                self._grown = 0
                self.suspect(Reason.RSS, now)
        return False

    def suspect(self, reason: Reason, now: float) -> None:
        """Be metered more often for an interval."""
        self._reason = reason
        self._suspicious_until = now + self._interval
        if self.owed <= 0 and self._interval < math.inf:
            self.due_at = min(self.due_at, self._metered_at + self._interval / MORE_OFTEN)

    def report_soon(self, now: float) -> None:
        """Have the next request metered: what its report can tell of earlier ones is new."""
        self.suspect(Reason.RETAINED, now)
        if self._interval < math.inf:
            self.due_at = min(self.due_at, now)

    def _wait(self, now: float) -> None:
        self._metered_at = now
        if self.owed > 0:
            self.due_at = 0.0
        elif now < self._suspicious_until:
            self.due_at = now + self._interval / MORE_OFTEN
        else:
            self.due_at = now + self._interval
