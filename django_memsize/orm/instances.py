"""How many model instances an evaluation built, by the label of their model.

Of a row, only its type is read, and the instances that ``select_related()`` has just put into its
cache: no query runs, and no property of the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, cast

from django.db.models import query as django_query
from django.db.models.base import Model, ModelBase
from django.db.models.constants import LOOKUP_SEP

from ..values import OwnTuple, ours
from .methods import METHODS

_WITHOUT_INSTANCES: Final = frozenset(
    getattr(django_query, iterable)
    for method in METHODS
    if not method.makes_instances
    for iterable in method.iterables
)
"""Iterables whose rows are not model instances."""

_NO_NAMES: Final[Mapping[str, Any]] = MappingProxyType({})


@ours
class Relation:
    """A relation that ``select_related()`` follows, with the relations followed from there.

    ``name`` is the key of the related instance in ``fields_cache``. A FilteredRelation has no key
    there: Django sets an attribute of its name.
    """

    __slots__ = ("_is_filtered", "_name", "_relations")

    def __init__(self, name: str, relations: Sequence[Relation], is_filtered: bool = False) -> None:
        self._name = name
        self._relations = relations
        self._is_filtered = is_filtered

    def add(self, built: dict[str, int], instances: Iterable[Any]) -> None:
        """Add to ``built`` the instances that ``instances`` are related to, directly or further."""
        name = self._name
        if self._is_filtered:
            related = [_own_attribute(instance, name) for instance in instances]
        else:
            related = [instance._state.fields_cache.get(name) for instance in instances]
        found = model_instances(related)
        if found:
            _add_types(built, Counter(map(type, found)))
            for relation in self._relations:
                relation.add(built, found)


def model_instances(rows: Iterable[Any]) -> list[Any]:
    """Return the rows that are model instances: an iterable of the program may yield any object."""
    return [row for row in rows if isinstance(type(row), ModelBase)]


def selected_relations(queryset: Any) -> Sequence[Relation]:
    """Return the relations that ``select_related()`` of a queryset follows."""
    query = getattr(queryset, "query", None)
    selected = getattr(query, "select_related", False)
    if not selected or queryset._iterable_class in _WITHOUT_INSTANCES:
        return ()
    if isinstance(selected, dict):
        filtered = getattr(query, "_filtered_relations", {})
        return OwnTuple(_named_relations(queryset.model._meta, selected, filtered))
    return OwnTuple(
        _required_relations(queryset.model._meta, query.max_depth)  # type: ignore[union-attr]
    )


def count_by_type(types: Mapping[type, int]) -> dict[str, int]:
    """Return the number of instances by model, from the number of rows by type."""
    built: dict[str, int] = {}
    _add_types(built, types)
    return built


def count_instances(queryset: Any, rows: Sequence[Any], label: str) -> dict[str, int]:
    """Return the number of instances built for rows of a queryset by model, related ones included.

    ``label`` is the label of the queryset's model.
    """
    if not rows or getattr(queryset, "_iterable_class", None) in _WITHOUT_INSTANCES:
        return {}
    if len(rows) == 1 and type(rows[0]) is queryset.model:
        built = {label: 1}
    else:
        built = count_by_type(Counter(map(type, rows)))
    # By _query: the property "query" costs a call after each evaluation.
    if getattr(getattr(queryset, "_query", None), "select_related", False):
        instances = model_instances(rows)
        for relation in selected_relations(queryset):
            relation.add(built, instances)
    return built


def _own_attribute(instance: Any, name: str) -> Any:
    """Return an attribute, or None without it; a ``__getattr__()`` of the program is not called."""
    try:
        return object.__getattribute__(instance, name)
    except AttributeError:
        return None


def _add_types(built: dict[str, int], types: Mapping[type, int]) -> None:
    for cls, number in types.items():
        if isinstance(cls, ModelBase):
            label = cast("type[Model]", cls)._meta.label
            built[label] = built.get(label, 0) + number


def _named_relations(
    options: Any, names: Mapping[str, Any], filtered: Mapping[str, Any] = _NO_NAMES
) -> Iterator[Relation]:
    """Yield the relations that ``select_related()`` with names follows.

    ``names`` maps each name to the names that follow it. ``filtered`` are the query's
    FilteredRelations by name; only the rows' own model can have any.
    """
    for name, following in names.items():
        if name in filtered:
            related = _related_options(options, name, filtered)
            yield Relation(name, OwnTuple(_named_relations(related, following)), is_filtered=True)
        else:
            field = options.get_field(name)
            relations = OwnTuple(_named_relations(field.related_model._meta, following))
            yield Relation(field.cache_name, relations)


def _related_options(options: Any, path: str, filtered: Mapping[str, Any]) -> Any:
    """Return the options of the model to which a path leads, through FilteredRelations too."""
    for name in path.split(LOOKUP_SEP):
        if name in filtered:
            options = _related_options(options, filtered[name].relation_name, filtered)
        else:
            options = options.get_field(name).related_model._meta
    return options


def _required_relations(options: Any, depth: int) -> Iterator[Relation]:
    """Yield the relations that ``select_related()`` without names follows.

    These are the foreign keys that are never NULL, up to ``depth`` relations away.
    """
    for field in options.fields if depth else ():
        remote = field.remote_field
        if remote and not field.null and not remote.parent_link:
            relations = OwnTuple(_required_relations(field.related_model._meta, depth - 1))
            yield Relation(field.cache_name, relations)
