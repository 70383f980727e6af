"""Measures requests, from their arrival here until their response is closed.

Of those that are not chosen to be measured the rows are counted: that costs next to nothing.
"""

from __future__ import annotations

import functools
import random
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.core.exceptions import MiddlewareNotUsed
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.urls import ResolverMatch

from . import conf
from .measuring import deferred, overhead
from .measuring.errors import ErrorBoundary, logger
from .measuring.in_flight import InFlight
from .measuring.recording import Recording
from .measuring.spans import active_span, in_span, uncredited
from .reports import storage
from .values import ours

_contained: Final = ErrorBoundary("django-memsize: measuring a request", only_ours=True)

_CATALOG: Final = "jsi18n"
"""The name of the URL of the words that each page of the admin loads."""

_OUR_PAGES: Final = "django_memsize_report_"
"""How the names of the URLs of reports begin."""

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)


@ours
class MemsizeMiddleware:
    """Put it first in ``MIDDLEWARE``: what stands before it is not measured.

    Never changes a response, and lets every exception pass.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        if not apps.is_installed("django_memsize"):
            logger.error(
                "django-memsize is switched off: add 'django_memsize' to INSTALLED_APPS, "
                "and run 'manage.py migrate'."
            )
            raise MiddlewareNotUsed
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer the request, measured or not."""
        if self._is_async:
            return self.__acall__(request)
        with _contained.entering(_arrive, request) as visit:
            response: HttpResponseBase = self.get_response(request)
            if visit is not None:
                with _contained:
                    visit.depart(request, response)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        with _contained.entering(_arrive, request) as visit:
            response: HttpResponseBase = await self.get_response(request)
            if visit is not None:
                with _contained:
                    visit.depart(request, response)
        return response


@ours
class _Visit:
    """One request under way. Its response, once it is made, calls this when it is closed."""

    __slots__ = ("_block", "_departed", "_facts", "_in_flight", "_recording", "_watched")

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._block: in_span | None = None
        self._facts: storage.Facts | None = None
        self._watched: tuple[weakref.ref[Any], ...] = ()
        self._departed = False
        self._in_flight = InFlight()

    def record(self, name: str, counted: bool = False) -> None:
        """Have the visit recorded, and not only known to be under way."""
        self._recording = Recording(name, "request", self._in_flight, counted)

    def __enter__(self) -> None:
        if self._recording is not None:
            with _contained:  # without its first census a report is incomplete, and still of use
                self._recording.open()
            block = in_span(self._recording)
            block.__enter__()
            self._block = block

    def __exit__(self, *exception: object) -> None:
        if self._block is not None:
            self._block.__exit__()
        if not self._departed:
            self._discard()

    def depart(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Stay with the response until it is closed, if there is something to tell of it."""
        with uncredited():
            self._depart(request, response)

    def _depart(self, request: HttpRequest, response: HttpResponseBase) -> None:
        facts = _facts_of(request, response)
        if self._recording is None or facts is None:
            return
        self._facts = facts
        self._watched = (weakref.ref(request), weakref.ref(response))
        if response.streaming and not isinstance(response, FileResponse):
            _follow(response, self._recording)
        response._resource_closers.append(self)  # type: ignore[attr-defined]
        self._departed = True

    def __call__(self) -> None:
        with _contained:
            # From here on it is storage's: it may outlive the response, and us.
            recording, self._recording = self._recording, None
            if recording is not None and not recording.closed:
                storage.keep(recording, self._facts, self._watched)

    def __reduce__(self) -> tuple[Any, ...]:
        # A cache of responses pickles their closers too. Of us nothing is to be found there.
        return functools.partial, (int,)

    def __del__(self) -> None:
        # Dropped without being closed: by a 304 made above us, or a disconnect.
        with _contained:
            self._discard()

    def _discard(self) -> None:
        self._in_flight.leave()
        if self._recording is not None:
            self._recording.discard()


def _arrive(request: HttpRequest) -> _Visit | None:
    deferred.analyse_what_is_over()
    config = conf.active()
    asked = storage.is_collecting()
    if not asked and (config is None or conf.is_quiet()):
        return None
    visit = _Visit()
    if asked:
        visit.record(request.path_info)
    elif config is not None and not config.excludes(request.path_info):
        if _is_chosen(config):
            visit.record(request.path_info)
        elif active_span() is None:  # else it belongs to what is measured around it
            visit.record(request.path_info, counted=True)
    return visit


def _is_chosen(config: conf.Config) -> bool:
    return config.sample_rate >= 1 or (
        random.random() < config.sample_rate and overhead.is_within(config.max_overhead)  # noqa: S311
    )


def _facts_of(request: HttpRequest, response: HttpResponseBase) -> storage.Facts | None:
    """Return what is stored of a request, or None if it is for a page of ours."""
    match = request.resolver_match
    if match is not None and _is_ours(match):
        return None
    route = "(unresolved)" if match is None else match.route
    if match is not None and not route.startswith(("/", "^")):
        route = f"/{route}"
    method = request.method if request.method in _METHODS else "(other)"
    return storage.Facts(route, method, response.status_code)


def _is_ours(match: ResolverMatch) -> bool:
    # The admin's, under whatever name a site of it goes: the program has names of its own.
    name = match.url_name or ""
    return match.app_names[-1:] == ["admin"] and (name == _CATALOG or name.startswith(_OUR_PAGES))


def _follow(response: Any, recording: Recording) -> None:
    """Have the stream produced as part of the recording: it is consumed after we return."""
    wrap = _followed_async if response.is_async else _followed
    # Not ``streaming_content``, which refers to the response: one that is dropped without being
    # closed would then wait for the collector.
    response.streaming_content = wrap(response._iterator, recording)


def _followed(parts: Iterator[Any], recording: Recording) -> Iterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, recording):
                part = next(parts)
        except StopIteration:
            return
        yield part
        del part


async def _followed_async(parts: AsyncIterator[Any], recording: Recording) -> AsyncIterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, recording):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        yield part
        del part
