"""How many instances a loading of rows built, by the label of their model.

Asks no more of a row than its type and what ``select_related()`` has just put in its cache: no
query, and no property of the program's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from django.db.models.base import Model, ModelBase
from django.db.models.constants import LOOKUP_SEP
from django.db.models.query import (
    FlatValuesListIterable,
    NamedValuesListIterable,
    ValuesIterable,
    ValuesListIterable,
)

from ..values import OwnTuple, ours

WITHOUT: Final = frozenset(
    {ValuesIterable, ValuesListIterable, NamedValuesListIterable, FlatValuesListIterable}
)
"""Rows of these are no instances."""

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


@ours
class Relation:
    """A relation that ``select_related()`` follows, and those that it follows from there."""

    __slots__ = ("_is_filtered", "_name", "_onwards")

    def __init__(self, name: str, onwards: Sequence[Relation], is_filtered: bool = False) -> None:
        self._name = name
        self._onwards = onwards
        self._is_filtered = is_filtered

    def add(self, built: dict[str, int], instances: Iterable[Any]) -> None:
        """Add the instances that others have by this relation, and by those further on."""
        name = self._name
        if self._is_filtered:
            related = [_attribute(one, name) for one in instances]
        else:
            related = [one._state.fields_cache.get(name) for one in instances]
        found = instances_among(related)
        if found:
            _add_types(built, Counter(map(type, found)))
            for relation in self._onwards:
                relation.add(built, found)


def instances_among(rows: Iterable[Any]) -> list[Any]:
    """Return the rows that are instances of a model: an iterable of the program's yields any."""
    return [row for row in rows if isinstance(type(row), ModelBase)]


def relations_of(queryset: Any) -> Sequence[Relation]:
    """Return the relations that a queryset follows by ``select_related()``."""
    query = getattr(queryset, "query", None)
    asked = getattr(query, "select_related", False)
    if not asked or queryset._iterable_class in WITHOUT:
        return ()
    if isinstance(asked, dict):
        filtered = getattr(query, "_filtered_relations", {})
        return OwnTuple(_named(queryset.model._meta, asked, filtered))
    return OwnTuple(_not_null(queryset.model._meta, query.max_depth))  # type: ignore[union-attr]


def built_of(types: Mapping[type, int]) -> dict[str, int]:
    """Return how many instances there are of each model, by the types of rows."""
    built: dict[str, int] = {}
    _add_types(built, types)
    return built


def built(queryset: Any, rows: Sequence[Any], label: str) -> dict[str, int]:
    """Return how many instances were built for rows of a queryset, related ones included.

    ``label`` is that of its model.
    """
    if not rows or getattr(queryset, "_iterable_class", None) in WITHOUT:
        return {}
    if len(rows) == 1 and type(rows[0]) is queryset.model:
        found = {label: 1}
    else:
        found = built_of(Counter(map(type, rows)))
    # Not by the property, which is of a raw one as well: this is asked after each loading.
    if getattr(getattr(queryset, "_query", None), "select_related", False):
        instances = instances_among(rows)
        for relation in relations_of(queryset):
            relation.add(found, instances)
    return found


def _attribute(instance: Any, name: str) -> Any:
    """Return an attribute, None without one, and ask no ``__getattr__()`` of the program's."""
    try:
        return object.__getattribute__(instance, name)
    except AttributeError:
        return None


def _add_types(built: dict[str, int], types: Mapping[type, int]) -> None:
    for cls, number in types.items():
        if isinstance(cls, ModelBase):
            label = cast("type[Model]", cls)._meta.label
            built[label] = built.get(label, 0) + number


def _named(
    options: Any, names: Mapping[str, Any], filtered: Mapping[str, Any] = _NONE
) -> Iterator[Relation]:
    """Yield what ``select_related()`` with names follows; FilteredRelations only from the rows."""
    for name, onwards in names.items():
        if name in filtered:  # set as an attribute
            beyond = OwnTuple(_named(_beyond(options, name, filtered), onwards))
            yield Relation(name, beyond, is_filtered=True)
        else:
            field = options.get_field(name)
            onwards = OwnTuple(_named(field.related_model._meta, onwards))
            yield Relation(field.cache_name, onwards)


def _beyond(options: Any, path: str, filtered: Mapping[str, Any]) -> Any:
    """Return the options of the model that a path, by FilteredRelations too, leads to."""
    for name in path.split(LOOKUP_SEP):
        if name in filtered:
            options = _beyond(options, filtered[name].relation_name, filtered)
        else:
            options = options.get_field(name).related_model._meta
    return options


def _not_null(options: Any, depth: int) -> Iterator[Relation]:
    """Yield what ``select_related()`` without names follows: foreign keys that are never NULL."""
    for field in options.fields if depth else ():
        remote = field.remote_field
        if remote and not field.null and not remote.parent_link:
            onwards = OwnTuple(_not_null(field.related_model._meta, depth - 1))
            yield Relation(field.cache_name, onwards)
