"""Retention: which reports are kept, and the deletion of all others in short transactions.

*Recent* are the newest ``RETENTION`` reports, without those older than ``RETENTION_DAYS``. Beyond
them each route keeps its *exemplars*: its newest and its worst reports, up to as many again and
four times as old. So the reports of one route never displace the last reports of another, and the
table stays below about ``2 * RETENTION`` reports.

A report that is no longer recent is examined once in each process, with the exemplars by then.
Nothing here counts the table or needs an index beside the primary key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final

from django.db import connections
from django.utils import timezone

from .. import conf, process
from ..models import Report, ReportQuerySet
from ..values import ours
from . import chunks, exemplars
from .connection import short_transaction
from .exemplars import Candidate

CHUNKS: Final = 4
"""Chunks that one call examines, because reports wait to be inserted meanwhile."""

_MORE_REPORTS: Final = 2
"""Stored reports, exemplars included, as a multiple of ``RETENTION``."""

_MORE_DAYS: Final = 4
"""Age of the oldest exemplar, as a multiple of ``RETENTION_DAYS``."""

_SLACK: Final = 20
"""A new examination begins after ``RETENTION / _SLACK`` new reports: each reads the primary keys of
all recent reports, up to ``_SAMPLE``."""

_SECONDS: Final = 3600.0
"""A new examination begins after this time at the latest, because reports grow old."""

_SAMPLE: Final = 1000
"""Recent reports that are counted. Of more, the distance of their primary keys is extrapolated."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings, applied to a table at one moment."""

    first_recent: int
    """Primary key of the oldest recent report by number."""
    recent_since: datetime | None
    """Start of the oldest recent report by age; None without a limit."""
    exemplars_since: datetime | None
    """Start of the oldest exemplar; None without a limit."""
    exemplars: int
    """The most exemplars."""
    due_from: int
    """Primary key from which a new report begins the next examination."""

    @classmethod
    def of(cls, reports: ReportQuerySet, newest: int) -> Limits:
        """Return the limits of a table whose newest report has this primary key."""
        config = conf.config()
        days = timedelta(days=config.retention_days or 0)
        now = timezone.now()
        return cls(
            first_recent=_first_recent(reports, newest, config.retention),
            recent_since=_before(now, days),
            exemplars_since=_before(now, _MORE_DAYS * days),
            exemplars=(_MORE_REPORTS - 1) * config.retention,
            due_from=newest + max(1, config.retention // _SLACK),
        )

    def excludes(self, report: Candidate) -> bool:
        """Return whether a report is not recent."""
        return report.pk < self.first_recent or _is_before(report, self.recent_since)


@ours
class Pruner:
    """Deletes the reports of one database that are not kept. Another process may do so, too."""

    __slots__ = ("_due_at", "_due_from", "_examined")

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forget what was examined."""
        self._examined = 0
        """Up to this primary key all reports are exemplars."""
        self._due_from = 0
        """Primary key from which a new report begins the next examination."""
        self._due_at = 0.0
        """Value of ``time.monotonic()`` at which the next examination begins."""

    def prune(self, database: str, newest: int | None = None) -> tuple[int, bool]:
        """Examine a few chunks; return the number of deleted reports, and if nothing is left.

        ``newest`` is the primary key of the newest report, if it is known.
        """
        reports = Report.objects.using(database)
        if newest is None:
            newest = reports.order_by("-pk").values_list("pk", flat=True).first()
        if newest is None:
            return 0, True
        if newest < self._examined:  # the table was emptied, and counts from 1 again
            self.begin()
        now = time.monotonic()
        if newest < self._due_from and now < self._due_at:
            return 0, True
        limits = Limits.of(reports, newest)
        deleted, known = 0, exemplars.Exemplars(reports, self._examined)
        for _ in range(CHUNKS):
            number, is_last = self._examine_chunk(reports, limits, known)
            deleted += number
            if is_last:
                number, is_last = self._trim_exemplars(reports, limits)
                deleted += number
            if is_last:
                self._due_from, self._due_at = limits.due_from, now + _SECONDS
                return deleted, True
        return deleted, False

    def _examine_chunk(
        self, reports: ReportQuerySet, limits: Limits, known: exemplars.Exemplars
    ) -> tuple[int, bool]:
        """Delete all but exemplars of a chunk; return their number, and if it was the last."""
        chunk = exemplars.candidates(reports.filter(pk__gt=self._examined), chunks.CHUNK)
        # The clocks of two hosts may differ: then a report waits for the one before it.
        leaving = list(takewhile(limits.excludes, chunk))
        if not leaving:
            return 0, True
        deleted = _delete(reports, known.replaced_by(leaving))
        self._examined = leaving[-1].pk
        return deleted, len(leaving) < chunks.CHUNK

    def _trim_exemplars(self, reports: ReportQuerySet, limits: Limits) -> tuple[int, bool]:
        """Delete the oldest exemplars beyond their limits; return as `_examine_chunk` does."""
        examined = reports.filter(pk__lte=self._examined)
        newest_first = examined.order_by("-pk").values_list("pk", flat=True)
        last = newest_first[limits.exemplars : limits.exemplars + 1].first() or 0
        oldest = exemplars.candidates(examined, chunks.CHUNK)
        beyond = [
            report.pk
            for report in oldest
            if report.pk <= last or _is_before(report, limits.exemplars_since)
        ]
        deleted = _delete(reports, beyond)
        return deleted, deleted < chunks.CHUNK


@ours
class _Pruners(dict[str, Pruner]):
    """The pruner of each database, by alias."""

    __slots__ = ()

    def reset(self) -> None:
        self.clear()


_pruners: Final = process.register(_Pruners())


def prune(database: str, newest: int | None = None) -> int:
    """Delete reports that are no longer kept, as far as that is quick, and return their number.

    To be called after reports were inserted, outside of any transaction. ``newest`` is the primary
    key of the last of them; without it a query asks for that. Most calls make no other. A call
    deletes some 2,000 reports at most; the next one goes on. Several processes may call it at once.
    Raises what the database raises.
    """
    deleted, _ = _pruners.setdefault(database, Pruner()).prune(database, newest)
    return deleted


def prune_all(database: str) -> int:
    """Delete all reports that are no longer kept, and return their number."""
    pruner, deleted, is_over = Pruner(), 0, False
    while not is_over:
        number, is_over = pruner.prune(database)
        deleted += number
    return deleted


def delete_all(database: str) -> int:
    """Delete all reports, and return their number."""
    reports = Report.objects.using(database)
    oldest = reports.order_by("pk").values_list("pk", flat=True)
    deleted = 0
    while number := _delete(reports, list(oldest[: chunks.CHUNK])):
        deleted += number
    return deleted


def _first_recent(reports: ReportQuerySet, newest: int, number: int) -> int:
    """Return the primary key of the oldest of the ``number`` newest reports; 0 if there are fewer.

    Beyond ``_SAMPLE`` reports it is estimated, because a count would read them all. A cluster of
    databases leaves gaps between primary keys, so their distance is measured; twice, because a
    database may leave one large gap where it restarts.
    """
    if number <= _SAMPLE:
        return _nth_newest(reports, number) or 0
    half = _SAMPLE // 2
    middle, oldest = _nth_newest(reports, half + 1), _nth_newest(reports, 2 * half + 1)
    if middle is None or oldest is None:
        return 0
    distance = min(newest - middle, middle - oldest)
    return oldest - distance * (number - 2 * half - 1) // half


def _nth_newest(reports: ReportQuerySet, number: int) -> int | None:
    keys = reports.order_by("-pk").values_list("pk", flat=True)
    return keys[number - 1 : number].first()


def _delete(reports: ReportQuerySet, keys: Sequence[int]) -> int:
    """Delete the reports with these primary keys, which are sorted; return their number."""
    deleted, size = 0, chunks.most(reports.db)
    for start in range(0, len(keys), size):
        began = time.monotonic()
        number = _delete_chunk(reports, keys[start : start + size])
        deleted += number
        if number == size:
            chunks.pause(reports.db, began)
    return deleted


def _delete_chunk(reports: ReportQuerySet, keys: Sequence[int]) -> int:
    """Delete reports in one transaction, but for those that another process is deleting."""
    connection = connections[reports.db]
    chosen = reports.filter(pk__in=keys).order_by("pk").values_list("pk", flat=True)
    with short_transaction(reports.db), connection.cursor() as cursor:
        # SQLite refuses to write in a transaction that has read before another one wrote.
        if connection.features.has_select_for_update_skip_locked:
            keys = list(chosen.select_for_update(skip_locked=True))
        if not keys:
            return 0
        cursor.execute(chunks.deletion(connection, Report, keys))
        return int(cursor.rowcount)


def _before(now: datetime, age: timedelta) -> datetime | None:
    return now - age if age else None


def _is_before(report: Candidate, limit: datetime | None) -> bool:
    return limit is not None and report.started_at < limit
