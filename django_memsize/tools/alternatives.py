"""The rows of one queryset, loaded in several ways: what each way retains, and its peak.

Each way is loaded in a window of its own, so that only its own allocations are credited to it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import median, median_low
from typing import Any, Final, cast

from django.db import reset_queries, transaction
from django.db.models import QuerySet

from .. import engine, formatting
from ..measuring.instruments import Meter
from ..measuring.spans import in_span
from ..values import Alternatives, OmittedWay, Way

ROUNDS: Final = 3
"""Times that each way is measured, alternating with the others, after one round to fill caches."""

CHUNK: Final = 2000
"""Rows that ``iterator()`` fetches at once: Django's default, which a queryset that prefetches has
to be given explicitly."""

_LONGEST_REASON: Final = 300


class IncomparableError(ValueError):
    """The queryset cannot be loaded in several ways, or its rows were not the same each time."""


@dataclass(frozen=True, slots=True)
class _Plan:
    name: str
    queryset: QuerySet[Any]
    streamed: bool = False
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    rows: int
    retained: int
    peak: int
    duration: float


def is_possible() -> bool:
    """Return whether there is a meter; a census cannot measure a peak."""
    return engine.Window is not None


def compare(
    queryset: Any, fields: Sequence[str] | None = None, limit: int | None = None
) -> Alternatives:
    """Return what the rows of a queryset take as instances, ``values()`` and so on, least first.

    ``fields`` are the names of the fields that ``only()``, ``values()`` and ``values_list()`` load.
    Without them ``only()`` is omitted, and the others load all that the instances have. With
    ``limit`` only the first rows are loaded. Only copies of the queryset are evaluated, on the
    database that the queryset would use.

    Raises IncomparableError.
    """
    _require_instances(queryset)
    with in_span(None):
        rows = queryset.using(queryset.db)
        named = None if fields is None else _checked(rows, fields)
        if limit is not None:
            rows = _first(rows, limit)
        return _measured(rows, *_plans(rows, named))


def _require_instances(queryset: Any) -> None:
    if not isinstance(queryset, QuerySet):
        given = formatting.plain(type(queryset).__name__, _LONGEST_REASON)
        raise IncomparableError(
            f"The code returns an object of the class {given}, and not a queryset. "
            "Example: Account.objects.all()"
        )
    if cast("Any", queryset)._fields is not None:
        raise IncomparableError(
            "The rows of this queryset are no instances. Leave out values(), values_list(), "
            "dates() or datetimes()."
        )


def _checked(queryset: QuerySet[Any], names: Iterable[str]) -> list[str]:
    """Return the names of fields and annotations; ``pk`` becomes the fields of the key.

    Raises IncomparableError for an unknown name.
    """
    meta = queryset.model._meta
    known = {name for field in meta.concrete_fields for name in (field.name, field.attname)}
    known |= queryset.query.annotation_select.keys()
    checked: list[str] = []
    for name in names:
        if name == "pk":
            checked += [field.name for field in meta.pk_fields]
        elif name in known:
            checked.append(name)
        else:
            fields = ", ".join(field.name for field in meta.concrete_fields)
            unknown = formatting.plain(name, _LONGEST_REASON)
            raise IncomparableError(f"{meta.label} has no field '{unknown}'. Its fields: {fields}.")
    return list(dict.fromkeys(checked))


def _first(queryset: QuerySet[Any], limit: int) -> QuerySet[Any]:
    """Return the first rows: the same rows each time if the queryset can be ordered."""
    query = queryset.query
    is_final = query.is_sliced or query.combinator or query.distinct_fields
    if not queryset.ordered and not is_final:
        queryset = queryset.order_by("pk")
    return queryset[:limit]


def _plans(
    queryset: QuerySet[Any], named: list[str] | None
) -> tuple[list[_Plan], list[OmittedWay]]:
    """Return the ways to load a queryset, and the omitted ways with their reasons."""
    plans = [_Plan("instances", queryset), _Plan("iterator()", queryset, streamed=True)]
    omitted = []
    others: dict[str, Callable[[], _Plan]] = {
        "only()": lambda: _only(queryset, named),
        "values()": lambda: _values(queryset, named, "values"),
        "values_list()": lambda: _values(queryset, named, "values_list"),
    }
    for name, plan in others.items():
        try:
            plans.append(plan())
        except IncomparableError as error:
            omitted.append(OmittedWay(name, str(error)))
        except Exception as error:  # a queryset class of the program may refuse
            omitted.append(OmittedWay(name, _reason(error)))
    return plans, omitted


def _only(queryset: QuerySet[Any], named: list[str] | None) -> _Plan:
    meta = queryset.model._meta
    if named is None:
        example = ",".join(field.name for field in meta.concrete_fields[:2])
        raise IncomparableError(f"it needs the fields to load, as in: --fields {example}")
    if queryset.query.combinator:
        raise IncomparableError(f"Django does not support it after {queryset.query.combinator}()")
    fields = [
        field
        for field in meta.concrete_fields
        if field in meta.pk_fields or field.name in named or field.attname in named
    ]
    rows = queryset.defer(None).only(*(field.name for field in fields))
    # A relation's own field has to be loaded, or each row would load it by a query.
    unloaded = {field.name for field in meta.concrete_fields if field not in fields}
    unloaded |= {field.name for field in meta.private_fields if field.many_to_one}
    without = []
    if not unloaded.isdisjoint(_joined(queryset)):
        rows = rows.select_related(None)
        without.append("select_related()")
    if not unloaded.isdisjoint(_prefetched(queryset)):
        rows = rows.prefetch_related(None)
        without.append("prefetch_related()")
    return _Plan("only()", rows, without=tuple(without))


def _values(queryset: QuerySet[Any], named: list[str] | None, method: str) -> _Plan:
    query = queryset.query
    fields = _loaded(queryset) if named is None else named
    drops_twins = (query.distinct and not query.distinct_fields) or (
        query.combinator and not query.combinator_all
    )
    if drops_twins and not all(
        field.name in fields or field.attname in fields for field in queryset.model._meta.pk_fields
    ):
        raise IncomparableError(
            "with these fields alone, equal rows would be dropped as duplicates; "
            "name the primary key too"
        )
    without = []
    if query.select_related:
        without.append("select_related()")
    if _prefetched(queryset):
        without.append("prefetch_related()")
    # Django ignores both where rows are no instances.
    return _Plan(f"{method}()", getattr(queryset, method)(*fields), without=tuple(without))


def _loaded(queryset: QuerySet[Any]) -> list[str]:
    """Return the names of all values that the instances of a queryset load."""
    meta, query = queryset.model._meta, queryset.query
    names, are_deferred = query.deferred_loading
    fields = [
        field.attname
        for field in meta.concrete_fields
        if field in meta.pk_fields
        or (field.name in names or field.attname in names) is not are_deferred
    ]
    return [*fields, *query.extra_select, *query.annotation_select]


def _joined(queryset: QuerySet[Any]) -> set[str]:
    """Return the names of the relations that ``select_related()`` follows."""
    related = queryset.query.select_related
    return set(related) if isinstance(related, dict) else set()


def _prefetched(queryset: QuerySet[Any]) -> set[str]:
    """Return the names of the relations of the model with which ``prefetch_related()`` begins."""
    lookups = cast("Any", queryset)._prefetch_related_lookups
    paths = (getattr(lookup, "prefetch_through", lookup) for lookup in lookups)
    return {path.partition("__")[0] for path in paths}


def _measured(
    queryset: QuerySet[Any], plans: list[_Plan], omitted: list[OmittedWay]
) -> Alternatives:
    number = _sample(plans[0]).rows
    possible = [plans[0]]
    for plan in plans[1:]:
        try:
            _try_out(plan, number, queryset.db)
        except IncomparableError as error:
            omitted.append(OmittedWay(plan.name, str(error)))
        except Exception as error:
            omitted.append(OmittedWay(plan.name, _reason(error)))
        else:
            possible.append(plan)
    rounds = [[_sample(plan) for plan in possible] for _ in range(ROUNDS)]
    numbers = {number}.union(sample.rows for samples in rounds for sample in samples)
    if len(numbers) > 1:
        raise IncomparableError(
            f"The rows changed meanwhile: {min(numbers):,} at first or later {max(numbers):,}."
        )
    ways = [_way(plan, samples) for plan, *samples in zip(possible, *rounds, strict=True)]
    return Alternatives(
        queryset.model._meta.label,
        queryset.db,
        tuple(sorted(ways, key=lambda way: (way.retained, way.peak))),
        tuple(omitted),
        is_fixed=queryset.ordered or not queryset.query.is_sliced,
    )


def _try_out(plan: _Plan, number: int, database: str) -> None:
    """Load the rows once, to fill caches. Raises IncomparableError if their number differs."""
    with transaction.atomic(using=database):  # a failed statement would break the outer transaction
        rows = _sample(plan).rows
    if rows != number:
        raise IncomparableError(f"it loads {rows:,} rows instead of {number:,}")


def _way(plan: _Plan, samples: Sequence[_Sample]) -> Way:
    return Way(
        plan.name,
        samples[0].rows,
        median_low(sample.retained for sample in samples),
        median_low(sample.peak for sample in samples),
        median(sample.duration for sample in samples),
        plan.streamed,
        plan.without,
    )


def _sample(plan: _Plan) -> _Sample:
    """Load the rows in one way inside a window, and drop them once they are measured."""
    # Made before the window is opened, so that it is not credited to the window.
    number = count()
    meter = Meter()
    held = None
    try:
        meter.open(None)
        began = time.perf_counter()
        engine.switch_window(meter.window)
        if plan.streamed:
            rows = plan.queryset.all().iterator(chunk_size=CHUNK)
            deque(zip(rows, number, strict=False), maxlen=0)
            del rows
        else:
            held = list(plan.queryset.all())
        reset_queries()  # DEBUG's log retains the statements; no way of loading does
        engine.switch_window(None)
        duration = time.perf_counter() - began
        meter.close()
        meter.read(by_type=False)
        meter.analyse()
    finally:
        engine.switch_window(None)
        meter.discard()
    if meter.not_analysed is not None:
        raise IncomparableError("Other threads freed some of the rows while they were analysed.")
    if meter.incomplete or meter.retained is None or meter.peak is None:
        raise IncomparableError(
            "Incomplete: another tool removed the hooks on Python's allocators meanwhile. "
            "tracemalloc and memray do so when they stop."
        )
    number_of_rows = next(number) if held is None else len(held)
    return _Sample(number_of_rows, meter.retained.bytes, meter.peak.bytes, duration)


def _reason(error: Exception) -> str:
    return formatting.plain(f"{type(error).__name__}: {error}", _LONGEST_REASON)
