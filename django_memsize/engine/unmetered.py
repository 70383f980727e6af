"""What stands for the meter where there is none: in Python nobody sees an allocation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final

Window: Final = None
"""The class of windows; None means that there is no meter."""


class Stream:
    """Iterates over rows, as the one in C does, but that there is no window."""

    __slots__ = ("_begin", "_count", "_end", "_rows", "_stretch", "_types", "_variable")

    def __init__(
        self,
        rows: Iterator[Any],
        variable: ContextVar[Any],
        stretch: Any,
        begin: Callable[[], object],
        end: Callable[[int, dict[type, int]], object],
    ) -> None:
        self._rows: Iterator[Any] | None = rows
        self._variable = variable
        self._stretch = stretch
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
            with suppress(Exception):  # a fault of who listens is no business of who iterates
                begin()
        outer = self._variable.get()
        self._variable.set(self._stretch)
        try:
            row = next(self._rows)
        except BaseException:
            self._rows = None
            self._say_the_end()
            raise
        finally:
            self._variable.set(outer)
        self._count += 1
        self._types[type(row)] = self._types.get(type(row), 0) + 1
        return row

    def close(self) -> None:
        """End it, and the rows with it."""
        if self._begin is not None:  # what has not begun does not end either
            self._end = None
            return
        rows, self._rows = self._rows, None
        try:
            close = getattr(rows, "close", None)
            if close is not None:
                close()
        finally:
            self._say_the_end()

    def __del__(self) -> None:
        self.close()

    def _say_the_end(self) -> None:
        end, self._end = self._end, None
        if end is not None:
            with suppress(Exception):
                end(self._count, self._types)


def switch_window(window: None, /) -> None:
    """Do nothing: there are no windows."""


def find_referrers(around: list[Any], most: int, /) -> bool:
    """Find nothing: there is no window that it would be for."""
    return False


def discard_windows() -> None:
    """Do nothing: there are no windows."""


def meter_bytes() -> int:
    """Return the bytes that the meter takes: none."""
    return 0
