"""The arrival of requests: what a middleware begins before Django makes the request object.

Django sends ``request_started`` before, in the thread and the context that serve the request. For
an asynchronous request the receivers run in tasks of their own, and what they set in their context
is lost. ``ASGIHandler.create_request``, which makes the request object, runs in the context that
serves the request, and is wrapped instead. Other handlers have no such place: their requests begin
in the middleware.

The handler of an asynchronous request goes on after the middleware: its tasks, and an exception by
which it ends them, refer to the request in cycles. So its context stays a part of the request until
the request is over. ``ASGIHandler.send_response`` is wrapped, because what it calls is the server.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, Final, Protocol, TypeAlias

from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.core.handlers.wsgi import get_path_info
from django.core.signals import request_finished, request_started

from .. import process
from ..values import ours
from .errors import ErrorBoundary
from .spans import Span, active_span, in_span, open_span, uncredited


class Begun(Protocol):
    """What is begun at the arrival of a request."""

    def leave(self) -> None:
        """End what was begun, in the context where it was begun."""


Begin: TypeAlias = Callable[[str, str, Mapping[str, Any], bool], Begun | None]
"""``begin(path, method, source, has_own_context)`` begins something for a request, or nothing.

``source`` is the WSGI environ or the ASGI scope. ``has_own_context`` is whether the context is the
request's own, so that it may stay as it is when the request is over."""

_contained: Final = ErrorBoundary("django-memsize: the arrival of a request", only_ours=True)


@ours
class Arrival:
    """A request that arrived and has not reached the middleware yet.

    ``begun`` is what was begun for it, or None; ``span`` is that of its own context. What was
    begun is dropped if the request is over before it reaches the middleware: when Django says so,
    or else when the next request arrives. If neither happens it is freed with the context, and has
    to end by itself then.
    """

    __slots__ = ("begun", "is_taken", "span")

    def __init__(self) -> None:
        self.begun: Begun | None = None
        self.is_taken = False
        self.span: Span | None = None

    def take(self) -> Any:
        """Return what was begun; the caller ends it from now on."""
        begun, self.begun, self.is_taken = self.begun, None, True
        return begun

    def drop(self) -> None:
        """Drop what was begun, unless the middleware took it."""
        begun = self.take()
        if begun is not None:
            begun.leave()


_latest: ContextVar[Arrival | None] = ContextVar("memsize_arrival", default=None)
"""The latest arrival of a context."""


@ours
class _Replaced(dict[str, tuple[Callable[..., Any], Callable[..., Any]]]):
    """Replaced methods by name: the original, and the replacement."""

    __slots__ = ()


@ours
class _Arrivals:
    """Whoever wants to know of arrivals, and the methods of Django that are replaced for it.

    Nothing is begun while no listener is alive. A child process inherits the listeners.
    """

    __slots__ = ("_begin", "_listeners", "_replaced")

    def __init__(self) -> None:
        self._begin: Begin | None = None
        self._listeners: weakref.WeakSet[Any] = weakref.WeakSet()
        self._replaced = _Replaced()

    def reset(self) -> None:
        """Forget the request during which a child process was forked; its parent serves it."""
        _latest.set(None)

    def listen(self, listener: object, begin: Begin) -> None:
        self._begin = begin
        self._listeners.add(listener)
        request_started.connect(_on_request_started, dispatch_uid=__name__)
        request_finished.connect(_on_request_finished, dispatch_uid=__name__)
        for name, wrapper in _WRAPPERS.items():
            original = getattr(ASGIHandler, name, None)
            if name not in self._replaced and original is not None:
                self._replaced[name] = original, wrapper(original)
                setattr(ASGIHandler, name, self._replaced[name][1])

    def uninstall(self) -> None:
        request_started.disconnect(dispatch_uid=__name__)
        request_finished.disconnect(dispatch_uid=__name__)
        self._listeners.clear()
        for name, (original, replacement) in tuple(self._replaced.items()):
            if ASGIHandler.__dict__.get(name) is replacement:
                setattr(ASGIHandler, name, original)
                del self._replaced[name]

    def arrive(
        self, path: str, method: str, source: Mapping[str, Any], has_own_context: bool = False
    ) -> None:
        """Begin what is to be begun, and keep it for the middleware."""
        _drop_latest()
        if self._begin is not None and self._listeners:
            arrival = Arrival()
            with uncredited():  # what the context allocates to hold it
                _latest.set(arrival)
            arrival.begun = self._begin(path, method, source, has_own_context)
            if has_own_context:
                arrival.span = active_span()


_arrivals: Final = process.register(_Arrivals())

listen: Final = _arrivals.listen
"""``listen(listener, begin)`` calls ``begin`` at the arrival of each request, as long as any
listener is alive. The latest ``begin`` is called."""

uninstall: Final = _arrivals.uninstall
"""Removes the receivers, and restores the methods. A replacement of ours under another one stays,
and begins nothing."""


def latest() -> Arrival | None:
    """Return the arrival of the request of this context, for its middleware to take.

    None if it was taken before, or the handler has no place before the middleware.
    """
    arrival = _latest.get()
    return None if arrival is None or arrival.is_taken else arrival


def _drop_latest() -> None:
    arrival = latest()
    if arrival is not None:
        arrival.drop()


def _on_request_started(environ: Any = None, **_: Any) -> None:
    # No "with" block here, nor in the middleware: it is felt in a request that does nothing.
    if environ is not None:  # there is none for an asynchronous request
        try:
            method = environ.get("REQUEST_METHOD", "GET")
            _arrivals.arrive(get_path_info(environ) or "/", method, environ)
        except Exception as error:
            if not _contained.swallows(error):
                raise


def _on_request_finished(**_: Any) -> None:
    try:
        _drop_latest()
    except Exception as error:
        if not _contained.swallows(error):
            raise


def _arriving(create_request: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(create_request)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        # Inside of another span the middleware begins: nothing here could end the part of the span
        # in the context of the handler.
        with _contained:
            if open_span() is None:
                scope = args[1]
                _arrivals.arrive(_path_info(scope), scope["method"], scope, True)
        created = None
        try:
            created = create_request(*args, **kwargs)
        finally:
            with _contained:
                if created is None or created[0] is None:
                    _drop_latest()
        return created

    return wrapper


def _sending(send_response: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(send_response)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        arrival, span = _latest.get(), open_span()
        if arrival is None or span is None or arrival.span is not span:
            return await send_response(*args, **kwargs)
        arrival.span, outside = None, _outside()  # the context may live on
        try:
            return await send_response(*args, **kwargs)
        finally:
            if outside is not None:
                with _contained:
                    outside.__exit__()

    return wrapper


def _outside() -> in_span | None:
    """Enter no span; return the block, which no window is credited with."""
    with _contained:
        with uncredited():
            outside = in_span(None)
        outside.__enter__()
        return outside
    return None


def _path_info(scope: Any) -> str:
    """Return what ``ASGIRequest`` takes for its ``path_info``."""
    path: str = scope["path"]
    return path.removeprefix(get_script_prefix(scope))


# Private methods: another release of Django may pass them other arguments, or not have them.
_WRAPPERS: Final = {"create_request": _arriving, "send_response": _sending}
"""By name, the function that makes a replacement from a method of ``ASGIHandler``."""
