"""Measures requests, from their arrival at the middleware until their response is closed.

A request that is not chosen to be metered is counted: its rows and the RSS of the process.
"""

from __future__ import annotations

import functools
import random
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
from .measuring.referrers import Watched
from .measuring.spans import active_span, in_span, uncredited
from .reports import recordings
from .reports.build import RequestFacts
from .values import ours

_contained: Final = ErrorBoundary("django-memsize: measuring a request", only_ours=True)

_CATALOG: Final = "jsi18n"
"""The URL name of the translations that each page of the admin loads."""

_REPORT_PAGES: Final = "django_memsize_report_"
"""The beginning of the URL names of the pages of reports."""

_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)


@ours
class MemsizeMiddleware:
    """Measures each request or counts it. Put it first: middleware before it is not measured.

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
        """Return the response of the request, measured or not."""
        if self._is_async:
            return self.__acall__(request)
        with _contained.entering(_arrive, request) as visit:
            response: HttpResponseBase = self.get_response(request)
            if visit is not None:
                with _contained:
                    visit.follow(request, response)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        with _contained.entering(_arrive, request) as visit:
            response: HttpResponseBase = await self.get_response(request)
            if visit is not None:
                with _contained:
                    visit.follow(request, response)
        return response


@ours
class _Visit:
    """One request in flight. Its response calls the visit when it is closed."""

    __slots__ = ("_block", "_facts", "_in_flight", "_is_followed", "_recording", "_watched")

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._block: in_span | None = None
        self._facts: RequestFacts | None = None
        self._watched: Watched = ()
        self._is_followed = False
        self._in_flight = InFlight()

    def record(self, name: str, counted: bool = False) -> None:
        """Make a recording of the request. Without one it only counts as in flight for others."""
        self._recording = recordings.new_recording(name, "request", self._in_flight, counted)

    def __enter__(self) -> None:
        if self._recording is not None:
            with _contained:  # without its first census a report is incomplete, and still useful
                self._recording.open()
            block = in_span(self._recording)
            block.__enter__()
            self._block = block

    def __exit__(self, *exception: object) -> None:
        if self._block is not None:
            self._block.__exit__()
        if not self._is_followed:
            self._discard()

    def follow(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Have the response call the visit once it is closed, if the request is to be reported."""
        with uncredited():
            self._follow(request, response)

    def _follow(self, request: HttpRequest, response: HttpResponseBase) -> None:
        facts = _facts_of(request, response)
        if self._recording is None or facts is None:
            return
        self._facts = facts
        self._watched = deferred.watch(request, response)
        if response.streaming and not isinstance(response, FileResponse):
            _measure_stream(response, self._recording)
        response._resource_closers.append(self)  # type: ignore[attr-defined]
        self._is_followed = True

    def __call__(self) -> None:
        with _contained:
            # The recording may outlive the response, and this visit.
            recording, self._recording = self._recording, None
            if recording is not None and not recording.closed:
                recordings.store(recording, self._facts, self._watched)

    def __reduce__(self) -> tuple[Any, ...]:
        # A cache of responses pickles their closers too; nothing of a visit belongs there.
        return functools.partial, (int,)

    def __del__(self) -> None:
        # A 304 made by a middleware before this one, or a disconnect, drops a response unclosed.
        with _contained:
            self._discard()

    def _discard(self) -> None:
        self._in_flight.close()
        if self._recording is not None:
            self._recording.discard()


def _arrive(request: HttpRequest) -> _Visit | None:
    """Return the visit of a request; None if nothing is to be measured or counted."""
    deferred.analyse_what_is_over()
    config = conf.active()
    is_collecting = recordings.is_collecting()
    if not is_collecting and (config is None or conf.is_quiet()):
        return None
    visit = _Visit()
    if is_collecting:
        visit.record(request.path_info)
    elif config is not None and not config.excludes(request.path_info):
        if _is_chosen(config):
            visit.record(request.path_info)
        elif active_span() is None:  # else its rows belong to the span around it
            visit.record(request.path_info, counted=True)
    return visit


def _is_chosen(config: conf.Config) -> bool:
    return config.sample_rate >= 1 or (
        random.random() < config.sample_rate and overhead.is_within(config.max_overhead)  # noqa: S311
    )


def _facts_of(request: HttpRequest, response: HttpResponseBase) -> RequestFacts | None:
    """Return what a report says of a request; None for a page of django-memsize itself."""
    match = request.resolver_match
    if match is not None and _is_ours(match):
        return None
    route = "(unresolved)" if match is None else match.route
    if match is not None and not route.startswith(("/", "^")):
        route = f"/{route}"
    method = request.method if request.method in _METHODS else "(other)"
    return RequestFacts(route, method, response.status_code)


def _is_ours(match: ResolverMatch) -> bool:
    # Under whatever name an admin site goes; a program may use these names for its own pages.
    name = match.url_name or ""
    return match.app_names[-1:] == ["admin"] and (
        name == _CATALOG or name.startswith(_REPORT_PAGES)
    )


def _measure_stream(response: Any, recording: Recording) -> None:
    """Produce the parts of a stream as a part of the recording: they are consumed later."""
    wrap = _in_recording_async if response.is_async else _in_recording
    # Not ``streaming_content``, which refers to the response: a response that is dropped unclosed
    # would then wait for Python's collector.
    response.streaming_content = wrap(response._iterator, recording)


def _in_recording(parts: Iterator[Any], recording: Recording) -> Iterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, recording):
                part = next(parts)
        except StopIteration:
            return
        yield part
        del part


async def _in_recording_async(
    parts: AsyncIterator[Any], recording: Recording
) -> AsyncIterator[Any]:
    while True:
        try:
            with _contained.entering(in_span, recording):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        yield part
        del part
