"""Objects and bytes by type: a snapshot of the heap, the difference of two, an amount of memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..formatting import counted, type_table
from .ownership import Counts, ours

ROWS_SHOWN: Final = 15
"""Rows that ``str()`` of a snapshot or a diff prints."""


@ours
@dataclass(frozen=True, slots=True)
class TypeTotal:
    """The number of objects of one type, and their bytes together."""

    count: int = 0
    size: int = 0

    def __add__(self, other: TypeTotal) -> TypeTotal:
        return TypeTotal(self.count + other.count, self.size + other.size)

    def __sub__(self, other: TypeTotal) -> TypeTotal:
        return TypeTotal(self.count - other.count, self.size - other.size)

    def __bool__(self) -> bool:
        return bool(self.count or self.size)


_NOTHING: Final = TypeTotal()


class _TypeTable(Mapping[str, TypeTotal]):
    # Two dicts of numbers: a TypeTotal for each of a thousand types would start a collection.
    __slots__ = ("_counts", "_sizes")

    def __init__(self, counts: Mapping[str, int], sizes: Mapping[str, int]) -> None:
        self._counts = Counts(counts)
        self._sizes = Counts(sizes)

    def __getitem__(self, name: str) -> TypeTotal:
        return TypeTotal(self._counts[name], self._sizes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _TypeTable)
            and type(other) is type(self)
            and self._counts == other._counts
            and self._sizes == other._sizes
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name, total = type(self).__name__, self.total
        return f"<{name}: {len(self)} types, {total.count:,} objects, {total.size:,} bytes>"

    def __str__(self) -> str:
        """Return the table of the types with most bytes: types, # objects, total size."""
        return _text(self.ranked()[:ROWS_SHOWN])

    @property
    def total(self) -> TypeTotal:
        """Objects and bytes of all types together."""
        return TypeTotal(sum(self._counts.values()), sum(self._sizes.values()))

    def ranked(self) -> list[tuple[str, TypeTotal]]:
        """Return (name, total) of every type, ordered by bytes without their sign, largest first.

        Types of the same size are ordered by their number of objects, then by name.
        """
        return [(name, TypeTotal(count, size)) for name, count, size in self.ranked_numbers()]

    def ranked_numbers(self) -> list[tuple[str, int, int]]:
        """Return (name, number of objects, bytes) of every type, in the order of ``ranked()``."""
        sizes = self._sizes
        rows = [(name, count, sizes[name]) for name, count in self._counts.items()]
        rows.sort(key=_rank)
        return rows


@ours
class Snapshot(_TypeTable):
    """Count and bytes by type name of every object on the heap at one moment.

    ``snapshot["bank.models.Account"].count`` is a number of objects. A type without objects is not
    in the mapping. ``after - before`` is a :class:`Diff`. ``frozen`` is the number of objects that
    ``gc.freeze()`` set aside; ``frozen_unreached`` is how many of these no other object led to, and
    that are therefore not counted.
    """

    __slots__ = ("frozen", "frozen_unreached")

    def __init__(
        self,
        counts: Mapping[str, int],
        sizes: Mapping[str, int],
        frozen: int = 0,
        frozen_unreached: int = 0,
    ) -> None:
        super().__init__(counts, sizes)
        self.frozen = frozen
        self.frozen_unreached = frozen_unreached

    def __sub__(self, before: Snapshot) -> Diff:
        if not isinstance(before, Snapshot):
            return NotImplemented
        counts, sizes = {}, {}
        for name in self._counts.keys() | before._counts.keys():
            count = self._counts.get(name, 0) - before._counts.get(name, 0)
            size = self._sizes.get(name, 0) - before._sizes.get(name, 0)
            if count or size:
                counts[name], sizes[name] = count, size
        return Diff(counts, sizes, comparable=self.frozen == before.frozen)


@ours
class Diff(_TypeTable):
    """What changed, by type name. A type that did not change is not in the mapping.

    ``comparable`` is False if ``gc.freeze()`` or ``gc.unfreeze()`` ran between the two snapshots:
    one of them then lacks objects that the other one has. ``top()`` sums up the smaller types:
    ``others`` is their number, ``other`` is their sum, and ``total`` includes it.
    """

    __slots__ = ("_rows_shown", "comparable", "other", "others")

    def __init__(
        self,
        counts: Mapping[str, int],
        sizes: Mapping[str, int],
        comparable: bool = True,
        others: int = 0,
        other: TypeTotal = _NOTHING,
        rows_shown: int = ROWS_SHOWN,
    ) -> None:
        super().__init__(counts, sizes)
        self.comparable = comparable
        self.others = others
        self.other = other
        self._rows_shown = rows_shown

    @classmethod
    def of(
        cls,
        rows: Iterable[tuple[str, TypeTotal]],
        others: int = 0,
        other: TypeTotal = _NOTHING,
        comparable: bool = True,
    ) -> Diff:
        """Return a diff of (name, total) pairs."""
        rows = tuple(rows)
        counts = {name: total.count for name, total in rows}
        return cls(counts, {name: total.size for name, total in rows}, comparable, others, other)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Diff)
            and super().__eq__(other)
            and (self.others, self.other) == (other.others, other.other)
        )

    __hash__ = None

    @property
    def total(self) -> TypeTotal:
        """Objects and bytes of all types together, those without a name of their own included."""
        return super().total + self.other

    def largest(self, number: int) -> Diff:
        """Return a diff of only the ``number`` types that changed by the most bytes."""
        shown = Diff.of(self.ranked()[:number], comparable=self.comparable)
        shown._rows_shown = max(number, 0)
        return shown

    def top(self, number: int) -> Diff:
        """Return a diff of the ``number`` largest types by name, and of all others as one sum."""
        if len(self) <= number:
            return self
        ranked = self.ranked()
        other = sum((total for _, total in ranked[number:]), self.other)
        others = self.others + len(ranked[number:])
        return Diff.of(ranked[:number], others, other, self.comparable)

    def rows(self, number: int) -> list[tuple[str, TypeTotal]]:
        """Return (name, total) of the ``number`` largest types, and of all others as one row."""
        top = self.top(number)
        rest = [(f"({counted(top.others, 'other type')})", top.other)] if top.others else []
        return top.ranked() + rest

    def __str__(self) -> str:
        """Return the table of the types that changed most: types, # objects, total size."""
        return _text(self.ranked()[: self._rows_shown])


@ours
@dataclass(frozen=True, slots=True)
class Amount:
    """Blocks of memory, and their bytes; ``types`` has them by type name where that is known.

    A buffer (the items of a list, the table of a dict) is a block of its own. In ``types`` its
    bytes belong to the object that owns it.
    """

    blocks: int = 0
    bytes: int = 0
    types: Diff = field(default_factory=lambda: Diff({}, {}))

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.blocks + other.blocks, self.bytes + other.bytes)


def bytes_of(amount: Amount | None) -> int | None:
    """Return the bytes of an amount; None if it is not known."""
    return None if amount is None else amount.bytes


def _rank(row: tuple[str, int, int]) -> tuple[int, int, str]:
    name, count, size = row
    return -abs(size), -abs(count), name


def _text(rows: Iterable[tuple[str, TypeTotal]]) -> str:
    return type_table((name, total.count, total.size) for name, total in rows)
