"""Read-only pages: the reports, and one report laid out for reading."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import Field, Model, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.utils.timezone import is_aware, localtime

from . import conf
from .formatting import human_duration, human_size, signed_size
from .models import Report
from .screens.pages import ReportPage, title

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Report]
    _Paginator = Paginator[Report]
else:
    _Admin = admin.ModelAdmin
    _Paginator = Paginator

COUNTED: Final = 10_000
"""Reports are counted, and pages offered, up to here: a full count reads the whole table."""

LISTED: Final = 100_000
"""The list is of this many of the newest reports: most ways to filter and sort read them all."""

RECENT: Final = 1_000
"""A filter offers the values met among this many of the newest reports, for the same reason."""

_STYLES: Final = forms.Media(css={"all": ["django_memsize/report.css"]})

_ROUTE_SHOWN: Final = 120

_LOOKUPS: Final = frozenset(
    {
        "alone",
        "first_request__exact",
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
"""What a URL may filter by. Others, a regular expression say, can make a database fail."""


class BoundedPaginator(_Paginator):
    """Counts to ``COUNTED`` and no further."""

    object_list: QuerySet[Report]

    @cached_property
    def count(self) -> int:
        """How many reports can be paged through."""
        return min(self._found, COUNTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more."""
        return self._found > COUNTED

    @cached_property
    def _found(self) -> int:
        return self.object_list.order_by()[: COUNTED + 1].count()


class RecentValuesFilter(admin.AllValuesFieldListFilter):
    """Offers the values that a field has among the newest reports."""

    def __init__(
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: _Admin,
        field_path: str,
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        newest = model_admin.get_queryset(request).order_by("-pk")[:RECENT]
        values = set(newest.values_list(field.name, flat=True))
        self.lookup_choices = sorted(values.union(self.lookup_val or ()) - {""})  # type: ignore[assignment]

    def has_output(self) -> bool:
        """Tell whether there is something to choose."""
        return len(self.lookup_choices) > 1 or self.lookup_val is not None


class AloneFilter(admin.SimpleListFilter):
    """Sets apart what ran alone: there a census is exact as well."""

    title = "in_flight"
    parameter_name = "alone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer both sides."""
        return [("yes", "Ran alone"), ("no", "Ran beside others")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the side asked for; both for a value that is none."""
        if self.value() == "yes":
            return queryset.filter(in_flight=0)
        if self.value() == "no":
            return queryset.filter(in_flight__gt=0)
        return queryset


class ReportChangeList(ChangeList):
    """Reads no tables of types, and refuses numbers and dates that no database can hold."""

    def get_queryset(self, *args: Any, **options: Any) -> QuerySet[Any]:
        """Return the reports asked for among the newest, without their documents."""
        try:
            found = super().get_queryset(*args, **options)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error
        return found.filter(pk__gt=self._last_unlisted).defer("document")

    def get_results(self, request: HttpRequest) -> None:
        """Read one page."""
        try:
            super().get_results(request)
        except (OverflowError, ValueError) as error:
            raise IncorrectLookupParameters(error) from error
        database = connections[self.queryset.db]
        if not self.is_counted_whole or not database.features.has_zoneinfo_database:
            # Its months and days come from reading the date of every report, in local time: a
            # MariaDB without its tables of time zones would fail.
            self.date_hierarchy = None

    @property
    def is_counted_whole(self) -> bool:
        """Whether ``result_count`` is the number of all that were asked for."""
        return not self.paginator.is_cut

    @cached_property
    def is_listed_whole(self) -> bool:
        """Whether there are no older reports than those that can be asked for."""
        return not self.root_queryset.filter(pk__lte=self._last_unlisted).exists()

    @cached_property
    def _last_unlisted(self) -> int:
        newest = self.root_queryset.order_by("-pk").values_list("pk", flat=True).first()
        return (newest or 0) - LISTED


@admin.register(Report)
class ReportAdmin(_Admin):
    """Lists reports and shows one; nothing can be added or changed."""

    list_display = (
        "route_and_method",
        "when",
        "peak",
        "retained",
        "garbage",
        "rows_loaded",
        "took",
        "ran_beside",
        "is_first_request",
        "instrument",
    )
    list_filter = (
        "started_at",
        "kind",
        ("method", RecentValuesFilter),
        AloneFilter,
        "first_request",
        "incomplete",
        ("instrument", RecentValuesFilter),
        ("engine", RecentValuesFilter),
        ("release", RecentValuesFilter),
    )
    date_hierarchy = "started_at"
    search_fields = ("route",)
    search_help_text = "Part of a route"
    ordering = ("-started_at",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    empty_value_display = "–"  # noqa: RUF001 (a dash, as in any table)

    @property
    def media(self) -> forms.Media:
        """Our style beside the admin's own."""
        return super().media + _STYLES

    @admin.display(description="Route", ordering="route")
    def route_and_method(self, report: Report) -> str:
        """Return what was measured."""
        return title(report, _ROUTE_SHOWN)

    @admin.display(description="When", ordering="started_at")
    def when(self, report: Report) -> str:
        """Return its beginning, to the second."""
        began = report.started_at
        return f"{localtime(began) if is_aware(began) else began:%Y-%m-%d %H:%M:%S}"

    @admin.display(
        description="Peak",
        ordering=Coalesce("peak_bytes", "largest_evaluation_bytes", Value(0)),
    )
    def peak(self, report: Report) -> str | None:
        """Return the most that was alive at once, or where a census counted the largest load."""
        if report.peak_bytes is not None:
            return human_size(report.peak_bytes)
        size = report.largest_evaluation_bytes
        return None if size is None else f"{human_size(size)} load"

    @admin.display(
        description="Retained", ordering=Coalesce("retained_bytes", "net_bytes", Value(0))
    )
    def retained(self, report: Report) -> str | None:
        """Return what is retained, or where a census counted what there was more of: the net."""
        if report.retained_bytes is not None:
            return human_size(report.retained_bytes)
        return None if report.net_bytes is None else f"{signed_size(report.net_bytes)} net"

    @admin.display(description="Garbage", ordering=Coalesce("garbage_bytes", Value(0)))
    def garbage(self, report: Report) -> str | None:
        """Return what waits for Python's collector."""
        return None if report.garbage_bytes is None else human_size(report.garbage_bytes)

    @admin.display(description="Rows", ordering="rows")
    def rows_loaded(self, report: Report) -> str:
        """Return how many rows came from the database."""
        return f"{report.rows:,}"

    @admin.display(description="Duration", ordering="duration")
    def took(self, report: Report) -> str:
        """Return how long it took."""
        return human_duration(report.duration)

    @admin.display(description="Over\N{SOFT HYPHEN}lapping", ordering="in_flight")
    def ran_beside(self, report: Report) -> str | None:
        """Return how many other requests were under way."""
        return f"{report.in_flight:,}" if report.in_flight else None

    @admin.display(description="First request", ordering="first_request")
    def is_first_request(self, report: Report) -> str | None:
        """Say so if it was the first of its route in its process."""
        return "first" if report.first_request else None

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Reports come from measuring only."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Report | None = None) -> bool:
        """Reports stay as they were measured."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow what the pages link to."""
        return lookup in _LOOKUPS and "\0" not in value

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        """Return the reports, from the database that has them."""
        config = conf.active()
        return super().get_queryset(request).using(config.database if config else None)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for no more text than a route can have: each word is a condition."""
        return super().get_search_results(request, queryset, search_term[:255])

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        """Return the list that reads no tables of types."""
        return ReportChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list under its own title: there is nothing to select for changing."""
        return super().changelist_view(request, {"title": "Memory reports"} | (extra_context or {}))

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> HttpResponse | None:
        """Run an action on reports; ids that cannot be are a bad request."""
        ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
        if not all(re.fullmatch("[0-9]{1,18}", one) for one in ids):
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
        """Show one report."""
        if obj is not None:
            route = urlencode({"route": obj.route})
            name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
            changelist = reverse(f"admin:{name}", current_app=self.admin_site.name)
            context |= {
                "title": f"Memory report {obj.pk}",
                "subtitle": title(obj, 300),
                "page": ReportPage.of(obj),
                "same_route_url": f"{changelist}?{route}",
                "media": _STYLES,
            }
        return super().render_change_form(request, context, add, change, form_url, obj)
