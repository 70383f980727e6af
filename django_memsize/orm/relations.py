"""Which relation of an instance an evaluation follows: the model that has it, and its name there.

Asked for the first few times that an evaluation runs, once its rows are loaded.
"""

from __future__ import annotations

from types import FrameType
from typing import Any, Final

from django.db.models.base import ModelBase
from django.db.models.fields.related_descriptors import (
    ForwardManyToOneDescriptor,
    ReverseOneToOneDescriptor,
)

from ..values import FollowedRelation
from .methods import LAZY, PREFETCH

_FURTHEST: Final = 40
"""Frames between a descriptor and the evaluation, at most: Django 6.1 has 12."""

_MODULES: Final = frozenset(
    {"django.contrib.contenttypes.fields", "django.db.models.fields.related_descriptors"}
)
"""Where the descriptors are. The first can only be imported where its application is installed."""


def followed_relation(frame: FrameType | None, queryset: Any, kind: str) -> FollowedRelation | None:
    """Return the relation that an evaluation of this kind follows; None if it is not known.

    ``frame`` is the caller of the evaluation. What is read are attributes that Django sets on its
    own descriptors, fields and querysets: no query runs, and no code of the program.
    """
    if kind == LAZY:
        return _of_descriptor(frame)
    if kind == PREFETCH:  # of many instances; its queryset has the first of them as a hint
        return None
    hints = getattr(queryset, "_hints", None)
    cls: Any = type(hints.get("instance")) if type(hints) is dict else None
    return _of_manager(queryset, cls) if isinstance(cls, ModelBase) else None


def _of_descriptor(frame: FrameType | None) -> FollowedRelation | None:
    """Return the relation whose descriptor is nearest on the stack."""
    for _ in range(_FURTHEST):
        if frame is None:
            return None
        if frame.f_code.co_name == "__get__" and frame.f_globals.get("__name__") in _MODULES:
            return _relation_of(frame.f_locals["self"])
        frame = frame.f_back
    return None


def _relation_of(descriptor: Any) -> FollowedRelation:
    if issubclass(type(descriptor), ForwardManyToOneDescriptor):
        field = descriptor.field
        return FollowedRelation(field.model._meta.label, field.name, True)
    if issubclass(type(descriptor), ReverseOneToOneDescriptor):
        related = descriptor.related
        name = related.get_accessor_name() or ""
        return FollowedRelation(related.model._meta.label, name, True)
    generic = getattr(descriptor, "field", descriptor)  # a generic foreign key is its descriptor
    return FollowedRelation(generic.model._meta.label, generic.name)


def _of_manager(queryset: Any, cls: Any) -> FollowedRelation | None:
    """Return the relation whose manager made a queryset for an instance of a class."""
    for field in getattr(queryset, "_known_related_objects", ()):
        remote = field.remote_field
        return FollowedRelation(remote.model._meta.label, remote.get_accessor_name() or "")
    options = cls._meta
    filtered = {_model_of(lookup) for lookup in queryset._query.where.children}
    for field in options.many_to_many:
        if field.remote_field.through in filtered:
            return FollowedRelation(options.label, field.name)
    for related in options.related_objects:
        if related.many_to_many and related.through in filtered:
            return FollowedRelation(options.label, related.get_accessor_name() or "")
    return None


def _model_of(lookup: Any) -> Any:
    """Return the model whose column a condition of a query is about, if it is about one."""
    return getattr(getattr(getattr(lookup, "lhs", None), "target", None), "model", None)
