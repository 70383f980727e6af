"""Wrappers of the methods through which the ORM loads rows: each opens and closes an evaluation.

The walk for a call site begins at the caller of a wrapper. If it meets another frame of this file,
the frames further out belong to the evaluation of another queryset: they do not tell the kind.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final

from django.db.models import query

from .. import engine
from ..measuring.errors import ErrorBoundary
from ..measuring.evaluation_span import EvaluationSpan, new_evaluation
from ..measuring.evaluation_totals import RELATIONS_LOOKED_FOR
from ..measuring.source_files import PACKAGE
from ..measuring.spans import Span, active_span, in_span, open_span, uncredited
from ..values import Counts
from .call_sites import find_call_site
from .instances import (
    Relation,
    count_by_type,
    count_instances,
    model_instances,
    selected_relations,
)
from .methods import METHODS, RAW, UPDATE
from .relations import followed_relation

_contained: Final = ErrorBoundary("django-memsize: following a query", only_ours=True)

_KINDS: Final[dict[type, str]] = {
    getattr(query, iterable): method.kind for method in METHODS for iterable in method.iterables
}


# An evaluation whose rows are kept by the queryset


def _evaluating(fetch_all: Any) -> Callable[[Any], None]:
    """Wrap ``_fetch_all()``.

    It runs for each access to a queryset: ``with`` blocks would be too expensive here.
    """

    def _fetch_all(self: Any) -> None:
        outer = active_span()
        if self._result_cache is not None:
            return fetch_all(self)  # type: ignore[no-any-return]
        # No local variable has the queryset while its statement runs: a tool that prints those of
        # each frame on the stack would evaluate the queryset once more, and that one again.
        if outer is None:
            queryset = [self].pop
            del self
            return fetch_all(queryset())  # type: ignore[no-any-return]
        span = None
        try:
            span = _open(self, outer)
        except Exception as error:
            if not _contained.swallows(error):
                raise
        if span is None:
            queryset = [self].pop
            del self
            return fetch_all(queryset())  # type: ignore[no-any-return]
        try:
            span.source = self
            del self
            fetch_all(span.source)
            try:
                _close(span, span.source)
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        finally:
            try:
                span.__exit__()
            except Exception as error:
                if not _contained.swallows(error):
                    raise
        return None

    return _fetch_all


def _open(queryset: Any, outer: Span) -> EvaluationSpan | None:
    """Open and enter the evaluation of a queryset.

    Returns None if the recording is closed, or if the evaluation of the queryset is ``outer``.
    """
    if outer.log.closed or (type(outer) is EvaluationSpan and outer.source_id == id(queryset)):
        return None
    window = engine.switch_window(None)
    span = None
    try:
        call_site, kind = find_call_site(sys._getframe(2))
        span = new_evaluation(
            outer, id(queryset), queryset.model._meta, kind or _kind(queryset), call_site
        )
        span.enter(outer, window)
    finally:
        if span is None:
            engine.switch_window(window)
    return span


def _close(span: EvaluationSpan, queryset: Any) -> None:
    """Close the evaluation of a queryset with its rows; counting instances is credited to none."""
    span.stop_crediting()
    rows: Any = queryset._result_cache
    instances: dict[str, int] | None = None
    totals = span.totals
    try:
        if totals.times < RELATIONS_LOOKED_FOR:
            totals.add_relation(followed_relation(sys._getframe(2), queryset, totals.kind))
        instances = count_instances(queryset, rows, totals.model)
    except Exception as error:  # a row may be any object
        if not _contained.swallows(error):
            raise
    span.close_uncredited(len(rows), instances)


# Rows one after another


def _iterating(iterate: Any) -> Callable[..., Iterator[Any]]:
    """Wrap ``QuerySet._iterator()`` or ``RawQuerySet.iterator()``."""

    def _iterator(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows: Iterator[Any] = iterate(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                span = _open_stream(self)
                if span is not None:
                    with uncredited():
                        relations = selected_relations(self)
                    return _streamed(span.stream(rows, count_by_type), span, relations)
        return rows

    return _iterator


def _streamed(rows: Any, span: EvaluationSpan, relations: Sequence[Relation]) -> Iterator[Any]:
    # A generator, because Django's iterators are generators: the program may call close().
    built = span.instances = Counts()
    try:
        if not relations:
            yield from rows
        else:
            for row in rows:
                with _contained, uncredited():
                    for relation in relations:
                        relation.add(built, model_instances((row,)))
                yield row
                del row  # else the row would outlive the consumer's next step
    finally:
        rows.close()


def _iterating_async(iterate: Any) -> Callable[..., AsyncIterator[Any]]:
    """Wrap ``QuerySet.aiterator()``."""

    def aiterator(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        rows: AsyncIterator[Any] = iterate(self, *args, **kwargs)
        if active_span() is not None:
            with _contained:
                span = _open_stream(self)
                if span is not None:
                    return _async_streamed(rows, self, span)
        return rows

    return aiterator


async def _async_streamed(
    rows: AsyncIterator[Any], queryset: Any, span: EvaluationSpan
) -> AsyncIterator[Any]:
    row_count = 0
    built = span.instances = Counts()
    with _contained:
        span.open()
    try:
        while True:
            try:
                with _contained.entering(in_span, span):
                    row = await anext(rows)
            except StopAsyncIteration:
                break
            row_count += 1
            with _contained, uncredited():
                built.add(count_instances(queryset, (row,), span.totals.model))
            yield row
            del row
    finally:
        aclose = getattr(rows, "aclose", None)
        if aclose is not None:
            await aclose()
        with _contained:
            span.close(row_count)


def _open_stream(queryset: Any) -> EvaluationSpan | None:
    """Return the evaluation of an iterator, which opens at the first row.

    Returns None if nothing is measured, or if the evaluation under way is that of the queryset.
    """
    outer = open_span()
    if outer is None or (type(outer) is EvaluationSpan and outer.source_id == id(queryset)):
        return None
    caller = sys._getframe(2)
    with uncredited():
        call_site, kind = find_call_site(caller)
        model = queryset.model._meta
        kind = kind or _kind(queryset)
        return new_evaluation(outer, id(queryset), model, kind, call_site, streamed=True)


# Keys that an update loads


def _collecting_keys(set_up: Any) -> Callable[[Any], None]:
    """Wrap ``SQLUpdateCompiler.pre_sql_setup()``, which may load the keys of the rows to update."""

    def pre_sql_setup(self: Any) -> None:
        if active_span() is None:
            return set_up(self)  # type: ignore[no-any-return]
        with _contained.entering(_open_update, self) as span:
            set_up(self)
            if span is not None:
                with _contained:
                    span.close(span.cursor_rows)
        return None

    return pre_sql_setup


def _open_update(compiler: Any) -> EvaluationSpan | None:
    outer = open_span()
    if outer is None:
        return None
    with uncredited():
        call_site, _ = find_call_site(_caller())
        return new_evaluation(outer, id(compiler), compiler.query.model._meta, UPDATE, call_site)


def _caller() -> FrameType | None:
    """Return the nearest frame outside django-memsize."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame


def _kind(queryset: Any) -> str:
    """Return the kind of a queryset's rows; of an unknown iterable, the name of its class."""
    iterable = getattr(queryset, "_iterable_class", None)
    if iterable is None:
        return RAW
    cls = iterable if isinstance(iterable, type) else type(iterable)
    return _KINDS.get(cls) or str(cls.__name__)


WRAPPERS: Final[dict[str, Callable[[Any], Any]]] = {
    "evaluation": _evaluating,
    "iterator": _iterating,
    "async iterator": _iterating_async,
    "keys of update": _collecting_keys,
}
"""By the name that ``methods`` uses, the function that makes a replacement from the original."""
