"""Stands in for the meter, which needs the compiled engine: Python cannot see allocations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final

Window: Final = None
"""The class of windows; None means that there is no meter."""


class Stream:
    """Iterates over rows and counts them by type, with a context variable set to a span meanwhile.

    ``begin()`` is called before the first row; ``end(rows, types)`` once, after the last row, an
    exception, or ``close()``, if the iteration began. If one of them raises an ``Exception``,
    ``swallows(error)`` returns whether it is dropped.
    """

    __slots__ = ("_begin", "_count", "_end", "_rows", "_span", "_swallows", "_types", "_variable")

    def __init__(
        self,
        rows: Iterator[Any],
        variable: ContextVar[Any],
        span: Any,
        begin: Callable[[], object],
        end: Callable[[int, dict[type, int]], object],
        swallows: Callable[[Exception], bool],
    ) -> None:
        self._rows: Iterator[Any] | None = rows
        self._variable = variable
        self._span = span
        self._begin: Callable[[], object] | None = begin
        self._end: Callable[[int, dict[type, int]], object] | None = end
        self._swallows = swallows
        self._count = 0
        self._types: dict[type, int] = {}

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        begin, self._begin = self._begin, None
        if self._rows is None:
            raise StopIteration
        if begin is not None:
            try:
                begin()
            except Exception as error:
                if not self._swallows(error):
                    raise
        outer = self._variable.get()
        self._variable.set(self._span)
        try:
            row = next(self._rows)
        except BaseException:
            self._rows = None
            try:
                self._call_end()
            except Exception as error:
                if not self._swallows(error):
                    raise
            raise
        finally:
            self._variable.set(outer)
        self._count += 1
        self._types[type(row)] = self._types.get(type(row), 0) + 1
        return row

    def close(self) -> None:
        """End the iteration, and close the rows."""
        if self._begin is not None:  # never began, so it does not end either
            self._end = None
            return
        rows, self._rows = self._rows, None
        try:
            close = getattr(rows, "close", None)
            if close is not None:
                close()
        finally:
            try:
                self._call_end()
            except Exception as error:
                if not self._swallows(error):
                    raise

    def __del__(self) -> None:
        self.close()

    def _call_end(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(self._count, self._types)


def switch_window(window: None, /) -> None:
    """Do nothing: there are no windows."""


def discard_windows() -> None:
    """Do nothing: there are no windows."""


def limit_meter(size: int, /) -> None:
    """Do nothing: there are no windows."""


def meter_bytes() -> int:
    """Return 0, the bytes that the meter takes."""
    return 0
