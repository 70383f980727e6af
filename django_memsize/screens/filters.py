"""Filters of the admin's list of reports."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import Field, Model, QuerySet
from django.http import HttpRequest

from . import figures

FILTER_LIMIT: Final = 1_000
"""A filter offers the values of this many of the newest reports, because more
would be slow."""


class RecentValuesFilter(admin.AllValuesFieldListFilter):
    """Offers the values of a field in the newest reports, and the one that is selected."""

    def __init__(
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        super().__init__(field, request, params, model, model_admin, field_path)
        newest = model_admin.get_queryset(request).order_by("-pk")[:FILTER_LIMIT]
        values = set(newest.values_list(field.name, flat=True))
        self.lookup_choices = sorted(values.union(self.lookup_val or ()) - {""})  # type: ignore[assignment]

    def has_output(self) -> bool:
        """Return whether there is a choice."""
        return len(self.lookup_choices) > 1 or self.lookup_val is not None


class AloneFilter(admin.SimpleListFilter):
    """Separates the reports of requests that ran alone: for these a census is exact, too."""

    title = figures.IN_FLIGHT.name
    parameter_name = "alone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two choices."""
        return [("yes", "Ran alone"), ("no", "Ran with others")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the reports selected; all of them for an unknown value."""
        if self.value() == "yes":
            return queryset.filter(in_flight=0)
        if self.value() == "no":
            return queryset.filter(in_flight__gt=0)
        return queryset
