"""Which rows a recording loaded: a line for each evaluation, with its instances and its bytes.

What a loop loads one row after another, at the same place by the same statement, is one line.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from .. import engine
from ..values import Amount, CallSite, Counts, Diff, Instances, Moment, OwnTuple, ours
from . import overhead as process_overhead
from . import spans
from .errors import ErrorBoundary
from .instruments import Census, Instrument, Meter
from .overhead import Overhead, OverheadTimer
from .spans import Span, active_span, uncredited

if TYPE_CHECKING:
    from ..engine.compiled import Window

_Row = TypeVar("_Row")

EVALUATIONS_KEPT: Final = 1000
"""Evaluations of one recording beyond these are only counted, with their rows."""

_HIGHER: Final = 1.1
"""What stands somewhere is told by type only if it stands so much higher than when it was told
before: telling all of a loop that gathers rows would take the square of its length."""

_contained: Final = ErrorBoundary("django-memsize: measuring", only_ours=True)

_name_of: Final = type.__dict__["__name__"].__get__
"""The name of a class, whatever its own class makes of that."""

_counting = threading.RLock()
"""Held while something is added up, which threads of one recording may do at the same time.

No call is made and no object that the collector knows is allocated while it is held: nobody's
finaliser can run then, and wait for a thread that waits for us."""


class Named(Protocol):
    """What the options of a model say of its name."""

    @property
    def app_label(self) -> str:
        """Of which app it is."""

    @property
    def object_name(self) -> str | None:
        """What its class is called."""

    @property
    def label(self) -> str:
        """Both, with a dot between."""


def _forget() -> None:
    global _counting
    _counting = threading.RLock()  # another thread of the parent's may have held it


os.register_at_fork(after_in_child=_forget)


@ours
class _Lines(list["Evaluation"]):
    __slots__ = ()


@ours
class _Places(dict[tuple[object, ...], "Evaluation"]):
    # The keys are of a class of ours. A plain tuple finds them, and is made in less time.
    __slots__ = ()


@ours
class EvaluationLog:
    """What one recording loaded, also in recordings inside it.

    ``statements`` ran outside of any evaluation: those of cursors, those that write, count() and
    exists(). ``cursor_rows`` were fetched by cursors, past the ORM.
    """

    __slots__ = (
        "_evaluations",
        "_has_told",
        "_instrument",
        "_latest",
        "_statements",
        "around",
        "closed",
        "cursor_rows",
        "max_overhead",
        "measures",
        "moment",
        "omitted",
        "overhead",
        "rows",
        "statements",
    )

    def __init__(
        self, instrument: Instrument, overhead: Overhead, measures: bool, max_overhead: float
    ) -> None:
        self._instrument = instrument
        self.max_overhead = max_overhead
        self._has_told = False
        self._evaluations = _Lines()
        self._latest = _Places()
        self._statements = _Places()
        self.overhead = overhead
        self.around: EvaluationLog | None = None
        self.measures = measures
        self.closed = False
        self.rows = 0
        self.statements = 0
        self.cursor_rows = 0
        self.omitted = 0
        self.moment: Moment | None = None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The lines, in the order in which they first ended."""
        return tuple(self._evaluations)

    @property
    def unmeasured(self) -> int:
        """How many of them our budget had no room to tell by type."""
        return sum(one.over_budget for one in self._evaluations)

    def load(
        self,
        outer: Span,
        owner: int,
        model: Named,
        kind: str,
        site: CallSite | None,
        streamed: bool = False,
    ) -> EvaluationSpan:
        """Return a loading that is about to begin. Which line it is on, its statement decides."""
        parent = outer.evaluation if type(outer) is EvaluationSpan else None
        # Both are kept by the line that has the key: their numbers are no other's meanwhile.
        place = (id(parent), id(site), model.app_label, model.object_name, kind, streamed)
        line = self._latest.get(place)
        if line is None:
            line = Evaluation(self, OwnTuple(place), parent, model.label, kind, site, streamed)
            if len(self._latest) < EVALUATIONS_KEPT:
                line = self._latest.setdefault(line.place, line)
        return EvaluationSpan(line, outer, owner)

    def line_of(self, line: Evaluation, sql: str, database: str) -> Evaluation:
        """Return the line of a statement at the place of another: that one, if it has none yet."""
        key = (line.place, database, sql)
        found = self._statements.get(key)
        if found is not None:
            self._latest[line.place] = found
            return found
        with _counting:
            is_its = line.sql is None or (line.sql == sql and line.database == database)
            if is_its:
                line.sql, line.database = sql, database
        if not is_its:
            line = line.beside()
            line.sql, line.database = sql, database
        if len(self._statements) < EVALUATIONS_KEPT:
            line = self._latest[line.place] = self._statements.setdefault(OwnTuple(key), line)
        return line

    def add(self, line: Evaluation, rows: int, duration: float) -> None:
        """Take in that a line was loaded, here and in every ledger around."""
        with _counting:
            line.times += 1
            is_first = line.times == 1
            line.rows += rows
            line.duration += duration
            self.rows += rows
        if is_first:
            self._put_down(line)
        if self.around is not None:
            for evaluation_log in self.around._and_around():
                with _counting:
                    evaluation_log.rows += rows
                if is_first:
                    evaluation_log._put_down(line)

    def ran(self) -> None:
        """Take in a statement that loaded no rows of the ORM's."""
        for evaluation_log in self._and_around():
            with _counting:
                evaluation_log.statements += 1

    def fetched(self, rows: int) -> None:
        """Take in rows that a cursor fetched; not once it is over."""
        evaluation_log = None if self.closed else self
        while evaluation_log is not None:
            with _counting:
                evaluation_log.cursor_rows += rows
            evaluation_log = evaluation_log.around

    def look(self, line: Evaluation) -> None:
        """Tell what stands at the end of a loading, here and around, if it never stood so high."""
        for evaluation_log in self._and_around():
            instrument = evaluation_log._instrument
            if isinstance(instrument, Meter) and instrument.window is not None:
                told = 0 if evaluation_log.moment is None else evaluation_log.moment.amount.bytes
                if instrument.window.alive[1] > _HIGHER * told and self.may_tell():
                    evaluation_log.moment = Moment(
                        instrument.alive_by_type(), line.model, line.rows, line.site
                    )

    def may_tell(self) -> bool:
        """Tell whether there is room for a table by type.

        For the first of a recording always; then as long as all our work in this process stays
        within the share of its CPU time that the settings allow.
        """
        return not self._has_told or process_overhead.is_within(self.max_overhead)

    def told(self) -> None:
        """Take in that there is a table now."""
        self._has_told = True

    def new_instrument(self, around: Window | None, streamed: bool) -> Instrument | None:
        """Return what measures an evaluation, by the instrument that measures all, if anything."""
        if self.closed or not self.measures:
            return None
        if isinstance(self._instrument, Meter):
            return None if around is None else Meter()
        return None if streamed else Census(pauses_collector=True)

    def analyse(self) -> None:
        """Learn what is left of each evaluation, now that the recording knows."""
        for evaluation in self._evaluations:
            evaluation.analyse()

    def _put_down(self, line: Evaluation) -> None:
        if len(self._evaluations) < EVALUATIONS_KEPT:
            self._evaluations.append(line)
        else:
            with _counting:
                self.omitted += 1
            line.is_omitted = True

    def _and_around(self) -> Iterator[EvaluationLog]:
        evaluation_log: EvaluationLog | None = self
        while evaluation_log is not None:
            yield evaluation_log
            evaluation_log = evaluation_log.around


@ours
class Evaluation:
    """What one place in the program loads by one statement of the ORM, once or ``times``.

    ``rows``, ``instances`` by model and ``duration``, without our own work, are those of all times
    together. ``diff`` is by type what it had put on the heap when that was most, the rows
    themselves included; None where that was not told: our budget had no room for it
    (``over_budget``), or a census would have to tell a stream from its consumer, who runs in
    between. With the meter ``allocated``, ``peak`` and ``alive`` are known at its end, and
    ``retained``, what is left of it, once the recording is settled.
    """

    __slots__ = (
        "_alive",
        "_meter",
        "_told",
        "began",
        "built",
        "database",
        "depth",
        "diff",
        "duration",
        "evaluation_log",
        "is_omitted",
        "kind",
        "model",
        "over_budget",
        "parent",
        "place",
        "retained",
        "rows",
        "site",
        "sql",
        "streamed",
        "times",
    )

    def __init__(
        self,
        evaluation_log: EvaluationLog,
        place: OwnTuple[object],
        parent: Evaluation | None,
        model: str,
        kind: str,
        site: CallSite | None,
        streamed: bool,
    ) -> None:
        self.evaluation_log = evaluation_log
        self.place = place
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
        self.began = 0.0
        self.diff: Diff | None = None
        self.over_budget = False
        self.is_omitted = False
        self.retained: Amount | None = None
        self.built = Counts()
        self._meter: Meter | None = None
        self._alive = (0, 0)
        self._told = 0

    def __repr__(self) -> str:
        times = f", {self.times:,} times" if self.times > 1 else ""
        return f"<Evaluation: {self.rows:,} {self.model} as {self.kind} at {self.site}{times}>"

    @property
    def instances(self) -> Instances:
        """How many instances were built, by model; those of ``select_related()`` included."""
        return Instances(self.built)

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if it is metered."""
        return None if self._meter is None else self._meter.window

    @property
    def allocated(self) -> Amount | None:
        """All that was ever allocated in it."""
        return None if self.window is None else Amount(*self.window.allocated)

    @property
    def peak(self) -> Amount | None:
        """The most that was alive at once of what was allocated in it."""
        return None if self.window is None else Amount(*self.window.peak)

    @property
    def alive(self) -> Amount | None:
        """What was allocated in it and not freed when it ended the last time."""
        return None if self.window is None else Amount(*self._alive)

    def beside(self) -> Evaluation:
        """Return a line for another statement at the same place."""
        place, parent, streamed = self.place, self.parent, self.streamed
        return Evaluation(
            self.evaluation_log, place, parent, self.model, self.kind, self.site, streamed
        )

    def add_built(self, instances: Mapping[str, int]) -> None:
        """Take in instances that were built, by model."""
        built = self.built
        for model, number in instances.items():
            with _counting:
                if model in built:
                    built[model] += number
                else:
                    built[model] = number

    def measure(self, meter: Meter, around: Window | None) -> None:
        """Have a meter from now on: its window stays for the next time."""
        meter.open(around)
        self._meter = meter

    def read(self) -> None:
        """Take down what is known at the end, by type if it never stood so high."""
        meter, window = self._meter, self.window
        if meter is None or window is None:
            return
        self._alive = window.alive
        if self.diff is not None and self._alive[1] <= _HIGHER * self._told:
            return
        self._told = self._alive[1]
        # A table of the first few would be taken for one of all.
        self.diff = meter.alive_by_type().types if self.has_room() else None

    def read_census(self, diff: Diff | None) -> None:
        """Take down what a census counted, if it never was so much."""
        if diff is not None and (self.diff is None or diff.total.size > self.diff.total.size):
            self.diff = diff

    def has_room(self) -> bool:
        """Tell whether it may be told by type now, and keep that in mind."""
        evaluation_log = self.evaluation_log
        may = evaluation_log.may_tell()
        if may:
            evaluation_log.told()
        self.over_budget = not may
        return may

    def leave(self) -> None:
        """Be measured no more."""
        if self._meter is not None:
            self._meter.leave()

    def analyse(self) -> None:
        """Learn what is left of it."""
        if self.window is not None:
            self.retained = Amount(*self.window.retained)


@ours
class EvaluationSpan:
    """One time that the rows of an evaluation are loaded: a ``with`` block."""

    __slots__ = (
        "_census",
        "_has_ran",
        "_outer",
        "_outer_window",
        "_started",
        "_wall",
        "around",
        "built",
        "counts_cursor_rows",
        "evaluation",
        "evaluation_log",
        "fetched",
        "owner",
    )

    def __init__(self, evaluation: Evaluation, around: Span, owner: int) -> None:
        self.evaluation = evaluation
        self.evaluation_log = evaluation.evaluation_log
        self.counts_cursor_rows = evaluation.kind == "update"
        self.around = around
        self.owner = owner
        self.fetched = 0
        self.built: Counts | None = None
        self._census: Instrument | None = None
        self._has_ran = False

    @property
    def window(self) -> Window | None:
        """Where what is allocated in it is credited, if anywhere."""
        window = self.evaluation.window
        return self.around.window if window is None else window

    def __enter__(self) -> EvaluationSpan:
        """Begin. What runs here is the evaluation's."""
        return self.enter(active_span(), engine.switch_window(None))

    def enter(self, outer: Span | None, window: Window | None) -> EvaluationSpan:
        """Begin inside a span, where no window is set any more, and that one was."""
        self._outer, self._outer_window = outer, window
        spans.activate_span(self)
        try:
            self.open()
            inside = self.window if self.evaluation_log.measures else window
            if inside is not None:
                engine.switch_window(inside)
        except BaseException:  # an interrupt: nobody else would set things right again
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(None)
        if self._census is not None:
            self._census.leave()
        spans.activate_span(self._outer)
        if self._outer_window is not None:
            engine.switch_window(self._outer_window)

    def open(self) -> None:
        """Begin to count."""
        overhead = self.evaluation_log.overhead
        if self.evaluation_log.measures and self.evaluation.window is None:
            with uncredited(), _contained, OverheadTimer(overhead):
                self._measure()
        self._wall = overhead.wall
        self._started = time.perf_counter()

    def ran(self, sql: object, database: str) -> None:
        """Hear of a statement that ran on its behalf: without one, no rows were loaded."""
        evaluation = self.evaluation
        if self._has_ran:
            evaluation.evaluation_log.ran()
            return
        self._has_ran = True
        if type(sql) is not str or evaluation.sql != sql or evaluation.database != database:
            with uncredited():
                statement = _copied(sql)
                if evaluation.sql != statement or evaluation.database != database:
                    self._move(evaluation.evaluation_log.line_of(evaluation, statement, database))
            engine.switch_window(self.window)

    def stop(self) -> None:
        """Have nothing more credited to it, in the block that it is."""
        engine.switch_window(None)

    def fetch(self, rows: int) -> None:
        """Count rows that were fetched on its behalf, where nobody else does."""
        self.fetched += rows

    def close(self, rows: int, instances: Mapping[str, int] | None = None) -> None:
        """End, with the rows loaded and the instances built, while they are still at hand."""
        with uncredited():
            self.end(rows, instances)

    def stream(
        self, rows: Iterator[_Row], built_of: Callable[[Mapping[type, int]], Mapping[str, int]]
    ) -> Iterator[_Row]:
        """Return the rows: what makes them is the evaluation, not what is done in between.

        ``built_of`` says which instances there are of rows that are counted by their types.
        """
        return spans.streamed(rows, self, self._begin, functools.partial(self._end, built_of))

    def _measure(self) -> None:
        evaluation = self.evaluation
        around = self.around.window
        instrument = evaluation.evaluation_log.new_instrument(around, evaluation.streamed)
        if isinstance(instrument, Meter):
            evaluation.measure(instrument, around)
        elif instrument is not None and evaluation.has_room():
            self._census = instrument  # before it is opened: what fails in there is left in order
            instrument.open(around)

    def _move(self, line: Evaluation) -> None:
        """Go on as another line: the statement was not the one of the last time."""
        if line is not self.evaluation:
            self.evaluation = line
            if line.evaluation_log.measures and line.window is None and self._census is None:
                with _contained, OverheadTimer(line.evaluation_log.overhead):
                    self._measure()

    def end(self, rows: int, instances: Mapping[str, int] | None) -> None:
        """The same, where no window is set."""
        evaluation = self.evaluation
        evaluation_log = evaluation.evaluation_log
        if not self._has_ran or evaluation_log.closed:
            return
        took = time.perf_counter() - self._started - (evaluation_log.overhead.wall - self._wall)
        if not evaluation.times:
            evaluation.began = self._started
        evaluation_log.add(evaluation, rows, took)
        if instances:
            evaluation.add_built(instances)
        if self.built:
            evaluation.add_built(self.built)
        if evaluation_log.measures:
            with OverheadTimer(evaluation_log.overhead):
                self._read()

    def _read(self) -> None:
        evaluation = self.evaluation
        if self._census is not None:
            self._census.read()
            evaluation.read_census(self._census.diff)
        else:
            evaluation.evaluation_log.look(evaluation)
            evaluation.read()
        if evaluation.is_omitted:
            evaluation.leave()

    def _begin(self) -> Window | None:
        with _contained:
            self.open()
        return self.window

    def _end(
        self,
        built_of: Callable[[Mapping[type, int]], Mapping[str, int]],
        rows: int,
        types: Mapping[type, int],
    ) -> None:
        with _contained, uncredited():
            self.close(rows, built_of(types))


def _copied(sql: object) -> str:
    """Return the text of a statement; of what is none, the name of its type in parentheses.

    A copy: by keeping the program's own text it is us who would retain it. No code of the program
    is run, which a class of its own may have.
    """
    if issubclass(type(sql), str):
        return str(str.encode(sql, errors="surrogatepass"), errors="surrogatepass")  # type: ignore[arg-type]
    return f"({_name_of(type(sql))})"
