"""The census in Python: the whole heap, or what a few objects refer to, counted by type.

A walk handles thousands of objects per call of a C function, never one at a time. It follows every
reference that ``tp_traverse`` visits, and two kinds that it does not visit: the text keys of dicts
and the members of code objects. Its figures are those of the compiled engine except for what
Python cannot reach:

- the block of values that an instance has instead of a ``__dict__``: the values are counted, the
  block is not;
- on Python 3.13, an instance's ``__dict__`` where the collector does not visit it: a census counts
  that dict all the same, a deep size does not;
- a code object's local names and their kinds (a tuple and a bytes object), which Python can only
  copy.
"""

from __future__ import annotations

import gc
import operator
import sys
import types as standard_types
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import chain, compress, filterfalse, repeat
from typing import Any, Final

from .. import collector, types
from .roots import INTERNED, OWN, Buffer, Piles, Roots, list_roots, list_unlisted
from .sizes import bytes_of

# How many objects, and how many referents, one call handles: few enough for the objects to be still
# in the processor's cache at the next call.
_CHUNK: Final = 2048
_REFERENTS: Final = 32768

_CODE_MEMBERS: Final[tuple[Callable[[standard_types.CodeType], Any], ...]] = tuple(
    standard_types.CodeType.__dict__[member].__get__
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

_bound_to: Final[Callable[[standard_types.MethodType], object]] = (
    standard_types.MethodType.__dict__["__self__"].__get__
)

_REFERRED_TO_ONCE: Final = next(map(sys.getrefcount, [object()])) + 1
"""The reference count of an object that one list of the walk and one other object refer to."""

_FOLLOWED_UNTRACKED: Final = frozenset(
    map(id, (dict, tuple, frozenset, *(() if types.FROZENDICT is None else (types.FROZENDICT,))))
)
"""The types whose untracked instances are complete; those of other types may be half built.

CPython leaves dicts and tuples untracked whose items are, since 3.15 frozensets also:
Objects/setobject.c. While their tables are filled nothing else refers to them.
"""


def census(exclude: Collection[type] = ()) -> tuple[dict[str, int], dict[str, int], int, int]:
    """Count every object on the heap, each once, by type name.

    Returns name -> objects, name -> bytes, the number of objects in the permanent generation of
    ``gc.freeze()``, and how many of these the walk did not reach. Left out are instances of exactly
    the ``exclude`` classes, methods bound to these, and the untracked objects that only they refer
    to.
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

    A class, module, function, code object or frame is not followed, and counts only if it is one
    of ``objects``.
    """
    paused = collector.pause()
    try:
        distinct = {id(measured): measured for measured in objects}.values()
        not_followed = [measured for measured in distinct if types.stops(type(measured))]
        return _deep_size(objects, set()) + sum(map(_flat_size, not_followed))
    finally:
        collector.resume(paused)


def instances(classes: Sequence[type]) -> list[tuple[str, int, int]]:
    """Return (name, instances alive, their deep bytes) for each class, subclasses included."""
    paused = collector.pause()
    try:
        roots = list_roots()
        try:
            walk = _SearchWalk(roots, classes)
            walk.run()
            return [
                (types.name(kind), len(found), _deep_size(found, set()))
                for kind, found in zip(classes, walk.matches, strict=True)
            ]
        finally:
            roots.clear()
    finally:
        collector.resume(paused)


class Sizing:
    """Sizes in which each object counts once altogether. Stores addresses, no references."""

    __slots__ = ("_met",)

    def __init__(self) -> None:
        self._met: set[int] = set()

    def meet(self, measured: Any) -> bool:
        """Mark an object as counted; return whether it was not yet."""
        is_new = id(measured) not in self._met
        self._met.add(id(measured))
        return is_new

    def flat(self, measured: Any) -> int:
        """Return the bytes of the object alone."""
        return _flat_size(measured)

    def deep(self, objects: Sequence[Any]) -> int:
        """Return the bytes of the objects and all that they refer to, less what was counted."""
        paused = collector.pause()
        try:
            return _deep_size(objects, self._met)
        finally:
            collector.resume(paused)

    def referents(self, measured: Any) -> list[Any]:
        """Return what the object directly refers to, as a walk follows it."""
        if gc.is_tracked(measured) or id(type(measured)) in _FOLLOWED_UNTRACKED:
            return gc.get_referents(measured)
        return []


class _Walk:
    """One pass over objects and all that they refer to, each counted once.

    Objects are gathered in piles of one type, because size and referents depend on the type.
    """

    def __init__(self, piles: Piles, seen: set[int], exclude: Collection[type] = ()) -> None:
        self._piles = piles
        self._seen = seen
        self._excluded = {*OWN, *map(id, exclude)}
        self._totals: dict[int, tuple[type, int, int]] = {}
        self._trusts_single_references = True

    def run(self) -> None:
        """Count the objects on the piles, and all that they refer to."""
        while self._piles:
            piles = list(self._piles.values())
            self._piles.clear()
            while piles:
                pile = piles.pop()
                if pile and self.wants(type(pile[0])):
                    self.take(pile)

    def wants(self, kind: type) -> bool:
        """Return whether instances of the type are counted and followed."""
        return not self.excludes(kind)

    def excludes(self, kind: type) -> bool:
        """Return whether instances of the type, and methods bound to them, are left out."""
        return id(kind) in self._excluded

    def take(self, pile: list[Any]) -> None:
        """Count objects of one type, and put their referents on the piles."""
        kind = type(pile[0])
        if kind is standard_types.MethodType:
            pile = [method for method in pile if not self.excludes(type(_bound_to(method)))]
        self.add(kind, len(pile), bytes_of(kind, pile))
        if kind is standard_types.CodeType:
            for member in _CODE_MEMBERS:
                self.discover(list(map(member, pile)))
        if types.flags(kind) & types.HAVE_GC:
            for start in range(0, len(pile), _CHUNK):
                self.follow(kind, pile[start : start + _CHUNK])

    def follow(self, kind: type, objects: list[Any]) -> None:
        """Put the referents of objects of one type on the piles."""
        if types.is_dict(kind):
            # Before the referents, which include some of the keys again.
            self.discover_texts(objects)
        if id(kind) not in _FOLLOWED_UNTRACKED:
            objects = list(filter(gc.is_tracked, objects))
        if kind is standard_types.ModuleType:
            # On Python 3.12 _asyncio's tp_traverse visits iterators that are freed already.
            objects = [module for module in objects if module is not sys.modules.get("_asyncio")]
        found = gc.get_referents(*objects)
        while found:
            part = found[-_REFERENTS:]
            del found[-_REFERENTS:]
            self.discover(part)

    def discover(self, found: list[Any]) -> None:
        """Put on the piles the objects that are met for the first time; empty the list."""
        once, often = _by_references(found)
        if not self._trusts_single_references:
            was_met = map(self._seen.__contains__, map(id, once))
            once = list(compress(once, map(operator.not_, was_met)))
        self.put(once)
        self.put(_not_in(self._seen, often))

    def discover_texts(self, dicts: list[Any]) -> None:
        """Put the text keys of dicts of one type on the piles: ``tp_traverse`` may omit them.

        The reference count proves nothing here: instances share tables of keys, so one reference
        to a text is met many times.
        """
        keys = list(chain.from_iterable(map(types.keys_of, dicts)))
        if not self._seen.issuperset(map(id, keys)):
            self.put(_not_in(self._seen, [key for key in keys if type(key) is str]))

    def put(self, objects: list[Any]) -> None:
        """Put objects on the piles."""
        # Runs the iterator to its end within one call of a C function: each step returns None.
        any(self._piles.sorting(objects))

    def add(self, kind: type, number: int, size: int) -> None:
        """Add to the totals of a type."""
        _, objects, total = self._totals.get(id(kind), (kind, 0, 0))
        self._totals[id(kind)] = kind, objects + number, total + size

    def columns(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return name -> objects and name -> bytes; types of the same name share a row.

        Two dicts, because a tuple for each name would be thousands of new tracked objects.
        """
        counts: dict[str, int] = {}
        sizes: dict[str, int] = {}
        for kind, number, size in self._totals.values():
            if number:
                name = types.name(kind)
                counts[name] = counts.get(name, 0) + number
                sizes[name] = sizes.get(name, 0) + size
        return counts, sizes

    def total(self) -> int:
        """Return the bytes of all objects counted."""
        return sum(size for _, _, size in self._totals.values())


class _DeepWalk(_Walk):
    """A walk that stops at what belongs to the program and not to the data: ``types.stops``."""

    def wants(self, kind: type) -> bool:
        return super().wants(kind) and not types.stops(kind)


class _HeapWalk(_Walk):
    """A walk from all objects that the collector lists.

    A tracked referent is on that list, is frozen, or was made by another thread since. So the walk
    remembers addresses of untracked objects only: the set of addresses is most of what it costs.
    """

    def __init__(self, roots: Roots, exclude: Collection[type] = ()) -> None:
        super().__init__(roots.piles, set(), exclude)
        self._frozen_met = 0
        self._roots = roots
        self._listed: set[int] = set()
        if roots.frozen:
            listed = chain.from_iterable(roots.piles.values())
            self._listed.update(roots.tuple_addresses, map(id, listed))
        # The module sys is older than any freeze: it is listed only if frozen objects are listed.
        self._frozen_is_listed = id(sys) in self._listed

    def run(self) -> None:
        """Count the whole heap."""
        roots = self._roots
        # This list stays alive to the end, so that no object in it has the reference count of an
        # object with a single referrer.
        unlisted = list_unlisted()
        if INTERNED:
            # The dict of interned texts refers to them without a count, so that a text with a
            # single counted reference may be met twice.
            self.discover_texts([INTERNED])
            self._trusts_single_references = False
        self.discover(unlisted.copy())
        self.discover(roots.tuple_items)
        self.add(tuple, len(roots.tuple_sizes), sum(roots.tuple_sizes))
        super().run()
        unlisted.clear()
        for part in roots.scaffolding:  # counted, and no object of the program
            self.add(type(part), -1, -_flat_size(part))

    def frozen_unreached(self) -> int:
        """Return how many frozen objects the walk did not reach."""
        return 0 if self._frozen_is_listed else max(self._roots.frozen - self._frozen_met, 0)

    def discover(self, found: list[Any]) -> None:
        """Put on the piles the new objects that the collector does not list; empty the list."""
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
    """A census that collects the instances of some classes in ``matches``."""

    def __init__(self, roots: Roots, classes: Sequence[type]) -> None:
        super().__init__(roots)
        self.matches: list[list[Any]] = [[] for _ in classes]
        self._wanted = [frozenset((id(kind),)) for kind in classes]

    def take(self, pile: list[Any]) -> None:
        for matches, wanted in zip(self.matches, self._wanted, strict=True):
            if types.is_kind_of(type(pile[0]), wanted):
                matches.extend(pile)
        super().take(pile)


def _by_references(found: list[Any]) -> tuple[list[Any], list[Any]]:
    """Return the objects with a single referrer, and the others; empty the list.

    An object with a single referrer is met once, so its address need not be remembered.
    """
    once = list(map(operator.is_, map(sys.getrefcount, found), repeat(_REFERRED_TO_ONCE)))
    parts = list(compress(found, once)), list(compress(found, map(operator.not_, once)))
    found.clear()
    return parts


def _not_in(seen: set[int], found: list[Any]) -> list[Any]:
    """Return the objects whose addresses are not in the set, each once; add these addresses."""
    by_address = dict(zip(map(id, found), found, strict=True))
    new = set(by_address).difference(seen)
    seen |= new
    return list(map(by_address.__getitem__, new))


def _deep_size(objects: Iterable[Any], seen: set[int]) -> int:
    """Return the bytes of objects and of all that they refer to, less the addresses in ``seen``."""
    walk = _DeepWalk(Piles(Buffer), seen)
    walk.discover(list(objects))
    walk.run()
    return walk.total()


def _flat_size(measured: Any) -> int:
    return bytes_of(type(measured), [measured])
