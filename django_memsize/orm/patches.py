"""The one patch on Django: every loading of rows is bracketed while something is measured.

Methods of querysets, of the compiler of updates and of cursors, replaced once for the process. A
cursor has none of its own that fetch, but looks for them when asked: it is given some.
Whether anything is measured is decided at each call, in its own context. Outside of any recording
a call goes straight through.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from django.db.backends.utils import CursorWrapper
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    NamedValuesListIterable,
    QuerySet,
    RawQuerySet,
    ValuesIterable,
    ValuesListIterable,
)
from django.db.models.sql.compiler import SQLUpdateCompiler

from .. import engine
from ..measuring.errors import ErrorBoundary
from ..measuring.evaluation_span import EvaluationSpan, new_evaluation
from ..measuring.source_files import PACKAGE
from ..measuring.spans import Span, active_span, in_span, open_span, uncredited
from ..values import Counts
from .call_sites import current_call_site
from .instances import Relation, built, built_of, instances_among, relations_of

_contained: Final = ErrorBoundary("django-memsize: following a query", only_ours=True)
_lock: Final = threading.Lock()
_replaced: Final[dict[tuple[type, str], tuple[Any, Any]]] = {}

_KINDS: Final[dict[type, str]] = {
    ModelIterable: "instances",
    ValuesIterable: "values",
    ValuesListIterable: "values_list",
    NamedValuesListIterable: "values_list",
    FlatValuesListIterable: "values_list",
}


def install() -> None:
    """Put the patch on. Once is enough, and more does nothing."""
    if len(_replaced) == len(_PATCHES):
        return
    with _lock:
        for (cls, name), wrap in _PATCHES.items():
            if (cls, name) not in _replaced:
                original = cls.__dict__.get(name)
                patch = wrap(original)
                if original is not None:
                    functools.update_wrapper(patch, original)
                _replaced[cls, name] = original, patch
                setattr(cls, name, patch)


def uninstall() -> None:
    """Take the patch off where it is on top; under another's patch it stays and passes through."""
    with _lock:
        for (cls, name), (original, patch) in list(_replaced.items()):
            if cls.__dict__.get(name) is patch:
                if original is None:
                    delattr(cls, name)
                else:
                    setattr(cls, name, original)
                del _replaced[cls, name]


def installed() -> bool:
    """Tell whether the patch is on."""
    return bool(_replaced)


# Rows of the ORM


def _fetching(fetch_all: Any) -> Callable[[Any], None]:
    def _fetch_all(self: Any) -> None:
        outer = active_span()
        if outer is None or self._result_cache is not None:
            return fetch_all(self)  # type: ignore[no-any-return]
        load = None
        try:
            load = _begun(self, outer)
        except Exception as error:
            if not _contained.swallows(error):
                raise
        if load is None:
            return fetch_all(self)  # type: ignore[no-any-return]
        try:
            fetch_all(self)
            try:
                _end(load, self)
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        finally:
            try:
                load.__exit__()
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        return None

    return _fetch_all


def _end(load: EvaluationSpan, queryset: Any) -> None:
    load.stop_crediting()
    rows: Any = queryset._result_cache
    instances: dict[str, int] | None = None
    try:
        instances = built(queryset, rows, load.totals.model)
    except Exception as error:  # rows may be anything
        if not _contained.swallows(error):
            raise
    load.close_uncredited(len(rows), instances)


def _iterating(iterate: Any) -> Callable[..., Iterator[Any]]:
    def _iterator(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows: Iterator[Any] = iterate(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                load = _load_of_stream(self)
                if load is not None:
                    with uncredited():
                        relations = relations_of(self)
                    return _streamed(load.stream(rows, built_of), load, relations)
        return rows

    return _iterator


def _streamed(rows: Any, load: EvaluationSpan, relations: Sequence[Relation]) -> Iterator[Any]:
    # A generator, as it is without us.
    found = load.instances = Counts()
    try:
        if not relations:
            yield from rows
        else:
            for row in rows:
                with _contained, uncredited():
                    for relation in relations:
                        relation.add(found, instances_among((row,)))
                yield row
                del row
    finally:
        rows.close()


def _aiterating(iterate: Any) -> Callable[..., AsyncIterator[Any]]:
    def aiterator(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        rows: AsyncIterator[Any] = iterate(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                load = _load_of_stream(self)
                if load is not None:
                    return _astreamed(rows, self, load)
        return rows

    return aiterator


async def _astreamed(
    rows: AsyncIterator[Any], queryset: Any, load: EvaluationSpan
) -> AsyncIterator[Any]:
    count = 0
    found = load.instances = Counts()
    with _contained:
        load.open()
    try:
        while True:
            try:
                with _contained.entering(in_span, load):
                    row = await anext(rows)
            except StopAsyncIteration:
                break
            count += 1
            with _contained, uncredited():
                found.add(built(queryset, (row,), load.totals.model))
            yield row
            del row
    finally:
        aclose = getattr(rows, "aclose", None)
        if aclose is not None:
            await aclose()
        with _contained:
            load.close(count)


def _collecting_keys(set_up: Any) -> Callable[[Any], None]:
    def pre_sql_setup(self: Any) -> None:
        if active_span() is None:
            return set_up(self)  # type: ignore[no-any-return]
        with _contained.entering(_load_of_update, self) as load:
            set_up(self)
            if load is not None:
                with _contained:
                    load.close(load.cursor_rows)
        return None

    return pre_sql_setup


def _begun(queryset: Any, outer: Span) -> EvaluationSpan | None:
    """Begin the loading of a queryset, unless none begins here, or one of it has begun."""
    if outer.log.closed or (type(outer) is EvaluationSpan and outer.owner == id(queryset)):
        return None
    window = engine.switch_window(None)
    load = None
    try:
        site, purpose = current_call_site(sys._getframe(2))
        kind = purpose or _kind(queryset)
        load = new_evaluation(outer, id(queryset), queryset.model._meta, kind, site)
        load.enter(outer, window)
    finally:
        if load is None:
            engine.switch_window(window)
    return load


def _load_of_stream(queryset: Any) -> EvaluationSpan | None:
    outer = open_span()
    if outer is None or (type(outer) is EvaluationSpan and outer.owner == id(queryset)):
        return None
    caller = sys._getframe(2)
    with uncredited():
        site, purpose = current_call_site(caller)
        kind = purpose or _kind(queryset)
        return new_evaluation(outer, id(queryset), queryset.model._meta, kind, site, streamed=True)


def _load_of_update(compiler: Any) -> EvaluationSpan | None:
    outer = open_span()
    if outer is None:
        return None
    with uncredited():
        site, _ = current_call_site(_outside())
        return new_evaluation(outer, id(compiler), compiler.query.model._meta, "update", site)


def _outside() -> FrameType | None:
    """Return the nearest frame that is not ours."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


def _kind(queryset: Any) -> str:
    iterable = getattr(queryset, "_iterable_class", None)
    if iterable is None:
        return "raw"
    cls = iterable if isinstance(iterable, type) else type(iterable)
    return _KINDS.get(cls) or str(cls.__name__)


# Cursors


def _executing(execute: Any) -> Callable[..., Any]:
    def patched(self: Any, sql: Any, params: Any = None) -> Any:
        result = execute(self, sql, params)
        span = active_span()
        if span is not None and not span.log.closed:
            try:
                if type(span) is EvaluationSpan:
                    span.statement_ran(sql, self.db.alias)
                else:
                    span.log.count_statement()
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        return result

    return patched


def _calling(call: Any) -> Callable[..., Any]:
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = call(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                span = open_span()
                if span is not None:
                    span.log.count_statement()
        return result

    return patched


def _fetches(name: str, number: Callable[[Any], int]) -> Callable[[Any], Callable[..., Any]]:
    """Return what makes a method of cursors that fetches, and counts what it returns."""

    def wrap(fetch: Any) -> Callable[..., Any]:
        def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
            if fetch is None:
                found = None
                if type(self).__mro__[-2] is not CursorWrapper:  # a class behind it may have one
                    found = getattr(super(CursorWrapper, self), name, None)
                rows = (found or self.__getattr__(name))(*args, **kwargs)
            else:
                rows = fetch(self, *args, **kwargs)
            span = active_span()
            if span is not None and span.counts_cursor_rows:
                with _contained:
                    count = _counter_of_rows(sys._getframe(1))
                    if count is not None:
                        count(number(rows))
            return rows

        patched.__name__ = name
        patched.__qualname__ = f"{CursorWrapper.__name__}.{name}"
        return patched

    return wrap


def _going_through(iterate: Any) -> Callable[[Any], Iterator[Any]]:
    def patched(self: Any) -> Iterator[Any]:
        rows: Iterator[Any] = iterate(self)
        if active_span() is not None:
            with _contained:
                count = _counter_of_rows(sys._getframe(1))
                if count is not None:
                    return _counted(rows, count)
        return rows

    return patched


def _counted(rows: Any, count: Callable[[int], object]) -> Iterator[Any]:
    try:
        for row in rows:
            try:
                count(1)
            except Exception as error:
                if not _contained.swallows(error):
                    raise
            yield row
            del row
    finally:
        close = getattr(rows, "close", None)
        if close is not None:
            close()


def _counter_of_rows(caller: FrameType) -> Callable[[int], object] | None:
    """Return what counts the rows that are about to be fetched; None if they are Django's own."""
    span = open_span()
    if isinstance(span, EvaluationSpan):
        return span.count_cursor_rows if span.counts_cursor_rows else None
    if span is None or caller.f_globals.get("__name__", "").startswith("django.db."):
        return None
    counter: Callable[[int], object] = span.log.count_cursor_rows
    return counter


_PATCHES: Final[dict[tuple[type, str], Callable[[Any], Any]]] = {
    (QuerySet, "_fetch_all"): _fetching,
    (QuerySet, "_iterator"): _iterating,
    (QuerySet, "aiterator"): _aiterating,
    (RawQuerySet, "_fetch_all"): _fetching,
    (RawQuerySet, "iterator"): _iterating,
    (SQLUpdateCompiler, "pre_sql_setup"): _collecting_keys,
    (CursorWrapper, "execute"): _executing,
    (CursorWrapper, "executemany"): _calling,
    (CursorWrapper, "callproc"): _calling,
    # A row may be a tuple, and so may many.
    (CursorWrapper, "fetchone"): _fetches("fetchone", lambda row: row is not None),
    (CursorWrapper, "fetchmany"): _fetches("fetchmany", len),
    (CursorWrapper, "fetchall"): _fetches("fetchall", len),
    (CursorWrapper, "__iter__"): _going_through,
}
