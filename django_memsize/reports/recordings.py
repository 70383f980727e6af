"""Recordings as the settings ask for them, on their way to a report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from .. import conf, process
from ..measuring import deferred, overhead
from ..measuring.errors import ErrorBoundary
from ..measuring.in_flight import InFlight
from ..measuring.recording import Kind, Options, Recording
from ..measuring.referrers import ExternalObjects, Watched
from ..measuring.spans import in_span
from ..models import Report
from ..orm import patches
from ..values import OwnTuple, ours
from . import writer
from .build import RequestFacts, build
from .outliers import Outliers

_MOST_ROUTES: Final = 10_000
"""Routes that are remembered. Each request of any further route counts as its first."""

_contained: Final = ErrorBoundary("django-memsize: storing a report")


@ours
class _Routes(set[OwnTuple[str]]):
    """Routes that this process has served, each with its method."""

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
    return Recording(name, kind, _options(), in_flight, counted)


def store(
    recording: Recording, facts: RequestFacts | None = None, watched: Watched = ()
) -> Report | None:
    """Close a recording and store its report, at once or as soon as that disturbs nobody.

    What a meter finds retained is known once the ``watched`` objects are gone; the report waits for
    that. Returns the report, without a primary key until it is written. Returns None if the report
    waits or was dropped, and if none is to be stored: memsize is switched off, a test runs that did
    not ask, or a counted request is no outlier of its route.
    """
    with _contained, in_span(None):
        recording.close()
        collected = _collected.get()
        if collected is None and (conf.active() is None or conf.is_quiet()):
            recording.discard()
            return None
        if facts is not None and not _is_reported(recording, facts):
            recording.discard()
            return None
        pending = _Pending(recording, facts or RequestFacts(recording.name), collected)
        if not watched or recording.analysed or recording.window is None:
            return pending.store()
        if not deferred.wait(watched, pending.store, collected, recording.max_overhead):
            recording.discard()
            writer.drop()
        elif collected is None and not conf.is_under_test():
            deferred.start_thread(writer.flush_alone)
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

    __slots__ = ("_collected", "_facts", "_recording")

    def __init__(
        self, recording: Recording, facts: RequestFacts, collected: Collected | None
    ) -> None:
        self._recording = recording
        self._facts = facts
        self._collected = collected

    def store(self, external: ExternalObjects | None = None) -> Report | None:
        """Analyse the recording and hand its report over; return None if it was dropped."""
        report, is_accepted = None, False
        with _contained, in_span(None):
            self._recording.analyse(external)
            began = time.thread_time()
            _is_first_request(self._recording, self._facts.key)  # if that was not asked before
            report = build(self._recording, self._facts)
            is_accepted = self._hand_over(report)
            overhead.add(time.thread_time() - began)
        if not is_accepted:
            self._recording.discard()
            writer.drop()
            return None
        return report

    def _hand_over(self, report: Report) -> bool:
        """Add the report to those collected, or to those to be written; False without room."""
        if self._collected is None:
            return writer.submit(report)
        self._collected.append(report)
        return True


def _options() -> Options:
    config = conf.active()
    if config is None:
        return Options()
    return Options(config.instrument, config.evaluations, config.max_overhead)


def _is_reported(recording: Recording, facts: RequestFacts) -> bool:
    """Return whether a request is to be stored: a counted one only as an outlier of its route.

    Remembers a request that is stored, for the comparison with later ones.

    The RSS growth of the first request of a route makes it no outlier: that request fills caches.
    """
    route = facts.key
    rows, now = recording.rows + recording.cursor_rows, time.monotonic()
    growth = (recording.rss_after or 0) - (recording.rss_before or 0)
    if not recording.is_counted:
        _seen.outliers.add(route, rows, growth, now)
        return True
    judged_growth = 0 if _is_first_request(recording, route) else growth
    if not _seen.outliers.is_outlier(route, rows, judged_growth, now):
        return False
    _seen.outliers.add_outlier(route, rows, growth, now)
    return True


def _is_first_request(recording: Recording, route: OwnTuple[str]) -> bool:
    """Return whether a recording is the first of its route, as the first call decided."""
    if recording.first_request is None:
        recording.first_request = recording.kind == "request" and _add_route(route)
    return recording.first_request


def _add_route(route: OwnTuple[str]) -> bool:
    """Remember a route; return whether it is a new one."""
    if route in _seen.routes:
        return False
    if len(_seen.routes) < _MOST_ROUTES:
        _seen.routes.add(route)
    return True
