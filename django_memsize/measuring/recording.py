"""A recording: one measured span, with its figures and its evaluations."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .. import engine
from ..values import Amount, Diff, Evaluation, NearPeak, Reason, ours
from . import rss
from .collector import collected_so_far
from .evaluation_log import EvaluationLog
from .in_flight import InFlight
from .instruments import NO_INSTRUMENT, Census, Instrument, Watched, instrument_named
from .near_peak import follow_peak
from .overhead import Overhead, OverheadTimer, add, is_within
from .spans import in_span, open_span

if TYPE_CHECKING:
    from ..engine.compiled import Window
    from .routes import Route

Kind: TypeAlias = Literal["request", "block", "code"]


@ours
@dataclass(frozen=True, slots=True)
class Options:
    """How to measure.

    ``instrument`` is ``"meter"``, ``"census"`` or ``"auto"``. ``evaluations`` has each evaluation
    measured, and not only listed. ``max_overhead`` is the share of the CPU time of the process that
    measuring may take. ``meter_memory`` is the memory in bytes that the meter of the process may
    take; 0 is no limit. ``most_analysed`` is the number of blocks alive at the end up to which they
    are analysed; 0 is no limit.
    """

    instrument: str = "auto"
    evaluations: bool = True
    max_overhead: float = 0.05
    meter_memory: int = 64 * 1024 * 1024
    most_analysed: int = 0


_DEFAULTS: Final = Options()


@ours
class Recording:
    """One measured span: a request, a block, code of a command. Bytes, and seconds.

    ``allocated``, ``peak`` and ``rows`` are known once the recording is closed. With the meter,
    ``alive`` is divided into ``retained``, ``garbage`` and ``free_lists`` once the recording is
    analysed, and ``diff`` is what is retained by type. With the census, ``diff`` is net: what the
    whole process has more at the end than at the beginning; a census cannot know the others, so
    they are None. A ``counted`` recording measures nothing: it counts rows, and reads the RSS.

    ``reason`` is why a request is metered, and ``route`` what the sampling knows of its route.
    ``first_request`` is whether the recording was the first of its route in this process; None if
    that was not asked. ``overhead_bytes`` is the memory of the meter at the end.
    ``collected_objects`` is how many objects Python's collector freed meanwhile, if not counted.
    """

    counts_cursor_rows: Final = True

    __slots__ = (
        "_collected_before",
        "_in_flight",
        "_instrument",
        "_may_follow_peak",
        "_most_analysed",
        "_overhead",
        "_started",
        "analysed",
        "collected_objects",
        "duration",
        "engine",
        "first_request",
        "in_flight",
        "incomplete",
        "is_counted",
        "kind",
        "log",
        "name",
        "overhead_bytes",
        "reason",
        "route",
        "rss_after",
        "rss_before",
        "started_at",
        "thread",
    )

    def __init__(
        self,
        name: str,
        kind: Kind = "block",
        options: Options | None = None,
        in_flight: InFlight | None = None,
        counted: bool = False,
    ) -> None:
        options = _DEFAULTS if options is None else options
        self._instrument: Instrument = (
            NO_INSTRUMENT
            if counted
            else instrument_named(options.instrument, options.meter_memory, options.most_analysed)
        )
        # Whoever asks for a measurement waits for the tables; other requests have a budget.
        self._most_analysed = most = options.most_analysed
        self._may_follow_peak = not counted and (not most or is_within(options.max_overhead))
        self._overhead = Overhead()
        measures = options.evaluations and not counted
        self.log = EvaluationLog(self._instrument, self._overhead, measures, options.max_overhead)
        self.is_counted = counted
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
        self.overhead_bytes: int | None = None
        self.analysed = False
        self.first_request: bool | None = None
        self.reason: Reason | None = None
        self.route: Route | None = None
        self._in_flight = in_flight
        self._collected_before = 0
        self._started = 0.0

    @property
    def closed(self) -> bool:
        """Whether the recording is over."""
        return self.log.closed

    @property
    def started(self) -> float:
        """When the recording was opened, in seconds of ``time.perf_counter()``."""
        return self._started

    @property
    def overhead(self) -> float:
        """CPU seconds that measuring took."""
        # The engine's part is known at any time: nobody who times a call of ours takes it for new.
        window = self.window
        return self._overhead.cpu + (0.0 if window is None else window.seconds_near_peak[0])

    @property
    def instrument(self) -> str:
        """``"meter"``, ``"census"``, or ``"counted"``."""
        return self._instrument.name

    @property
    def window(self) -> Window | None:
        """The window to which the allocations of the recording are credited, if any."""
        return self._instrument.window

    @property
    def diff(self) -> Diff:
        """What changed, by type: retained (meter), or net (census)."""
        diff = self._instrument.diff
        return Diff({}, {}) if diff is None else diff

    @property
    def net(self) -> Diff | None:
        """What the whole process has more at the end, by type; None without a census."""
        return self.diff if isinstance(self._instrument, Census) else None

    @property
    def allocated(self) -> Amount | None:
        """All that was ever allocated in the recording."""
        return self._instrument.allocated

    @property
    def peak(self) -> Amount | None:
        """The most that was alive at once of what was allocated in the recording."""
        return self._instrument.peak

    @property
    def alive(self) -> Amount | None:
        """What was allocated and not freed: retained, garbage and free lists together."""
        return self._instrument.alive

    @property
    def retained(self) -> Amount | None:
        """What is reachable from outside the recording once it is over. Only this leaks."""
        return self._instrument.retained

    @property
    def garbage(self) -> Amount | None:
        """What is unreachable, and waits for Python's collector."""
        return self._instrument.garbage

    @property
    def free_lists(self) -> Amount | None:
        """Freed objects that CPython keeps for the next objects of their types."""
        return self._instrument.free_lists

    @property
    def request_held(self) -> bool:
        """Whether a request that is older than the recording is alive, and it is not known why.

        ``retained`` and ``garbage`` may be wrong then.
        """
        return self._instrument.is_doubtful

    @property
    def not_remembered(self) -> Amount | None:
        """Blocks that had no room in the memory of the meter: see `Meter`."""
        return self._instrument.not_remembered

    @property
    def not_analysed(self) -> str | None:
        """Why the meter did not divide what is alive, as one word: see `Meter`."""
        return self._instrument.not_analysed

    @property
    def freed_older(self) -> int | None:
        """Blocks freed that are older, or of others; None if the collector freed some, maybe."""
        return None if self.collected_objects else self._instrument.freed_older

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The evaluations in the order in which they began; one inside another one follows it."""
        return self.log.evaluations

    @property
    def evaluations_omitted(self) -> int:
        """How many further evaluations are counted in ``rows`` only."""
        return self.log.omitted

    @property
    def evaluations_without_types(self) -> int:
        """How many evaluations the overhead budget did not allow to break down by type."""
        return self.log.without_types

    @property
    def rows(self) -> int:
        """Rows that the ORM loaded."""
        return self.log.rows

    @property
    def statements(self) -> int:
        """Statements outside of evaluations: of cursors, writing, ``count()``, ``exists()``."""
        return self.log.statements

    @property
    def cursor_rows(self) -> int:
        """Rows that cursors fetched, past the ORM."""
        return self.log.cursor_rows

    @property
    def query_log_bytes(self) -> int | None:
        """Bytes that Django's log of statements got (``DEBUG``), in no other figure of a meter."""
        return self.log.query_log_bytes or None

    @property
    def near_peak(self) -> NearPeak | None:
        """What was alive by type at the highest moment that was looked at."""
        return self.log.near_peak

    def __repr__(self) -> str:
        number = len(self.evaluations)
        return f"<Recording {self.name!r}: {self.duration:.3f} s, {number} evaluations>"

    def add_overhead(self, cpu: float) -> None:
        """Add CPU seconds that measuring took outside of the methods of the recording."""
        self._overhead.add(cpu, 0.0)

    def open(self) -> None:
        """Begin to measure. What runs ``in_span(recording)`` from now on belongs to it."""
        outer = open_span()
        if outer is not None and outer.log is not self.log:
            self.log.outer = outer.log
            self._overhead.outer = outer.log.overhead
        if self._in_flight is None and self.log.outer is None:
            self._in_flight = InFlight()
        self._started = time.perf_counter()
        self.rss_before = rss.size()
        if not self.is_counted:
            self._open_instrument(None if outer is None else outer.window)
        self._started = time.perf_counter()

    def _open_instrument(self, outer: Window | None) -> None:
        # Entered before the census: entering changes the context, which the census would find.
        with in_span(self):
            self._collected_before = collected_so_far()
            with OverheadTimer(self._overhead):
                self._instrument.open(outer)
                if self.window is not None and self._may_follow_peak:
                    follow_peak(self.window, self._most_analysed)
            self._overhead.wall = 0.0

    def close(self) -> None:
        """End the recording. The first call decides; any further call does nothing."""
        if self.closed:
            return
        self.log.closed = True
        self._instrument.close()
        if self.window is not None:
            self.overhead_bytes = engine.meter_bytes()
            cpu, own_cpu = self.window.seconds_near_peak
            add(cpu)
            # The engine may have looked in the main thread while that of the request went on.
            self._overhead.wall += own_cpu
        if self._in_flight is not None:
            self.in_flight = self._in_flight.close()
        self.duration = time.perf_counter() - self._started - self._overhead.wall
        self.rss_after = rss.size()
        if not self.is_counted:
            self.collected_objects = collected_so_far() - self._collected_before
            with OverheadTimer(self._overhead):
                self._instrument.read(by_type=False)
                self.log.update_near_peak_by_engine()
            self.incomplete = self.incomplete or self._instrument.incomplete

    def analyse(self, older: Watched = (), follows: bool = False) -> Window | None:
        """Find out what is left of the recording once its request is over. Closes it first.

        ``older`` are a request and its response, if the request is older than the recording. With
        ``follows``, returns a window of what is retained (`Meter`). A second call does nothing.
        """
        self.close()
        if self.analysed:
            return None
        self.analysed = True
        with OverheadTimer(self._overhead):
            others = 0 if self._in_flight is None else self._in_flight.others()
            survivors = self._instrument.analyse(older, others > 0, follows)
        self.incomplete = self.incomplete or self._instrument.incomplete
        if self.retained is not None:
            self.log.analyse()
        return survivors

    def discard(self) -> None:
        """End without figures: the end of the span was not seen, or nobody asks for them."""
        if not self.closed:
            self.log.closed = True
            self.incomplete = True
            if self._in_flight is not None:
                self._in_flight.close()
        if not self.analysed:
            self.analysed = True
            self._instrument.discard()
