"""Reports: recordings as stored."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Avg, Count, F, Max
from django.db.models.functions import Coalesce

from .reports import findings, serialization
from .reports.findings import RetainedAt
from .values import Summary

_OTHERS: Final = 5
"""Other reports of its route and process that a report is compared with."""


class ReportQuerySet(models.QuerySet["Report"]):
    """Reports, and the questions asked of many at once."""

    def after_the_first(self) -> ReportQuerySet:
        """Leave out the first request of each route in a process: it fills caches."""
        return self.filter(first_request=False)

    def by_route(self) -> models.QuerySet[Any, Any]:
        """Return one dict a route, with its figures in bytes and rows.

        The route with the most retained bytes on average is first. A report of a census, which
        cannot tell what is retained, counts with its net bytes.
        """
        return (
            self.exclude(kind=Report.Kind.CODE)
            .order_by()
            .values("route", "method", "kind")
            .annotate(
                reports=Count("pk"),
                average_retained_or_net_bytes=Avg(Coalesce("retained_bytes", "net_bytes")),
                average_retained_bytes=Avg("retained_bytes"),
                largest_retained_bytes=Max("retained_bytes"),
                average_garbage_bytes=Avg("garbage_bytes"),
                largest_peak_bytes=Max("peak_bytes"),
                average_net_bytes=Avg("net_bytes"),
                largest_net_bytes=Max("net_bytes"),
                largest_evaluation_bytes=Max("largest_evaluation_bytes"),
                most_rows=Max("rows"),
                latest=Max("pk"),
            )
            .order_by(F("average_retained_or_net_bytes").desc(nulls_last=True), "route", "method")
        )


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

    id = models.BigAutoField(primary_key=True)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    route = models.CharField(max_length=255)
    method = models.CharField(max_length=10, blank=True)
    started_at = models.DateTimeField(db_index=True)
    duration = models.FloatField()
    engine = models.CharField(max_length=20)
    instrument = models.CharField(max_length=20)
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
    document = models.JSONField(default=dict)

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
        """Return the report's figures, as far as this release can read them. Raises nothing."""
        return serialization.summary_of(self.document)

    def retained_by_others(self) -> list[RetainedAt]:
        """Return what the newest other requests of this route and process retain, five at most.

        A cache is filled once in each process. PIDs are reused (a container's worker is often
        PID 1), so a report of another release counts as another process. A report is left out if
        it does not tell of all its evaluations: one that is missing would count as retaining
        nothing. The database is asked once, and only if an evaluation of this report retains
        something.
        """
        if self.pk is None or not findings.needs_comparison(self.summary()):
            return []
        columns = ("kind", "route", "method", "host", "pid", "release")
        same = {name: getattr(self, name) for name in columns}
        others = Report.objects.using(self._state.db).after_the_first()
        others = others.filter(**same, incomplete=False).exclude(retained_bytes=None)
        newest = others.exclude(pk=self.pk).order_by("-pk").values_list("document", flat=True)
        found = map(_retained_at, newest[:_OTHERS])
        return [retained for retained in found if retained is not None]


def _retained_at(document: Any) -> RetainedAt | None:
    """Return the evaluations that retain something; None if the document does not tell of all."""
    summary = serialization.summary_of(document)
    if not serialization.has_all_evaluations(document, summary):
        return None
    return findings.retained_at(summary) if findings.tells_all_retained(summary) else None
