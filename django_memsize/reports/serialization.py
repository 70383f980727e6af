"""Values as JSON documents, and back. One shape for the database, ``--format json`` and pages.

A document is read tolerantly, because two releases may share a table during a rolling deploy:
unknown keys are ignored, a missing or unusable value becomes the default of its field. Writing cuts
texts and numbers to what every database stores.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from ..formatting import plain
from ..values import Diff, Instances, OwnTuple, Summary, TypeTotal

_LARGEST: Final = 2**63 - 1
_LONGEST_NAME: Final = 200
"""Characters of a name that are stored, unless its field says otherwise (``longest``)."""

_Value = TypeVar("_Value")


class _UnusableError(Exception):
    """A document holds something else than its field can have."""


def to_document(value: Any, longest: int = _LONGEST_NAME) -> Any:
    """Return a value as JSON has it: a dataclass as an object of its fields."""
    if isinstance(value, Diff):
        return _diff_document(value)
    if isinstance(value, Instances):
        return {plain(name, _LONGEST_NAME): stored_number(n) for name, n in value.items()}
    if dataclasses.is_dataclass(value):
        return {
            field.name: to_document(
                getattr(value, field.name), field.metadata.get("longest", _LONGEST_NAME)
            )
            for field in dataclasses.fields(value)
        }
    if isinstance(value, str):
        return plain(value, longest)
    if isinstance(value, int) and not isinstance(value, bool):
        return stored_number(value)
    if isinstance(value, tuple):
        return [to_document(item) for item in value]
    return value


def summary_of(document: Any) -> Summary:
    """Return the summary that a document holds, as far as it can be read. Raises nothing."""
    try:
        return _read_dataclass(Summary, document)
    except _UnusableError:
        return Summary()


def has_all_evaluations(document: Any, summary: Summary) -> bool:
    """Return whether every evaluation of a document could be read into its summary."""
    stored = document.get("evaluations") if isinstance(document, Mapping) else None
    return isinstance(stored, list) and len(stored) == len(summary.evaluations)


def stored_number(number: int) -> int:
    """Return the number, or the nearest number that a column of 64 bits holds."""
    return max(-_LARGEST, min(number, _LARGEST))


def _diff_document(diff: Diff) -> dict[str, Any]:
    return {
        "rows": [[plain(name, _LONGEST_NAME), *_numbers(total)] for name, total in diff.ranked()],
        "others": diff.others,
        "other": _numbers(diff.other),
        "comparable": diff.comparable,
    }


def _numbers(total: TypeTotal) -> list[int]:
    return [stored_number(total.count), stored_number(total.size)]


def _read_diff(document: Any) -> Diff:
    try:
        rows = [(str(name), _read_total(*numbers)) for name, *numbers in document["rows"]]
        others, other = _read(int, document["others"]), _read_total(*document["other"])
        return Diff.of(rows, others, other, bool(document.get("comparable", True)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _UnusableError from error


def _read_total(count: Any, size: Any) -> TypeTotal:
    return TypeTotal(_read(int, count), _read(int, size))


def _read_instances(document: Any) -> Instances:
    if not isinstance(document, Mapping):
        raise _UnusableError
    return Instances({str(name): _read(int, number) for name, number in document.items()})


def _read_dataclass(cls: type[_Value], document: Any) -> _Value:
    if not isinstance(document, Mapping):
        raise _UnusableError
    found = {}
    for name, hint in _fields_of(typing.cast("Any", cls)):
        if name in document:
            try:
                found[name] = _read(hint, document[name])
            except _UnusableError:
                continue
    try:
        return cls(**found)
    except TypeError as error:  # it lacks a field without a default
        raise _UnusableError from error


def _read_items(hint: Any, document: Any) -> OwnTuple[Any]:
    """Return the items of a list that can be read, and leave out the others."""
    if not isinstance(document, list):
        raise _UnusableError
    return OwnTuple(_readable(hint, document))


def _readable(hint: Any, items: Iterable[Any]) -> Iterable[Any]:
    for item in items:
        try:
            yield _read(hint, item)
        except _UnusableError:
            continue


def _read(hint: Any, document: Any) -> Any:
    """Return what a document holds for a field of this type. Raises _UnusableError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None
        return None if document is None else _read(arguments[0], document)
    if origin is tuple:
        return _read_items(arguments[0], document)
    if hint is Diff:
        return _read_diff(document)
    if hint is Instances:
        return _read_instances(document)
    if dataclasses.is_dataclass(hint):
        return _read_dataclass(typing.cast("type[Any]", hint), document)
    if hint is float:
        return _read_float(document)
    if type(document) is not hint:
        raise _UnusableError
    return document


def _read_float(document: Any) -> float:
    # JSON has one type of numbers: a whole number may have any length, and may be seconds.
    if type(document) not in (int, float):
        raise _UnusableError
    try:
        number = float(document)
    except OverflowError as error:
        raise _UnusableError from error
    if not math.isfinite(number):
        raise _UnusableError
    return number


@functools.cache
def _fields_of(cls: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(cls))
