"""What an object directly refers to, and a name for each, without calling anything of theirs."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import Any, Final, TypeAlias

from . import anatomy

Node: TypeAlias = tuple[str, int, int, list["Node"]]
"""(name, bytes with all referents, bytes of its own, referents)."""

_WIDTH: Final = 60
_ITEMS: Final = 12
_NESTED: Final = 3
_LARGE: Final = 10**_WIDTH

_SCALARS: Final[dict[int, Callable[[Any], str]]] = {
    id(kind): repr for kind in (bool, float, complex, type(None), type(Ellipsis))
}
_BRACKETS: Final = {
    id(list): ("[", "]"),
    id(tuple): ("(", ")"),
    id(set): ("{", "}"),
    id(frozenset): ("frozenset({", "})"),
}


def label(value: Any) -> str:
    """Return a repr of exact built-in scalars and containers of them, else the type's name.

    At most 60 characters; never calls a ``__repr__`` that is not the interpreter's own.
    """
    return _cut(_repr(value, _NESTED))


def children(value: Any) -> list[tuple[str, Any]]:
    """Return (name, referent) of each distinct referent; of a dict keys and values in turn."""
    named: dict[int, tuple[str, Any]] = {}
    if anatomy.is_dict(type(value)):
        for key, item in list(dict.items(value)):
            key_name = label(key)
            named.setdefault(id(key), (f"[K] {key_name}", key))
            named.setdefault(id(item), (_cut(f"[V] {key_name}: {label(item)}"), item))
    if gc.is_tracked(value) or type(value) is dict or type(value) is tuple:
        for referent in gc.get_referents(value):
            if id(referent) not in named:
                named[id(referent)] = (label(referent), referent)
    return list(named.values())


def _repr(value: Any, depth: int) -> str:
    kind = id(type(value))
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    if kind == id(int):
        return repr(value) if abs(value) < _LARGE else f"<int of {value.bit_length()} bits>"
    if kind in (id(str), id(bytes)):
        return repr(value[:_WIDTH])
    if depth and kind in _BRACKETS:
        return _container(value, _BRACKETS[kind], depth)
    if depth and kind == id(dict):
        pairs = [map(_repr, pair, repeat(depth - 1)) for pair in _first(dict.items(value))]
        return "{" + _joined(map(": ".join, pairs), value) + "}"
    return f"<{anatomy.name(type(value))}>"


def _container(value: Any, brackets: tuple[str, str], depth: int) -> str:
    if not value:
        return repr(value)
    items = (_repr(item, depth - 1) for item in _first(value))
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return brackets[0] + _joined(items, value) + comma + brackets[1]


def _first(items: Iterable[Any]) -> list[Any]:
    # One call in C: another thread cannot change the container in between.
    return list(islice(items, _ITEMS))


def _joined(parts: Iterator[str], whole: Any) -> str:
    return ", ".join(parts) + (", ..." if len(whole) > _ITEMS else "")


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
