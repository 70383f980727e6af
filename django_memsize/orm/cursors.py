"""Statements and rows of cursors: wrappers of the methods of Django's ``CursorWrapper``."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from types import FrameType, TracebackType
from typing import Any, Final

from django.db.backends.utils import CursorWrapper

from ..measuring.errors import ErrorBoundary
from ..measuring.evaluation_span import EvaluationSpan
from ..measuring.spans import active_span, open_span, uncredited
from ..values import ours

_contained: Final = ErrorBoundary("django-memsize: following a cursor", only_ours=True)


def _counting_statement(execute: Any) -> Callable[..., Any]:
    """Wrap ``execute()``: an evaluation under way takes the first statement as its own."""

    def wrapper(self: Any, sql: Any, params: Any = None) -> Any:
        result = execute(self, sql, params)
        span = active_span()
        if span is not None and not span.log.closed:
            # No "with" block: it is felt in a call that runs for each statement.
            try:
                if type(span) is EvaluationSpan:
                    span.statement_ran(sql, self.db.alias)
                else:
                    span.log.count_statement()
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        return result

    return wrapper


def _counting_call(call: Any) -> Callable[..., Any]:
    """Wrap ``executemany()`` or ``callproc()``: a call counts as one statement."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = call(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                span = open_span()
                if span is not None:
                    span.log.count_statement()
        return result

    return wrapper


def _counting_rows(
    name: str, row_count: Callable[[Any], int]
) -> Callable[[Any], Callable[..., Any]]:
    """Return what wraps the fetching method ``name``; ``row_count`` counts the rows in its result.

    ``CursorWrapper`` has no such method of its own: its ``__getattr__()`` finds the method of the
    database's cursor. Then the wrapper becomes the method, and finds the same.
    """

    def wrap(fetch: Any) -> Callable[..., Any]:
        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            if fetch is None:
                method = None
                # CursorWrapper and object are last in the order of classes, unless a subclass has
                # another base behind CursorWrapper, whose method would be found first.
                if type(self).__mro__[-2] is not CursorWrapper:
                    method = getattr(super(CursorWrapper, self), name, None)
                result = (method or self.__getattr__(name))(*args, **kwargs)
            else:
                result = fetch(self, *args, **kwargs)
            span = active_span()
            if span is not None and span.counts_cursor_rows:
                with _contained:
                    count = _row_counter(sys._getframe(1))
                    if count is not None:
                        count(row_count(result))
            return result

        wrapper.__name__ = name
        wrapper.__qualname__ = f"{CursorWrapper.__name__}.{name}"
        return wrapper

    return wrap


def _counting_iteration(iterate: Any) -> Callable[[Any], Iterator[Any]]:
    """Wrap ``__iter__()``: each row is counted as it is fetched."""

    def wrapper(self: Any) -> Iterator[Any]:
        rows: Iterator[Any] = iterate(self)
        if active_span() is not None:
            with _contained:
                count = _row_counter(sys._getframe(1))
                if count is not None:
                    return _counted(rows, count)
        return rows

    return wrapper


def _counted(rows: Any, count: Callable[[int], object]) -> Iterator[Any]:
    try:
        for row in rows:
            try:
                count(1)
            except Exception as error:
                if not _contained.swallows(error):
                    raise
            yield row
            del row  # else the row would outlive the consumer's next step
    finally:
        close = getattr(rows, "close", None)
        if close is not None:
            close()


def _row_counter(caller: FrameType) -> Callable[[int], object] | None:
    """Return what counts rows that ``caller`` fetches; None if Django's ORM counts them itself."""
    span = open_span()
    if isinstance(span, EvaluationSpan):
        return span.count_cursor_rows if span.counts_cursor_rows else None
    if span is None or caller.f_globals.get("__name__", "").startswith("django.db."):
        return None
    counter: Callable[[int], object] = span.log.count_cursor_rows
    return counter


@ours
class _Logging:
    """A block that ends by logging its statement (``DEBUG``), credited to nobody.

    Django empties the log at the next request: what it holds until then is not retained.
    """

    __slots__ = ("_block", "_database")

    def __init__(self, block: AbstractContextManager[Any], database: Any) -> None:
        self._block = block
        self._database = database

    def __enter__(self) -> Any:
        return self._block.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        try:
            with uncredited():
                return self._block.__exit__(kind, error, trace)
        finally:
            with _contained, uncredited():
                span = open_span()
                if span is not None:
                    span.log.count_logged(_entry_bytes(self._database.queries_log))


def _logging(debug_sql: Any) -> Callable[..., AbstractContextManager[Any]]:
    """Wrap ``CursorDebugWrapper.debug_sql()``, a block around each statement with ``DEBUG``."""

    def wrapper(self: Any, sql: Any = None, *args: Any, **kwargs: Any) -> Any:
        if open_span() is None:
            return debug_sql(self, sql, *args, **kwargs)
        with _contained, uncredited():
            if type(sql) is str:  # the log would keep the text that was made for the statement
                sql = str(sql.encode(errors="surrogatepass"), errors="surrogatepass")
        return _Logging(debug_sql(self, sql, *args, **kwargs), self.db)

    return wrapper


def _entry_bytes(log: Any) -> int:
    """Return the bytes of the latest entry of a log of statements; 0 if it is not as Django's."""
    entry = log[-1] if type(log) is deque and log else None
    if type(entry) is not dict:
        return 0
    texts = [value for value in entry.values() if type(value) is str]
    return sum(map(sys.getsizeof, texts), sys.getsizeof(entry))


DEBUG_WRAPPERS: Final[dict[str, Callable[[Any], Any]]] = {"debug_sql": _logging}
"""The same as ``WRAPPERS`` for the methods that ``CursorDebugWrapper`` has in addition."""

WRAPPERS: Final[dict[str, Callable[[Any], Any]]] = {
    "execute": _counting_statement,
    "executemany": _counting_call,
    "callproc": _counting_call,
    "fetchone": _counting_rows("fetchone", lambda row: int(row is not None)),
    "fetchmany": _counting_rows("fetchmany", len),
    "fetchall": _counting_rows("fetchall", len),
    "__iter__": _counting_iteration,
}
"""By name of a cursor's method, the function that makes a replacement from the original.

The original is None where ``CursorWrapper`` has none of its own.
"""
