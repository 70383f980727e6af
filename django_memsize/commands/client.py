"""Requests through the whole middleware, made with Django's test client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db import reset_queries
from django.http import HttpRequest
from django.http.request import validate_host
from django.test import Client
from django.urls import Resolver404, resolve

from ..checks import MIDDLEWARE
from ..models import Report
from ..reports import recordings
from .arguments import Address
from .program import describe
from .runs import Runs


def measure_requests(
    address: Address, runs: Runs, *, method: str = "GET", user: str | None = None
) -> list[Report]:
    """Return a report of each request to the address, made as the user of this name.

    Raises CommandError where no page answers, the view raises, or nothing is measured.
    """
    if MIDDLEWARE not in settings.MIDDLEWARE:
        raise CommandError(f"Add {MIDDLEWARE!r} to MIDDLEWARE, as its first.")
    request = _requester(address, method)
    with runs.collecting() as reports:
        client = Client(SERVER_NAME=address.host or _allowed_host())
        if user is not None:
            _log_in(client, user)
        for _ in runs.each(reports):
            try:
                request(client)
            except CommandError:
                raise
            except (Exception, SystemExit) as error:
                raise CommandError(describe(error, f"{address.path} raised")) from error
            reset_queries()  # the log of DEBUG: the next request would begin with that
            recordings.analyse_now()
    if not reports:
        raise CommandError("Nothing was measured: the request did not reach MemsizeMiddleware.")
    return reports


def _requester(address: Address, method: str) -> Callable[[Client], None]:
    """Return a function that makes one request and consumes its response, as a server would."""
    extra: dict[str, Any] = {}
    if address.port is not None:
        extra["SERVER_PORT"] = str(address.port)
    # With SECURE_SSL_REDIRECT every other request is answered by a redirect.
    is_secure = address.is_secure or bool(settings.SECURE_SSL_REDIRECT)

    def request(client: Client) -> None:
        response: Any = client.generic(method, address.path, secure=is_secure, **extra)
        if response.streaming:
            for _ in response:
                pass
        # Refers to the response, which would then stay, with all it holds, until a collection.
        vars(response).pop("json", None)
        _require_page(response, address)

    return request


def _require_page(response: Any, address: Address) -> None:
    """Raise CommandError for the response to an address that the project does not have."""
    request: HttpRequest = response.wsgi_request
    if request.resolver_match is not None:
        return
    if response.status_code == 400 and not _is_allowed(address.host):
        raise CommandError(f"The host {address.host!r} is not in ALLOWED_HOSTS.")
    path = address.path.partition("?")[0]
    is_elsewhere = response.status_code == 404 or 300 <= response.status_code < 400
    # A middleware may have answered before the URL was resolved.
    if is_elsewhere and not _resolves(path, request):
        raise CommandError(f"There is no page at {address.path}.{_hint(path, response)}")


def _hint(path: str, response: Any) -> str:
    near = (f"/{path}", f"{path}/", f"/{path}/")
    likely = [other for other in near if _resolves(other, response.wsgi_request)]
    if location := response.headers.get("Location"):
        likely.append(location)
    return f" Did you mean {likely[0]}?" if likely else ""


def _resolves(path: str, request: HttpRequest) -> bool:
    try:
        resolve(path, getattr(request, "urlconf", None))  # set by middleware, for a host say
    except Resolver404:
        return False
    return True


def _is_allowed(host: str | None) -> bool:
    """Return whether Django accepts the host, as HttpRequest.get_host() decides it."""
    allowed = settings.ALLOWED_HOSTS
    if settings.DEBUG and not allowed:
        allowed = [".localhost", "127.0.0.1", "[::1]"]
    return host is None or validate_host(host, allowed)


def _allowed_host() -> str:
    for host in settings.ALLOWED_HOSTS:
        if host != "*":
            return str(host).lstrip(".")
    return "localhost"


def _log_in(client: Client, name: str) -> None:
    if not apps.is_installed("django.contrib.sessions"):
        raise CommandError("--user needs 'django.contrib.sessions' in INSTALLED_APPS.")
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    client.force_login(user)
