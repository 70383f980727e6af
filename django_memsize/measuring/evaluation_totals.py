"""The totals of one evaluation while its recording is open."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from .. import process
from ..values import (
    Amount,
    CallSite,
    Diff,
    Evaluation,
    FollowedRelation,
    Instances,
    OwnTuple,
    ours,
)
from .instruments import Meter

if TYPE_CHECKING:
    from ..engine.compiled import Window
    from .evaluation_log import EvaluationLog

GROWTH: Final = 1.1
"""A window is broken down by type again only if it grew by this factor: doing so on each iteration
of a loop that gathers rows is quadratic."""


RELATIONS_LOOKED_FOR: Final = 4
"""Times that an evaluation runs for which its relation is looked for. The same line may follow two
relations to one model, such as the buyer and the seller of an order, by the same statement."""


@ours
class _Lock:
    """The lock of all sums that the threads of one recording add to at the same time.

    No call is made and no object that the collector tracks is allocated while it is held.
    Otherwise a finaliser could run there, and wait for a thread that waits for the lock.
    """

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lock = threading.RLock()


adding: Final = process.register(_Lock())

Statement: TypeAlias = OwnTuple[str | int]
"""The database of a statement, and the hash and the length of its whole text."""


@ours
class _Numbers(array):  # type: ignore[type-arg]
    """Numbers that outlive a request, kept where CPython has no free list.

    A tuple, a float or the table of a small dict may come from a free list, and so be memory that
    the request allocated and freed. The request would then be said to retain it.
    """

    __slots__ = ()


@ours
class InstanceNumbers(dict[str | None, int]):
    """The number of instances by the label of their model.

    CPython has a free list of small tables whose keys are all texts: the key None is none.
    """

    __slots__ = ()

    def add(self, instances: Mapping[str, int]) -> None:
        """Add instances that were built."""
        for model, number in instances.items():
            with adding.lock:
                if model in self:
                    self[model] += number
                else:
                    self[model] = number

    def instances(self) -> Instances:
        """Return the numbers of all models."""
        return Instances({model: number for model, number in self.items() if model})


NO_INSTANCES: Final[dict[str | None, int]] = {None: 0}

_NO_NUMBERS: Final = bytes(16)
"""Two numbers of 64 bits, both 0."""


@ours
class EvaluationTotals:
    """The sums of one evaluation while its recording is open. ``evaluation()`` returns them frozen.

    ``started`` is the start of the first time, in seconds of ``time.perf_counter()``. ``parent`` is
    the evaluation inside which this one runs: a ``prefetch_related()`` inside a loading, say.
    ``sql`` is the text of its statement; of one longer than ``SQL_KEPT`` the beginning and "…".
    """

    __slots__ = (
        "_alive",
        "_instances",
        "_is_claimed",
        "_meter",
        "_size_of_diff",
        "_times",
        "database",
        "depth",
        "diff",
        "key",
        "kind",
        "log",
        "model",
        "omitted_by",
        "over_budget",
        "parent",
        "relations",
        "retained",
        "rows",
        "site",
        "sql",
        "statement",
        "streamed",
        "times",
    )

    def __init__(
        self,
        log: EvaluationLog,
        key: OwnTuple[object],
        parent: EvaluationTotals | None,
        model: str,
        kind: str,
        site: CallSite | None,
        streamed: bool,
    ) -> None:
        self.log = log
        self.key = key
        self.parent = parent
        self.model = model
        self.kind = kind
        self.site = site
        self.streamed = streamed
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.times = 0
        self.rows = 0
        self.sql: str | None = None
        self.statement: Statement | None = None
        self.database: str | None = None
        self.diff: Diff | None = None
        self.over_budget = False
        self.omitted_by: OwnTuple[EvaluationLog] = OwnTuple()
        self.retained: Amount | None = None
        self.relations: OwnTuple[FollowedRelation] = OwnTuple()
        self._instances = InstanceNumbers(NO_INSTANCES)
        self._is_claimed = False
        self._meter: Meter | None = None
        self._alive = _Numbers("q", _NO_NUMBERS)  # blocks, bytes
        self._times = _Numbers("d", _NO_NUMBERS)  # start, duration
        self._size_of_diff = 0

    @property
    def window(self) -> Window | None:
        """The window to which the allocations of the evaluation are credited, if it is metered."""
        return None if self._meter is None else self._meter.window

    @property
    def started(self) -> float:
        """When the evaluation began for the first time."""
        started: float = self._times[0]
        return started

    @started.setter
    def started(self, started: float) -> None:
        self._times[0] = started

    @property
    def duration(self) -> float:
        """Seconds that it took, all times together."""
        duration: float = self._times[1]
        return duration

    def add_duration(self, duration: float) -> None:
        """Add the seconds of one time."""
        with adding.lock:
            self._times[1] += duration

    def evaluation(self) -> Evaluation:
        """Return the figures as they are now."""
        window = self.window
        return Evaluation(
            model=self.model,
            kind=self.kind,
            rows=self.rows,
            duration=self.duration,
            times=self.times,
            site=self.site,
            sql=self.sql or "",
            database=self.database or "",
            depth=self.depth,
            streamed=self.streamed,
            over_budget=self.over_budget,
            instances=self._instances.instances(),
            diff=self.diff,
            allocated=None if window is None else Amount(*window.allocated),
            peak=None if window is None else Amount(*window.peak),
            alive=None if window is None else Amount(*self._alive),
            retained=self.retained,
            relations=self.relations,
        )

    def add_relation(self, relation: FollowedRelation | None) -> None:
        """Add a relation by which the rows are loaded, if it is known."""
        if relation is not None and relation not in self.relations:
            self.relations = OwnTuple((*self.relations, relation))

    def claim(self) -> bool:
        """Return whether these totals had no statement yet; one thread alone is told so."""
        with adding.lock:
            is_first = not self._is_claimed
            self._is_claimed = True
        return is_first

    def for_another_statement(self) -> EvaluationTotals:
        """Return new totals at the same call site, which are claimed."""
        key, parent, streamed = self.key, self.parent, self.streamed
        new = EvaluationTotals(self.log, key, parent, self.model, self.kind, self.site, streamed)
        new._is_claimed = True
        return new

    def add_instances(self, instances: Mapping[str, int]) -> None:
        """Add instances that were built, by the label of their model."""
        self._instances.add(instances)
        for log in self.omitted_by:
            log.count_omitted_instances(instances)

    def open(self, meter: Meter, outer: Window | None) -> None:
        """Credit the evaluation's allocations to a window; it stays open for the next time."""
        meter.open(outer, is_looked_at=True)
        self._meter = meter

    def read_meter(self) -> None:
        """Read the window at the end of one time, by type if there never was so much."""
        meter, window = self._meter, self.window
        if meter is None or window is None:
            return
        alive = self._alive
        alive[0], alive[1] = window.alive
        if self.diff is not None and alive[1] <= GROWTH * self._size_of_diff:
            return
        self._size_of_diff = alive[1]
        # Without room in the budget there is no table: one of an earlier time would be too small.
        self.diff = None
        if self.has_room():
            self.diff = meter.alive_by_type()
            self.over_budget = self.diff is None

    def read_census(self, diff: Diff | None) -> None:
        """Use the difference that a census counted, if it is the largest so far."""
        if diff is not None and (self.diff is None or diff.total.size > self.diff.total.size):
            self.diff = diff

    def has_room(self) -> bool:
        """Return whether the budget allows a table by type now; note that one is made, or not."""
        may_break_down = self.log.may_break_down()
        if may_break_down:
            self.log.note_breakdown()
        self.over_budget = not may_break_down
        return may_break_down

    def discard(self) -> None:
        """Close the window, because no report will have the bytes of the evaluation."""
        if self._meter is not None:
            self._meter.discard()

    def analyse(self) -> None:
        """Read what the evaluation retained, once the recording's window is analysed."""
        if self.window is not None:
            self.retained = Amount(*self.window.retained)
