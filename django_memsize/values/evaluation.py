"""One loading of rows by the ORM, as measured, stored and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from .ownership import Counts, ours, shortened
from .type_tables import Amount, Diff

SQL_STORED: Final = 4000
"""Characters of a statement that are stored."""

SQL_KEPT: Final = 2 * SQL_STORED
"""Characters of a statement that are kept until it is stored: removing its literals shortens it."""


LONGEST_VIEW: Final = 255
"""Characters of the name of a view that are stored."""


@ours
@dataclass(frozen=True, slots=True, repr=False)
class CallSite:
    """A place in the program: file below its entry of ``sys.path``, line, function.

    ``template`` and ``template_line`` name the template node that was being rendered, if any.
    Where no line of the program was at work (``is_library``), as in a generic view, the place is
    one in a library, or the template alone with an empty file. ``view`` is the name of the view for
    which it worked. It is stored where the line itself is not the view's.
    """

    file: str = ""
    line: int = 0
    function: str = ""
    template: str = ""
    template_line: int = 0
    is_library: bool = False
    view: str = field(default="", metadata={"longest": LONGEST_VIEW})

    def __repr__(self) -> str:
        function = f" in {self.function}" if self.function else ""
        return shortened(f"<CallSite: {self}{function}>")

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file else ""
        if self.template:
            rendered_by = f", rendered by {place}" if place else ""
            place = f"{self.template}:{self.template_line}{rendered_by}"
        return f"{place} for {self.view}" if place and self.view else place


@ours
@dataclass(frozen=True, slots=True)
class FollowedRelation:
    """A relation by which rows are loaded: the label of the model that has it, its name there.

    ``to_one`` is whether ``select_related()`` follows it; ``prefetch_related()`` follows any.
    """

    model: str
    name: str
    to_one: bool = False


@ours
class Instances(Mapping[str, int]):
    """The number of model instances that were built, by the label of their model."""

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
        return shortened(f"Instances({dict(self._numbers)})")

    def __hash__(self) -> int:
        return hash(frozenset(self._numbers.items()))


_NO_INSTANCES: Final = Instances({})


@ours
@dataclass(frozen=True, slots=True, repr=False)
class Evaluation:
    """The rows that one call site loads by one statement of the ORM, once or ``times``.

    ``rows``, ``instances`` by model, ``allocated`` and ``duration`` (seconds, without overhead) are
    the sums of all times. ``relations`` are those of instances by which the rows are loaded, as far
    as it is known. ``diff`` is what the evaluation had on the heap by type when that was
    most, its rows included. ``diff`` is None where it was not measured: the overhead budget was
    spent (``over_budget``), or a census would have to tell the rows of a stream from the work of
    the code that consumes them. ``allocated``, ``peak``, ``alive`` (at the end of the last time)
    and ``retained`` (once the recording is analysed) are known to the meter only.
    """

    model: str
    kind: str
    rows: int = 0
    duration: float = 0.0
    times: int = 1
    site: CallSite | None = None
    sql: str = field(default="", metadata={"longest": SQL_STORED})
    database: str = ""
    depth: int = 0
    streamed: bool = False
    over_budget: bool = False
    instances: Instances = _NO_INSTANCES
    diff: Diff | None = None
    allocated: Amount | None = None
    peak: Amount | None = None
    alive: Amount | None = None
    retained: Amount | None = None
    relations: tuple[FollowedRelation, ...] = ()

    def __repr__(self) -> str:
        times = f", {self.times:,} times" if self.times > 1 else ""
        place = f"{self.model} as {self.kind} at {self.site}"
        return shortened(f"<Evaluation: {self.rows:,} {place}{times}>")

    @property
    def size_at_end(self) -> int | None:
        """Bytes on the heap when the evaluation ended; None if they were not measured."""
        if self.alive is not None:
            return self.alive.bytes
        return None if self.diff is None else self.diff.total.size

    @property
    def size_at_peak(self) -> int | None:
        """Bytes on the heap at the peak, or at the end where only these are known.

        The rows of an ``iterator()`` are mostly gone when it ends.
        """
        return self.size_at_end if self.peak is None else self.peak.bytes


@ours
@dataclass(frozen=True, slots=True, repr=False)
class NearPeak:
    """What a recording had alive, by type, at the highest moment at which that was looked at.

    That is the end of an evaluation, or else ``model`` is empty.
    """

    diff: Diff
    model: str = ""
    rows: int = 0
    site: CallSite | None = None

    def __repr__(self) -> str:
        return shortened(f"<NearPeak: {self.diff!r} after {self.rows:,} {self.model}>")
