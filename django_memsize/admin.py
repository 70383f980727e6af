"""The admin's pages of reports: a list, and a page for each report. All are read-only."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, cast

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.db import DatabaseError, connections
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.utils.timezone import is_aware, localtime

from .formatting import human_duration, human_size, signed_size
from .models import Report, ReportQuerySet
from .reports import database
from .reports.harms import BYTES_OF_A_ROW
from .screens import figures
from .screens.filters import AloneFilter, RecentValuesFilter
from .screens.pages import ReportPage, title, title_and_view

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Report]
    _Paginator = Paginator[Report]
else:
    _Admin = admin.ModelAdmin
    _Paginator = Paginator

COUNT_LIMIT: Final = 10_000
"""Reports are counted, and pages offered, up to this number: a full count reads the whole table."""

LIST_LIMIT: Final = 10_000
"""The list has this many of the newest reports: most filters and orders read all of them."""

_STYLES: Final = forms.Media(css={"all": ["django_memsize/report.css"]})

_ROUTE_SHOWN: Final = 120

_LOOKUPS: Final = frozenset(
    {
        "alone",
        "first_request__exact",
        "source__exact",
        "engine",
        "incomplete__exact",
        "instrument",
        "kind__exact",
        "method",
        "release",
        "route",
        "started_at__day",
        "started_at__gte",
        "started_at__lt",
        "started_at__month",
        "started_at__year",
    }
)
"""Lookups allowed in a URL. Others, such as a regular expression, can make a database fail."""


class BoundedPaginator(_Paginator):
    """Counts up to ``COUNT_LIMIT`` reports."""

    object_list: QuerySet[Report]

    @cached_property
    def count(self) -> int:
        """The number of reports on all pages together."""
        return min(self._found, COUNT_LIMIT)

    @property
    def is_cut(self) -> bool:
        """Whether more reports match than ``COUNT_LIMIT``."""
        return self._found > COUNT_LIMIT

    @cached_property
    def _found(self) -> int:
        return self.object_list.order_by()[: COUNT_LIMIT + 1].count()


class ReportChangeList(ChangeList):
    """Reads no documents, and rejects numbers and dates that a database cannot hold."""

    def get_queryset(self, *args: Any, **options: Any) -> QuerySet[Any]:
        """Return the selected reports among the newest, without their documents."""
        try:
            found = super().get_queryset(*args, **options)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error
        listed = cast("ReportQuerySet", found).started_since(self._start)
        return listed.defer("document")

    def get_results(self, request: HttpRequest) -> None:
        """Read one page. The date hierarchy is left out where it would be slow or fail."""
        try:
            super().get_results(request)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error
        database = connections[self.queryset.db]
        if not self.is_counted_whole or not database.features.has_zoneinfo_database:
            # It reads the date of each report in local time, which fails on a MariaDB without
            # time zone tables.
            self.date_hierarchy = None

    @property
    def is_counted_whole(self) -> bool:
        """Whether ``result_count`` is the number of all reports that match."""
        return not self.paginator.is_cut

    @cached_property
    def is_listed_whole(self) -> bool:
        """Whether the list has the oldest report."""
        return self._start is None

    @cached_property
    def _start(self) -> datetime | None:
        """When the oldest report of the list started; None if it is the oldest of all."""
        return cast("ReportQuerySet", self.root_queryset).start_of_newest(LIST_LIMIT)


@admin.register(Report)
class ReportAdmin(_Admin):
    """Lists reports and shows one. Nothing can be added or changed."""

    list_display = (
        "route_and_method",
        "started_text",
        "peak",
        "retained",
        "garbage",
        "rows_text",
        "duration_text",
        "in_flight_text",
        "first_request_text",
        "instrument_text",
    )
    list_filter = (
        "started_at",
        "kind",
        ("method", RecentValuesFilter),
        AloneFilter,
        "first_request",
        "source",
        "incomplete",
        ("instrument", RecentValuesFilter),
        ("engine", RecentValuesFilter),
        ("release", RecentValuesFilter),
    )
    date_hierarchy = "started_at"
    search_fields = ("route", "view")
    search_help_text = "Part of a route or of the name of a view"
    ordering = ("-started_at",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    empty_value_display = "–"  # noqa: RUF001 (a dash, as in any table)

    @property
    def media(self) -> forms.Media:
        """The style sheet of these pages, in addition to the admin's."""
        return super().media + _STYLES

    @admin.display(description="Route", ordering="route")
    def route_and_method(self, report: Report) -> str:
        """Return the method and the route, and the view below them."""
        return title_and_view(report, _ROUTE_SHOWN)

    @admin.display(description="Started", ordering="started_at")
    def started_text(self, report: Report) -> str:
        """Return the start in local time, to the second."""
        start = report.started_at
        return f"{localtime(start) if is_aware(start) else start:%Y-%m-%d %H:%M:%S}"

    @admin.display(
        description=figures.PEAK.heading,
        ordering=Coalesce(
            "peak_bytes", "largest_evaluation_bytes", F("rows") * Value(BYTES_OF_A_ROW)
        ),
    )
    def peak(self, report: Report) -> str | None:
        """Return the peak; of a report without one, the size of its largest evaluation or rows."""
        if report.peak_bytes is not None:
            return human_size(report.peak_bytes)
        size, of = report.largest_evaluation_bytes, "evaluation"
        if size is None and report.rows:
            size, of = report.rows * BYTES_OF_A_ROW, "by rows"
        return None if size is None else f"{_unbroken(human_size(size))} {of}"

    @admin.display(
        description=figures.RETAINED.heading,
        ordering=Coalesce("retained_bytes", "net_bytes", Value(0)),
    )
    def retained(self, report: Report) -> str | None:
        """Return the retained bytes; of a report without them, the net."""
        if report.retained_bytes is not None:
            return human_size(report.retained_bytes)
        size = report.net_bytes
        return None if size is None else f"{_unbroken(signed_size(size))} {figures.NET.name}"

    @admin.display(
        description=figures.GARBAGE.heading, ordering=Coalesce("garbage_bytes", Value(0))
    )
    def garbage(self, report: Report) -> str | None:
        """Return the bytes of garbage."""
        return None if report.garbage_bytes is None else human_size(report.garbage_bytes)

    @admin.display(description=figures.ROWS.heading, ordering="rows")
    def rows_text(self, report: Report) -> str:
        """Return the number of rows."""
        return f"{report.rows:,}"

    @admin.display(description=figures.DURATION.heading, ordering="duration")
    def duration_text(self, report: Report) -> str:
        """Return the duration."""
        return human_duration(report.duration)

    @admin.display(description=figures.IN_FLIGHT.heading, ordering="in_flight")
    def in_flight_text(self, report: Report) -> str | None:
        """Return the number of other requests in flight; None for none."""
        return f"{report.in_flight:,}" if report.in_flight else None

    @admin.display(description=figures.FIRST_REQUEST.heading, ordering="first_request")
    def first_request_text(self, report: Report) -> str | None:
        """Return a word if the request was the first of its route in its process."""
        return "first" if report.first_request else None

    @admin.display(description="Instru\N{SOFT HYPHEN}ment", ordering="instrument")
    def instrument_text(self, report: Report) -> str:
        """Return the instrument."""
        return report.instrument

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only a measurement makes a report."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Report | None = None) -> bool:
        """Return False: a report stays as it was measured."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Return whether a page links to this lookup."""
        return lookup in _LOOKUPS and "\0" not in value

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Return the reports of the database that ``MEMSIZE`` names."""
        alias = database.alias()
        with suppress(DatabaseError):  # the page says what is wrong
            database.prepare(alias)
        return super().get_queryset(request).using(alias)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for at most the length of a route, because each word is a condition."""
        return super().get_search_results(request, queryset, search_term[:255])

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        """Return the class of the list, which reads no documents."""
        return ReportChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list with its own title, because no report can be changed."""
        return super().changelist_view(request, {"title": "Memory reports"} | (extra_context or {}))

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> HttpResponse | None:
        """Run an action. A value that is no id makes a bad request."""
        ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(re.fullmatch("[0-9]{1,18}", each) for each in ids):
            raise BadRequest("Not the id of a report.")
        return super().response_action(request, queryset, *args, **options)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Report | None = None,
    ) -> HttpResponse:
        """Show the page of one report."""
        if obj is not None:
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"
            changelist = reverse(name, current_app=self.admin_site.name)
            context |= {
                "title": f"Memory report {obj.pk}",
                "subtitle": title(obj, 300),
                "page": ReportPage.of(obj),
                "same_route_url": f"{changelist}?{urlencode({'route': obj.route})}",
                "media": _STYLES,
            }
        return super().render_change_form(request, context, add, change, form_url, obj)


def _unbroken(text: str) -> str:
    """Return the text with spaces at which a line is not broken."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")
