"""The one patch on Django: every loading of rows is bracketed while something is measured.

Five methods of querysets and the cursor's ``execute``, replaced once for the process. Whether
anything is measured is decided at each call, in its own context. Outside of any recording a call
goes straight through.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, cast

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

from .faults import Contained
from .recording import Evaluation, aside, current, running, within
from .sites import current_site

_contained: Final = Contained("django-memsize: following a query", only_ours=True)
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
    with _lock:
        for (cls, name), wrap in _PATCHES.items():
            if (cls, name) not in _replaced:
                original = cls.__dict__[name]
                patch = functools.wraps(original)(wrap(original))
                _replaced[cls, name] = original, patch
                setattr(cls, name, patch)


def uninstall() -> None:
    """Take the patch off where it is on top; under another's patch it stays and passes through."""
    with _lock:
        for (cls, name), (original, patch) in list(_replaced.items()):
            if cls.__dict__[name] is patch:
                setattr(cls, name, original)
                del _replaced[cls, name]


def installed() -> bool:
    """Tell whether the patch is on."""
    return bool(_replaced)


def _fetching(fetch_all: Any) -> Callable[[Any], None]:
    def _fetch_all(self: Any) -> None:
        if running() is None or self._result_cache is not None:
            return fetch_all(self)  # type: ignore[no-any-return]
        with _contained.entering(_evaluation, self) as evaluation:
            fetch_all(self)
            if evaluation is not None:
                with _contained:
                    evaluation.close(rows=len(cast("list[Any]", self._result_cache)))
        return None

    return _fetch_all


def _iterating(iterate: Any) -> Callable[..., Iterator[Any]]:
    def _iterator(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        rows: Iterator[Any] = iterate(self, *args, **kwargs)
        if running() is not None:
            with _contained:
                evaluation = _evaluation(self, streamed=True)
                if evaluation is not None:
                    return _streamed(evaluation.stream(rows))
        return rows

    return _iterator


def _streamed(rows: Any) -> Iterator[Any]:
    # A generator, as it is without us.
    try:
        yield from rows
    finally:
        rows.close()


def _aiterating(iterate: Any) -> Callable[..., AsyncIterator[Any]]:
    def aiterator(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        rows: AsyncIterator[Any] = iterate(self, *args, **kwargs)
        if running() is not None:
            with _contained:
                evaluation = _evaluation(self, streamed=True)
                if evaluation is not None:
                    return _astreamed(rows, evaluation)
        return rows

    return aiterator


async def _astreamed(rows: AsyncIterator[Any], evaluation: Evaluation) -> AsyncIterator[Any]:
    count = 0
    with _contained:
        evaluation.open()
    try:
        while True:
            try:
                with _contained.entering(within, evaluation):
                    row = await anext(rows)
            except StopAsyncIteration:
                break
            count += 1
            yield row
            del row
    finally:
        aclose = getattr(rows, "aclose", None)
        if aclose is not None:
            await aclose()
        with _contained:
            evaluation.close(count)


def _executing(execute: Any) -> Callable[..., Any]:
    def patched(self: Any, sql: Any, params: Any = None) -> Any:
        result = execute(self, sql, params)
        if running() is not None:
            with _contained:
                stretch = current()
                if stretch is not None:
                    stretch.ran(sql if type(sql) is str else "", self.db.alias)
        return result

    return patched


def _evaluation(queryset: Any, streamed: bool = False) -> Evaluation | None:
    """Return the evaluation that begins here; None if none does, or one of it has begun."""
    outer = current()
    if outer is None or (isinstance(outer, Evaluation) and outer.owner == id(queryset)):
        return None
    with aside():
        model = queryset.model._meta.label
        site = current_site(sys._getframe())
        return Evaluation(outer, id(queryset), model, _kind(queryset), site, streamed)


def _kind(queryset: Any) -> str:
    if isinstance(queryset, RawQuerySet):
        return "raw"
    iterable = queryset._iterable_class
    return _KINDS.get(iterable) or str(iterable.__name__)


_PATCHES: Final[dict[tuple[type, str], Callable[[Any], Any]]] = {
    (QuerySet, "_fetch_all"): _fetching,
    (QuerySet, "_iterator"): _iterating,
    (QuerySet, "aiterator"): _aiterating,
    (RawQuerySet, "_fetch_all"): _fetching,
    (RawQuerySet, "iterator"): _iterating,
    (CursorWrapper, "execute"): _executing,
}
