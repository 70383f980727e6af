"""Values as JSON documents, and back. One shape for the database, ``--format json`` and pages.

A document is read tolerantly, because two releases may share a table during a rolling deploy:
unknown keys are ignored, a missing or unusable value becomes the default of its field. Writing and
reading cut texts and numbers to what every database stores, and make texts safe to print.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from ..formatting import plain
from ..values import Diff, Instances, OwnTuple, Summary, TypeTotal, ours

_LARGEST: Final = 2**63 - 1
_LONGEST_NAME: Final = 200
"""Characters of a name that are stored, unless its field says otherwise (``longest``)."""

_Value = TypeVar("_Value")
_Writer: TypeAlias = Callable[[Any], Any] | None


class _UnusableError(Exception):
    """A document holds something else than its field can have."""


@ours
class Dumped:
    """A document as JSON text: what waits to be stored, and is not made twice."""

    __slots__ = ("text",)

    def __init__(self, document: Any) -> None:
        self.text = json.dumps(document)

    def document(self) -> Any:
        """Return the document."""
        return json.loads(self.text)


class DocumentEncoder(json.JSONEncoder):
    """Has a database store a dumped document as it is, and any other one as Django does."""

    def encode(self, document: Any) -> str:
        """Return the JSON text of a document."""
        return document.text if type(document) is Dumped else super().encode(document)


def to_document(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON has it: an object of its fields."""
    names, values_of, writers = _writers_of(typing.cast("Any", type(value)))
    return {
        name: found if write is None or found is None else write(found)
        for name, found, write in zip(names, values_of(value), writers, strict=True)
    }


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
    if -_LARGEST <= number <= _LARGEST:  # nearly each of the hundreds that a report has
        return number
    return max(-_LARGEST, min(number, _LARGEST))


def _diff_document(diff: Diff) -> dict[str, Any]:
    return {
        "rows": [
            [plain(name, _LONGEST_NAME), stored_number(count), stored_number(size)]
            for name, count, size in diff.ranked_numbers()
        ],
        "others": diff.others,
        "other": [stored_number(diff.other.count), stored_number(diff.other.size)],
        "comparable": diff.comparable,
    }


def _instances_document(instances: Instances) -> dict[str, int]:
    return {plain(name, _LONGEST_NAME): stored_number(n) for name, n in instances.items()}


def _read_diff(document: Any) -> Diff:
    try:
        rows = [(_read_name(name), _read_total(*numbers)) for name, *numbers in document["rows"]]
        others, other = _read(int, document["others"]), _read_total(*document["other"])
        return Diff.of(rows, others, other, bool(document.get("comparable", True)))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise _UnusableError from error


def _read_name(document: Any) -> str:
    return plain(str(document), _LONGEST_NAME)


def _read_total(count: Any, size: Any) -> TypeTotal:
    return TypeTotal(_read(int, count), _read(int, size))


def _read_instances(document: Any) -> Instances:
    if not isinstance(document, Mapping):
        raise _UnusableError
    return Instances({_read_name(name): _read(int, number) for name, number in document.items()})


def _read_dataclass(cls: type[_Value], document: Any) -> _Value:
    if not isinstance(document, Mapping):
        raise _UnusableError
    found = {}
    for name, hint, longest in _fields_of(typing.cast("Any", cls)):
        if name in document:
            try:
                found[name] = _read(hint, document[name], longest)
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


def _read(hint: Any, document: Any, longest: int = _LONGEST_NAME) -> Any:
    """Return what a document holds for a field of this type. Raises _UnusableError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None
        return None if document is None else _read(arguments[0], document, longest)
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
    if hint is str:
        return plain(document, longest)
    return stored_number(document) if hint is int else document


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
    return max(-float(_LARGEST), min(number, float(_LARGEST)))


@functools.cache
def _writers_of(cls: type) -> tuple[tuple[str, ...], Callable[[Any], Any], tuple[_Writer, ...]]:
    """Return the fields of a dataclass: their names, what reads them, and what writes each."""
    fields = _fields_of(cls)
    names = tuple(name for name, _, _ in fields)
    writers = tuple(_writer_of(hint, longest) for _, hint, longest in fields)
    return names, operator.attrgetter(*names), writers


def _writer_of(hint: Any, longest: int) -> _Writer:
    """Return what makes JSON of the values of a type but None; None where they are JSON."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):  # X | None
        return _writer_of(arguments[0], longest)
    if origin is tuple:
        write = _writer_of(arguments[0], longest)
        return list if write is None else lambda items: [write(item) for item in items]
    if dataclasses.is_dataclass(hint):
        return to_document
    if hint is str:
        return functools.partial(plain, longest=longest)
    writers: dict[Any, _Writer] = {
        int: stored_number,
        Diff: _diff_document,
        Instances: _instances_document,
    }
    return writers.get(hint)


@functools.cache
def _fields_of(cls: type) -> tuple[tuple[str, Any, int], ...]:
    """Return (name, type, longest text) of each field of a dataclass."""
    hints = typing.get_type_hints(cls)
    return tuple(
        (field.name, hints[field.name], _longest(field)) for field in dataclasses.fields(cls)
    )


def _longest(field: dataclasses.Field[Any]) -> int:
    return int(field.metadata.get("longest", _LONGEST_NAME))
