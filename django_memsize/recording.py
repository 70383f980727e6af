"""Measuring a stretch of the program: what it left on the heap, and which rows it loaded.

The ContextVar says what is being measured here: a recording, or the evaluation inside it. It
follows asyncio tasks and the threads of ``sync_to_async``: rows are credited to their own request.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import psutil

from . import budget, engine
from .faults import Contained
from .overlap import Presence
from .values import OURS, Diff, Site, Snapshot, TypeTotal, ours

__all__ = ["Evaluation", "Recording"]

Kind: TypeAlias = Literal["request", "block", "code"]

EVALUATIONS_KEPT: Final = 1000
"""Evaluations of one recording beyond these are only counted, with their rows."""


@ours
@dataclass(frozen=True, slots=True)
class Defaults:
    """What the settings say, handed over by whoever reads them."""

    evaluations: bool = True
    max_overhead: float = 0.05
    save: Callable[[Recording], object] | None = None


_defaults: Callable[[], Defaults] = Defaults
_current: ContextVar[Recording | Evaluation | None] = ContextVar("memsize_current", default=None)
_contained: Final = Contained("django-memsize: measuring", only_ours=True)


running: Final = _current.get
"""``running()`` is None wherever nothing is measured: the quickest way to know."""


def configure(defaults: Callable[[], Defaults]) -> None:
    """Have the defaults asked for here from now on."""
    global _defaults
    _defaults = defaults


def current() -> Recording | Evaluation | None:
    """Return what is being measured in this context: the innermost stretch still open.

    A task that outlives its request has the request's context for good.
    """
    stretch = _current.get()
    return None if stretch is None or stretch.recording.closed else stretch


@ours
class within:
    """A ``with`` block that runs as part of a stretch, or of none."""

    __slots__ = ("_outer", "below", "stretch")

    def __init__(self, stretch: Recording | Evaluation | None) -> None:
        self.stretch = stretch
        self.below: within | None = None
        self._outer: Recording | Evaluation | None = None

    def __enter__(self) -> None:
        self._outer = _current.get()
        _current.set(self.stretch)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        _current.set(self._outer)


@ours
class _Evaluations(list["Evaluation"]):
    __slots__ = ()


@ours
class Recording:
    """One measured stretch: a request, a command, a block.

    Bytes are bytes, durations seconds. With the census ``diff`` is net: all that the whole process
    has more at the end than at the beginning, by type; ``allocated``, ``peak``, ``alive``,
    ``retained``, ``dead`` and ``parked`` are None, for a census cannot know them.
    """

    __slots__ = (
        "_before",
        "_collected_before",
        "_defaults",
        "_evaluations",
        "_parent",
        "_presence",
        "_started",
        "_wall_cost",
        "closed",
        "collected_objects",
        "diff",
        "duration",
        "engine",
        "evaluations_left_out",
        "evaluations_unmeasured",
        "incomplete",
        "instrument",
        "kind",
        "name",
        "overlapping",
        "own_cost",
        "rows",
        "rss_after",
        "rss_before",
        "started_at",
        "thread",
    )

    allocated: TypeTotal | None
    peak: TypeTotal | None
    alive: TypeTotal | None
    retained: TypeTotal | None
    dead: TypeTotal | None
    parked: TypeTotal | None
    allocated = peak = alive = retained = dead = parked = None

    def __init__(self, name: str, kind: Kind = "block", presence: Presence | None = None) -> None:
        self.name = name
        self.kind: Kind = kind
        self.engine = engine.name
        self.instrument = "census"
        self.diff = Diff({}, {})
        self.duration = 0.0
        self.own_cost = 0.0
        self.rss_before: int | None = 0
        self.rss_after: int | None = 0
        self.overlapping = 0
        self.rows = 0
        self.started_at = time.time()
        self.thread = threading.current_thread().name
        self.incomplete = False
        self.collected_objects = 0
        self.evaluations_left_out = 0
        self.evaluations_unmeasured = 0
        self.closed = False
        self._evaluations = _Evaluations()
        self._defaults = _defaults()
        self._presence = presence
        self._parent: Recording | None = None
        self._wall_cost = 0.0
        self._before: Snapshot | None = None
        self._collected_before = 0
        self._started = 0.0

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The loadings of rows, in the order in which they ended."""
        return tuple(self._evaluations)

    def __repr__(self) -> str:
        number = len(self._evaluations)
        return f"<Recording {self.name!r}: {self.duration:.3f} s, {number} evaluations>"

    def open(self) -> None:
        """Begin. What runs ``within(recording)`` from now on belongs to it."""
        outer = current()
        if outer is not None and outer.recording is not self:
            self._parent = outer.recording
        if self._presence is None and self._parent is None:
            self._presence = Presence()
        self._started = time.perf_counter()
        # Before the census, which would find the context changed by entering it.
        with within(self):
            self._before = self.census()
            self._collected_before = _collected()
            self.rss_before = _rss()
            self._wall_cost = 0.0
            self._started = time.perf_counter()

    def close(self) -> None:
        """End: the first call decides, any further one does nothing."""
        if self.closed:
            return
        self.closed = True
        if self._presence is not None:
            self.overlapping = self._presence.leave()
        self.duration = time.perf_counter() - self._started - self._wall_cost
        self.rss_after = _rss()
        self.collected_objects = _collected() - self._collected_before
        before, self._before = self._before, None
        if before is None:
            self.incomplete = True
        else:
            self.diff = self.census() - before

    def abandon(self) -> None:
        """End without measuring: the stretch was lost sight of."""
        if not self.closed:
            self.closed = True
            self.incomplete = True
            self._before = None
            if self._presence is not None:
                self._presence.leave()

    @property
    def recording(self) -> Recording:
        """Itself: evaluations have the same property."""
        return self

    @property
    def save(self) -> Callable[[Recording], object] | None:
        """What stores recordings, where anything does."""
        return self._defaults.save

    def census(self) -> Snapshot:
        """Count the heap, on our own account."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return Snapshot(*engine.census(OURS))
        finally:
            cost = time.thread_time() - cpu
            budget.spend(cost)
            took = time.perf_counter() - wall
            stretch: Recording | None = self
            while stretch is not None:
                stretch.own_cost += cost
                stretch._wall_cost += took
                stretch = stretch._parent

    def may_measure_evaluations(self) -> bool:
        """Tell whether the next evaluation may have its own censuses.

        The first of a recording always; then as long as all our work in this process stays within
        the share of its CPU time that the settings allow.
        """
        first = not any(evaluation.diff is not None for evaluation in self._evaluations)
        return first or budget.within(self._defaults.max_overhead)

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that has ended, here and in every recording around."""
        stretch: Recording | None = self
        while stretch is not None:
            stretch.rows += evaluation.rows
            stretch.evaluations_unmeasured += evaluation.over_budget
            if len(stretch._evaluations) < EVALUATIONS_KEPT:
                stretch._evaluations.append(evaluation)
            else:
                stretch.evaluations_left_out += 1
            stretch = stretch._parent

    def ran(self, sql: str, database: str) -> None:
        """Hear of a statement that ran outside any evaluation: it loaded no rows of the ORM's."""


@ours
class Evaluation:
    """One loading of rows from the database by the ORM.

    ``diff`` is what the heap had more at its end than at its beginning, the rows themselves
    included; None where it was not measured: a stream, whose consumer runs in between, or one for
    which our budget had no room (``over_budget``). ``duration`` is without our own work.
    """

    __slots__ = (
        "_before",
        "_collector_paused",
        "_outer",
        "_ran",
        "_started",
        "_wall_cost",
        "database",
        "depth",
        "diff",
        "duration",
        "kind",
        "model",
        "over_budget",
        "owner",
        "parent",
        "recording",
        "rows",
        "site",
        "sql",
        "streamed",
    )

    allocated: TypeTotal | None
    peak: TypeTotal | None
    alive: TypeTotal | None
    instances: TypeTotal | None
    allocated = peak = alive = instances = None

    def __init__(
        self,
        parent: Recording | Evaluation,
        owner: int,
        model: str,
        kind: str,
        site: Site | None,
        streamed: bool,
    ) -> None:
        self.parent: Recording | Evaluation = parent
        self.recording: Recording = parent.recording
        self.owner = owner
        self.model = model
        self.kind = kind
        self.streamed = streamed
        self.depth: int = parent.depth + 1 if isinstance(parent, Evaluation) else 0
        self.rows = 0
        self.sql: str | None = None
        self.database: str | None = None
        self.site = site
        self.diff: Diff | None = None
        self.duration = 0.0
        self.over_budget = False
        self._ran = False
        self._before: Snapshot | None = None
        self._outer: Recording | Evaluation | None = None
        self._collector_paused = False
        self._wall_cost = 0.0
        self._started = 0.0

    def __repr__(self) -> str:
        return f"<Evaluation: {self.rows:,} {self.model} as {self.kind} at {self.site}>"

    def open(self) -> None:
        """Begin, without a measurement."""
        self._wall_cost = self.recording._wall_cost
        self._started = time.perf_counter()

    def __enter__(self) -> Evaluation:
        """Begin, measured if there is room for it. What runs here is the evaluation's."""
        self._outer = _current.get()
        _current.set(self)
        try:
            with _contained:
                self._measure()
            self.open()
        except BaseException:  # an interrupt: nobody else would set things right again
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        if self._collector_paused:
            gc.enable()
        _current.set(self._outer)

    def _measure(self) -> None:
        recording = self.recording
        if recording.closed or not recording._defaults.evaluations:
            return
        self.over_budget = not recording.may_measure_evaluations()
        if not self.over_budget:
            # A collection in between would take away old dead rows from the new ones.
            self._collector_paused = gc.isenabled()
            gc.disable()
            self._before = recording.census()

    @property
    def began(self) -> float:
        """When it began, for putting evaluations in that order: seconds from nowhere."""
        return self._started

    def ran(self, sql: str, database: str) -> None:
        """Hear of a statement that ran on its behalf: without one, no rows were loaded."""
        self._ran = True
        if self.sql is None:
            self.sql, self.database = sql, database

    def close(self, rows: int) -> None:
        """End, with the number of rows loaded, while what was loaded is still at hand."""
        before, self._before = self._before, None
        recording = self.recording
        if not self._ran or recording.closed:
            return
        self.rows = rows
        took = time.perf_counter() - self._started
        self.duration = took - (recording._wall_cost - self._wall_cost)
        if before is not None:
            self.diff = recording.census() - before
        recording.add(self)


def _this_process() -> psutil.Process | None:
    try:
        return psutil.Process()
    except (psutil.Error, OSError):
        return None


_process = _this_process()


def _collected() -> int:
    """Return how many objects the collector has freed in this process."""
    return sum(generation["collected"] for generation in gc.get_stats())


def _rss() -> int | None:
    """Return the memory of this process; None where the system does not tell: no /proc, say."""
    try:
        return int(_process.memory_info().rss) if _process else None
    except (psutil.Error, OSError):
        return None


def _forget() -> None:
    global _process
    _process = _this_process()
    _current.set(None)


os.register_at_fork(after_in_child=_forget)
