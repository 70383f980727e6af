"""A span in which rows are loaded once: one of the times that an evaluation runs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .. import engine
from ..values import CallSite, Counts, ours
from . import spans
from .errors import ErrorBoundary
from .evaluation_log import EvaluationLog, NamedModel
from .evaluation_totals import EvaluationTotals
from .instruments import Census, Meter
from .overhead import OverheadTimer
from .spans import Span, active_span, uncredited

if TYPE_CHECKING:
    from ..engine.compiled import Window

_Row = TypeVar("_Row")

_contained: Final = ErrorBoundary("django-memsize: measuring an evaluation", only_ours=True)


def new_evaluation(
    outer: Span,
    source_id: int,
    model: NamedModel,
    kind: str,
    site: CallSite | None,
    streamed: bool = False,
) -> EvaluationSpan:
    """Return an evaluation that is about to begin inside a span.

    ``source_id`` is the ``id()`` of what loads the rows, a queryset or a compiler. With it a call
    of the queryset's own methods inside its evaluation is recognised.
    """
    log: EvaluationLog = outer.log
    parent = outer.totals if type(outer) is EvaluationSpan else None
    return EvaluationSpan(log.totals_at(parent, model, kind, site, streamed), outer, source_id)


@ours
class EvaluationSpan:
    """One time that the rows of an evaluation are loaded: a ``with`` block.

    ``outer`` is the span around it. ``cursor_rows`` are the rows that cursors fetched for it, if
    ``counts_cursor_rows``; ``instances`` are those that were built row by row. ``source`` is the
    queryset, if its rows are kept by it.
    """

    __slots__ = (
        "_census",
        "_has_statement",
        "_overhead_before",
        "_previous_span",
        "_previous_window",
        "_started",
        "counts_cursor_rows",
        "cursor_rows",
        "instances",
        "log",
        "outer",
        "source",
        "source_id",
        "totals",
    )

    def __init__(self, totals: EvaluationTotals, outer: Span, source_id: int) -> None:
        self.totals = totals
        self.log = totals.log
        # The keys for an update are fetched by a cursor, and no method of a queryset counts them.
        self.counts_cursor_rows = totals.kind == "update"
        self.outer = outer
        self.source: Any = None
        self.source_id = source_id
        self.cursor_rows = 0
        self.instances: Counts | None = None
        self._census: Census | None = None
        self._has_statement = False

    @property
    def window(self) -> Window | None:
        """The window to which allocations are credited: the evaluation's, or the outer span's."""
        window = self.totals.window
        return self.outer.window if window is None else window

    def __enter__(self) -> EvaluationSpan:
        return self.enter(active_span(), engine.switch_window(None))

    def enter(self, previous_span: Span | None, previous_window: Window | None) -> EvaluationSpan:
        """Enter the block. Leaving it sets the previous span and window again.

        No window may be set when this is called.
        """
        self._previous_span, self._previous_window = previous_span, previous_window
        spans.activate_span(self)
        try:
            self.open()
            inside = self.window if self.log.measures else previous_window
            if inside is not None:
                engine.switch_window(inside)
        except BaseException:  # an interrupt: the block will not be left, as it was not entered
            self.__exit__()
            raise
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        engine.switch_window(None)
        if self._census is not None:
            self._census.discard()
        spans.activate_span(self._previous_span)
        if self._previous_window is not None:
            engine.switch_window(self._previous_window)

    def open(self) -> None:
        """Begin to measure."""
        overhead = self.log.overhead
        if self.log.measures and self.totals.window is None:
            with uncredited(), _contained, OverheadTimer(overhead):
                self._open_instrument()
        self._overhead_before = overhead.wall
        self._started = time.perf_counter()

    def statement_ran(self, sql: object, database: str) -> None:
        """Note a statement: the first decides which evaluation this is, others are counted.

        An evaluation without a statement loaded no rows: it read a cache.
        """
        totals = self.totals
        if self._has_statement:
            totals.log.count_statement()
            return
        self._has_statement = True
        # An object of another class is not compared: that would run code of its class. Nor is the
        # hash of a text asked for here: the number would be credited to the evaluation.
        if type(sql) is not str or totals.sql != sql or totals.database != database:
            with uncredited():
                self._move_to(totals.log.totals_of_statement(totals, sql, database))
            engine.switch_window(self.window)  # that of the totals it has now

    def stop_crediting(self) -> None:
        """Credit nothing more to the evaluation, inside its block."""
        engine.switch_window(None)

    def count_cursor_rows(self, rows: int) -> None:
        """Count rows that a cursor fetched for the evaluation."""
        self.cursor_rows += rows

    def close(self, rows: int, instances: Mapping[str, int] | None = None) -> None:
        """End with the number of rows and the instances built, while these are still alive."""
        with uncredited():
            self.close_uncredited(rows, instances)

    def close_uncredited(self, rows: int, instances: Mapping[str, int] | None) -> None:
        """Do what ``close()`` does, where no window is set."""
        totals = self.totals
        log = totals.log
        if not self._has_statement or log.closed:
            return
        overhead = log.overhead.wall - self._overhead_before
        duration = time.perf_counter() - self._started - overhead
        if not totals.times:
            totals.started = self._started
        log.add(totals, rows, duration)
        if instances:
            totals.add_instances(instances)
        if self.instances:
            totals.add_instances(self.instances)
        if log.measures:
            with OverheadTimer(log.overhead):
                self._read()

    def stream(
        self,
        rows: Iterator[_Row],
        instances_of: Callable[[Mapping[type, int]], Mapping[str, int]],
    ) -> Iterator[_Row]:
        """Return the rows; making each row is a part of the evaluation.

        ``instances_of`` returns the instances among rows that are counted by their type.
        """
        end = functools.partial(self._end_stream, instances_of)
        return spans.stream_in_span(rows, self, self._begin_stream, end, _contained.swallows)

    def _open_instrument(self) -> None:
        totals = self.totals
        outer = self.outer.window
        instrument = totals.log.new_instrument(outer, totals.streamed)
        if isinstance(instrument, Meter):
            totals.open(instrument, outer)
        elif instrument is not None and totals.has_room():
            self._census = instrument  # before it is opened: if that fails, it is discarded
            instrument.open(outer)

    def _move_to(self, totals: EvaluationTotals) -> None:
        """Count for other totals from now on: the statement is not that of the last time."""
        if totals is not self.totals:
            self.totals = totals
            if totals.log.measures and totals.window is None and self._census is None:
                with _contained, OverheadTimer(totals.log.overhead):
                    self._open_instrument()

    def _read(self) -> None:
        """Read the instrument at the end of the evaluation."""
        totals = self.totals
        if self._census is not None:
            self._census.read()
            totals.read_census(self._census.diff)
        else:
            # First, because read_meter() may use up the table by type that is always allowed.
            totals.log.update_near_peak(totals)
            totals.read_meter()
        if totals.omitted_by:  # no report has its bytes
            totals.discard()

    def _begin_stream(self) -> Window | None:
        with _contained:
            self.open()
        return self.window

    def _end_stream(
        self,
        instances_of: Callable[[Mapping[type, int]], Mapping[str, int]],
        rows: int,
        types: Mapping[type, int],
    ) -> None:
        with _contained, uncredited():
            self.close(rows, instances_of(types))
