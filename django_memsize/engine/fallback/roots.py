"""The objects that a walk of the heap starts from.

Listing the heap in Python has one danger. ``tuple(generator())`` in another thread builds its
tuple in place and resizes it, which CPython allows only while nothing else refers to the tuple: a
list of all objects that outlives one bytecode makes that thread raise SystemError
(https://github.com/python/cpython/issues/127058). So the listing, and everything done with tuples,
is a chain of C functions run by one call: the interpreter switches threads only between bytecodes.
Its result refers to no tuple that may still grow.
"""

from __future__ import annotations

import gc
import sys
import types as standard_types
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, starmap
from typing import Any, Final

from .. import types


class Buffer(list[Any]):
    """A list of the walk, which its class distinguishes from the program's lists."""

    __slots__ = ()


class Piles(defaultdict[int, list[Any]]):
    """Address of a type -> the objects of this type; a missing pile is created."""

    __slots__ = ()

    def sorting(self, found: list[Any]) -> Iterator[None]:
        """Return an iterator, all in C, whose every step puts one object on its pile."""
        kinds = map(id, map(type, found))
        return map(list.append, map(self.__getitem__, kinds), found)


@dataclass(slots=True)
class Roots:
    """The objects that the collector tracks.

    They are in ``piles``, except for tuples, of which only address, size and items are stored.
    ``scaffolding`` holds the iterators of the listing itself, which it found as well. ``frozen`` is
    the number of objects in the permanent generation of ``gc.freeze()``, which may not be listed.
    """

    piles: Piles = field(default_factory=partial(Piles, Buffer))
    tuple_addresses: list[int] = field(default_factory=Buffer)
    tuple_sizes: list[int] = field(default_factory=Buffer)
    tuple_items: list[Any] = field(default_factory=Buffer)
    scaffolding: list[Any] = field(default_factory=Buffer)
    frozen: int = 0

    def clear(self) -> None:
        """Drop all references. The listing contains itself: without this it would be a cycle."""
        self.piles.clear()
        self.tuple_items.clear()
        self.scaffolding.clear()


OWN: Final = frozenset(map(id, (Buffer, Piles, Roots)))
"""Addresses of the walk's own classes, which it does not count."""


def list_roots() -> Roots:
    """List what the collector tracks at this moment. The collector must be disabled."""
    roots, everything = Roots(), Buffer()
    tuples = roots.piles[id(tuple)]
    steps = chain(
        map(everything.extend, _once(gc.get_objects)),
        roots.piles.sorting(everything),
        _once(everything.clear),
        map(roots.tuple_addresses.append, map(id, tuples)),
        map(roots.tuple_sizes.append, map(sys.getsizeof, tuples)),
        map(roots.tuple_items.extend, map(gc.get_referents, tuples)),
        _once(tuples.clear),
    )
    roots.scaffolding.extend(_parts_of(steps))
    try:
        any(steps)  # runs all steps: each returns None
    except MemoryError:
        everything.clear()
        roots.clear()
        raise
    immortal = _immortal_tuples()
    roots.frozen = gc.get_freeze_count() - len(immortal)
    if roots.frozen >= 0:  # else no collection has frozen them yet, and they are listed above
        roots.tuple_addresses.extend(map(id, immortal))
        tuples.extend(immortal)
    roots.frozen = max(roots.frozen, 0)
    return roots


def list_unlisted() -> list[Any]:
    """List the referrers of objects that the collector does not list: static types, or frozen."""
    found: list[Any] = _classes()
    namespaces = gc.get_referents(*map(types.namespace, found))
    bases = [*map(types.bases, found), *map(types.mro, found)]
    return [*found, *namespaces, *bases, *sys.modules.values()]


def _once(function: Callable[..., Any]) -> Iterator[Any]:
    """Return an iterator, all in C, of one step: it calls the function without arguments."""
    return starmap(function, Buffer([()]))


_SCAFFOLDING: Final = frozenset(
    map(id, (chain, map, starmap, tuple, type(iter(())), type(iter([]))))
)


def _parts_of(steps: Iterator[Any]) -> list[Any]:
    """Return the iterator and the objects that were made only for it."""
    parts: dict[int, Any] = {}
    pending: list[Any] = [steps]
    while pending:
        part = pending.pop()
        bound = type(part) is standard_types.BuiltinMethodType and id(type(part.__self__)) in OWN
        if (bound or id(type(part)) in _SCAFFOLDING) and id(part) not in parts:
            parts[id(part)] = part
            pending.extend(gc.get_referents(part))
    return list(parts.values())


def _classes() -> list[type]:
    """Return all classes: ``object``, its subclasses, those of these, and so on."""
    found: dict[int, type] = {}
    level: list[type] = [object]
    while level:
        new = {id(kind): kind for kind in level if id(kind) not in found}
        found.update(new)
        level = list(chain.from_iterable(map(type.__subclasses__, new.values())))
    return list(found.values())


def _immortal_tuples() -> list[tuple[type, ...]]:
    """Return the tuples of bases of the built-in classes, where CPython itself freezes them.

    That is on 3.12: the tuples are immortal there, and a collection freezes immortal objects.
    """
    built_in = [kind for kind in _classes() if not types.is_heap_type(kind)]
    tuples = {
        id(held): held for member in (types.mro, types.bases) for held in map(member, built_in)
    }
    return [held for held in tuples.values() if gc.is_tracked(held) and _is_immortal(held)]


def _is_immortal(held: object) -> bool:
    return sys.getrefcount(held) > 1 << 30


def _interned_texts() -> dict[str, str]:
    """Return CPython's dict of interned texts; an empty dict where the collector lists none."""
    text = sys.intern(f"{__name__} is interned")
    found = (held for held in gc.get_referrers(text) if type(held) is dict)
    return next((held for held in found if held.get(text) is text), {})


INTERNED: Final = _interned_texts() if sys.version_info >= (3, 14) else {}
"""CPython's dict of interned texts, where the collector lists it; elsewhere an empty dict.

The references of this dict are not in the reference counts of the texts: _PyUnicode_InternMortal
in Objects/unicodeobject.c. Before 3.14 a dict of texts is untracked.
"""
