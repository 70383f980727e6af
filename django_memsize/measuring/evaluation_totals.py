"""The totals of one evaluation while its recording is open."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from .. import process
from ..values import Amount, CallSite, Counts, Diff, Evaluation, Instances, OwnTuple, ours
from .instruments import Meter

if TYPE_CHECKING:
    from ..engine.compiled import Window
    from .evaluation_log import EvaluationLog

GROWTH: Final = 1.1
"""A window is broken down by type again only if it grew by this factor: doing so on each iteration
of a loop that gathers rows is quadratic."""


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


@ours
class EvaluationTotals:
    """The sums of one evaluation while its recording is open. ``evaluation()`` returns them frozen.

    ``started`` is the start of the first time, in seconds of ``time.perf_counter()``. ``parent`` is
    the evaluation inside which this one runs: a ``prefetch_related()`` inside a loading, say.
    """

    __slots__ = (
        "_alive",
        "_instances",
        "_is_claimed",
        "_meter",
        "_size_of_diff",
        "database",
        "depth",
        "diff",
        "duration",
        "is_omitted",
        "key",
        "kind",
        "log",
        "model",
        "over_budget",
        "parent",
        "retained",
        "rows",
        "site",
        "sql",
        "started",
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
        self.database: str | None = None
        self.duration = 0.0
        self.started = 0.0
        self.diff: Diff | None = None
        self.over_budget = False
        self.is_omitted = False
        self.retained: Amount | None = None
        self._instances = Counts()
        self._is_claimed = False
        self._meter: Meter | None = None
        self._alive = (0, 0)
        self._size_of_diff = 0

    @property
    def window(self) -> Window | None:
        """The window to which the allocations of the evaluation are credited, if it is metered."""
        return None if self._meter is None else self._meter.window

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
            instances=Instances(self._instances),
            diff=self.diff,
            allocated=None if window is None else Amount(*window.allocated),
            peak=None if window is None else Amount(*window.peak),
            alive=None if window is None else Amount(*self._alive),
            retained=self.retained,
        )

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
        known = self._instances
        for model, number in instances.items():
            with adding.lock:
                if model in known:
                    known[model] += number
                else:
                    known[model] = number

    def open(self, meter: Meter, outer: Window | None) -> None:
        """Credit the evaluation's allocations to a window; it stays open for the next time."""
        meter.open(outer)
        self._meter = meter

    def read_meter(self) -> None:
        """Read the window at the end of one time, by type if there never was so much."""
        meter, window = self._meter, self.window
        if meter is None or window is None:
            return
        self._alive = window.alive
        if self.diff is not None and self._alive[1] <= GROWTH * self._size_of_diff:
            return
        self._size_of_diff = self._alive[1]
        # Without room in the budget there is no table: one of an earlier time would be too small.
        self.diff = meter.alive_by_type().types if self.has_room() else None

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
