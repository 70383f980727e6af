"""Reports: recordings as stored."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Avg, Count, F, Max, Q

from .reports import findings, serialization
from .reports.findings import Kept
from .values import Amount, Summary

_OTHERS: Final = 5
"""Reports are compared with so many of their route and process."""


class ReportQuerySet(models.QuerySet["Report"]):
    """Reports, and the questions asked of many at once."""

    def warm(self) -> ReportQuerySet:
        """Leave out the first of each route in its process: it fills caches."""
        return self.filter(first_request=False)

    def worst_first(self) -> ReportQuerySet:
        """Order by what is retained, or where a census counted by what there was more."""
        return self.order_by(F("net_bytes").desc(nulls_last=True), "-pk")

    def by_route(self) -> models.QuerySet[Any, Any]:
        """Return a dict a route, most growth first: reports, growth, peak and rows of each.

        Growth is what is retained, or where a census counted what the whole process had more: net.
        """
        counted = Q(peak_bytes=None)
        return (
            self.exclude(kind=Report.Kind.CODE)
            .order_by()
            .values("route", "method", "kind")
            .annotate(
                reports=Count("pk"),
                average_growth_bytes=Avg("net_bytes"),
                average_retained_bytes=Avg("retained_bytes"),
                largest_retained_bytes=Max("retained_bytes"),
                average_garbage_bytes=Avg("garbage_bytes"),
                largest_peak_bytes=Max("peak_bytes"),
                average_net_bytes=Avg("net_bytes", filter=counted),
                largest_net_bytes=Max("net_bytes", filter=counted),
                largest_evaluation_bytes=Max("largest_evaluation_bytes"),
                most_rows=Max("rows"),
                latest=Max("pk"),
            )
            .order_by(F("average_growth_bytes").desc(nulls_last=True), "route", "method")
        )


class Report(models.Model):
    """One measured request, command or block.

    Bytes, except where a name says otherwise. NULL is what the instrument could not know, or that
    there was none: of a light report there are rows, and the memory of the process. ``net``
    is what is retained, or where a census counted what the whole process had more. ``types``
    and ``evaluations`` are JSON with a ``version``. Nothing here comes from a path, a query, a
    header, a body or a parameter of SQL.
    """

    class Kind(models.TextChoices):
        """What was measured."""

        REQUEST = "request", "request"
        BLOCK = "block", "block"
        CODE = "code", "code"

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    route = models.CharField(max_length=255)
    method = models.CharField(max_length=10, blank=True)
    status = models.SmallIntegerField(null=True, blank=True)
    started_at = models.DateTimeField(db_index=True)
    duration = models.FloatField(help_text="Seconds, without our own work.")
    engine = models.CharField(max_length=20)
    instrument = models.CharField(max_length=20)
    rss_before = models.BigIntegerField(null=True, blank=True)
    rss_after = models.BigIntegerField(null=True, blank=True)
    net_bytes = models.BigIntegerField(null=True, blank=True)
    net_objects = models.BigIntegerField(null=True, blank=True)
    allocated_bytes = models.BigIntegerField(null=True, blank=True)
    allocated_blocks = models.BigIntegerField(null=True, blank=True)
    peak_bytes = models.BigIntegerField(null=True, blank=True)
    peak_blocks = models.BigIntegerField(null=True, blank=True)
    alive_bytes = models.BigIntegerField(null=True, blank=True)
    alive_blocks = models.BigIntegerField(null=True, blank=True)
    retained_bytes = models.BigIntegerField(null=True, blank=True)
    retained_blocks = models.BigIntegerField(null=True, blank=True)
    garbage_bytes = models.BigIntegerField(null=True, blank=True)
    garbage_blocks = models.BigIntegerField(null=True, blank=True)
    free_lists_bytes = models.BigIntegerField(null=True, blank=True)
    free_lists_blocks = models.BigIntegerField(null=True, blank=True)
    rows = models.BigIntegerField(default=0)
    largest_evaluation_bytes = models.BigIntegerField(null=True, blank=True)
    collected_objects = models.BigIntegerField(
        default=0, help_text="Objects that Python's collector freed in between."
    )
    in_flight = models.IntegerField(default=0)
    incomplete = models.BooleanField(default=False)
    overhead = models.FloatField(default=0, help_text="CPU seconds of our own work.")
    first_request = models.BooleanField(default=False)
    dropped = models.IntegerField(
        default=0, help_text="Reports this process could not store since the one before."
    )
    host = models.CharField(max_length=255, blank=True)
    pid = models.BigIntegerField(default=0)
    thread = models.CharField(max_length=100, blank=True)
    release = models.CharField(max_length=100, blank=True)
    types = models.JSONField(default=dict)
    evaluations = models.JSONField(default=dict)

    objects = ReportQuerySet.as_manager()

    class Meta:
        """The table."""

        app_label = "django_memsize"
        verbose_name = "memory report"
        indexes: ClassVar = [
            models.Index(fields=["route", "retained_bytes"], name="memsize_route_retained")
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route}".strip()

    def summary(self) -> Summary:
        """Return the report as the screens show it."""
        evaluations = self.evaluations or {}
        return Summary(
            kind=self.kind,
            name=self.route,
            method=self.method,
            status=self.status,
            duration=self.duration,
            rows=self.rows,
            types=serialization.types_of(self.types),
            loadings=serialization.loadings_of(evaluations),
            evaluations_omitted=evaluations.get("omitted", 0),
            evaluations_without_types=evaluations.get("unmeasured", 0),
            rss_before=self.rss_before,
            rss_after=self.rss_after,
            collected_objects=self.collected_objects,
            in_flight=self.in_flight,
            incomplete=self.incomplete,
            first_request=self.first_request,
            overhead=self.overhead,
            engine=self.engine,
            instrument=self.instrument,
            allocated=_amount(self.allocated_blocks, self.allocated_bytes),
            peak=_amount(self.peak_blocks, self.peak_bytes),
            alive=_amount(self.alive_blocks, self.alive_bytes),
            retained=_amount(self.retained_blocks, self.retained_bytes),
            garbage=_amount(self.garbage_blocks, self.garbage_bytes),
            free_lists=_amount(self.free_lists_blocks, self.free_lists_bytes),
            garbage_types=serialization.table_of(self.types, "garbage"),
            free_lists_types=serialization.table_of(self.types, "free_lists"),
            moment=serialization.moment_of(self.types),
            meter_bytes=(self.types or {}).get("meter_bytes"),
            statements=evaluations.get("statements", 0),
            cursor_rows=evaluations.get("cursor_rows", 0),
        )

    def kept_by_others(self) -> list[Kept]:
        """Return what other requests of this route keep: the newest warm ones in its process.

        A cache is filled once in each process. The number of one comes again, in a container each
        time: of another release it is another process. Asks the database only where an evaluation
        keeps something, and once; what another version stored is left out.
        """
        if self.pk is None or not findings.keeps(self.summary()):
            return []
        columns = ("kind", "route", "method", "host", "pid", "release")
        same = {name: getattr(self, name) for name in columns}
        others = Report.objects.using(self._state.db).warm().filter(**same, incomplete=False)
        newest = others.exclude(pk=self.pk).exclude(retained_bytes=None).order_by("-pk")
        found = map(_kept_by, newest.values_list("evaluations", flat=True)[:_OTHERS])
        return [kept for kept in found if kept is not None]


def _kept_by(evaluations: Any) -> Kept | None:
    """Return what a stored document says is kept; None if it does not tell of all evaluations."""
    try:
        loadings = serialization.loadings_of(evaluations)
        if evaluations["omitted"] or any(one.retained is None for one in loadings):
            return None
        return findings.kept_by(loadings)
    except serialization.UNREADABLE:
        return None


def _amount(blocks: int | None, size: int | None) -> Amount | None:
    return None if blocks is None or size is None else Amount(blocks, size)
