"""The log of a recording's evaluations: rows, instances and bytes of each.

The rows that a loop loads one after another, at one call site by one statement, are one evaluation
that ran several times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from ..values import SQL_KEPT, CallSite, Evaluation, Instances, NearPeak, OwnTuple, ours
from . import overhead as process_overhead
from .evaluation_totals import (
    GROWTH,
    NO_INSTANCES,
    EvaluationTotals,
    InstanceNumbers,
    Statement,
    adding,
)
from .instruments import Census, Instrument, Meter
from .near_peak import types_near_peak
from .overhead import Overhead

if TYPE_CHECKING:
    from ..engine.compiled import Window

EVALUATIONS_LOGGED: Final = 1000
"""Evaluations of one recording that are logged; of any more only rows and number are counted."""

FAR: Final = 4
"""Beyond the budget of overhead, what is alive is broken down again if it grew by this factor: the
tables of a recording then take a third more time than the last of them."""

MUCH_MORE: Final = 1.5
"""The end of an evaluation has a name, and all of its rows. Another moment is preferred only if so
many times as much was alive."""

_name_of: Final = type.__dict__["__name__"].__get__
"""Reads the name of a class without running code of its metaclass."""


class NamedModel(Protocol):
    """The names that the options of a model have (``Model._meta``)."""

    @property
    def app_label(self) -> str:
        """The label of its app."""

    @property
    def object_name(self) -> str | None:
        """The name of its class."""

    @property
    def label(self) -> str:
        """Both, with a dot between."""


@ours
class _List(list[EvaluationTotals]):
    __slots__ = ()


@ours
class _ByKey(dict[tuple[object, ...], EvaluationTotals]):
    # The stored keys are of a class of ours. A plain tuple finds them, and is made in less time.
    __slots__ = ()


@ours
class EvaluationLog:
    """What one recording loaded, the recordings inside it included.

    ``rows`` are those of all evaluations. ``query_log_bytes`` is what Django's log of statements
    got (``DEBUG``). ``statements`` ran outside of evaluations: those of
    cursors, those that write, ``count()`` and ``exists()``. ``cursor_rows`` were fetched by
    cursors, past the ORM. ``omitted`` evaluations are counted in ``rows`` only. ``near_peak`` is
    what was alive by type at the end of the evaluation where that was most.
    """

    __slots__ = (
        "_by_key",
        "_by_statement",
        "_has_types",
        "_instrument",
        "_logged",
        "_omitted_instances",
        "_size_near_peak",
        "closed",
        "cursor_rows",
        "max_overhead",
        "measures",
        "near_peak",
        "omitted",
        "outer",
        "overhead",
        "query_log_bytes",
        "rows",
        "statements",
    )

    def __init__(
        self, instrument: Instrument, overhead: Overhead, measures: bool, max_overhead: float
    ) -> None:
        self._instrument = instrument
        self.max_overhead = max_overhead
        self._has_types = False
        self._size_near_peak = 0
        self._logged = _List()
        # The latest totals by parent, model, kind and call site; all totals by that key and their
        # statement.
        self._by_key = _ByKey()
        self._by_statement = _ByKey()
        self.overhead = overhead
        self.outer: EvaluationLog | None = None
        self.measures = measures
        self.closed = False
        self.rows = 0
        self.statements = 0
        self.cursor_rows = 0
        self.query_log_bytes = 0
        self.omitted = 0
        self._omitted_instances: InstanceNumbers | None = None
        self.near_peak: NearPeak | None = None

    @property
    def evaluations(self) -> OwnTuple[Evaluation]:
        """The evaluations in the order in which they began; one inside another one follows it."""
        logged = sorted(self._logged, key=lambda totals: totals.started)
        return OwnTuple(totals.evaluation() for totals in logged)

    @property
    def omitted_instances(self) -> Instances | None:
        """The model instances that the omitted evaluations built; None if none is omitted."""
        omitted = self._omitted_instances
        return None if omitted is None else omitted.instances()

    @property
    def all_statements(self) -> int:
        """How many statements ran: those of the logged evaluations, each time, and the others."""
        logged = self._logged
        return self.statements + sum([totals.times for totals in logged] if logged else ())

    @property
    def without_types(self) -> int:
        """How many evaluations the overhead budget did not allow to break down by type."""
        return sum(totals.over_budget for totals in self._logged)

    def totals_at(
        self,
        parent: EvaluationTotals | None,
        model: NamedModel,
        kind: str,
        site: CallSite | None,
        streamed: bool,
    ) -> EvaluationTotals:
        """Return the totals of the latest evaluation at the same call site, or new ones.

        They are assumed until the statement runs: then ``totals_of_statement()`` has the right
        ones.
        """
        # The totals that have the key keep both objects alive, so that their ids stay unique.
        key = (id(parent), id(site), model.app_label, model.object_name, kind, streamed)
        totals = self._by_key.get(key)
        if totals is None:
            totals = EvaluationTotals(
                self, OwnTuple(key), parent, model.label, kind, site, streamed
            )
            if len(self._by_key) < EVALUATIONS_LOGGED:
                totals = self._by_key.setdefault(totals.key, totals)
        return totals

    def totals_of_statement(
        self, totals: EvaluationTotals, sql: object, database: str
    ) -> EvaluationTotals:
        """Return the evaluation for this SQL at the same call site.

        That is ``totals`` if it has no statement yet, or this one; else another, new or known.
        ``sql`` is the program's own object, and is copied only for a new evaluation.
        """
        text = _text_of_statement(sql)
        # A text keeps its hash, so that the same object is hashed once.
        ran: Statement = OwnTuple((database, str.__hash__(text), str.__len__(text)))
        if totals.statement == ran:
            return totals
        statement = (totals.key, ran)
        known = self._by_statement.get(statement)
        if known is None:
            known = totals if totals.claim() else totals.for_another_statement()
            has_room = len(self._by_statement) < EVALUATIONS_LOGGED
            if has_room:
                # Another thread may be first. Then what this one claimed is used by none.
                known = self._by_statement.setdefault(OwnTuple(statement), known)
            known.statement, known.database, known.sql = ran, database, _kept(text)
            if not has_room:
                return known
        self._by_key[totals.key] = known
        return known

    def add(self, totals: EvaluationTotals, rows: int, duration: float) -> None:
        """Add one time that an evaluation ran, in seconds, to this log and to those around it."""
        with adding.lock:
            totals.times += 1
            is_first = totals.times == 1
            totals.rows += rows
            self.rows += rows
        totals.add_duration(duration)
        if is_first:
            self._append(totals)
        if self.outer is not None:
            for log in self.outer._with_outer():
                with adding.lock:
                    log.rows += rows
                if is_first:
                    log._append(totals)

    def count_statement(self) -> None:
        """Count a statement that loaded no rows of the ORM."""
        for log in self._with_outer():
            with adding.lock:
                log.statements += 1

    def count_logged(self, size: int) -> None:
        """Count the bytes of a statement's entry in Django's log of statements."""
        for log in self._with_outer():
            with adding.lock:
                log.query_log_bytes += size

    def count_cursor_rows(self, rows: int) -> None:
        """Count rows that a cursor fetched, unless the log is closed."""
        log = None if self.closed else self
        while log is not None:
            with adding.lock:
                log.cursor_rows += rows
            log = log.outer

    def count_omitted_instances(self, instances: Mapping[str, int]) -> None:
        """Count instances that an omitted evaluation built."""
        if self._omitted_instances is not None:
            self._omitted_instances.add(instances)

    def update_near_peak(self, totals: EvaluationTotals) -> None:
        """Break down what is alive at the end of an evaluation if it never was so much.

        Does so for the logs around this one as well, within the overhead budget.
        """
        for log in self._with_outer():
            meter = log._instrument
            if isinstance(meter, Meter) and meter.window is not None:
                alive = meter.window.alive[1]
                known = log._size_near_peak
                is_far = bool(known) and alive > FAR * known
                if alive > GROWTH * known and (is_far or self.may_break_down()):
                    log._size_near_peak = alive
                    types = meter.alive_by_type()
                    meter.window.looked_at(alive)
                    log.near_peak = (
                        None
                        if types is None
                        else NearPeak(types, totals.model, totals.rows, totals.site)
                    )

    def update_near_peak_by_engine(self) -> None:
        """Use what the engine found near the peak, if that is much more than any evaluation had."""
        window = self._instrument.window
        if window is not None and window.bytes_near_peak > MUCH_MORE * self._size_near_peak:
            types = types_near_peak(window)
            if types is not None:
                self._size_near_peak = window.bytes_near_peak
                self.near_peak = NearPeak(types)

    def may_break_down(self) -> bool:
        """Return whether the overhead budget has room for one more table by type.

        The first table of a recording is always allowed.
        """
        return not self._has_types or process_overhead.is_within(self.max_overhead)

    def note_breakdown(self) -> None:
        """Note that the first table by type is made."""
        self._has_types = True

    def new_instrument(self, outer: Window | None, streamed: bool) -> Census | Meter | None:
        """Return a new instrument for an evaluation, of the recording's kind; None for none."""
        if self.closed or not self.measures:
            return None
        if isinstance(self._instrument, Meter):
            return None if outer is None else Meter()
        return None if streamed else Census(pauses_collector=True)

    def analyse(self) -> None:
        """Read what each evaluation retained, once the recording's window is analysed."""
        for totals in self._logged:
            totals.analyse()

    def _append(self, totals: EvaluationTotals) -> None:
        """Log an evaluation that ran for the first time, or count it as omitted."""
        if len(self._logged) < EVALUATIONS_LOGGED:
            self._logged.append(totals)
        else:
            if self._omitted_instances is None:
                self._omitted_instances = InstanceNumbers(NO_INSTANCES)
            with adding.lock:
                self.omitted += 1
            totals.omitted_by = OwnTuple((*totals.omitted_by, self))

    def _with_outer(self) -> Iterator[EvaluationLog]:
        log: EvaluationLog | None = self
        while log is not None:
            yield log
            log = log.outer


def _text_of_statement(sql: object) -> str:
    """Return a statement, if it is a text; for any other object, its type's name in parentheses."""
    return sql if issubclass(type(sql), str) else f"({_name_of(type(sql))})"  # type: ignore[return-value]


def _kept(text: str) -> str:
    """Return a copy of a statement, cut to ``SQL_KEPT`` characters.

    A reference to the program's own text would retain it. No code of a subclass of str runs.
    """
    begin = str.encode(str.__getitem__(text, slice(SQL_KEPT)), errors="surrogatepass")
    copy = str(begin, errors="surrogatepass")
    # With the mark a cut text differs from the text that ends here.
    return copy if str.__len__(text) <= SQL_KEPT else f"{copy}…"
