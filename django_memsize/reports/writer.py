"""Writing reports to their database: a bounded queue, insertion, retention, and what was dropped.

Nothing here raises but ``save()``: a report that cannot be stored is dropped, counted and logged.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from django.db import DatabaseError, connections, transaction
from django.db.models import Max

from .. import conf, process
from ..measuring import in_flight
from ..measuring.errors import ErrorBoundary, RateLimitedWarning
from ..models import Report
from ..values import ours

_MOST_QUEUED: Final = 100
_MOST_REMOVED: Final = 500
"""Old reports that are removed with the insertion of one."""

_contained: Final = ErrorBoundary("django-memsize: storing a report")
_missing_table: Final = RateLimitedWarning()
_manual_transactions: Final = RateLimitedWarning()


@ours
class _Queue(list[Report]):
    __slots__ = ()


@ours
class _Writer:
    """The reports of this process that are to be written, and the number of those dropped.

    The lock is reentrant: a finaliser may run in the locked lines, and drop a report.
    """

    __slots__ = ("_dropped", "_lock", "queue")

    def __init__(self) -> None:
        self.queue = _Queue()
        self.reset()

    def reset(self) -> None:
        self.queue.clear()
        self._lock = threading.RLock()
        self._dropped = 0

    def put(self, report: Report) -> bool:
        if len(self.queue) >= _MOST_QUEUED:
            return False
        self.queue.append(report)
        return True

    def take(self) -> Report | None:
        try:
            return self.queue.pop(0)
        except IndexError:
            return None

    def add_dropped(self, number: int) -> None:
        with self._lock:
            self._dropped += number

    def take_dropped(self) -> int:
        with self._lock:
            number, self._dropped = self._dropped, 0
            return number


_writer: Final = process.register(_Writer())


def submit(report: Report) -> bool:
    """Write a report at once, or as soon as that disturbs nobody; return False if it has no room.

    Where an event loop runs, a thread of its own writes: Django refuses its databases there.
    """
    if not _writer.put(report):
        return False
    if _runs_an_event_loop():
        threading.Thread(target=_flush_in_thread, name="memsize", daemon=True).start()
    else:
        flush()
    return True


def flush() -> None:
    """Write the queued reports, unless that would disturb another thread now."""
    while not _would_disturb() and (report := _writer.take()) is not None:
        stored = False
        with _contained:
            stored = save(report)
        if not stored:
            drop()


def _flush_in_thread() -> None:
    with _contained:  # nothing of ours is around a thread
        flush()


def flush_alone() -> bool:
    """Write the queued reports from the background thread; return whether none is left."""
    if _writer.queue:
        with in_flight.none_in_flight() as is_none:
            if is_none or not _is_in_a_file():
                flush()
    return not _writer.queue


def drop(number: int = 1) -> None:
    """Count reports that cannot be stored; the next stored report has their number."""
    _writer.add_dropped(number)


def save(report: Report) -> bool:
    """Insert a report, and remove the oldest of those beyond the number to keep.

    Returns whether the report is stored. Raises what the database raises, but for a missing table,
    which is logged with the command that makes it.
    """
    config = conf.config()
    connection = connections[config.database]
    was_open = connection.connection is not None
    report.dropped = _writer.take_dropped()
    stored = False
    try:
        if not connection.in_atomic_block and not connection.get_autocommit():
            _manual_transactions.log(
                "django-memsize: database %r is not in autocommit mode, so nobody would commit a "
                "report there. Name another one in MEMSIZE['DATABASE'].",
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
            drop(report.dropped)
        if not was_open:
            # Nobody else in this thread may be there to close the connection.
            connection.close()
    return stored


def has_table(database: str) -> bool:
    """Return whether the database has the table of reports."""
    return Report._meta.db_table in connections[database].introspection.table_names()


def _insert(report: Report, config: conf.Config) -> None:
    connection = connections[config.database]
    reports = Report.objects.using(config.database)
    outermost = not connection.in_atomic_block
    with transaction.atomic(using=config.database):
        if outermost and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'")
        # save() and delete() would send signals to receivers of the program.
        reports.bulk_create([report])
        if report.pk is None:  # the database returns no keys: then Django sets neither
            report._state.db = config.database
            report.pk = reports.aggregate(newest=Max("pk"))["newest"]
        surplus = reports.filter(pk__lte=report.pk - config.retention).values_list("pk", flat=True)
        oldest = list(surplus.order_by("pk")[:_MOST_REMOVED])
        if oldest:
            reports.filter(pk__in=oldest)._raw_delete(config.database)


def _runs_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _would_disturb() -> bool:
    """Return whether another thread may be between reading and writing a SQLite database.

    A write in between would make that thread's write fail at once: "database is locked".
    """
    return _is_in_a_file() and in_flight.in_flight_elsewhere() > 0


def _is_in_a_file() -> bool:
    return bool(connections[conf.config().database].vendor == "sqlite")
