"""What is being measured here: a recording, or a loading of rows inside it.

The ContextVar follows asyncio tasks and the threads of ``sync_to_async``: rows are credited to
their own request. With it goes the engine's own, which says which window an allocation is
credited to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from .. import engine
from ..values import ours

if TYPE_CHECKING:
    from ..engine.compiled import Window

_Row = TypeVar("_Row")


class Span(Protocol):
    """Something that is measured while it runs."""

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if anywhere."""

    @property
    def evaluation_log(self) -> Any:
        """Where what it loads is written down: closed once it is over."""

    @property
    def counts_cursor_rows(self) -> bool:
        """Whether the rows that cursors fetch are to be counted for it."""


_current: ContextVar[Span | None] = ContextVar("memsize_current", default=None)


active_span: Final = _current.get
"""``active_span()`` is None wherever nothing is measured: the quickest way to know."""

activate_span: Final = _current.set
"""``activate_span(span)`` has what runs from now on in this context belong to it, or to none."""


def open_span() -> Span | None:
    """Return what is being measured in this context: the innermost span still open.

    A task that outlives its request has the request's context for good.
    """
    span = _current.get()
    return None if span is None or span.evaluation_log.closed else span


@ours
class in_span:
    """A ``with`` block that runs as part of a span, or of none."""

    __slots__ = ("_outer", "_outer_window", "outer_block", "span")

    def __init__(self, span: Span | None) -> None:
        self.span = span
        self.outer_block: in_span | None = None
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
    """A ``with`` block of our own work: what it allocates is credited to nobody."""

    __slots__ = ("_window",)

    def __enter__(self) -> None:
        self._window = engine.switch_window(None)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(self._window)


def streamed(
    rows: Iterator[_Row],
    span: Span,
    begin: Callable[[], Window | None],
    end: Callable[[int, dict[type, int]], object],
) -> Iterator[_Row]:
    """Return the rows: what makes them is the span's, not what is done in between.

    ``begin()`` runs before the first row, ``end(count, types)`` after the last one.
    """
    return engine.Stream(rows, _current, span, begin, end)


def _forget() -> None:
    _current.set(None)
    engine.switch_window(None)
    engine.discard_windows()


os.register_at_fork(after_in_child=_forget)
