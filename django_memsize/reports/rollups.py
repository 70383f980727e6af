"""Adding up the requests of this process by route and minute, until the writer takes them.

A request only appends its figures to a queue. The writer's thread adds them up, so that no request
does, and no thread waits for a lock: a request may end in a finaliser.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from .. import conf, process
from ..formatting import plain
from ..measuring import rss
from ..measuring.collector import collected_so_far, full_collections_so_far
from ..measuring.in_flight import number_in_flight
from ..measuring.recording import Recording
from ..values import (
    OwnTuple,
    ProcessKey,
    ProcessRollup,
    Reason,
    RouteKey,
    RouteRollup,
    Survival,
    ours,
)
from ..values import rollup as names
from ..values.rollup import Level
from .rollup_periods import RoutePeriods, Row, Sample, SamplePeriods

MOST_EVENTS: Final = 10_000
"""Requests that wait to be added up. Beyond them each request adds up some itself."""

_ADDED_AT_ONCE: Final = 100

_LATEST_DUE: Final = 20.0
"""Seconds after the end of a minute at which it is written at the latest, unless the database
fails. Each process chooses another moment, so that they do not all write at once."""

_EARLIEST_DUE: Final = 1.0
"""Longer than a recording waits for its analysis."""

_Event: TypeAlias = OwnTuple[Any]
"""Kind, method and route, start, duration, rows, statements, RSS change, whether it is the first
request, and the number in flight at its end."""

_Metered: TypeAlias = OwnTuple[Any]
"""Kind, method and route, start, duration, whether it is the first request, reason, and the bytes:
peak, allocated, retained, garbage."""

_Followed: TypeAlias = OwnTuple[Any]
"""Method and route, when what became of its retained bytes was known, these bytes, and how many of
them were alive then."""


@ours
class _Events(deque[_Event]):
    __slots__ = ()


@ours
class _MeteredEvents(deque[_Metered]):
    __slots__ = ()


@ours
class _SurvivalEvents(deque[_Followed]):
    __slots__ = ()


@ours
class Rollups:
    """The requests of this process that are not handed to the database yet, added up.

    ``lost`` is how many requests had no room since the last sample of the process.
    """

    __slots__ = (
        "_collected",
        "_due_after",
        "_events",
        "_full_collections",
        "_lock",
        "_metered",
        "_most_in_flight",
        "_periods",
        "_requests",
        "_rss_before",
        "_samples",
        "_survival",
        "lost",
    )

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin as a new process does."""
        self._events = _Events()
        self._metered = _MeteredEvents()
        self._survival = _SurvivalEvents()
        self._lock = threading.Lock()
        self._periods = RoutePeriods()
        self._samples = SamplePeriods()
        # The numbers of the global generator are the program's: it may have seeded it.
        self._due_after = random.Random().uniform(_EARLIEST_DUE, _LATEST_DUE)  # noqa: S311
        self._collected = -1
        self._full_collections = 0
        self._most_in_flight = 0
        self._requests = 0
        self._rss_before = 0
        self.lost = 0

    # What follows runs where a request ends.

    def add(self, recording: Recording, key: OwnTuple[str], rows: int, change: int | None) -> None:
        """Count a closed request. Never waits."""
        # Nothing is called that is not needed: this runs for each request.
        if not self._rss_before:
            self._rss_before = recording.rss_before or 0
        self._events.append(
            OwnTuple(
                (
                    recording.kind,
                    key,
                    recording.started_at,
                    recording.duration,
                    rows,
                    recording.log.all_statements,
                    change,
                    recording.first_request,
                    number_in_flight(),
                )
            )
        )
        if len(self._events) > MOST_EVENTS:
            self._try_to_add_up()

    def add_metered(
        self, recording: Recording, key: OwnTuple[str], retained: int | None, garbage: int | None
    ) -> None:
        """Count the bytes of a request that was counted before, once they are known."""
        peak, allocated = recording.peak, recording.allocated
        self._metered.append(
            OwnTuple(
                (
                    recording.kind,
                    key,
                    recording.started_at,
                    recording.duration,
                    recording.first_request,
                    recording.reason,
                    None if peak is None else peak.bytes,
                    None if allocated is None else allocated.bytes,
                    retained,
                    garbage,
                )
            )
        )

    def add_survival(self, key: OwnTuple[str], survival: Survival) -> None:
        """Count what became of what a request retained, in the minute in which that is known."""
        self._survival.append(OwnTuple((key, time.time(), survival.retained, survival.alive)))

    def _try_to_add_up(self) -> None:
        """Add up some requests, unless another thread does so: the writer may be waiting."""
        if self._lock.acquire(blocking=False):
            try:
                self._add_up(_ADDED_AT_ONCE)
            finally:
                self._lock.release()

    # What follows runs in the writer's thread.

    @property
    def is_used(self) -> bool:
        """Whether this process has served a request."""
        return bool(self._events or self._periods or self._collected >= 0)

    @property
    def is_empty(self) -> bool:
        """Whether the database has everything."""
        return not (
            self._events or self._metered or self._survival or self._periods or self._samples
        )

    def requests_left(self) -> int:
        """Return how many requests were not taken."""
        with self._lock:
            self._add_up()
            return self._periods.requests

    def seconds_until_due(self, now: float) -> float:
        """Return how long after ``now``, in seconds of Unix time, a minute is to be written.

        It is the next minute also where no request came: the process is sampled.
        """
        return Level.MINUTE.start(now - self._due_after) + 60 + self._due_after - now

    def take(self, most: int, now: float | None = None) -> list[Row]:
        """Remove rows and return them, the oldest first.

        With ``now`` the minutes that are not over are left. More of a minute may follow later, as
        another row.
        """
        with self._lock:
            self._add_up()
            return self._periods.take(most, now)

    def sample(self, moment: float) -> None:
        """Sample the process, as of the minute of a moment."""
        collected, full = collected_so_far(), full_collections_so_far()
        blocks, resident = sys.getallocatedblocks(), rss.size() or 0
        with self._lock:
            self._add_up()
            new = ProcessRollup(
                samples=1,
                requests=self._requests,
                collected_objects=0 if self._collected < 0 else collected - self._collected,
                full_collections=0 if self._collected < 0 else full - self._full_collections,
                lost_requests=self.lost,
                rss_sum=resident,
                rss_max=resident,
                python_blocks_sum=blocks,
                python_blocks_max=blocks,
                in_flight_max=self._most_in_flight,
                rss_min=resident,
            )
            if self._collected < 0 and self._rss_before:
                new.rss_min = min(resident or self._rss_before, self._rss_before)
            self._collected, self._full_collections, self._requests = collected, full, 0
            self._most_in_flight = self.lost = 0
            self._samples.add(moment, new)

    def take_samples(self) -> list[Sample]:
        """Remove the samples of the process and return them."""
        with self._lock:
            taken, self._samples = self._samples, SamplePeriods()
        key = process_key()
        return [Sample(level, start, key, sample) for (level, start), sample in taken.items()]

    def lose(self, requests: int) -> None:
        """Count requests that the database refused."""
        with self._lock:
            self.lost += requests

    # What follows needs the lock.

    def _add_up(self, most: int | None = None) -> None:
        release = _release()
        number = len(self._events) if most is None else min(most, len(self._events))
        if number:
            self._add_events((self._events.popleft() for _ in range(number)), release)
        while self._metered:
            self._add_metered(self._metered.popleft(), release)
        while self._survival:
            self._add_survival(self._survival.popleft(), release)
        self.lost += self._periods.make_room()

    def _add_events(self, events: Iterator[_Event], release: str) -> None:
        """Add requests up: those of one minute and route first by figures that are often equal."""
        counts: dict[Any, int] = {}
        durations: dict[Any, list[int]] = {}
        for kind, key, started, duration, *figures, others in events:
            route = (int((started + duration) // 60), kind, key)
            equal = (route, *figures)
            counts[equal] = counts.get(equal, 0) + 1
            durations.setdefault(route, []).append(round(duration * names.NANOSECONDS))
            if others >= self._most_in_flight:
                self._most_in_flight = others + 1
        for (route, *figures), times in counts.items():
            self._add_equal(self._rollup(route, release), figures, times)
            self._requests += times
        for route, lengths in durations.items():
            rollup = self._rollup(route, release)
            for length in lengths:
                rollup.add(names.DURATION, length)

    def _add_equal(self, rollup: RouteRollup, figures: list[Any], times: int) -> None:
        rows, statements, change, first = figures
        rollup.requests += times
        rollup.first_requests += times if first else 0
        rollup.add(names.ROWS, rows, times)
        rollup.add(names.STATEMENTS, statements, times)
        if not first:
            rollup.add(names.RSS_CHANGE, change, times)

    def _rollup(self, route: tuple[int, str, OwnTuple[str]], release: str) -> RouteRollup:
        minute, kind, (method, path) = route
        return self._periods.rollup(RouteKey(kind, method, path, release), minute * 60)

    def _add_metered(self, event: _Metered, release: str) -> None:
        kind, (method, route), started, duration, first, reason, *amounts = event
        rollup = self._periods.rollup(RouteKey(kind, method, route, release), started + duration)
        rollup.metered += 1
        if first:
            return
        peak, allocated, retained, garbage = amounts
        rollup.add(names.PEAK, peak)
        rollup.add(names.ALLOCATED, allocated)
        rollup.add(names.RETAINED, retained)
        rollup.add(names.GARBAGE, garbage)
        if reason is not Reason.FIRST:
            rollup.add(names.RETAINED_LATER, retained)

    def _add_survival(self, event: _Followed, release: str) -> None:
        (method, route), moment, retained, alive = event
        rollup = self._periods.rollup(RouteKey("request", method, route, release), moment)
        rollup.add(names.FOLLOWED, retained)
        rollup.add(names.SURVIVED, min(alive, retained))


def process_key() -> ProcessKey:
    """Return what tells this process from others."""
    return ProcessKey(plain(process.host(), 255), os.getpid(), _release())


def _release() -> str:
    config = conf.active()
    return "" if config is None else plain(config.release, 100)


rollups: Final = process.register(Rollups())
