"""What is known of a request beside its figures, from Django's objects."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.urls import ResolverMatch

from ..measuring.errors import ErrorBoundary
from ..measuring.routes import named_route
from ..measuring.sampling import UNRESOLVED
from ..measuring.shapes import METHODS
from .build import RequestFacts
from .route_names import name_in_route
from .view_names import view_of

_CATALOG: Final = "jsi18n"
"""The URL name of the translations that each page of the admin loads."""

_REPORT_PAGES: Final = "django_memsize_report_"
"""The beginning of the URL names of the pages of reports."""


_contained: Final = ErrorBoundary("django-memsize: naming a view")


def facts_of(request: HttpRequest, status: int) -> RequestFacts | None:
    """Return what a report says of a request that has its response; None for a page of ours."""
    match = request.resolver_match
    method = request.method if request.method in METHODS else "(other)"
    if match is None:
        return RequestFacts(UNRESOLVED, method, status)
    if _is_ours(match):
        return None
    route, view = UNRESOLVED, None
    if match.route is not None:
        route = match.route if match.route.startswith(("/", "^")) else f"/{match.route}"
    try:
        view = view_of(match.func)
        if route is not UNRESOLVED:
            name = name_in_route(request, match, route)
            route = named_route(route, name)
    except Exception as error:  # a report without these is still useful
        if not _contained.swallows(error):
            raise
    return RequestFacts(route, method, status, view)


def _is_ours(match: ResolverMatch) -> bool:
    # Under whatever name an admin site goes; a program may use these names for its own pages.
    name = match.url_name or ""
    return match.app_names[-1:] == ["admin"] and (
        name == _CATALOG or name.startswith(_REPORT_PAGES)
    )
