"""What was measured, as names and numbers. Nothing here refers to a measured object or class.

A walk of the heap leaves out everything of ours by leaving out the classes in ``OURS``. So
whatever of ours outlives a walk is an instance of one of them, has slots, and refers only to text,
numbers and others of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from . import formatting

OURS: Final[list[type]] = []
"""The classes whose instances, and what only they refer to, a walk of the heap leaves out."""

_Class = TypeVar("_Class", bound=type)
_T = TypeVar("_T", covariant=True)


def ours(cls: _Class) -> _Class:
    """Add a class to ``OURS``."""
    OURS.append(cls)
    return cls


COUNTED: Final = "evaluation_log"
"""Where the name of an instrument stands: there was none, rows were counted."""

SQL_STORED: Final = 4000
"""Characters of a statement that are stored."""

ROWS_SHOWN: Final = 15
"""How many rows ``str()`` of a snapshot or a diff prints."""


@ours
@dataclass(frozen=True, slots=True)
class TypeTotal:
    """How many objects of one type, and their bytes together."""

    count: int = 0
    size: int = 0

    def __add__(self, other: TypeTotal) -> TypeTotal:
        return TypeTotal(self.count + other.count, self.size + other.size)

    def __sub__(self, other: TypeTotal) -> TypeTotal:
        return TypeTotal(self.count - other.count, self.size - other.size)

    def __bool__(self) -> bool:
        return bool(self.count or self.size)


_NOTHING = TypeTotal()


@ours
class Counts(dict[str, int]):
    """A dict of a class of ours, so that a walk of the heap knows it."""

    __slots__ = ()

    def add(self, others: Mapping[str, int]) -> None:
        """Add other numbers, name by name."""
        for name, number in others.items():
            self[name] = self.get(name, 0) + number


@ours
class OwnTuple(tuple[_T, ...]):
    """A tuple of a class of ours."""

    __slots__ = ()


@ours
class Instances(Mapping[str, int]):
    """How many instances were built, by the label of their model. A model without is not in it."""

    __slots__ = ("_numbers",)

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = Counts(numbers)

    def __getitem__(self, model: str) -> int:
        return self._numbers[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"Instances({dict(self._numbers)})"

    def __hash__(self) -> int:
        return hash(frozenset(self._numbers.items()))


_NO_INSTANCES: Final = Instances({})


class _TypeTable(Mapping[str, TypeTotal]):
    # Two dicts of numbers: objects for a thousand types would set the collector off.
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

    @property
    def total(self) -> TypeTotal:
        """Objects and bytes of all types together."""
        return TypeTotal(sum(self._counts.values()), sum(self._sizes.values()))

    def ranked(self) -> list[tuple[str, TypeTotal]]:
        """Return (name, total) of every type: most bytes first, in whichever direction."""
        counts, sizes = self._counts, self._sizes
        names = sorted(counts, key=lambda name: (-abs(sizes[name]), -abs(counts[name]), name))
        return [(name, self[name]) for name in names]


@ours
class Snapshot(_TypeTable):
    """Count and bytes by type name of every object on the heap at one moment.

    ``snapshot["bank.models.Overhead"].count``; a type with no object is not in it.
    ``after - before`` is a :class:`Diff`. ``frozen_unreached`` is how many objects that
    ``gc.freeze()`` set aside were reached from nowhere else and so are not counted.
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

    def __str__(self) -> str:
        return _table(self.ranked()[:ROWS_SHOWN])


@ours
class Diff(_TypeTable):
    """What changed, by type name; a type that did not change is not in it.

    ``comparable`` is False when ``gc.freeze()`` or ``gc.unfreeze()`` ran in between: one side then
    lacks objects that the other has, and the difference says nothing about the program.
    """

    __slots__ = ("_rows_shown", "comparable")

    def __init__(
        self,
        counts: Mapping[str, int],
        sizes: Mapping[str, int],
        comparable: bool = True,
        rows_shown: int = ROWS_SHOWN,
    ) -> None:
        super().__init__(counts, sizes)
        self.comparable = comparable
        self._rows_shown = rows_shown

    def largest(self, number: int) -> Diff:
        """Return a diff of only the types that changed by the most bytes, in that order."""
        names = [name for name, _ in self.ranked()[:number]]
        return Diff(
            {name: self._counts[name] for name in names},
            {name: self._sizes[name] for name in names},
            self.comparable,
            rows_shown=max(number, 0),
        )

    def __str__(self) -> str:
        """Return the table of the types that changed most: types, # objects, total size."""
        return _table(self.ranked()[: self._rows_shown])


@ours
@dataclass(frozen=True, slots=True)
class Amount:
    """Blocks of memory, and their bytes; ``types`` by type name, where that is known.

    A buffer counts as a block here, and in ``types`` with the object that owns it.
    """

    blocks: int = 0
    bytes: int = 0
    types: Diff = field(default_factory=lambda: Diff({}, {}))

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.blocks + other.blocks, self.bytes + other.bytes)


@ours
@dataclass(frozen=True, slots=True)
class CallSite:
    """A place in the program: file as it is imported, line, function.

    And the template that was being rendered there, if one was, with its line. Where Django itself
    rendered it (a generic view, say) there is no file.
    """

    file: str
    line: int
    function: str
    template: str = ""
    template_line: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else ""
        if not self.template:
            return place
        rendered_by = f", rendered by {place}" if place else ""
        return f"{self.template}:{self.template_line}{rendered_by}"


@ours
@dataclass(frozen=True, slots=True)
class Moment:
    """What was alive of a recording at the end of an evaluation: of those told, the most."""

    amount: Amount
    model: str
    rows: int
    site: CallSite | None


@ours
@dataclass(frozen=True, slots=True)
class TopTypes:
    """The largest types of a diff by name, the others as one sum: what is stored and shown."""

    rows: tuple[tuple[str, TypeTotal], ...] = ()
    others: int = 0
    other: TypeTotal = _NOTHING
    comparable: bool = True

    @classmethod
    def of(cls, diff: Diff, number: int) -> TopTypes:
        """Return the ``number`` largest."""
        ranked = diff.ranked()
        rest = sum((total for _, total in ranked[number:]), _NOTHING)
        return cls(tuple(ranked[:number]), len(ranked[number:]), rest, diff.comparable)

    @property
    def total(self) -> TypeTotal:
        """Objects and bytes of all types together."""
        return sum((total for _, total in self.rows), self.other)

    def table(self, number: int) -> str:
        """Return the table of the ``number`` largest, and of the rest as one row."""
        shown, left = self.rows[:number], self.rows[number:]
        others = self.others + len(left)
        if not others:
            return _table(shown)
        rest = sum((total for _, total in left), self.other)
        return _table((*shown, (f"({formatting.counted(others, 'other type')})", rest)))


@ours
@dataclass(frozen=True, slots=True)
class TopMoment:
    """A moment as stored and shown."""

    model: str
    rows: int
    site: CallSite | None
    types: TopTypes

    @classmethod
    def of(cls, moment: Moment, number: int) -> TopMoment:
        """Return the moment with the ``number`` largest types."""
        types = TopTypes.of(moment.amount.types, number)
        return cls(moment.model, moment.rows, moment.site, types)


@ours
@dataclass(frozen=True, slots=True)
class Loading:
    """An evaluation as stored and shown. What only a meter knows is in bytes, else None.

    Rows, instances, bytes allocated and the duration are those of all its ``times`` together.
    """

    model: str
    kind: str
    rows: int
    duration: float
    site: CallSite | None = None
    sql: str = ""
    database: str = ""
    depth: int = 0
    streamed: bool = False
    over_budget: bool = False
    types: TopTypes | None = None
    allocated: int | None = None
    peak: int | None = None
    alive: int | None = None
    retained: int | None = None
    times: int = 1
    instances: Instances = _NO_INSTANCES

    @property
    def size(self) -> int | None:
        """Bytes on the heap once it had ended, None where that was not measured."""
        if self.alive is not None:
            return self.alive
        return None if self.types is None else self.types.total.size

    @property
    def highest(self) -> int | None:
        """Bytes where it stood highest, or at its end where only that is known.

        An iterator() puts little on the heap by its end.
        """
        return self.size if self.peak is None else self.peak


@ours
@dataclass(frozen=True, slots=True)
class Summary:
    """A report as the screens show it.

    ``types`` is what is retained by type, or net of the whole process where a census counted. What
    only a meter knows is None or empty there, and what is left is None where it was cut short.
    """

    kind: str
    name: str
    method: str
    status: int | None
    duration: float
    rows: int
    types: TopTypes
    loadings: tuple[Loading, ...]
    evaluations_omitted: int
    evaluations_without_types: int
    rss_before: int | None
    rss_after: int | None
    collected_objects: int
    in_flight: int
    incomplete: bool
    first_request: bool
    overhead: float
    engine: str
    instrument: str
    allocated: Amount | None = None
    peak: Amount | None = None
    alive: Amount | None = None
    retained: Amount | None = None
    garbage: Amount | None = None
    free_lists: Amount | None = None
    garbage_types: TopTypes = TopTypes()
    free_lists_types: TopTypes = TopTypes()
    moment: TopMoment | None = None
    meter_bytes: int | None = None
    statements: int = 0
    cursor_rows: int = 0

    @property
    def is_metered(self) -> bool:
        """Whether each allocation was credited to whom it belongs."""
        return self.peak is not None

    @property
    def is_counted(self) -> bool:
        """Whether rows were counted and nothing was measured."""
        return self.instrument == COUNTED

    @property
    def largest_loading(self) -> Loading | None:
        """The one that took most bytes, or where none was measured most rows."""
        return max(self.loadings, key=lambda one: (one.highest or -1, one.rows), default=None)


@ours
@dataclass(frozen=True, slots=True)
class Way:
    """One way of loading some rows; ``retained`` and ``peak`` are bytes, ``duration`` seconds.

    ``retained`` is while all rows are held, of a stream when it is over. ``without`` is what of the
    queryset this way does not do.
    """

    name: str
    rows: int
    retained: int
    peak: int
    duration: float
    streamed: bool = False
    without: tuple[str, ...] = ()

    @property
    def retained_each(self) -> float | None:
        """Bytes retained for each row, None without rows."""
        return self.retained / self.rows if self.rows else None


@ours
@dataclass(frozen=True, slots=True)
class LeftOut:
    """A way that there was not, and why."""

    name: str
    reason: str


@ours
@dataclass(frozen=True, slots=True)
class Alternatives:
    """The same rows loaded in several ways, that which retains least first.

    ``is_fixed`` is False where the database may give other rows each time.
    """

    model: str
    database: str
    ways: tuple[Way, ...]
    omitted: tuple[LeftOut, ...] = ()
    is_fixed: bool = True


@ours
@dataclass(frozen=True, slots=True)
class Sized:
    """One object's deep size and what it is made of.

    ``size`` is bytes with all that it alone refers to, ``flat`` its own, ``refs`` the same of
    its referents, largest first; one that was already counted elsewhere in the tree is left out.
    ``size`` is ``flat`` and the sizes of all referents, also of those below the depth asked for.
    """

    name: str
    size: int
    flat: int
    refs: tuple[Sized, ...] = ()

    def format(self) -> str:
        """Return the tree as text: a line for each object, four blanks deeper for its referents."""
        return "\n".join(self._lines(""))

    @classmethod
    def of_node(cls, node: Sequence[Any]) -> Sized:
        """Return what the engine's ``sized`` made: (name, size, flat, referents)."""
        name, size, flat, referents = node
        return cls(name, size, flat, OwnTuple(map(cls.of_node, referents)))

    def _lines(self, indent: str) -> Iterator[str]:
        yield f"{indent}{self.name} size={self.size} flat={self.flat}"
        for referent in self.refs:
            yield from referent._lines(indent + "    ")


def _table(rows: Iterable[tuple[str, TypeTotal]]) -> str:
    return formatting.type_table((name, total.count, total.size) for name, total in rows)
