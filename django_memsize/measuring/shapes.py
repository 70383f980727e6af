"""Which routes a path may have, before Django resolves it: learnt from requests that are over.

Django resolves the path of a request long after the decision to meter it. To resolve it twice would
run the converters of the program twice, costs more than all of a counted request where the URLconf
is large, and misses a URLconf that a middleware sets. So the *shape* of a path is looked up: its
segments, of which only those stay that occur literally in a known route. ``/orders/17/edit/`` and
``/orders/18/edit/`` have one shape, and no part of either path that is not a part of a route is
kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from ..values import OwnTuple, ours

METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)
"""The methods that are known by name."""

_DEPTH: Final = 12
"""Segments of a path that are told apart; the rest is one segment."""

_MOST_SHAPES: Final = 4_000
_MOST_SHAPES_OF_A_ROUTE: Final = 32
"""A route that matches paths of any length would else take all the room."""

_MOST_ROUTES_OF_A_SHAPE: Final = 4
_MOST_WORDS: Final = 10_000

_WORDS: Final = re.compile(r"[^/^$]+")
"""The segments of a route, those of regular expressions without ``^`` and ``$``."""

_Route = TypeVar("_Route")


@ours
class _Words(dict[str, str]):
    """Each word by itself: a look-up is then a call of C."""

    __slots__ = ()

    def add(self, words: Sequence[str]) -> None:
        self.update(zip(words, words, strict=True))


@ours
class _ByShape(dict[tuple["str | None", ...], OwnTuple[_Route]]):
    __slots__ = ()


@ours
class _Numbers(dict[_Route, int]):
    __slots__ = ()


@ours
class Shapes(Generic[_Route]):
    """The routes of each shape, the latest first. Bounded, whatever paths are asked for."""

    __slots__ = ("_by_shape", "_numbers", "_words")

    def __init__(self) -> None:
        self._words = _Words()
        self._words.add(("", *METHODS))
        self._by_shape = _ByShape[_Route]()
        self._numbers = _Numbers[_Route]()

    def routes(self, method: str, path: str) -> tuple[_Route, ...] | None:
        """Return the routes that requests of this method and of paths like this one had."""
        parts = path.split("/", _DEPTH)
        parts[0] = method  # before the first slash there is nothing
        # Faster than tuple(map(...)), which does not know its length.
        return self._by_shape.get((*map(self._words.get, parts),))

    def learn(self, method: str, path: str, pattern: str, route: _Route) -> None:
        """Remember that a request of this method and path had the route of a pattern."""
        if len(self._words) < _MOST_WORDS:
            self._words.add(_WORDS.findall(pattern))
        parts = path.split("/", _DEPTH)
        parts[0] = method
        shape = OwnTuple(map(self._words.get, parts))
        known: OwnTuple[_Route] = self._by_shape.get(shape, OwnTuple())
        if route not in known:
            number = self._numbers.get(route, 0)
            if number >= _MOST_SHAPES_OF_A_ROUTE or (
                not known and len(self._by_shape) >= _MOST_SHAPES
            ):
                return
            self._numbers[route] = number + 1
        others = [other for other in known if other is not route]
        self._by_shape[shape] = OwnTuple((route, *others[: _MOST_ROUTES_OF_A_SHAPE - 1]))
        for pushed_out in others[_MOST_ROUTES_OF_A_SHAPE - 1 :]:
            self._numbers[pushed_out] -= 1
