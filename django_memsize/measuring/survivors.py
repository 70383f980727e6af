"""What earlier requests retained is followed: how much of it later requests of the route free.

A cache whose entries replace one another retains as much in each request as a leak does. So the
engine follows what a metered request retained (`Window.analyse`), and each later request of the
route, metered or only counted, looks at its end how much is alive.

Following costs time only where the program frees memory: the engine looks at each free. Therefore
its limits are numbers of requests, and CPU seconds of the process. A limit in seconds of the clock
would give up a route with few requests before these could replace anything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from .. import process
from ..values import Diff, OwnTuple, Survival, ours
from .instruments import LEAST_FOLLOWED

if TYPE_CHECKING:
    from ..engine.compiled import Window
    from .routes import Route as SampledRoute

ENOUGH_LATER: Final = 20
"""Later requests after which what is alive counts as surviving: more than small caches hold."""

_MOST_LATER: Final = 150
"""Later requests after which nothing is followed any more: ``functools.lru_cache()`` holds 128
results by default."""

_MOST_CPU: Final = 60.0
"""CPU seconds of the process after which nothing is followed any more. Looking at each free takes 2
to 4 % of them where templates are rendered."""

_REST: Final = 600.0
"""CPU seconds that a route is not followed for once it has enough results."""

_MOST_OF_ROUTE: Final = 3
"""Requests of one route that are followed at once. Others would tell the same."""

_MOST_AT_ONCE: Final = 24
_MOST_ROUTES: Final = 1_000
_MOST_RESULTS: Final = 5

_FREE: Final = 120.0
_SHARE: Final = 0.2
"""CPU seconds of the process, and the share of all of them, for which anything is followed: a
process with many routes that have caches pays no more than 1 % for that in the long run."""

_SWEEP: Final = 1.0
"""CPU seconds between two looks at the routes that have no requests any more."""

Key = OwnTuple[str]
"""The source, the method and the pattern of a route."""


@ours
class _Followed:
    """What one request retained, as the engine follows it. ``since`` is ``perf_counter()``."""

    __slots__ = (
        "_alive",
        "_ends_at",
        "_later",
        "_route",
        "_scale",
        "_types",
        "_window",
        "_within",
        "retained",
        "since",
    )

    def __init__(self, window: Window, route: SampledRoute | None) -> None:
        self._window = window
        self._route = route
        self._alive = self.retained = window.retained[1]
        self._scale = self.retained / max(window.allocated[1], 1)  # every nth block is followed
        self._later = self._within = 0
        self._types: Diff | None = None
        self._ends_at = time.process_time() + _MOST_CPU
        self.since = time.perf_counter()

    @property
    def is_lost(self) -> bool:
        """Whether frees were missed: another tool removed the hooks, or the process forked."""
        return self._window.incomplete

    @property
    def is_enough(self) -> bool:
        """Whether enough later requests are over to say what survives."""
        return self._later >= ENOUGH_LATER

    @property
    def has_just_enough(self) -> bool:
        """Whether the last request made the later ones enough."""
        return self._later == ENOUGH_LATER

    def note_request(self) -> None:
        """Take the end of a later request."""
        self._later += 1
        alive = round(self._scale * (self._window.alive[1] + self._window.resized[1]))
        if alive < self._alive:
            self._alive, self._within, self._types = alive, self._later, None

    def is_over(self, now: float) -> bool:
        """Return whether nothing more is to be learnt, at a CPU time of the process."""
        return self._alive < LEAST_FOLLOWED or self._later >= _MOST_LATER or now >= self._ends_at

    def report_soon(self) -> None:
        """Have the next request of the route metered, so that its report has what is known."""
        if self._route is not None:
            self._route.report_soon(time.monotonic())

    def look_at_types(self) -> None:
        """Break down by type what is alive, unless only every nth block is followed."""
        is_whole = self._window.retained[0] < 2 * self._window.allocated[0]
        if self._types is None and is_whole and self._alive >= LEAST_FOLLOWED:
            tables = self._window.alive_by_type()
            self._types = Diff({}, {}) if isinstance(tables, str) else Diff(*tables[0])

    def survival(self) -> Survival:
        """Return what is known so far."""
        return Survival(self._later, self.retained, self._alive, self._within, self._types)

    @property
    def has_later(self) -> bool:
        """Whether a later request is over."""
        return self._later > 0

    def discard(self) -> None:
        """Follow no further."""
        self._window.discard()


@ours
class _Route:
    """What is followed of one route, and the latest results."""

    __slots__ = ("followed", "rests_until", "results")

    def __init__(self) -> None:
        self.followed = OwnTuple[_Followed]()
        self.results = OwnTuple[Survival]()
        self.rests_until = 0.0

    def conclude(self, over: _Followed, now: float) -> Survival | None:
        """Follow a request no further, and return its result; None if it tells nothing."""
        left = OwnTuple(each for each in self.followed if each is not over)
        if len(left) == len(self.followed):
            return None  # another thread did that, and what is alive is not known any more
        self.followed = left
        survival = None
        if not over.is_lost:
            survival = over.survival()
            if survival.later:
                self.results = OwnTuple((*self.results, survival)[-_MOST_RESULTS:])
            if len(self.results) >= _MOST_OF_ROUTE:
                self.rests_until = now + _REST
        over.discard()
        return survival


@ours
class _Routes(dict[Key, _Route]):
    __slots__ = ()


@ours
class Concluded(list[tuple[Key, Survival]]):
    """The requests that are followed no further, with their routes."""

    __slots__ = ()


@ours
class _TimeFollowed:
    """For how many CPU seconds of the process anything was followed."""

    __slots__ = ("_ended", "_since")

    def __init__(self) -> None:
        self._ended = 0.0
        self._since: float | None = None

    def note(self, is_following: bool) -> None:
        """Note whether anything is followed from now on."""
        now, since = time.process_time(), self._since
        if since is not None:
            self._ended += now - since
        self._since = now if is_following else None

    def is_enough(self) -> bool:
        """Return whether nothing more is to be followed for now."""
        now = time.process_time()
        followed = self._ended + (0.0 if self._since is None else now - self._since)
        return followed > _FREE + _SHARE * now


@ours
class Survivors:
    """What this process follows. No lock: two requests may end at once, and one in a finaliser."""

    __slots__ = ("_number", "_routes", "_swept_at", "_time")

    def __init__(self) -> None:
        self._routes = _Routes()
        self.reset()

    def reset(self) -> None:
        """Follow nothing, as a new process does."""
        for route in list(self._routes.values()):
            for followed in route.followed:
                followed.discard()
        self._routes.clear()
        self._number = 0
        self._swept_at = 0.0
        self._time = _TimeFollowed()

    @property
    def is_following(self) -> bool:
        """Whether a request of any route is followed."""
        return self._number > 0

    def wants(self, key: Key) -> bool:
        """Return whether what the next request of a route retains is to be followed."""
        route = self._routes.get(key)
        if self._number >= _MOST_AT_ONCE or self._time.is_enough():
            return False
        if route is None:
            return len(self._routes) < _MOST_ROUTES
        is_resting = time.process_time() < route.rests_until
        return not is_resting and len(route.followed) < _MOST_OF_ROUTE

    def follow(self, key: Key, window: Window, sampled: SampledRoute | None) -> None:
        """Follow a window of what a request retained (`Recording.analyse`).

        What is learnt of it is told to the sampling's route, if there is one.
        """
        route = self._routes.setdefault(key, _Route())
        followed = _Followed(window, sampled)
        route.followed = OwnTuple((*route.followed, followed))
        self._count()

    def note_request(self, key: Key, started: float) -> Concluded:
        """Take the end of a request that ``started`` at a moment of ``perf_counter()``.

        Returns what is followed no further.
        """
        concluded = Concluded()
        now = time.process_time()
        route = self._routes.get(key)
        if route is not None:
            for followed in route.followed:
                if started >= followed.since:
                    self._note(key, route, followed, now, concluded)
        if now >= self._swept_at + _SWEEP:
            self._swept_at = now
            self._sweep(now, concluded)
        return concluded

    def sweep(self) -> Concluded:
        """Conclude what is followed for too long; return what is followed no further."""
        concluded = Concluded()
        self._sweep(time.process_time(), concluded)
        return concluded

    def known(self, key: Key, looks_at_types: bool = False) -> OwnTuple[Survival]:
        """Return what is known of a route, the oldest first.

        ``looks_at_types`` has what is alive broken down by type also after few later requests.
        """
        route = self._routes.get(key)
        if route is None:
            return OwnTuple()
        found = list(route.results)
        for followed in route.followed:
            if followed.has_later and not followed.is_lost:
                if looks_at_types or followed.is_enough:
                    followed.look_at_types()
                found.append(followed.survival())
        return OwnTuple(found)

    def forget(self, source: str) -> None:
        """Follow nothing of a source any more."""
        for key, route in list(self._routes.items()):
            if key[0] == source:
                for followed in route.followed:
                    followed.discard()
                self._routes.pop(key, None)
        self._count()

    def _note(
        self, key: Key, route: _Route, followed: _Followed, now: float, into: Concluded
    ) -> None:
        followed.note_request()
        if followed.is_over(now):
            self._conclude(key, route, followed, now, into)
        elif followed.has_just_enough:
            followed.report_soon()

    def _sweep(self, now: float, into: Concluded) -> None:
        for key, route in list(self._routes.items()):
            for followed in route.followed:
                if followed.is_over(now):
                    self._conclude(key, route, followed, now, into)

    def _conclude(
        self, key: Key, route: _Route, followed: _Followed, now: float, into: Concluded
    ) -> None:
        survival = route.conclude(followed, now)
        self._count()
        if survival is not None and survival.later:
            into.append((key, survival))
            followed.report_soon()

    def _count(self) -> None:
        self._number = sum(len(route.followed) for route in list(self._routes.values()))
        self._time.note(self._number > 0)


survivors: Final = process.register(Survivors())
