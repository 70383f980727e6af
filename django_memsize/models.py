"""Reports: recordings as stored."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, ClassVar, Final

from django.db import models

from .reports import database, findings, serialization
from .reports.compared import Compared
from .values import Summary

NEWEST: Final = 10_000
"""Questions that add up over reports look at this many of the newest ones, to take no seconds."""

_OTHERS: Final = 5
"""Other reports of its route and process that a report is compared with."""

_NEAR: Final = 5_000
"""Primary keys before and after that of a report among which these others are looked for."""


class ReportQuerySet(models.QuerySet["Report"]):
    """Reports, and the questions asked of many at once."""

    def after_the_first(self) -> ReportQuerySet:
        """Leave out the first request of each route in a process: it fills caches."""
        return self.filter(first_request=False)

    def start_of_newest(self, number: int) -> datetime | None:
        """Return when the oldest of the ``number`` newest started; None if there are no others.

        Only the index of ``started_at`` is read: the rows themselves are large.
        """
        starts = self.order_by("-started_at").values_list("started_at", flat=True)
        last_and_next = list(starts[number - 1 : number + 1])
        return last_and_next[0] if len(last_and_next) > 1 else None

    def started_since(self, start: datetime | None) -> ReportQuerySet:
        """Leave out the reports before this start; none for None."""
        return self.all() if start is None else self.filter(started_at__gte=start)


class _Manager(models.Manager[Any]):
    """Reads the database that has the reports, whatever a router of the program says."""

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return all rows."""
        return super().get_queryset().using(self._db or database.alias())


class ReportManager(_Manager.from_queryset(ReportQuerySet)):  # type: ignore[misc]
    """The manager of reports, with their questions."""


class Report(models.Model):
    """One recording of a request, a block or a command.

    ``document`` is its :class:`Summary` as JSON. The other columns are copies of figures that the
    database filters, sorts or adds up by; NULL where the instrument does not know the figure.
    """

    class Kind(models.TextChoices):
        """What was measured."""

        REQUEST = "request", "request"
        BLOCK = "block", "block"
        CODE = "code", "code"

    class Source(models.TextChoices):
        """What made the request."""

        LIVE = "live", "live"
        RUN = "run", "run"

    id = models.BigAutoField(primary_key=True)
    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    route = models.CharField(max_length=255)
    method = models.CharField(max_length=10, blank=True)
    view = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField(db_index=True)
    duration = models.FloatField()
    engine = models.CharField(max_length=20)
    instrument = models.CharField(max_length=20)
    source = models.CharField(max_length=10, choices=Source.choices, default=Source.LIVE)
    release = models.CharField(max_length=100, blank=True)
    host = models.CharField(max_length=255, blank=True)
    pid = models.BigIntegerField(default=0)
    peak_bytes = models.BigIntegerField(null=True, blank=True)
    retained_bytes = models.BigIntegerField(null=True, blank=True)
    garbage_bytes = models.BigIntegerField(null=True, blank=True)
    net_bytes = models.BigIntegerField(null=True, blank=True)
    rows = models.BigIntegerField(default=0)
    largest_evaluation_bytes = models.BigIntegerField(null=True, blank=True)
    in_flight = models.IntegerField(default=0)
    incomplete = models.BooleanField(default=False)
    first_request = models.BooleanField(default=False)
    dropped = models.IntegerField(
        default=0, help_text="Reports that the process could not store since its previous report."
    )
    document = models.JSONField(default=dict, encoder=serialization.DocumentEncoder)

    objects = ReportManager()

    class Meta:
        """The table."""

        app_label = "django_memsize"
        verbose_name = "memory report"
        indexes: ClassVar = [
            models.Index(fields=["route", "started_at"], name="memsize_route_started")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route}".strip()

    def delete(
        self, using: str | None = None, keep_parents: bool = False
    ) -> tuple[int, dict[str, int]]:
        """Delete the report where it was read, whatever a router of the program says."""
        return super().delete(using or self._state.db, keep_parents)

    def summary(self) -> Summary:
        """Return the report's figures, as far as this release can read them. Raises nothing."""
        return serialization.summary_of(self.document)

    def retained_by_others(self) -> list[Compared]:
        """Return what the newest other requests of this route and process retain, five at most.

        Only reports stored at about the same time are looked at, however many are stored.
        A cache is filled once in each process. PIDs are reused (a container's worker is often
        PID 1), so a report of another release counts as another process. The
        database is asked once, and only if this report retains something.
        """
        if self.pk is None or not findings.needs_comparison(self.summary()):
            return []
        columns = ("kind", "route", "method", "source", "host", "pid", "release")
        same = {name: getattr(self, name) for name in columns}
        others = Report.objects.using(self._state.db).after_the_first()
        near = (self.pk - _NEAR, self.pk + _NEAR)
        others = others.filter(**same, pk__range=near, incomplete=False)
        others = others.exclude(retained_bytes=None)
        newest = others.exclude(pk=self.pk).order_by("-pk").values_list("pk", "document")
        found = [_compared(key, document) for key, document in newest[:_OTHERS]]
        return [each for each in found if each is not None]


class Rollup(models.Model):
    """The requests of one route, added up over a minute, an hour or a day.

    There may be several rows of the same route and time: they add up. ``level`` is a
    :class:`~django_memsize.values.Level`, ``start`` seconds of Unix time, and ``histograms`` the
    document of a :class:`~django_memsize.values.RouteRollup`.
    """

    id = models.BigAutoField(primary_key=True)
    level = models.SmallIntegerField()
    start = models.BigIntegerField()
    kind = models.CharField(max_length=20)
    method = models.CharField(max_length=10, blank=True)
    route = models.CharField(max_length=255)
    release = models.CharField(max_length=100, blank=True)
    requests = models.BigIntegerField(default=0)
    first_requests = models.BigIntegerField(default=0)
    metered = models.BigIntegerField(default=0)
    histograms = models.TextField(default="{}")

    objects = _Manager()

    class Meta:
        """The table."""

        app_label = "django_memsize"
        indexes: ClassVar = [
            models.Index(fields=["level", "start", "route"], name="memsize_rollup_start")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route}".strip()


class ProcessRollup(models.Model):
    """The samples of one process, added up over a minute, an hour or a day.

    The figures are those of :class:`~django_memsize.values.ProcessRollup`. ``batch`` is in one
    row of each transaction, and tells the writer whether one was committed whose answer was lost.
    """

    id = models.BigAutoField(primary_key=True)
    level = models.SmallIntegerField()
    start = models.BigIntegerField()
    host = models.CharField(max_length=255, blank=True)
    pid = models.BigIntegerField(default=0)
    release = models.CharField(max_length=100, blank=True)
    batch = models.UUIDField(null=True, unique=True, editable=False)
    samples = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)
    collected_objects = models.BigIntegerField(default=0)
    full_collections = models.BigIntegerField(default=0)
    lost_requests = models.BigIntegerField(default=0)
    rss_sum = models.BigIntegerField(default=0)
    rss_max = models.BigIntegerField(default=0)
    python_blocks_sum = models.BigIntegerField(default=0)
    python_blocks_max = models.BigIntegerField(default=0)
    in_flight_max = models.BigIntegerField(default=0)
    rss_min = models.BigIntegerField(default=0)

    objects = _Manager()

    class Meta:
        """The table."""

        app_label = "django_memsize"
        indexes: ClassVar = [models.Index(fields=["level", "start"], name="memsize_process_start")]

    def __str__(self) -> str:
        return f"{self.host} {self.pid}"


def _compared(key: int, document: Any) -> Compared | None:
    """Return what a document tells of another report; None if that is nothing."""
    summary = serialization.summary_of(document)
    if summary.retained is None or not serialization.has_all_evaluations(document, summary):
        return None
    return findings.compared(key, summary)
