"""The engine in Python: the whole heap, or what a few objects refer to, counted by type.

Works on thousands of objects per call of a C function, never on one at a time. Follows every
reference that ``tp_traverse`` shows, the text keys of dicts and the members of code objects, which
it does not show. Out of its reach, and the only difference from an engine in C:

- the values that an instance keeps outside its ``__dict__`` as storage: the objects are counted,
  the block of pointers is not;
- the way from an instance to its ``__dict__`` on Python 3.13, where the collector need not go it:
  a census counts that dict all the same, a deep size does not;
- a code object's local names and their kinds, a tuple and a few bytes, which Python can only copy.
"""

from __future__ import annotations

import gc
import operator
import sys
import types
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, compress, filterfalse, repeat
from typing import Any, Final

from . import anatomy, collector
from .roots import OWN, Buffer, Piles, Roots, list_roots, list_unlisted

# How many objects, and how many referents, are handled by one call. With these the objects are
# still in the processor's cache when the next call looks at them; some lists have millions.
_CHUNK: Final = 2048
_REFERENTS: Final = 32768

_CODE_MEMBERS: Final[tuple[Callable[[types.CodeType], Any], ...]] = tuple(
    types.CodeType.__dict__[member].__get__
    for member in (
        "co_consts",
        "co_names",
        "co_filename",
        "co_name",
        "co_qualname",
        "co_linetable",
        "co_exceptiontable",
    )
)

_bound_to: Final[Callable[[types.MethodType], object]] = types.MethodType.__dict__[
    "__self__"
].__get__

_REFERRED_TO_ONCE: Final = next(map(sys.getrefcount, [object()])) + 1
"""The reference count of an object that is in one list of ours and known to one other thing."""


def census(exclude: Collection[type] = ()) -> tuple[dict[str, int], dict[str, int], int, int]:
    """Count every object on the heap, each once, by type name.

    Returns name -> objects, name -> bytes, the number of objects that ``gc.freeze()`` set aside,
    and how many of these were not reached. Instances of exactly the ``exclude`` classes are left
    out, methods bound to them, and the numbers and texts that only they refer to.
    """
    paused = collector.pause()
    try:
        roots = list_roots()
        try:
            walk = _HeapWalk(roots, exclude)
            walk.run()
            return *walk.columns(), roots.frozen, walk.frozen_unreached()
        finally:
            roots.clear()
    finally:
        collector.resume(paused)


def sizeof(objects: Sequence[Any]) -> int:
    """Return the bytes of the objects and all that they refer to, each referent once.

    A class, module, function, code object or frame is not followed, and counts only if it is
    itself asked for.
    """
    paused = collector.pause()
    try:
        distinct = {id(asked): asked for asked in objects}.values()
        alone = [asked for asked in distinct if anatomy.stops(type(asked))]
        return _deep_size(objects, set()) + sum(map(_flat_size, alone))
    finally:
        collector.resume(paused)


def instances(classes: Sequence[type]) -> list[tuple[str, int, int]]:
    """Return (name, instances alive, their deep bytes) of each class, its subclasses included."""
    paused = collector.pause()
    try:
        roots = list_roots()
        try:
            walk = _SearchWalk(roots, classes)
            walk.run()
            return [
                (anatomy.name(kind), len(found), _deep_size(found, set()))
                for kind, found in zip(classes, walk.matches, strict=True)
            ]
        finally:
            roots.clear()
    finally:
        collector.resume(paused)


class Sizing:
    """Sizes that count each object once together. Keeps addresses, no objects."""

    __slots__ = ("_met",)

    def __init__(self) -> None:
        self._met: set[int] = set()

    def meet(self, measured: Any) -> bool:
        """Add an object to those that count no more; tell whether it did before."""
        is_new = id(measured) not in self._met
        self._met.add(id(measured))
        return is_new

    def flat(self, measured: Any) -> int:
        """Return the bytes of the object alone."""
        return _flat_size(measured)

    def deep(self, objects: Sequence[Any]) -> int:
        """Return the bytes of those objects, and of what they refer to, not met before."""
        paused = collector.pause()
        try:
            return _deep_size(objects, self._met)
        finally:
            collector.resume(paused)

    def referents(self, measured: Any) -> list[Any]:
        """Return what the object directly refers to, as a walk sees it."""
        if anatomy.is_followed(measured):
            return gc.get_referents(measured)
        return []


class _Walk:
    """One pass over objects and all that they refer to, each counted once.

    What is found goes on a pile with others of its type: so much is the same for all of them.
    """

    def __init__(self, piles: Piles, seen: set[int], exclude: Collection[type] = ()) -> None:
        self._piles = piles
        self._seen = seen
        self._excluded = {*OWN, *map(id, exclude)}
        self._totals: dict[int, tuple[type, int, int]] = {}

    def run(self) -> None:
        """Count what is on the piles, and whatever that leads to."""
        while self._piles:
            piles = list(self._piles.values())
            self._piles.clear()
            while piles:
                pile = piles.pop()
                if pile and self.wants(type(pile[0])):
                    self.take(pile)

    def wants(self, kind: type) -> bool:
        """Tell whether instances of the type are counted and followed."""
        return not self.excludes(kind)

    def excludes(self, kind: type) -> bool:
        """Tell whether instances of the type are left out with the methods bound to them."""
        return id(kind) in self._excluded

    def take(self, pile: list[Any]) -> None:
        """Count objects of one type and put on the piles what they refer to."""
        kind = type(pile[0])
        if kind is types.MethodType:
            pile = [method for method in pile if not self.excludes(type(_bound_to(method)))]
        self.add(kind, len(pile), anatomy.bytes_of(kind, pile))
        if kind is types.CodeType:
            for member in _CODE_MEMBERS:
                self.discover(list(map(member, pile)))
        if anatomy.is_collectable(kind):
            for start in range(0, len(pile), _CHUNK):
                self.follow(kind, pile[start : start + _CHUNK])

    def follow(self, kind: type, objects: list[Any]) -> None:
        """Put on the piles what objects of one type refer to."""
        if anatomy.is_dict(kind):
            # Before the referents: these show some keys again, which are on a pile by then.
            self.discover_texts(objects)
        if kind is not dict and kind is not tuple:
            # Untracked objects of other types may be half built.
            objects = list(filter(gc.is_tracked, objects))
        if kind is types.ModuleType:
            # On Python 3.12 it shows iterators that it has freed, and would free them again.
            objects = [module for module in objects if module is not sys.modules.get("_asyncio")]
        found = gc.get_referents(*objects)
        while found:
            part = found[-_REFERENTS:]
            del found[-_REFERENTS:]
            self.discover(part)

    def discover(self, found: list[Any]) -> None:
        """Put on the piles those of the objects that were not met before; empty the list."""
        self.put(_first_met(found, self._seen))

    def discover_texts(self, dicts: list[Any]) -> None:
        """Put the text keys of some dicts on the piles. The collector need not see them.

        Instances share tables of keys, so one reference to a text is met many times.
        """
        keys = list(chain.from_iterable(map(dict.__iter__, dicts)))
        if not self._seen.issuperset(map(id, keys)):
            self.put(_not_in(self._seen, [key for key in keys if type(key) is str]))

    def put(self, objects: list[Any]) -> None:
        """Put objects on the piles."""
        any(self._piles.sorting(objects))

    def add(self, kind: type, number: int, size: int) -> None:
        """Add to the totals of a type."""
        _, objects, total = self._totals.get(id(kind), (kind, 0, 0))
        self._totals[id(kind)] = kind, objects + number, total + size

    def columns(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return name -> objects and name -> bytes; types of the same name are one.

        Not a pair for each name: so many new objects would set the collector off.
        """
        counts: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for kind, number, size in self._totals.values():
            if number:
                name = anatomy.name(kind)
                counts[name] = counts.get(name, 0) + number
                sizes[name] = sizes.get(name, 0) + size
        return counts, sizes

    def total(self) -> int:
        """Return the bytes of all that was counted."""
        return sum(size for _, _, size in self._totals.values())


class _DeepWalk(_Walk):
    """A walk that stops at what belongs to the program and not to the data."""

    def wants(self, kind: type) -> bool:
        return super().wants(kind) and not anatomy.stops(kind)


class _HeapWalk(_Walk):
    """A walk from all that the collector lists.

    What it tracks is on its list, or frozen, or was made by another thread since: it needs no set
    of addresses, which is most of what a walk costs.
    """

    def __init__(self, roots: Roots, exclude: Collection[type] = ()) -> None:
        super().__init__(roots.piles, set(), exclude)
        self._frozen_met = 0
        self._roots = roots
        self._listed: set[int] = set()
        if roots.frozen:
            listed = chain.from_iterable(roots.piles.values())
            self._listed.update(roots.tuple_addresses, map(id, listed))
        # It is older than any freezing: on the list, where Python lists what is frozen, too.
        self._frozen_is_listed = id(sys) in self._listed

    def run(self) -> None:
        """Count the whole heap."""
        roots = self._roots
        # Kept to the end: what this refers to is then never taken for referred to once.
        unlisted = list_unlisted()
        self.discover(unlisted.copy())
        self.discover(roots.tuple_items)
        self.add(tuple, len(roots.tuple_sizes), sum(roots.tuple_sizes))
        super().run()
        unlisted.clear()
        for part in roots.scaffolding:
            self.add(type(part), -1, -_flat_size(part))

    def frozen_unreached(self) -> int:
        """Return how many frozen objects were not met."""
        return 0 if self._frozen_is_listed else max(self._roots.frozen - self._frozen_met, 0)

    def discover(self, found: list[Any]) -> None:
        """Put on the piles those of the objects that are on no list; empty the list."""
        untracked = list(filterfalse(gc.is_tracked, found))
        if self._listed:
            frozen = _not_in(self._listed, list(filter(gc.is_tracked, found)))
            self._frozen_met += len(frozen)
            self.put(frozen)
        found.clear()
        super().discover(untracked)

    def add(self, kind: type, number: int, size: int) -> None:
        if self.wants(kind):
            super().add(kind, number, size)


class _SearchWalk(_HeapWalk):
    """A walk that keeps the instances of some classes."""

    def __init__(self, roots: Roots, classes: Sequence[type]) -> None:
        super().__init__(roots)
        self.matches: list[list[Any]] = [[] for _ in classes]
        self._wanted = [frozenset((id(kind),)) for kind in classes]

    def take(self, pile: list[Any]) -> None:
        for matches, wanted in zip(self.matches, self._wanted, strict=True):
            if anatomy.is_kind_of(type(pile[0]), wanted):
                matches.extend(pile)
        super().take(pile)


def _first_met(found: list[Any], seen: set[int]) -> list[Any]:
    """Return the objects met for the first time, each once; empty the list.

    An object to which one reference exists is met once: no set needs to know its address.
    """
    once = list(map(operator.is_, map(sys.getrefcount, found), repeat(_REFERRED_TO_ONCE)))
    met = list(compress(found, once))
    met += _not_in(seen, list(compress(found, map(operator.not_, once))))
    found.clear()
    return met


def _not_in(seen: set[int], found: list[Any]) -> list[Any]:
    """Return the objects whose addresses are not in the set, each once; add them to it."""
    by_address = dict(zip(map(id, found), found, strict=True))
    new = set(by_address).difference(seen)
    seen |= new
    return list(map(by_address.__getitem__, new))


def _deep_size(objects: Iterable[Any], seen: set[int]) -> int:
    walk = _DeepWalk(Piles(Buffer), seen)
    walk.discover(list(objects))
    walk.run()
    return walk.total()


def _flat_size(measured: Any) -> int:
    return anatomy.bytes_of(type(measured), [measured])
