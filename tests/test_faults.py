"""Whatever fails in django-memsize, a request is answered as without it, and a block runs."""

import gc
import os
from collections import Counter

import pytest

from django_memsize import engine, measure
from django_memsize.measuring import deferred
from tests import faults

pytestmark = [
    pytest.mark.urls("tests.faults"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("as_under_a_test_client"),
    # Django does not close its connections to databases in memory; those of a thread end with it.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]

FULL = os.environ.get("MEMSIZE_LONG") == "1"
PAGES_EACH = 100 if FULL else 1
"""Pages on which each function fails. One page always; all pages that call it with
MEMSIZE_LONG=1."""

_BETWEEN = "calls the program's own work, with nothing of django-memsize around it"
_BY_THE_PROGRAM = "is called by the program, with nothing of django-memsize around it"
_FINALISER = "is a finaliser: the interpreter writes its exceptions to stderr, and goes on"
_THREAD = "is the first function of a thread"

PASSES = {
    "engine.fallback.meter.Stream.__del__": _FINALISER,
    "engine.fallback.meter.Stream.__init__": "leaves an object that its finaliser cannot close",
    "engine.fallback.meter.Stream.__iter__": _BETWEEN,
    "engine.fallback.meter.Stream.__next__": _BETWEEN,
    "engine.fallback.meter.Stream.close": _BETWEEN,
    "measuring.deferred._run": _THREAD,
    "middleware.MemsizeMiddleware.__acall__": _BETWEEN,
    "middleware.MemsizeMiddleware.__call__": _BETWEEN,
    "middleware.MemsizeMiddleware.__init__": "runs before the first request, when Django starts",
    "middleware._Visit.__del__": _FINALISER,
    "orm.cursors._counting_call.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_iteration.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_rows.<locals>.wrap.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_statement.<locals>.wrapper": _BETWEEN,
    "orm.evaluations._collecting_keys.<locals>.pre_sql_setup": _BETWEEN,
    "orm.evaluations._evaluating.<locals>._fetch_all": _BETWEEN,
    "orm.evaluations._iterating.<locals>._iterator": _BETWEEN,
    "orm.evaluations._iterating_async.<locals>.aiterator": _BETWEEN,
    "reports.writer._flush_in_thread": _THREAD,
    "tools.measure.measure.__call__": _BY_THE_PROGRAM,
    "tools.measure.measure.__call__.<locals>.measured": _BETWEEN,
    "tools.measure.measure.__call__.<locals>.measured_async": _BETWEEN,
    "tools.measure.measure.__enter__": _BY_THE_PROGRAM,
    "tools.measure.measure.__exit__": _BY_THE_PROGRAM,
    "tools.measure.measure.__init__": _BY_THE_PROGRAM,
}
"""Functions whose own exceptions reach the program, each with the reason. They are not injected."""

LEAVES_COLLECTOR_OFF = {
    "engine.collector.resume",
    "measuring.evaluation_span.EvaluationSpan.__exit__",
    "measuring.instruments.Census.discard",
}
"""Functions that switch Python's collector on again: where they fail, it stays off."""

_REASONS = {
    "declares a protocol: its body never runs": """
        measuring.evaluation_log.NamedModel.app_label
        measuring.evaluation_log.NamedModel.object_name
        measuring.evaluation_log.NamedModel.label
        measuring.spans.Span.window
        measuring.spans.Span.log
        measuring.spans.Span.counts_cursor_rows
        process.Resettable.reset
    """,
    "runs when the package is imported, and after a fork": """
        conf.setting
        conf.Overrides.__init__
        conf.reset
        measuring.deferred._Deferred.__init__
        measuring.deferred._Deferred.reset
        measuring.evaluation_totals._Lock.__init__
        measuring.evaluation_totals._Lock.reset
        measuring.in_flight._InFlightNow.__init__
        measuring.in_flight._InFlightNow.reset
        measuring.overhead._ProcessOverhead.__init__
        measuring.overhead._ProcessOverhead.reset
        measuring.spans._Context.reset
        orm.cursors._counting_rows
        orm.methods.callers_by_file
        orm.patches._Patches.__init__
        orm.patches._Patches.reset
        process.register
        process.reset
        reports.outliers.Outliers.__init__
        reports.outliers.Outliers.reset
        reports.recordings._Seen.__init__
        reports.recordings._Seen.reset
        reports.writer._Writer.__init__
        reports.writer._Writer.reset
        values.ownership.ours
        values.summary.described
    """,
    "runs in a test: it overrides a setting, or asks for a report at once": """
        conf.Overrides.change
        conf._on_setting_changed
        measuring.deferred.analyse_now
        measuring.deferred.analyse_now.<locals>.<lambda>
        orm.patches._Patches.uninstall
        reports.recordings.collecting
        reports.recordings.analyse_now
    """,
    "runs where a report is read or shown": """
        formatting.aligned_size
        formatting.human_size
        formatting.signed_size
        formatting.human_duration
        formatting.counted
        formatting.capitalized
        formatting.table
        formatting.markdown_table
        formatting.type_table
        formatting._printable
        formatting._scaled
        models.ReportQuerySet.after_the_first
        models.ReportQuerySet.by_route
        models.Report.__str__
        models.Report.summary
        models.Report.retained_by_others
        models._retained_at
        orm.methods.phrase
        reports.serialization.summary_of
        reports.serialization.has_all_evaluations
        reports.serialization._read_diff
        reports.serialization._read_total
        reports.serialization._read_instances
        reports.serialization._read_dataclass
        reports.serialization._read_items
        reports.serialization._readable
        reports.serialization._read
        reports.serialization._read_float
        reports.serialization._fields_of
        values.summary.Summary.is_metered
        values.summary.Summary.is_counted
        values.summary.Summary.rss_change
        values.summary.Summary.largest_evaluation
        values.summary.Summary.largest_evaluation.<locals>.<lambda>
    """,
    "runs where code is given as text, to a shell": """
        measuring.source_files.is_program_text
        measuring.source_files._is_program_module
        measuring.source_files._is_defined_further_out
    """,
    "runs for what a developer calls by hand: sizes and instances": """
        engine.sized
        engine.fallback.census.sizeof
        engine.fallback.census.instances
        engine.fallback.census.Sizing.__init__
        engine.fallback.census.Sizing.meet
        engine.fallback.census.Sizing.flat
        engine.fallback.census.Sizing.deep
        engine.fallback.census.Sizing.referents
        engine.fallback.census._Walk.total
        engine.fallback.census._DeepWalk.wants
        engine.fallback.census._SearchWalk.__init__
        engine.fallback.census._SearchWalk.take
        engine.fallback.census._deep_size
        engine.types.stops
    """,
    "stands for a function of the meter, called only where there are windows": """
        engine.fallback.meter.find_referrers
        engine.fallback.meter.discard_windows
        engine.fallback.meter.meter_bytes
    """,
    "runs where a developer prints or compares a value": """
        measuring.recording.Recording.__repr__
        values.evaluation.CallSite.__str__
        values.evaluation.Instances.__len__
        values.evaluation.Instances.__repr__
        values.evaluation.Instances.__hash__
        values.evaluation.Evaluation.__repr__
        values.type_tables.TypeTotal.__sub__
        values.type_tables.TypeTotal.__bool__
        values.type_tables._TypeTable.__iter__
        values.type_tables._TypeTable.__len__
        values.type_tables._TypeTable.__eq__
        values.type_tables._TypeTable.__repr__
        values.type_tables._TypeTable.__str__
        values.type_tables.Diff.__eq__
        values.type_tables.Diff.largest
        values.type_tables.Diff.rows
        values.type_tables.Diff.__str__
        values.type_tables.Amount.__add__
        values.type_tables._text
    """,
    "runs once another function has failed": """
        measuring.source_files.is_called_by_memsize
    """,
    "runs while another thread's request is in flight": """
        measuring.in_flight.none_in_flight
    """,
    "runs where a cache pickles a response": """
        middleware._Visit.__reduce__
    """,
    "runs after the meter has missed allocations": """
        reports.build._without_remains
    """,
}

NEVER_HIT = {
    name.strip(): reason
    for reason, names in _REASONS.items()
    for name in names.strip().splitlines()
}
"""Functions that no page calls, each with the reason. One that a page does call fails the test."""

HIT_BY_VERSION = {
    "engine.fallback.roots._is_immortal",
    "engine.fallback.roots._interned_texts",
    "engine.fallback.sizes._size_or_basicsize",
    "engine.fallback.sizes._is_cached",
    "engine.types.items_of",
}
"""Functions that a page calls on some versions of Python only."""


class Matrix:
    """The faults of one instrument and one kind of client."""

    called = {}
    """(instrument, mode) -> page -> places of the functions that the page calls."""

    figures = {}
    """(instrument, mode) -> Counter of functions, faults and faults that were hit."""

    def __init__(self, instrument, mode, settings, monkeypatch):
        if instrument == "meter" and engine.Window is None:
            pytest.skip("the engine in Python has no meter")
        faults.create_rows()
        faults.lower_limits(monkeypatch)
        self.pages = faults.Pages(settings, mode, instrument, monkeypatch)
        faults.forget()
        self._live = faults.hosts()
        self._key = instrument, mode
        self._monkeypatch = monkeypatch
        self._quick = None
        if instrument == "census":
            faults.use_small_heap(monkeypatch)
            self._quick = engine.census()

    def survey(self):
        """Return the places of the functions that each page calls; without faults, once."""
        if self._key not in self.called:
            found = {page: set() for page in faults.PAGES[self.pages.mode]}
            for page, places in found.items():
                gc.collect()  # otherwise a finaliser of one page could run on a later one
                answers = self.pages.visit(page, faults.profiled(places))
                assert self.pages.is_as_expected(page, answers), (page, answers)
            self.called[self._key] = found
        return self.called[self._key]

    def inject(self):
        """Have each function fail that the pages call; return what went wrong, as texts."""
        called = self.survey()
        problems = []
        figures = self.figures[self._key] = Counter()
        for name, place in faults.functions().items():
            pages = [page for page, places in called.items() if place in places]
            if pages and name not in PASSES:
                figures["functions"] += 1
                with self._monkeypatch.context() as patch:
                    if self._quick is not None and not name.startswith("engine."):
                        patch.setattr(engine, "census", lambda exclude=(): self._quick)
                    wrong = self._fail(name, place, pages[:PAGES_EACH], figures)
                figures["passed"] += not wrong
                problems += wrong
        return problems

    def _fail(self, name, place, pages, figures):
        problems = []
        for page in pages:
            hits = []
            fault = faults.failing(place, self._live.get(place, ()), hits)
            answers = self.pages.visit(page, fault)
            figures["faults"] += 1
            figures["hit"] += bool(hits)
            if not hits:
                problems.append(f"{name}: not hit on {page}")
            if not self.pages.is_as_expected(page, answers):
                problems.append(f"{name}: reaches {page}: {answers}")
            if not gc.isenabled() and name not in LEAVES_COLLECTOR_OFF:
                problems.append(f"{name}: leaves Python's collector off, on {page}")
            gc.enable()
        faults.forget()
        if (rows := faults.rows_of_a_request()) != [3]:
            problems.append(f"{name}: afterwards a request has {rows} rows")
        return problems


@pytest.fixture(scope="module", autouse=True)
def _table_of_figures(request):
    """Print the numbers of faults after the tests."""
    request.config.pluginmanager.register(_Summary())


class _Summary:
    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.section("faults")
        for (instrument, mode), figures in Matrix.figures.items():
            terminalreporter.write_line(
                f"{instrument:6} {mode:5}  {figures['functions']} functions, "
                f"{figures['faults']} faults injected, {figures['hit']} hit, "
                f"{figures['passed']} functions passed"
            )


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("instrument", ["meter", "census"])
def test_whatever_fails_a_request_is_answered_as_without_memsize(
    settings, monkeypatch, instrument, mode
):
    problems = Matrix(instrument, mode, settings, monkeypatch).inject()

    assert not problems, "\n".join(problems)


def test_every_function_fails_on_some_page_or_has_a_reason(settings, monkeypatch):
    if engine.Window is None:
        pytest.skip("the engine in Python has no meter")
    called = set()
    for instrument in ("meter", "census"):
        for mode in ("sync", "async"):
            key = instrument, mode
            if key not in Matrix.called:
                with monkeypatch.context() as patch:
                    Matrix(instrument, mode, settings, patch).survey()
            called.update(*Matrix.called[key].values())

    functions = faults.functions()
    missed = {name for name, place in functions.items() if place not in called}
    assert sorted(missed - HIT_BY_VERSION - set(PASSES)) == sorted(NEVER_HIT)
    assert set(PASSES) | LEAVES_COLLECTOR_OFF | HIT_BY_VERSION <= set(functions)


def test_a_block_runs_although_no_recording_can_be_made(monkeypatch):
    def new_recording(name):
        raise MemoryError

    new_recording.__code__ = new_recording.__code__.replace(co_filename=engine.__file__)
    monkeypatch.setattr("django_memsize.tools.measure._new_recording", new_recording)
    with measure("outer") as outer:
        monkeypatch.undo()
        with measure("inner") as inner:
            created = bytearray(100_000)

    assert (outer.closed, outer.incomplete, outer.peak, outer.evaluations) == (True, True, None, ())
    assert (inner.closed, inner.incomplete, inner.name) == (True, False, "inner")
    assert engine.Window is None or inner.retained.bytes >= len(created)


@pytest.mark.parametrize("error", [LookupError("of the program"), KeyboardInterrupt()])
def test_a_block_without_a_recording_is_left_by_its_own_exception(monkeypatch, error):
    def new_recording(name):
        raise MemoryError

    new_recording.__code__ = new_recording.__code__.replace(co_filename=engine.__file__)
    monkeypatch.setattr("django_memsize.tools.measure._new_recording", new_recording)

    with pytest.raises(type(error)) as caught, measure("block", save=True):
        raise error

    assert caught.value is error


def test_the_background_thread_ends_although_analysing_fails_each_time(monkeypatch):
    def take(is_wanted):
        attempts.append(is_wanted)
        raise MemoryError

    attempts = []
    monkeypatch.setattr(deferred, "_take", take)
    monkeypatch.setattr(deferred, "_PAUSE", 0.001)
    deferred.wait((), print)
    deferred.start_thread(lambda: True)
    faults.wait_for_threads(seconds=2)

    assert 1 < len(attempts) < 10


@pytest.mark.parametrize("name", sorted(faults.LEFT_OUT))
def test_what_is_left_out_exists(name):
    assert name in ("commands", "contrib") or (
        (faults.ROOT / name.replace(".", "/")).is_dir()
        or (faults.ROOT / f"{name.replace('.', '/')}.py").is_file()
    )
