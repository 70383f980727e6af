"""Measures requests, from before Django makes the request object until the response is closed.

A request that is not chosen to be metered is counted: its rows and the RSS of the process.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import apps
from django.core.exceptions import MiddlewareNotUsed
from django.core.signals import request_finished
from django.http import FileResponse, HttpRequest, HttpResponseBase

from . import conf
from .measuring import arrivals, deferred, sampling, streams
from .measuring.errors import ErrorBoundary, logger
from .measuring.in_flight import InFlight
from .measuring.instruments import Watched, is_sampled
from .measuring.overhead import RemainingOverhead
from .measuring.recording import Recording
from .measuring.routes import Route
from .measuring.spans import in_span, open_span, uncredited
from .reports import recordings
from .reports.build import RequestFacts
from .reports.requests import facts_of
from .values import Reason, ours

_contained: Final = ErrorBoundary("django-memsize: measuring a request", only_ours=True)


@ours
class MemsizeMiddleware:
    """Measures each request or counts it. Put it first: what runs around it is not measured.

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
        arrivals.listen(self, _begin)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response of the request, measured or not."""
        if self._is_async:
            return self.__acall__(request)
        visit = _arrive(request)
        try:
            response: HttpResponseBase = self.get_response(request)
            _follow(visit, request, response)
        finally:
            _leave(visit)
        return response

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        visit = _arrive(request)
        try:
            response: HttpResponseBase = await self.get_response(request)
            _follow(visit, request, response)
        finally:
            _leave(visit)
        return response


@ours
class _Visit:
    """One request in flight. Its response calls the visit when it is closed.

    The visit is entered at the arrival of the request, or else in the middleware, and left in the
    middleware. One that is over has this class. While it is not, it is an :class:`_OpenVisit`.
    """

    __slots__ = (
        "_block",
        "_has_own_context",
        "_in_flight",
        "_is_followed",
        "_is_late",
        "_request",
        "_status",
        "_watched",
        "recording",
    )

    def __init__(self) -> None:
        self.recording: Recording | None = None
        self._block: in_span | None = None
        self._request: HttpRequest | None = None
        self._status = 0
        self._watched: Watched = ()
        self._is_late = False
        self._has_own_context = False
        self._is_followed = False
        self._in_flight: InFlight | None = None
        self._in_flight = InFlight()

    def record(self, name: str, reason: Reason | None, route: Route | None = None) -> None:
        """Make a recording of the request, which is only counted if it has no reason.

        Without a recording it only counts as in flight for others.
        """
        recording = recordings.new_recording(name, "request", self._in_flight, reason is None)
        recording.reason, recording.route = reason, route
        self.recording = recording

    def enter(self, late: bool, has_own_context: bool) -> None:
        """Open the recording. What runs in this context from now on belongs to it.

        ``late`` is whether the request object was made before, and ``has_own_context`` is whether
        the context belongs to the request until this is over.
        """
        self._is_late, self._has_own_context = late, has_own_context
        if self.recording is not None:
            try:
                self.recording.open()
            except Exception as error:  # without its first census a report is still useful
                if not _contained.swallows(error):
                    raise
            block = in_span(self.recording)
            block.__enter__()
            self._block = block

    def leave(self) -> None:
        """End the part of this context; discard the recording if no response was followed."""
        if self._block is not None and not self._has_own_context:
            self._block.__exit__()
        if not self._is_followed:
            self._discard()

    def follow(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Have the response call the visit once it is closed, if the request is to be reported.

        What a report says of the request is asked for then: Django's own closer of the response
        has the request, too. So the callable of ``ROUTE`` runs after the last byte of any response.
        """
        recording = self.recording
        if recording is None:
            return
        self._request, self._status = request, response.status_code
        if recording.is_counted and not response.streaming:
            self._is_followed = True
            response._resource_closers.append(self)  # type: ignore[attr-defined]
            return
        with uncredited():
            remaining = RemainingOverhead(recording)
            self._follow(request, response, recording)
            remaining.add_to(recording)

    def _follow(
        self, request: HttpRequest, response: HttpResponseBase, recording: Recording
    ) -> None:
        if recording.window is not None:
            self._watched = deferred.watch(request, response)
        if response.streaming and not isinstance(response, FileResponse):
            streams.make_in_span(response, recording)
        response._resource_closers.append(self)  # type: ignore[attr-defined]
        self._is_followed = True

    def __call__(self) -> None:
        try:
            with _contained:
                # The recording may outlive the response, and this visit.
                recording, self.recording = self.recording, None
                if recording is not None and not recording.closed:
                    remaining = RemainingOverhead(recording)
                    self._store(recording)
                    remaining.add_to(recording)
                    self.__class__ = _Visit
        except Exception as error:  # of the handler of a signal
            request_finished.connect(_Raising(error), weak=False)

    def _store(self, recording: Recording) -> None:
        request, self._request = self._request, None
        facts = None
        try:
            recording.close()  # asking for the facts is no part of it
            if request is not None:
                facts = facts_of(request, self._status)
        finally:
            if facts is None:
                _give_up(recording)
        if facts is not None:
            del request  # the recording may be analysed now
            _conclude(recording, facts)
            older = self._watched if self._is_late else ()
            recordings.store(recording, facts, self._watched, older)

    def __reduce__(self) -> tuple[Any, ...]:
        # A cache of responses pickles their closers too; nothing of a visit belongs there.
        return functools.partial, (int,)

    def _discard(self) -> None:
        if self._in_flight is not None:
            self._in_flight.close()
        recording = self.recording
        self.__class__ = _Visit
        if recording is not None:
            _give_up(recording)


@ours
class _OpenVisit(_Visit):
    """A visit that is not over. Only such a visit has a finaliser.

    What the handler of a signal raises while a finaliser runs reaches nobody.
    """

    __slots__ = ()

    def __del__(self) -> None:
        # A 304 made by a middleware before this one, or a disconnect, drops a response unclosed.
        with _contained:
            self._discard()


@ours
class _Raising:
    """Raises an exception of a closer at the end of its response.

    ``HttpResponseBase.close()`` drops what a closer raises, and sends ``request_finished`` then.
    """

    __slots__ = ("_error", "_thread")

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._thread = threading.get_ident()

    def __call__(self, **_: object) -> None:
        if threading.get_ident() == self._thread:
            request_finished.disconnect(self)
            raise self._error


# The middleware's own frame is a part of the recording, and creates no object for it: what it calls
# is contained in functions.


def _arrive(request: HttpRequest) -> _Visit | None:
    """Return the visit of a request that reaches the middleware, entered; None for none."""
    try:
        arrival = arrivals.latest()
        if arrival is None:
            return _begin(request.path_info, request.method or "", request.META, False, late=True)
        visit: _Visit | None = arrival.take()
    except Exception as error:
        if not _contained.swallows(error):
            raise
        return None
    return visit


def _follow(visit: _Visit | None, request: HttpRequest, response: HttpResponseBase) -> None:
    if visit is not None:
        try:
            visit.follow(request, response)
        except Exception as error:
            if not _contained.swallows(error):
                raise


def _leave(visit: _Visit | None) -> None:
    if visit is not None:
        try:
            visit.leave()
        except Exception as error:
            if not _contained.swallows(error):
                raise


def _begin(
    path: str, method: str, source: Mapping[str, Any], has_own_context: bool, late: bool = False
) -> _Visit | None:
    """Return a new visit, entered; None if nothing is to be measured or counted."""
    remaining = RemainingOverhead()
    config = conf.active()
    is_collecting = recordings.is_collecting()
    if is_collecting or conf.is_under_test():  # else a thread of its own does that
        deferred.analyse_what_is_over()
    if not is_collecting and (config is None or conf.is_quiet()):
        return None
    visit = _OpenVisit()
    if is_collecting:
        visit.record(path, Reason.COMMAND)
    elif config is not None and not config.excludes(path):
        reason, route = None, None
        if is_sampled(config.instrument):
            reason, route = sampling.choose(config, method, path, source)
        if reason is not None or open_span() is None:  # else its rows belong to the span around it
            visit.record(path, reason, route)
    visit.enter(late, has_own_context)
    remaining.add_to(visit.recording)
    return visit


def _give_up(recording: Recording) -> None:
    """End a recording that comes to no report, and have its route be owed what it reserved."""
    recording.discard()
    sampling.give_back(recording.route, recording.reason)


def _conclude(recording: Recording, facts: RequestFacts) -> None:
    """Have the sampling learn which route a request had, unless a command made it."""
    route, reason = recording.route, recording.reason
    is_as_expected = (
        route is not None and route.pattern == facts.route and route.method == facts.method
    )
    # A counted request with the route that was expected tells nothing new: nearly every one.
    if reason is not Reason.COMMAND and (reason is not None or not is_as_expected):
        recording.route = sampling.conclude(
            route, reason, facts.method, facts.route, recording.name
        )
