"""Recordings as the settings ask for them, on their way to a report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.core.signals import setting_changed

from .. import conf, process
from ..measuring import deferred, overhead
from ..measuring.errors import ErrorBoundary
from ..measuring.in_flight import InFlight
from ..measuring.instruments import Watched
from ..measuring.overhead import RemainingOverhead
from ..measuring.recording import Kind, Options, Recording
from ..measuring.spans import in_span
from ..models import Report
from ..orm import patches
from ..values import LIVE, RUN, OwnTuple, Reason, ours
from ..workers.tally import Cause, State, tally
from . import fates, following, immediate, writer
from .build import RequestFacts, build
from .drops import drop
from .outliers import Outliers
from .rollups import rollups
from .thresholds import beside_statements, nothing_for

_MOST_ROUTES: Final = 10_000
"""Routes that are remembered. Each request of any further route counts as its first."""

_MOST_ANALYSED: Final = 200_000
"""Blocks alive at the end of a request that are analysed at most: other threads wait for the trial
deletion, 10 to 20 ms for so many. What a developer asks for is analysed whatever its size."""

_contained: Final = ErrorBoundary("django-memsize: storing a report")


@ours
class _Routes(dict[OwnTuple[str], float]):
    """When the first request of each route, with its method, was over: ``perf_counter()``."""

    __slots__ = ()


@ours
class _Seen:
    """What this process has served so far: its routes, and the outliers among their requests."""

    __slots__ = ("outliers", "routes")

    def __init__(self) -> None:
        self.routes = _Routes()
        self.outliers = Outliers()

    def reset(self) -> None:
        self.routes.clear()
        self.outliers.reset()


@ours
class Collected(list[Report]):
    """Reports that were handed over instead of stored."""

    __slots__ = ()


_seen: Final = process.register(_Seen())
_collected: ContextVar[Collected | None] = ContextVar("memsize_collected", default=None)


def new_recording(
    name: str, kind: Kind = "block", in_flight: InFlight | None = None, counted: bool = False
) -> Recording:
    """Return a recording that measures as the settings say.

    Patches Django's ORM if that was not done before. Doing so in ``AppConfig.ready()`` would be too
    early: a library that patches querysets in its own would then load rows outside of the patch.
    """
    patches.install()
    most_analysed = _MOST_ANALYSED if kind == "request" and not is_collecting() else 0
    options = None if counted else _options(most_analysed)
    return Recording(name, kind, options, in_flight, counted)


def store(
    recording: Recording,
    facts: RequestFacts | None = None,
    watched: Watched = (),
    older: Watched = (),
) -> Report | None:
    """Close a recording, and hand its report to the writer.

    What a meter finds retained is known once the ``watched`` objects, a request and its response,
    are gone; the report waits for that. ``older`` are the same if the request is older than the
    recording. Returns the report, which has no primary key before it is written. Returns None if
    the report waits or was dropped, and if none is to be stored: memsize is switched off, a test
    runs that did not ask, or a counted request is no outlier of its route.
    """
    with _contained:
        # No span has to be left to count a request. Most of them come to nothing more.
        if recording.is_counted and not _close(recording, facts):
            return None
        with in_span(None):
            if recording.is_counted or _close(recording, facts):
                return _hand_over(recording, facts or RequestFacts(recording.name), watched, older)
    return None


def _close(recording: Recording, facts: RequestFacts | None) -> bool:
    """Close a recording; return whether it is to become a report, and discard it otherwise."""
    recording.close()
    is_handed_over = is_collecting()
    is_asked_for = is_handed_over or (conf.active() is not None and not conf.is_quiet())
    if is_asked_for and (facts is None or _is_reported(recording, facts, is_handed_over)):
        return True
    recording.discard()
    return False


def _hand_over(
    recording: Recording, facts: RequestFacts, watched: Watched, older: Watched
) -> Report | None:
    """Store a closed recording, now or once the watched objects are gone."""
    collected = _collected.get()
    pending = _Pending(recording, facts, older, collected)
    if collected is None:
        tally.made(State.WAITING)
        _begin_writer()
    if not watched or recording.analysed or recording.window is None:
        return pending.store()
    if not deferred.wait(watched, pending.store, collected):
        pending.drop(Cause.NOT_ANALYSED)
    elif collected is None and not conf.is_under_test():
        deferred.start_thread()
    return None


@contextmanager
def collecting() -> Iterator[Collected]:
    """Measure every request of this context, and hand its report over instead of storing it.

    Yields the list to which the reports are added, the last of them at the end of the block.
    """
    collected = Collected()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        deferred.analyse_now(collected)
        following.forget(RUN)
        _collected.reset(token)


def is_collecting() -> bool:
    """Return whether the reports of this context are handed over."""
    return _collected.get() is not None


def analyse_now() -> None:
    """Analyse the recordings of this context without waiting for their requests any longer."""
    deferred.analyse_now(_collected.get())


@ours
class _Pending:
    """A closed recording on its way to a report."""

    __slots__ = ("_collected", "_facts", "_older", "_recording", "_test")

    def __init__(
        self,
        recording: Recording,
        facts: RequestFacts,
        older: Watched,
        collected: Collected | None,
    ) -> None:
        self._recording = recording
        self._facts = facts
        self._older = older
        self._collected = collected
        self._test = None
        if collected is None and conf.is_under_test():
            with _contained:
                self._test = immediate.running_test()

    def store(self) -> Report | None:
        """Analyse the recording and hand its report over; return None if it was dropped."""
        report, remaining = None, RemainingOverhead(self._recording)
        if self._is_unwanted():
            self._recording.discard()
            tally.move(State.WAITING, Cause.LOST)
            return None
        with _contained, in_span(None):
            source = LIVE if self._collected is None else RUN
            _is_first_request(self._recording, self._facts.key)  # if that was not asked before
            survival = following.analyse(self._recording, self._facts.key, source, self._older)
            if not fates.are_mostly_freed(survival):
                _note_retained(self._recording)
            report = build(self._recording, self._facts, source, survival)
            self._roll_up(report)
            remaining.add_to(self._recording)
        if report is None:
            self.drop(Cause.FAULT)
            return None
        if self._collected is not None:
            self._collected.append(report)
            return report
        return report if self._submit(report) else None

    def _roll_up(self, report: Report) -> None:
        """Add the bytes of a metered request to the figures of its route."""
        recording = self._recording
        if (
            self._collected is None
            and recording.kind == "request"
            and report.peak_bytes is not None
        ):
            retained = report.retained_bytes
            if retained is not None:
                retained = beside_statements(retained, recording.log.all_statements)
            rollups.add_metered(recording, self._facts.key, retained, report.garbage_bytes)

    def _is_unwanted(self) -> bool:
        """Return whether the test that asked for the report is over."""
        with _contained:
            return self._collected is None and (conf.is_quiet() or immediate.is_over(self._test))
        return False

    def drop(self, cause: Cause) -> None:
        """Give the recording up, and count its report as dropped."""
        self._recording.discard()
        if self._collected is None:
            drop(State.WAITING, cause)

    def _submit(self, report: Report) -> bool:
        is_accepted = None
        with _contained, in_span(None):
            began = time.thread_time()
            is_accepted = writer.submit(report)
            overhead.add(time.thread_time() - began)
        if is_accepted is None:
            drop(State.WAITING, Cause.FAULT)
        return bool(is_accepted)


def _on_setting_changed(*, setting: str, enter: bool, **_: Any) -> None:
    """Forget what waits once the test that asked for reports is over."""
    if setting == conf.NAME and not enter and conf.is_quiet():
        with _contained:
            for store_waiting in deferred.take_all():
                store_waiting()
            rollups.reset()
            following.forget(LIVE)


setting_changed.connect(_on_setting_changed, dispatch_uid="django_memsize.recordings")


def _options(most_analysed: int = 0) -> Options:
    config = conf.active()
    if config is None:
        return Options(most_analysed=most_analysed)
    return Options(
        config.instrument,
        config.evaluations,
        config.max_overhead,
        config.meter_memory * 1024 * 1024,
        most_analysed,
    )


def _is_reported(recording: Recording, facts: RequestFacts, is_handed_over: bool) -> bool:
    """Return whether a request is to be stored: a counted one only as an outlier of its route.

    Remembers a request that is stored, for the comparison with later ones, and adds each request to
    the figures of its route, unless its report is handed over.

    The RSS growth of the first request of a route makes it no outlier: that request fills caches.
    """
    route = facts.key if recording.route is None else recording.route.key
    rows, now = recording.rows + recording.cursor_rows, time.monotonic()
    growth = (recording.rss_after or 0) - (recording.rss_before or 0)
    if recording.route is not None and not recording.route.note(rows, growth, now):
        # Else all requests of a route that there is no more room for would count as first.
        recording.first_request = _began_before_any_was_over(recording, route)
    is_first = _is_first_request(recording, route)
    if recording.kind == "request":
        following.note_request(recording, route, RUN if is_handed_over else LIVE)
    if not is_handed_over and recording.kind == "request":
        _roll_up(recording, route, rows, None if recording.rss_after is None else growth)
    if not recording.is_counted:
        _seen.outliers.add(route, rows, growth, now)
        return True
    judged_growth = 0 if is_first else growth
    if not _seen.outliers.is_outlier(route, rows, judged_growth, now):
        return False
    _seen.outliers.add_outlier(route, rows, growth, now)
    return True


def _note_retained(recording: Recording) -> None:
    """Have the route of a request metered more often if the request retains something."""
    retained, route = recording.retained, recording.route
    if route is None or retained is None or recording.request_held or recording.first_request:
        return
    if retained.bytes >= nothing_for(recording.kind, recording.log.all_statements):
        route.suspect(Reason.RETAINED, time.monotonic())


def _roll_up(recording: Recording, route: OwnTuple[str], rows: int, change: int | None) -> None:
    """Add a request to the figures of its route. A fault of that does not lose its report."""
    try:
        rollups.add(recording, route, rows, change)
        _begin_writer()
    except Exception as error:
        if not _contained.swallows(error):
            raise


def _begin_writer() -> None:
    """Have the writer's thread run, where threads may write."""
    if not writer.is_running() and not conf.is_under_test():
        with _contained:  # there may be too many threads: a later request tries again
            writer.begin()


def _is_first_request(recording: Recording, route: OwnTuple[str]) -> bool:
    """Return whether a recording is the first of its route, as the first call decided.

    So are those that arrived before it was over: they fill caches as well, and the first to arrive
    may be the last that is over.
    """
    if recording.first_request is None:
        is_first = recording.kind == "request"
        if is_first and route in _seen.routes:
            is_first = _began_before_any_was_over(recording, route)
        elif is_first and len(_seen.routes) < _MOST_ROUTES:
            _seen.routes[route] = recording.started + recording.duration
        recording.first_request = is_first
    return recording.first_request


def _began_before_any_was_over(recording: Recording, route: OwnTuple[str]) -> bool:
    return recording.started < _seen.routes.get(route, -math.inf)
