"""Measuring a span of the program: what it left on the heap, and which rows it loaded."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .. import engine
from ..values import Amount, Diff, Moment, ours
from . import rss
from .evaluation_log import Evaluation, EvaluationLog
from .in_flight import InFlight
from .instruments import Instrument, NoInstrument, instrument_for
from .overhead import Overhead, OverheadTimer
from .referrers import ExternalObjects
from .spans import in_span, open_span

if TYPE_CHECKING:
    from ..engine.compiled import Window

__all__ = ["Evaluation", "Recording"]

Kind: TypeAlias = Literal["request", "block", "code"]


@ours
@dataclass(frozen=True, slots=True)
class Options:
    """What the settings say, handed over by whoever reads them."""

    instrument: str = "auto"
    evaluations: bool = True
    max_overhead: float = 0.05
    save: Callable[[Recording], object] | None = None


_options: Callable[[], Options] = Options


def configure(defaults: Callable[[], Options]) -> None:
    """Have the defaults asked for here from now on."""
    global _options
    _options = defaults


@ours
class Recording:
    """One measured span: a request, a command, a block.

    Bytes are bytes, durations seconds. ``diff`` is by type. With the meter it is what is retained:
    reachable from outside the recording once that is over. ``allocated`` and ``peak`` are known
    once it is closed, and once it is settled ``alive``, which is ``retained``, ``garbage`` and
    ``free_lists`` together. With the census ``diff`` is net: what the whole process has more at the
    end than at the beginning; the others are None, because a census cannot know them. A ``counted``
    recording measures nothing: it counts rows, and reads the memory of the process.
    ``first_request`` is whether it was the first of its kind in this process, None if unknown.
    """

    counts_cursor_rows: Final = True

    __slots__ = (
        "_collected_before",
        "_in_flight",
        "_instrument",
        "_overhead",
        "_started",
        "analysed",
        "collected_objects",
        "duration",
        "engine",
        "evaluation_log",
        "first_request",
        "in_flight",
        "incomplete",
        "kind",
        "meter_bytes",
        "name",
        "rss_after",
        "rss_before",
        "save",
        "started_at",
        "thread",
    )

    def __init__(
        self,
        name: str,
        kind: Kind = "block",
        in_flight: InFlight | None = None,
        counted: bool = False,
    ) -> None:
        defaults = _options()
        self._instrument: Instrument = (
            NoInstrument() if counted else instrument_for(defaults.instrument)
        )
        self._overhead = Overhead()
        measures = defaults.evaluations and not counted
        self.evaluation_log = EvaluationLog(
            self._instrument, self._overhead, measures, defaults.max_overhead
        )
        self.save = defaults.save
        self.name = name
        self.kind: Kind = kind
        self.engine = engine.name
        self.duration = 0.0
        self.rss_before: int | None = 0
        self.rss_after: int | None = 0
        self.in_flight = 0
        self.started_at = time.time()
        self.thread = threading.current_thread().name
        self.incomplete = False
        self.collected_objects = 0
        self.meter_bytes: int | None = None
        self.analysed = False
        self.first_request: bool | None = None
        self._in_flight = in_flight
        self._collected_before = 0
        self._started = 0.0

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self.evaluation_log.closed

    @property
    def max_overhead(self) -> float:
        """The share of the CPU time of this process that all our work may take."""
        return self.evaluation_log.max_overhead

    @property
    def is_counted(self) -> bool:
        """Whether it counts rows and measures nothing."""
        return isinstance(self._instrument, NoInstrument)

    @property
    def overhead(self) -> float:
        """CPU seconds of our own work."""
        return self._overhead.cpu

    @property
    def instrument(self) -> str:
        """``"meter"`` or ``"census"``; ``"evaluation_log"`` where only rows are counted."""
        return self._instrument.name

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if anywhere."""
        return self._instrument.window

    @property
    def diff(self) -> Diff:
        """What changed, by type: retained (meter), or net (census)."""
        diff = self._instrument.diff
        return Diff({}, {}) if diff is None else diff

    @property
    def allocated(self) -> Amount | None:
        """All that was ever allocated in it."""
        return self._instrument.allocated

    @property
    def peak(self) -> Amount | None:
        """The most that was alive at once of what was allocated in it."""
        return self._instrument.peak

    @property
    def alive(self) -> Amount | None:
        """What was allocated in it and not freed: retained, dead and parked together."""
        return self._instrument.alive

    @property
    def retained(self) -> Amount | None:
        """What is reachable from outside. Only this is growth."""
        return self._instrument.retained

    @property
    def garbage(self) -> Amount | None:
        """What nothing refers to any more, and waits for Python's collector."""
        return self._instrument.garbage

    @property
    def free_lists(self) -> Amount | None:
        """Freed objects that CPython keeps for the next of their types."""
        return self._instrument.free_lists

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The loadings of rows, in the order in which they first ended."""
        return self.evaluation_log.evaluations

    @property
    def evaluations_omitted(self) -> int:
        """How many more there were than are kept."""
        return self.evaluation_log.omitted

    @property
    def evaluations_without_types(self) -> int:
        """How many of those kept our budget had no room to tell by type."""
        return self.evaluation_log.unmeasured

    @property
    def rows(self) -> int:
        """Rows that the ORM loaded."""
        return self.evaluation_log.rows

    @property
    def statements(self) -> int:
        """Statements outside of any evaluation: of cursors, writing, count(), exists()."""
        return self.evaluation_log.statements

    @property
    def cursor_rows(self) -> int:
        """Rows that cursors fetched, past the ORM."""
        return self.evaluation_log.cursor_rows

    @property
    def moment(self) -> Moment | None:
        """What stood at the end of the evaluation where that was most."""
        return self.evaluation_log.moment

    def __repr__(self) -> str:
        number = len(self.evaluations)
        return f"<Recording {self.name!r}: {self.duration:.3f} s, {number} evaluations>"

    def open(self) -> None:
        """Begin. What runs ``in_span(recording)`` from now on belongs to it."""
        outer = open_span()
        if outer is not None and outer.evaluation_log is not self.evaluation_log:
            self.evaluation_log.around = outer.evaluation_log
            self._overhead.around = outer.evaluation_log.overhead
        if self._in_flight is None and self.evaluation_log.around is None:
            self._in_flight = InFlight()
        self._started = time.perf_counter()
        # Before the census, which would find the context changed by entering it.
        with in_span(self):
            self._collected_before = _collected()
            self.rss_before = rss.size()
            with OverheadTimer(self._overhead):
                self._instrument.open(None if outer is None else outer.window)
            self._overhead.wall = 0.0
            self._started = time.perf_counter()

    def close(self) -> None:
        """End: the first call decides, any further one does nothing."""
        if self.closed:
            return
        self.evaluation_log.closed = True
        self._instrument.stop()
        if self.window is not None:
            self.meter_bytes = engine.meter_bytes()
        if self._in_flight is not None:
            self.in_flight = self._in_flight.leave()
        self.duration = time.perf_counter() - self._started - self._overhead.wall
        self.rss_after = rss.size()
        self.collected_objects = _collected() - self._collected_before
        with OverheadTimer(self._overhead):
            self._instrument.read(by_type=False)
        self.incomplete = self.incomplete or self._instrument.incomplete

    def analyse(self, around: ExternalObjects | None = None) -> None:
        """Tell what it left behind, once it is really over. Closes it; does nothing twice.

        ``around`` is what leads to it from outside and may be dead.
        """
        self.close()
        if self.analysed:
            return
        self.analysed = True
        with OverheadTimer(self._overhead):
            self._instrument.analyse(around)
        self._overhead.cpu += 0.0 if around is None else around.cost
        self.incomplete = self.incomplete or self._instrument.incomplete
        self.evaluation_log.analyse()

    def discard(self) -> None:
        """End without telling: the span was lost sight of, or nobody asks."""
        if not self.closed:
            self.evaluation_log.closed = True
            self.incomplete = True
            if self._in_flight is not None:
                self._in_flight.leave()
        if not self.analysed:
            self.analysed = True
            self._instrument.leave()


def _collected() -> int:
    """Return how many objects the collector has freed in this process."""
    return sum(generation["collected"] for generation in gc.get_stats())
