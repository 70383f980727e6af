"""Measuring a stretch of the program: what it left on the heap, and which rows it loaded.

The ContextVar says what is being measured here: a recording, or the evaluation inside it. It
follows asyncio tasks and the threads of ``sync_to_async``: rows are credited to their own request.
With it goes the engine's own, which says which window an allocation is credited to.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

import psutil

from . import budget, engine
from .faults import Contained
from .gauges import Census, Gauge, Meter, gauge_for
from .overlap import Presence
from .upstream import Around
from .values import Amount, Diff, Moment, Site, TypeTotal, ours

if TYPE_CHECKING:
    from .engine.compiled import Window

__all__ = ["Evaluation", "Recording"]

_Row = TypeVar("_Row")

Kind: TypeAlias = Literal["request", "block", "code"]

EVALUATIONS_KEPT: Final = 1000
"""Evaluations of one recording beyond these are only counted, with their rows."""

_HIGHER: Final = 1.1
"""A moment is told by type only if it stands so much higher than the one told before: telling all
of a loop that gathers rows would take the square of its length."""


@ours
@dataclass(frozen=True, slots=True)
class Defaults:
    """What the settings say, handed over by whoever reads them."""

    instrument: str = "auto"
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

    __slots__ = ("_outer", "_outer_window", "below", "stretch")

    def __init__(self, stretch: Recording | Evaluation | None) -> None:
        self.stretch = stretch
        self.below: within | None = None
        self._outer: Recording | Evaluation | None = None
        self._outer_window: Window | None = None

    def __enter__(self) -> None:
        stretch = self.stretch
        self._outer = _current.get()
        _current.set(stretch)
        self._outer_window = engine.switch_window(None if stretch is None else stretch.window)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(self._outer_window)
        _current.set(self._outer)


@ours
class aside:
    """A ``with`` block of our own work: what it allocates is credited to nobody."""

    __slots__ = ("_window",)

    def __enter__(self) -> None:
        self._window = engine.switch_window(None)

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(self._window)


@ours
class _Work:
    """A ``with`` block of our own work for a recording: what it takes is on our account."""

    __slots__ = ("_cpu", "_recording", "_wall")

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        cost = time.thread_time() - self._cpu
        budget.spend(cost)
        took = time.perf_counter() - self._wall
        for recording in self._recording.and_around():
            recording.own_cost += cost
            recording._wall_cost += took


@ours
class _Evaluations(list["Evaluation"]):
    __slots__ = ()


@ours
class Recording:
    """One measured stretch: a request, a command, a block.

    Bytes are bytes, durations seconds. ``diff`` is by type. With the meter it is what is retained:
    reachable from outside the recording once that is over. ``allocated`` and ``peak`` are known
    once it is closed, and once it is settled ``alive``, which is ``retained``, ``dead`` and
    ``parked`` together. With the census ``diff`` is net, all that the whole process has more at the
    end than at the beginning, and the others are None, for a census cannot know them.
    """

    __slots__ = (
        "_collected_before",
        "_defaults",
        "_evaluations",
        "_gauge",
        "_parent",
        "_presence",
        "_started",
        "_wall_cost",
        "closed",
        "collected_objects",
        "duration",
        "engine",
        "evaluations_left_out",
        "evaluations_unmeasured",
        "incomplete",
        "kind",
        "meter_bytes",
        "moment",
        "name",
        "overlapping",
        "own_cost",
        "rows",
        "rss_after",
        "rss_before",
        "settled",
        "started_at",
        "thread",
    )

    def __init__(self, name: str, kind: Kind = "block", presence: Presence | None = None) -> None:
        self._defaults = _defaults()
        self._gauge: Gauge = gauge_for(self._defaults.instrument)
        self.name = name
        self.kind: Kind = kind
        self.engine = engine.name
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
        self.meter_bytes: int | None = None
        self.moment: Moment | None = None
        self.closed = False
        self.settled = False
        self._evaluations = _Evaluations()
        self._presence = presence
        self._parent: Recording | None = None
        self._wall_cost = 0.0
        self._collected_before = 0
        self._started = 0.0

    @property
    def instrument(self) -> str:
        """``"meter"`` or ``"census"``."""
        return self._gauge.name

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if anywhere."""
        return self._gauge.window

    @property
    def diff(self) -> Diff:
        """What changed, by type: retained (meter), or net (census)."""
        diff = self._gauge.diff
        return Diff({}, {}) if diff is None else diff

    @property
    def allocated(self) -> Amount | None:
        """All that was ever allocated in it."""
        return self._gauge.allocated

    @property
    def peak(self) -> Amount | None:
        """The most that was alive at once of what was allocated in it."""
        return self._gauge.peak

    @property
    def alive(self) -> Amount | None:
        """What was allocated in it and not freed: retained, dead and parked together."""
        return self._gauge.alive

    @property
    def retained(self) -> Amount | None:
        """What is reachable from outside. Only this is growth."""
        return self._gauge.retained

    @property
    def dead(self) -> Amount | None:
        """What nothing refers to any more, and waits for Python's collector."""
        return self._gauge.dead

    @property
    def parked(self) -> Amount | None:
        """Freed objects that CPython keeps for the next of their types."""
        return self._gauge.parked

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
            self._collected_before = _collected()
            self.rss_before = _rss()
            with _Work(self):
                self._gauge.open(None if outer is None else outer.window)
            self._wall_cost = 0.0
            self._started = time.perf_counter()

    def close(self) -> None:
        """End: the first call decides, any further one does nothing."""
        if self.closed:
            return
        self.closed = True
        self._gauge.stop()
        if self.window is not None:
            self.meter_bytes = engine.meter_bytes()
        if self._presence is not None:
            self.overlapping = self._presence.leave()
        self.duration = time.perf_counter() - self._started - self._wall_cost
        self.rss_after = _rss()
        self.collected_objects = _collected() - self._collected_before
        with _Work(self):
            self._gauge.read(by_type=False)
        self.incomplete = self.incomplete or self._gauge.incomplete

    def settle(self, around: Around | None = None) -> None:
        """Tell what it left behind, once it is really over. Closes it; does nothing twice.

        ``around`` is what leads to it from outside and may be dead.
        """
        self.close()
        if self.settled:
            return
        self.settled = True
        with _Work(self):
            self._gauge.settle(around)
        self.own_cost += 0.0 if around is None else around.cost
        self.incomplete = self.incomplete or self._gauge.incomplete
        for evaluation in self._evaluations:
            evaluation.settle()

    def abandon(self) -> None:
        """End without telling: the stretch was lost sight of, or nobody asks."""
        if not self.closed:
            self.closed = True
            self.incomplete = True
            if self._presence is not None:
                self._presence.leave()
        if not self.settled:
            self.settled = True
            self._gauge.leave()

    @property
    def recording(self) -> Recording:
        """Itself: evaluations have the same property."""
        return self

    @property
    def save(self) -> Callable[[Recording], object] | None:
        """What stores recordings, where anything does."""
        return self._defaults.save

    def and_around(self) -> Iterator[Recording]:
        """Give this recording, and those around it."""
        stretch: Recording | None = self
        while stretch is not None:
            yield stretch
            stretch = stretch._parent

    def new_gauge(self) -> Gauge:
        """Return what measures an evaluation: the instrument that measures this."""
        return Meter() if isinstance(self._gauge, Meter) else Census(pauses_collector=True)

    @property
    def max_overhead(self) -> float:
        """The share of the CPU time of this process that all our work may take."""
        return self._defaults.max_overhead

    def may_measure_evaluations(self) -> bool:
        """Tell whether the next evaluation may be told by type.

        The first of a recording always; then as long as all our work in this process stays within
        the share of its CPU time that the settings allow.
        """
        first = not any(evaluation.diff is not None for evaluation in self._evaluations)
        return first or budget.within(self.max_overhead)

    def look(self, evaluation: Evaluation) -> None:
        """Tell what stands here at the end of an evaluation, if it never stood so high."""
        gauge = self._gauge
        if not isinstance(gauge, Meter) or gauge.window is None:
            return
        told = 0 if self.moment is None else self.moment.amount.bytes
        if gauge.window.alive[1] > _HIGHER * told:
            self.moment = Moment(gauge.held(), evaluation.model, evaluation.rows, evaluation.site)

    def add(self, evaluation: Evaluation) -> None:
        """Take in an evaluation that has ended, here and in every recording around."""
        for stretch in self.and_around():
            stretch.rows += evaluation.rows
            stretch.evaluations_unmeasured += evaluation.over_budget
            if len(stretch._evaluations) < EVALUATIONS_KEPT:
                stretch._evaluations.append(evaluation)
            else:
                stretch.evaluations_left_out += 1

    def ran(self, sql: str, database: str) -> None:
        """Hear of a statement that ran outside any evaluation: it loaded no rows of the ORM's."""


@ours
class Evaluation:
    """One loading of rows from the database by the ORM.

    ``diff`` is by type what it had put on the heap at its end, the rows themselves included; None
    where that was not told: our budget had no room for it (``over_budget``), or a census would have
    to tell a stream from its consumer, who runs in between. With the meter ``allocated``, ``peak``
    and ``alive`` are known at its end, and ``retained``, what is left of it, once the recording is
    settled. ``duration`` is without our own work.
    """

    __slots__ = (
        "_gauge",
        "_outer",
        "_outer_window",
        "_ran",
        "_started",
        "_wall_cost",
        "database",
        "depth",
        "duration",
        "kind",
        "model",
        "over_budget",
        "owner",
        "parent",
        "recording",
        "retained",
        "rows",
        "site",
        "sql",
        "streamed",
    )

    instances: TypeTotal | None = None

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
        self.duration = 0.0
        self.over_budget = False
        self.retained: Amount | None = None
        self._ran = False
        self._gauge: Gauge | None = None
        self._outer: Recording | Evaluation | None = None
        self._outer_window: Window | None = None
        self._wall_cost = 0.0
        self._started = 0.0

    def __repr__(self) -> str:
        return f"<Evaluation: {self.rows:,} {self.model} as {self.kind} at {self.site}>"

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if anywhere."""
        return self.parent.window if self._gauge is None else self._gauge.window

    @property
    def diff(self) -> Diff | None:
        """What it had put on the heap at its end, by type."""
        return None if self._gauge is None else self._gauge.diff

    @property
    def allocated(self) -> Amount | None:
        """All that was ever allocated in it."""
        return None if self._gauge is None else self._gauge.allocated

    @property
    def peak(self) -> Amount | None:
        """The most that was alive at once of what was allocated in it."""
        return None if self._gauge is None else self._gauge.peak

    @property
    def alive(self) -> Amount | None:
        """What was allocated in it and not freed at its end."""
        return None if self._gauge is None else self._gauge.alive

    def open(self) -> None:
        """Begin."""
        with aside():
            recording = self.recording
            if not recording.closed and recording._defaults.evaluations:
                with _contained, _Work(recording):
                    self._measure()
            self._wall_cost = recording._wall_cost
            self._started = time.perf_counter()

    def __enter__(self) -> Evaluation:
        """Begin. What runs here is the evaluation's."""
        self._outer, self._outer_window = _current.get(), engine.switch_window(None)
        _current.set(self)
        try:
            self.open()
            engine.switch_window(self.window)
        except BaseException:  # an interrupt: nobody else would set things right again
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(None)
        if self._gauge is not None:
            self._gauge.leave()
        _current.set(self._outer)
        engine.switch_window(self._outer_window)

    def _measure(self) -> None:
        recording = self.recording
        gauge = recording.new_gauge()
        if gauge.is_costly and self.streamed:
            return
        self.over_budget = not recording.may_measure_evaluations()
        if not (gauge.is_costly and self.over_budget):
            around = self.parent.window
            self._gauge = gauge  # before it is opened: what fails in there is left in order
            gauge.open(around)

    @property
    def began(self) -> float:
        """When it began, for putting evaluations in that order: seconds from nowhere."""
        return self._started

    def ran(self, sql: str, database: str) -> None:
        """Hear of a statement that ran on its behalf: without one, no rows were loaded."""
        self._ran = True
        if self.sql is None:
            # A copy: by keeping the program's own text it is us who would retain it.
            with aside():
                self.sql = str(sql.encode(errors="surrogatepass"), errors="surrogatepass")
                self.database = database

    def close(self, rows: int) -> None:
        """End, with the number of rows loaded, while what was loaded is still at hand."""
        if self._gauge is not None:
            self._gauge.stop()
        with aside():
            self._close(rows)

    def _close(self, rows: int) -> None:
        gauge, recording = self._gauge, self.recording
        if not self._ran or recording.closed:
            return
        self.rows = rows
        took = time.perf_counter() - self._started
        self.duration = took - (recording._wall_cost - self._wall_cost)
        if gauge is not None:
            with _Work(recording):
                gauge.read(by_type=not self.over_budget)
                if not self.over_budget:
                    for stretch in recording.and_around():
                        stretch.look(self)
        recording.add(self)

    def stream(self, rows: Iterator[_Row]) -> Iterator[_Row]:
        """Return the rows: what makes them is the evaluation, not what is done in between."""
        return engine.Stream(rows, _current, self, self._begin, self._end)

    def _begin(self) -> Window | None:
        with _contained:
            self.open()
        return self.window

    def _end(self, rows: int) -> None:
        with _contained:
            self.close(rows)

    def settle(self) -> None:
        """Learn what is left of it, now that its recording knows."""
        if self._gauge is not None and self._gauge.window is not None:
            self.retained = Amount(*self._gauge.window.retained)


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
    engine.switch_window(None)
    engine.forget_windows()


os.register_at_fork(after_in_child=_forget)
