"""The span that runs in the current context: a recording, or an evaluation inside it.

The ContextVar follows asyncio tasks and the threads of ``sync_to_async``, so that rows are counted
for their own request. The engine has a ContextVar of its own beside it: the window to which an
allocation is credited.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from .. import engine, process
from ..values import ours

if TYPE_CHECKING:
    from ..engine.compiled import Window

_Row = TypeVar("_Row")


class Span(Protocol):
    """A stretch of execution that is being measured."""

    @property
    def window(self) -> Window | None:
        """The window to which the allocations of the span are credited, if any."""

    @property
    def log(self) -> Any:
        """The log of the evaluations of the span; it is closed when the recording is over."""

    @property
    def counts_cursor_rows(self) -> bool:
        """Whether the rows that cursors fetch are counted for the span."""


_current: ContextVar[Span | None] = ContextVar("memsize_current", default=None)


active_span: Final = _current.get
"""``active_span()`` returns the span set in this context, closed or not. It is None where nothing
is measured, and the fastest way to find that out."""

activate_span: Final = _current.set
"""``activate_span(span)`` sets the span of this context; None sets none."""


def open_span() -> Span | None:
    """Return the innermost span of this context that is still open.

    A task that outlives its request keeps the context of the request, and so its closed span.
    """
    span = _current.get()
    return None if span is None or span.log.closed else span


@ours
class in_span:
    """A ``with`` block that runs as a part of a span, or of none."""

    __slots__ = ("_outer", "_outer_window", "span")

    def __init__(self, span: Span | None) -> None:
        self.span = span
        self._outer: Span | None = None
        self._outer_window: Window | None = None

    def __enter__(self) -> None:
        span = self.span
        self._outer = _current.get()
        _current.set(span)
        self._outer_window = engine.switch_window(None if span is None else span.window)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(self._outer_window)
        _current.set(self._outer)


@ours
class uncredited:
    """A ``with`` block whose allocations are credited to no window: those of measuring itself."""

    __slots__ = ("_window",)

    def __enter__(self) -> None:
        self._window = engine.switch_window(None)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(self._window)


def start_thread(run: Callable[..., object], *given: object, name: str) -> None:
    """Start a thread of django-memsize, in no span and with nothing of the program's context.

    The thread would keep that context alive, which may hold a request. Raises RuntimeError.
    """
    thread = threading.Thread(target=run, args=given, name=name, daemon=True)
    Context().run(thread.start)


def stream_in_span(
    rows: Iterator[_Row],
    span: Span,
    begin: Callable[[], Window | None],
    end: Callable[[int, dict[type, int]], object],
    swallows: Callable[[Exception], bool],
) -> Iterator[_Row]:
    """Return the rows; making each row is a part of the span, the consumer's work is not.

    Calls ``begin()`` before the first row, and ``end(count, rows by type)`` after the last one. If
    one of them raises, ``swallows(error)`` returns whether the program must not see the exception.
    """
    return engine.Stream(rows, _current, span, begin, end, swallows)


@ours
class _Context:
    """The span and the window of the context in which a child process begins."""

    __slots__ = ()

    def reset(self) -> None:
        _current.set(None)
        engine.switch_window(None)
        engine.discard_windows()


process.register(_Context())
