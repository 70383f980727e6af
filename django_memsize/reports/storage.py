"""Recordings become reports here. The only place that knows both worlds.

Nothing here raises: a report that cannot be stored is dropped, counted and logged.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import DatabaseError, connections, transaction
from django.db.models import Max

from .. import conf
from ..formatting import plain
from ..measuring import deferred, in_flight, overhead
from ..measuring.errors import ErrorBoundary, RateLimitedWarning
from ..measuring.evaluation_log import Evaluation
from ..measuring.recording import Options, Recording
from ..measuring.referrers import ExternalObjects, Watched
from ..measuring.spans import in_span
from ..models import Report
from ..values import Amount, Diff, Loading, OwnTuple, TopMoment, TopTypes, ours
from . import serialization
from .outliers import Extremes

EVALUATIONS_STORED: Final = 100
"""Evaluations of one report stored one by one: those of most bytes and rows."""

EVALUATION_TYPES: Final = 15
"""Types of one evaluation stored by name."""

_ROUTES_REMEMBERED: Final = 10_000
_WAITING_AT_MOST: Final = 100
_REMOVED_AT_ONCE: Final = 500


@ours
@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a recording beside its measurement."""

    route: str
    method: str = ""
    status: int | None = None


@ours
class _Routes(set[OwnTuple[str]]):
    __slots__ = ()


@ours
class Collected(list[Report]):
    """Reports that were handed over and not written."""

    __slots__ = ()


@ours
class _Waiting(list[Report]):
    """Reports to be written, not too many."""

    __slots__ = ()

    def put(self, report: Report) -> bool:
        if len(self) >= _WAITING_AT_MOST:
            return False
        self.append(report)
        return True

    def take(self) -> Report | None:
        try:
            return self.pop(0)
        except IndexError:
            return None


@ours
class _Kept:
    """A recording on its way to a report."""

    __slots__ = ("_collected", "_facts", "_recording")

    def __init__(self, recording: Recording, facts: Facts, collected: Collected | None) -> None:
        self._recording = recording
        self._facts = facts
        self._collected = collected

    def store(self, around: ExternalObjects | None = None) -> Report | None:
        """Settle the recording and take over its report; None if that was dropped."""
        report, accepted = None, False
        with _contained, in_span(None):
            self._recording.analyse(around)
            began = time.thread_time()
            report = report_of(self._recording, self._facts)
            accepted = _accept(report, self._collected)
            overhead.spend(time.thread_time() - began)
        if not accepted:
            self._recording.discard()
            _dropped.add(1)
            return None
        return report


@ours
class _Counter:
    """A number that several threads add to."""

    __slots__ = ("_lock", "_number")

    def __init__(self) -> None:
        # Reentrant: a finaliser may run in the locked lines, and drop a report.
        self._lock = threading.RLock()
        self._number = 0

    def add(self, number: int) -> None:
        with self._lock:
            self._number += number

    def take(self) -> int:
        with self._lock:
            number, self._number = self._number, 0
            return number


_contained: Final = ErrorBoundary("django-memsize: storing a report")
_missing_table: Final = RateLimitedWarning()
_manual_transactions: Final = RateLimitedWarning()
_seen: Final = _Routes()
_extremes: Final = Extremes()
_collected: ContextVar[Collected | None] = ContextVar("memsize_collected", default=None)
_waiting: Final = _Waiting()
_dropped: Final = _Counter()


def defaults() -> Options:
    """Return what the settings say for recordings."""
    config = conf.active()
    if config is None:
        return Options(save=keep)
    return Options(config.instrument, config.evaluations, config.max_overhead, save=keep)


def keep(recording: Recording, facts: Facts | None = None, watched: Watched = ()) -> Report | None:
    """End a recording and store it, at once or as soon as that disturbs nobody.

    What a meter tells waits until what ``watched`` refers to is gone.

    Returns its report, without a number as long as it is not written; None if it waits, or was
    dropped, or nothing is to be stored here: memsize is switched off, or a test runs that did not
    ask, or a light one is not among the worst of its route.
    """
    with _contained, in_span(None):
        recording.close()
        collected = _collected.get()
        if collected is None and (conf.active() is None or conf.is_quiet()):
            recording.discard()
            return None
        if facts is not None and not _is_worth_a_report(recording, facts):
            recording.discard()
            return None
        kept = _Kept(recording, facts or Facts(recording.name), collected)
        if not watched or recording.analysed or recording.window is None:
            return kept.store()
        if not deferred.wait(watched, kept.store, of=collected, share=recording.max_overhead):
            recording.discard()
            _dropped.add(1)
        elif collected is None and not conf.is_under_test():
            deferred.keep_time(_flush_alone)
    return None


@contextmanager
def collecting() -> Iterator[Collected]:
    """Have what this context would store handed over instead, and every request measured."""
    collected = Collected()
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        deferred.analyse(of=collected)
        _collected.reset(token)


def analyse() -> None:
    """Wait no longer for requests of this context to be gone: they are, as far as they can be."""
    deferred.analyse(of=_collected.get())


def is_collecting() -> bool:
    """Tell whether somebody asked for every recording of this context."""
    return _collected.get() is not None


def flush() -> None:
    """Write the reports that wait, unless that would disturb somebody now."""
    while not _would_disturb() and (report := _waiting.take()) is not None:
        stored = False
        with _contained:
            stored = save(report)
        if not stored:
            _dropped.add(1)


def _flush_alone() -> bool:
    """Write what waits, from a thread of our own; tell whether nothing waits any more."""
    if _waiting:
        with in_flight.none_in_flight() as is_alone:
            if is_alone or not _is_in_a_file():
                flush()
    return not _waiting


def save(report: Report) -> bool:
    """Insert the report and remove the oldest of those beyond the number to keep.

    Tells whether it is stored. Raises what the database raises, but for a missing table: that is
    logged, with its mending.
    """
    config = conf.config()
    connection = connections[config.database]
    was_open = connection.connection is not None
    report.dropped = _dropped.take()
    stored = False
    try:
        if not connection.in_atomic_block and not connection.get_autocommit():
            _manual_transactions.log(
                "django-memsize: database %r is not in autocommit mode, and nobody would commit "
                "a report there. Name another in MEMSIZE['DATABASE'].",
                config.database,
            )
            return False
        _insert(report, config)
        stored = True
    except DatabaseError:
        if has_table(config.database):
            raise
        _missing_table.log(
            "django-memsize: no table in database %r, reports are dropped. "
            "Run 'manage.py migrate django_memsize%s'.",
            config.database,
            "" if config.database == "default" else f" --database {config.database}",
        )
    finally:
        if not stored:
            report.pk = None
            _dropped.add(report.dropped)
        if not was_open:
            # Nobody else in this thread may be there to close it.
            connection.close()
    return stored


def forget() -> None:
    """Forget which routes were seen and how many reports were dropped, as a new process would."""
    _dropped.take()
    _waiting.clear()
    _seen.clear()
    _extremes.forget()
    deferred.forget()


def has_table(database: str) -> bool:
    """Tell whether the database has the table of reports."""
    return Report._meta.db_table in connections[database].introspection.table_names()


def report_of(recording: Recording, facts: Facts) -> Report:
    """Return the recording as a report not yet stored."""
    config = conf.active()
    top_types = config.top_types if config else 50
    route = plain(facts.route, 255)
    types = TopTypes.of(recording.diff, top_types)
    # Cut short, a meter knows what went before, and not what is left.
    left = recording.window is None or not recording.incomplete
    is_told = left and not recording.is_counted
    garbage = recording.garbage if left else None
    free_lists = recording.free_lists if left else None
    moment = recording.moment
    # What one loads inside another ends first, and is to stand below it.
    evaluations = sorted(recording.evaluations, key=lambda evaluation: evaluation.began)
    loadings = [_loading(evaluation, left) for evaluation in evaluations]
    kept = _largest(loadings)
    sizes = [loading.size for loading in loadings if loading.size is not None]
    return Report(
        kind=recording.kind,
        route=route,
        method=facts.method,
        status=facts.status,
        started_at=datetime.fromtimestamp(recording.started_at, UTC),
        duration=recording.duration,
        engine=recording.engine,
        instrument=recording.instrument,
        rss_before=recording.rss_before,
        rss_after=recording.rss_after,
        net_bytes=serialization.stored_number(types.total.size) if is_told else None,
        net_objects=serialization.stored_number(types.total.count) if is_told else None,
        **_columns("allocated", recording.allocated),
        **_columns("peak", recording.peak),
        **_columns("alive", recording.alive if left else None),
        **_columns("retained", recording.retained if left else None),
        **_columns("garbage", garbage),
        **_columns("free_lists", free_lists),
        rows=serialization.stored_number(recording.rows),
        collected_objects=recording.collected_objects,
        largest_evaluation_bytes=serialization.stored_number(max(sizes)) if sizes else None,
        in_flight=recording.in_flight,
        incomplete=recording.incomplete,
        overhead=recording.overhead,
        first_request=_is_first_request(recording, OwnTuple((facts.method, route))),
        host=plain(socket.gethostname(), 255),
        pid=os.getpid(),
        thread=plain(recording.thread, 100),
        release=plain(config.release if config else "", 100),
        types=serialization.tables_document(
            types,
            garbage=_top_types(garbage, top_types),
            free_lists=_top_types(free_lists, top_types),
            moment=None if moment is None else TopMoment.of(moment, top_types),
            meter_bytes=recording.meter_bytes,
        ),
        evaluations=serialization.loadings_document(
            kept,
            omitted=recording.evaluations_omitted + len(loadings) - len(kept),
            unmeasured=recording.evaluations_without_types,
            statements=recording.statements,
            cursor_rows=recording.cursor_rows,
        ),
    )


os.register_at_fork(after_in_child=forget)


def _insert(report: Report, config: conf.Config) -> None:
    connection = connections[config.database]
    reports = Report.objects.using(config.database)
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=config.database):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'")
        # Not save() and delete(), which send signals to receivers of the program.
        reports.bulk_create([report])
        if report.pk is None:  # the database returns no keys: then Django sets neither
            report._state.db = config.database
            report.pk = reports.aggregate(newest=Max("pk"))["newest"]
        surplus = reports.filter(pk__lte=report.pk - config.retention).values_list("pk", flat=True)
        oldest = list(surplus.order_by("pk")[:_REMOVED_AT_ONCE])
        if oldest:
            reports.filter(pk__in=oldest)._raw_delete(config.database)


def _accept(report: Report, collected: Collected | None) -> bool:
    """Take a report over; tell whether there was room for it."""
    if collected is not None:
        collected.append(report)
        return True
    if not _waiting.put(report):
        return False
    if _runs_an_event_loop():
        # Django refuses its databases to this thread.
        threading.Thread(target=flush, name="memsize", daemon=True).start()
    else:
        flush()
    return True


def _runs_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _would_disturb() -> bool:
    """Tell whether somebody may be between reading and writing a SQLite database.

    A write of ours in between would make theirs fail, at once, with "database is locked".
    """
    return _is_in_a_file() and in_flight.in_flight_elsewhere() > 0


def _is_in_a_file() -> bool:
    return bool(connections[conf.config().database].vendor == "sqlite")


def _is_worth_a_report(recording: Recording, facts: Facts) -> bool:
    """Tell whether it is to be stored: a light one only as one of the worst of its route.

    By its growth it is none if it is the first in its process: that fills caches.
    """
    route = OwnTuple((facts.method, plain(facts.route, 255)))
    rows, now = recording.rows + recording.cursor_rows, time.monotonic()
    growth = (recording.rss_after or 0) - (recording.rss_before or 0)
    if not recording.is_counted:
        _extremes.remember(route, rows, growth, now)
        return True
    if not _extremes.is_one(route, rows, 0 if _is_first_request(recording, route) else growth, now):
        return False
    _extremes.tell(route, rows, growth, now)
    return True


def _is_first_request(recording: Recording, route: OwnTuple[str]) -> bool:
    if recording.first_request is None:
        recording.first_request = recording.kind == "request" and _is_first(route)
    return recording.first_request


def _is_first(route: OwnTuple[str]) -> bool:
    if route in _seen:
        return False
    if len(_seen) < _ROUTES_REMEMBERED:
        _seen.add(route)
    return True


def _columns(name: str, amount: Amount | None) -> dict[str, int | None]:
    return {
        f"{name}_bytes": None if amount is None else serialization.stored_number(amount.bytes),
        f"{name}_blocks": None if amount is None else serialization.stored_number(amount.blocks),
    }


def _top_types(amount: Amount | None, number: int) -> TopTypes:
    return TopTypes.of(Diff({}, {}) if amount is None else amount.types, number)


def _bytes(amount: Amount | None) -> int | None:
    return None if amount is None else amount.bytes


def _loading(evaluation: Evaluation, left: bool) -> Loading:
    return Loading(
        model=evaluation.model,
        kind=evaluation.kind,
        rows=evaluation.rows,
        duration=evaluation.duration,
        site=evaluation.site,
        sql=evaluation.sql or "",
        database=evaluation.database or "",
        depth=evaluation.depth,
        streamed=evaluation.streamed,
        over_budget=evaluation.over_budget,
        types=None if evaluation.diff is None else TopTypes.of(evaluation.diff, EVALUATION_TYPES),
        allocated=_bytes(evaluation.allocated),
        peak=_bytes(evaluation.peak),
        alive=_bytes(evaluation.alive),
        retained=_bytes(evaluation.retained) if left else None,
        times=evaluation.times,
        instances=evaluation.instances,
    )


def _largest(loadings: list[Loading]) -> list[Loading]:
    """Return those worth a line each, in their order."""
    ranked = sorted(
        range(len(loadings)),
        key=lambda place: (-(loadings[place].highest or 0), -loadings[place].rows),
    )
    return [loadings[place] for place in sorted(ranked[:EVALUATIONS_STORED])]
