"""The tree of an object, and a label for each referent, without running a line of their code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import Any, Final, Protocol, TypeAlias

from . import collector, types

Node: TypeAlias = tuple[str, int, int, list["Node"]]
"""(label, deep size, bytes of the object alone, referents)."""

_DEEPEST: Final = 100
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
_MAPPINGS: Final = {id(dict): ("{", "}")}
if types.FROZENDICT is not None:
    _MAPPINGS[id(types.FROZENDICT)] = ("frozendict({", "})")


class Sizing(Protocol):
    """What a tree needs of an engine: sizes in which each object counts once altogether."""

    def meet(self, measured: Any, /) -> bool: ...  # noqa: D102 - see the engines
    def flat(self, measured: Any, /) -> int: ...  # noqa: D102
    def deep(self, objects: Sequence[Any], /) -> int: ...  # noqa: D102
    def referents(self, measured: Any, /) -> list[Any]: ...  # noqa: D102


def tree(root: Any, depth: int, new_sizing: Callable[[], Sizing]) -> Node:
    """Return the tree of an object, largest referent first.

    An object that several referents share counts with the first; an object that is itself shown in
    the tree counts where it is shown.
    """
    paused = collector.pause()
    try:
        sizing = new_sizing()
        sizing.meet(root)
        return _tree(root, label(root), min(depth, _DEEPEST), sizing)
    finally:
        collector.resume(paused)


def _tree(measured: Any, name: str, depth: int, sizing: Sizing) -> Node:
    flat = sizing.flat(measured)
    if types.stops(type(measured)):
        return name, flat, flat, []
    referents = children(measured, sizing)
    if depth <= 0:
        return name, flat + sizing.deep([referent for _, referent in referents]), flat, []
    shown = [
        (referent_name, referent)
        for referent_name, referent in referents
        if not types.stops(type(referent)) and sizing.meet(referent)
    ]
    nodes = [_tree(referent, named, depth - 1, sizing) for named, referent in shown]
    nodes.sort(key=lambda node: -node[1])
    return name, flat + sum(size for _, size, _, _ in nodes), flat, nodes


def label(value: Any) -> str:
    """Return the repr of exact built-in scalars and containers of them, else the type's name.

    At most 60 characters. No ``__repr__`` of a foreign class is called.
    """
    return _cut(_repr(value, _NESTED))


def children(value: Any, sizing: Sizing) -> list[tuple[str, Any]]:
    """Return (label, referent) of each distinct referent; of a dict keys and values in turn."""
    named: dict[int, tuple[str, Any]] = {}
    if types.is_dict(type(value)):
        for key, item in list(types.items_of(value)):
            key_name = label(key)
            named.setdefault(id(key), (f"[K] {key_name}", key))
            named.setdefault(id(item), (_cut(f"[V] {key_name}: {label(item)}"), item))
    for referent in sizing.referents(value):
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
    if depth and kind in _MAPPINGS:
        pairs = [map(_repr, pair, repeat(depth - 1)) for pair in _first(types.items_of(value))]
        opening, closing = _MAPPINGS[kind]
        return opening + _joined(map(": ".join, pairs), value) + closing
    return f"<{types.name(type(value))}>"


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
