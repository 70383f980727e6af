"""Stands in for the meter, which needs the compiled engine: Python cannot see allocations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

Window: Final = None
"""The class of windows; None means that there is no meter."""


class Stream:
    """Iterates over rows and counts them by type, with a context variable set to a span meanwhile.

    ``begin()`` is called before the first row; ``end(rows, types)`` once, after the last row, an
    exception, or ``close()``, if the iteration began. Exceptions of both are dropped.
    """

    __slots__ = ("_begin", "_count", "_end", "_rows", "_span", "_types", "_variable")

    def __init__(
        self,
        rows: Iterator[Any],
        variable: ContextVar[Any],
        span: Any,
        begin: Callable[[], object],
        end: Callable[[int, dict[type, int]], object],
    ) -> None:
        self._rows: Iterator[Any] | None = rows
        self._variable = variable
        self._span = span
        self._begin: Callable[[], object] | None = begin
        self._end: Callable[[int, dict[type, int]], object] | None = end
        self._count = 0
        self._types: dict[type, int] = {}

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        begin, self._begin = self._begin, None
        if self._rows is None:
            raise StopIteration
        if begin is not None:
            with suppress(Exception):  # a fault of the recording must not reach the program
                begin()
        outer = self._variable.get()
        self._variable.set(self._span)
        try:
            row = next(self._rows)
        except BaseException:
            self._rows = None
            with suppress(Exception):
                self._call_end()
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
            with suppress(Exception):
                self._call_end()

    def __del__(self) -> None:
        self.close()

    def _call_end(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            end(self._count, self._types)


def switch_window(window: None, /) -> None:
    """Do nothing: there are no windows."""


def find_referrers(objects: list[Any], limit: int, /) -> bool:
    """Return False: there is no window whose objects could have referrers."""
    return False


def discard_windows() -> None:
    """Do nothing: there are no windows."""


def meter_bytes() -> int:
    """Return 0, the bytes that the meter takes."""
    return 0
