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
_AT_START = "runs before the first request, when Django starts"
_BY_THE_PROGRAM = "is called by the program, with nothing of django-memsize around it"
_FINALISER = "is a finaliser: the interpreter writes its exceptions to stderr, and goes on"
_THREAD = "is the first function of a thread"

PASSES = {
    "engine.fallback.meter.Stream.__del__": _FINALISER,
    "engine.fallback.meter.Stream.__init__": "leaves an object that its finaliser cannot close",
    "engine.fallback.meter.Stream.__iter__": _BETWEEN,
    "engine.fallback.meter.Stream.__next__": _BETWEEN,
    "engine.fallback.meter.Stream.close": _BETWEEN,
    "measuring.arrivals._Arrivals.listen": _AT_START,
    "measuring.arrivals._arriving": _AT_START,
    "measuring.arrivals._arriving.<locals>.wrapper": _BETWEEN,
    "measuring.arrivals._sending": _AT_START,
    "measuring.arrivals._sending.<locals>.wrapper": _BETWEEN,
    "measuring.arrivals._on_request_finished": _BY_THE_PROGRAM,
    "measuring.arrivals._on_request_started": _BY_THE_PROGRAM,
    "measuring.deferred._run": _THREAD,
    "middleware.MemsizeMiddleware.__acall__": _BETWEEN,
    "middleware.MemsizeMiddleware.__call__": _BETWEEN,
    "middleware.MemsizeMiddleware.__init__": _AT_START,
    "middleware._arrive": _BETWEEN,
    "middleware._follow": _BETWEEN,
    "middleware._leave": _BETWEEN,
    "middleware._OpenVisit.__del__": _FINALISER,
    "orm.cursors._counting_call.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_iteration.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_rows.<locals>.wrap.<locals>.wrapper": _BETWEEN,
    "orm.cursors._counting_statement.<locals>.wrapper": _BETWEEN,
    "orm.evaluations._collecting_keys.<locals>.pre_sql_setup": _BETWEEN,
    "orm.evaluations._evaluating.<locals>._fetch_all": _BETWEEN,
    "orm.evaluations._iterating.<locals>._iterator": _BETWEEN,
    "orm.evaluations._iterating_async.<locals>.aiterator": _BETWEEN,
    "reports.writer_thread.WriterThread._run": _THREAD,
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
        measuring.arrivals.Begun.leave
        measuring.routes.Rules.max_overhead
        measuring.routes.Rules.sample
        measuring.routes.Rules.sample_first
        measuring.routes.Rules.sample_interval
        measuring.routes.Rules.sample_rate
        measuring.routes.Rules.sample_rates
        measuring.overhead.HasOverhead.overhead
        measuring.overhead.HasOverhead.add_overhead
        measuring.evaluation_log.NamedModel.app_label
        measuring.evaluation_log.NamedModel.object_name
        measuring.evaluation_log.NamedModel.label
        measuring.spans.Span.window
        measuring.spans.Span.log
        measuring.spans.Span.counts_cursor_rows
        process.Resettable.reset
        reports.storage.Item.report
        reports.storage.Item.uid
        reports.storage.Outcome.refused
        reports.storage.Outcome.stored
        workers.tally.Mirror.set_number
    """,
    "runs when the package is imported, and after a fork": """
        measuring.callables.ProgramCallable.__init__
        reports.route_names._Known.__init__
        reports.route_names._Known.reset
        values.setting.setting
        conf.Overrides.__init__
        conf.reset
        measuring.arrivals._Arrivals.__init__
        measuring.arrivals._Arrivals.reset
        measuring.deferred._Deferred.__init__
        measuring.deferred._Deferred.reset
        measuring.evaluation_totals._Lock.__init__
        measuring.evaluation_totals._Lock.reset
        measuring.in_flight._InFlightNow.__init__
        measuring.in_flight._InFlightNow.reset
        measuring.walks._Walk.__init__
        measuring.walks._Walk.reset
        measuring.overhead._ProcessOverhead.__init__
        measuring.overhead._ProcessOverhead.reset
        measuring.sampling._Sampling.__init__
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
        reports.rollup_merging._DueAt.reset
        reports.rollup_writer.RollupWriter.__init__
        reports.rollup_writer.RollupWriter.reset
        reports.rollups.Rollups.__init__
        measuring.survivors.Survivors.__init__
        measuring.survivors.Survivors.reset
        measuring.survivors._TimeFollowed.__init__
        reports.rollups.Rollups.reset
        reports.drops._Warnings.reset
        reports.retention._Pruners.reset
        reports.sql._dialect
        reports.sql_names._Names.__init__
        reports.sql_names._Names.reset
        reports.writer_thread.WriterThread.__init__
        reports.writer_thread.WriterThread.reset
        workers.state_file._offsets
        workers.state_file.StateFile.close
        workers.tally.Tally.__init__
        workers.tally.Tally.reset
        workers.worker._Current.__init__
        workers.worker._Current.reset
        values.ownership.ours
        values.summary.described
    """,
    "runs in a test: it overrides a setting, or asks for a report at once": """
        conf.Overrides.change
        conf._on_setting_changed
        orm.roles._on_setting_changed
        measuring.deferred.take_all
        measuring.deferred.take_all.<locals>.<lambda>
        reports.recordings._on_setting_changed
        reports.following.forget
        measuring.survivors.Survivors.forget
        measuring.arrivals._Arrivals.uninstall
        measuring.deferred.analyse_now
        measuring.deferred.analyse_now.<locals>.<lambda>
        orm.patches._Patches.uninstall
        reports.recordings.collecting
        reports.recordings.analyse_now
    """,
    "runs in the command": """
        measuring.tokens.new
        reports.retention.delete_all
        reports.retention.prune_all
    """,
    "runs where a report is read or shown": """
        formatting.aligned_size
        formatting.human_size
        formatting.signed_size
        formatting.human_duration
        formatting.counted
        formatting.capitalized
        formatting.table
        formatting.lower_bound
        formatting.markdown_table
        formatting.named_database
        formatting.percentage
        formatting.type_table
        formatting._printable
        formatting._scaled
        models.ReportQuerySet.after_the_first
        models.ReportQuerySet.start_of_newest
        models.ReportQuerySet.started_since
        models.Report.__str__
        models.Report.delete
        models.Report.summary
        models.Report.retained_by_others
        models._compared
        orm.methods.phrase
        reports.n_plus_one._Loop.add
        reports.n_plus_one._advice
        reports.n_plus_one._is_n_plus_one
        reports.n_plus_one._rows
        reports.n_plus_one._sentence
        reports.n_plus_one._statement
        reports.n_plus_one.loops
        reports.serialization.summary_of
        reports.serialization.has_all_evaluations
        reports.serialization._read_diff
        reports.serialization._read_total
        reports.serialization._read_name
        reports.serialization._read_instances
        reports.serialization._read_dataclass
        reports.serialization._read_items
        reports.serialization._readable
        reports.serialization._read
        reports.serialization._read_float
        values.summary.Summary.is_metered
        values.summary.Summary.is_counted
        values.summary.Summary.is_peak_exact
        values.summary.Summary.rss_change
        values.summary.Summary.largest_evaluation
        values.summary.Summary.largest_evaluation.<locals>.<lambda>
    """,
    "runs with DEBUG, where Django logs statements: see test_requests_metered": """
        measuring.evaluation_log.EvaluationLog.count_logged
        orm.cursors._Logging.__enter__
        orm.cursors._Logging.__exit__
        orm.cursors._Logging.__init__
        orm.cursors._entry_bytes
        orm.cursors._logging.<locals>.wrapper
    """,
    "runs where more was alive than at the end of any evaluation: see test_measuring_near_peak": """
        measuring.near_peak.types_near_peak
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
        engine.fallback.meter.discard_windows
        engine.fallback.meter.limit_meter
        engine.fallback.meter.meter_bytes
    """,
    "stands for what an instrument does, which a counted request does not ask for": """
        measuring.instruments.NoInstrument.open
        measuring.instruments.NoInstrument.read
    """,
    "runs at the import, and in the child of a fork": """
        measuring.rss._Statm.__init__
        measuring.rss._Statm.reset
    """,
    "runs where no middleware of ours takes a request": """
        measuring.arrivals.Arrival.drop
    """,
    "runs where an ASGI server serves; the test client for asynchronous requests is none": """
        measuring.arrivals._path_info
        measuring.arrivals._outside
    """,
    "runs where a developer prints or compares a value": """
        measuring.recording.Recording.__repr__
        values.evaluation.CallSite.__repr__
        values.evaluation.CallSite.__str__
        values.evaluation.NearPeak.__repr__
        values.ownership.shortened
        values.ownership._short_repr
        values.summary.Summary.__repr__
        values.histogram.Histogram.__eq__
        values.histogram.Histogram.__repr__
        values.rollup.ProcessRollup.__eq__
        values.rollup.ProcessRollup.__repr__
        values.rollup.RouteRollup.__eq__
        values.rollup.RouteRollup.__repr__
        values.evaluation.Instances.__repr__
        values.evaluation.Instances.__hash__
        values.evaluation.Evaluation.__repr__
        values.type_tables.TypeTotal.__sub__
        values.type_tables.TypeTotal.__bool__
        values.type_tables._TypeTable.__iter__
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
    "runs where the handler of a signal raises": """
        engine.fallback.sizes.has_frames
        middleware._Raising.__init__
        middleware._Raising.__call__
    """,
    "runs for a statement that is not stored": """
        reports.sql._described
    """,
    "runs once a minute in the writer's thread: see test_reports_rollup_writer": """
        reports.rollup_merging.Step.end
        reports.rollup_merging.Step.keeps_minutes
        reports.rollup_merging.Step.ordered
        reports.rollup_merging.Table.rows
        reports.chunks.pause
        reports.rollup_merging._delete
        reports.rollup_merging._delete_chunk
        reports.rollup_merging._locked
        reports.rollup_merging._merge_chunk
        reports.rollup_merging._oldest
        reports.rollup_merging._prune_chunk
        values.rollup.ProcessRollup.of
        reports.rollup_merging._route_columns
        reports.rollup_merging._run
        reports.rollup_merging._read
        reports.rollup_merging._sums
        reports.rollup_merging._use_the_index
        reports.rollup_merging.merge
        reports.rollup_periods.Period.of
        reports.rollup_periods.RoutePeriods._coarsen
        reports.rollup_periods.RoutePeriods._is_full
        reports.rollup_periods.RoutePeriods.make_room
        reports.rollup_periods.RoutePeriods.requests
        reports.rollup_periods.RoutePeriods.rollup
        reports.rollup_periods.RoutePeriods.take
        reports.rollup_periods.SamplePeriods._add
        reports.rollup_periods.SamplePeriods.add
        reports.rollup_periods._Routes.requests
        reports.rollup_periods._Routes.rollup
        reports.rollup_periods._by_start
        reports.rollup_storage.Batch.__init__
        reports.rollup_storage.Batch.escaped
        reports.rollup_storage.Batch.requests
        reports.rollup_storage._ascii
        reports.rollup_storage._row
        reports.rollup_storage.insert
        reports.rollup_storage.is_stored
        reports.connection.short_question
        reports.chunks.lock_file
        reports.rollup_storage.Batch.newest
        reports.rollup_storage.Batch.newest.<locals>.<lambda>
        reports.rollup_storage._is_recent
        reports.rollup_storage.has_tables
        reports.rollup_writer._refusal
        reports.rollup_writer.RollupWriter.is_pausing
        reports.rollup_writer.RollupWriter._insert
        reports.rollup_writer.RollupWriter._lose
        reports.rollup_writer.RollupWriter._sample
        measuring.survivors.Survivors.sweep
        reports.following.sweep
        reports.rollup_writer.RollupWriter._write
        reports.rollup_writer.RollupWriter._write_unanswered
        reports.rollup_writer.RollupWriter.discard
        reports.rollup_writer.RollupWriter.drop
        reports.rollup_writer.RollupWriter.is_done
        reports.rollup_writer.RollupWriter.write
        reports.rollup_writer.warn
        measuring.collector.full_collections_so_far
        values.histogram.Histogram.merge_document
        values.rollup.ProcessRollup.merge_stored
        values.rollup.RouteRollup.merge_stored
        reports.rollups.Rollups._add_equal
        reports.rollups.Rollups._add_events
        reports.rollups.Rollups._add_survival
        reports.rollups.Rollups._add_metered
        reports.rollups.Rollups._add_up
        reports.rollups.Rollups._rollup
        reports.rollups.Rollups.is_empty
        reports.rollups.Rollups.is_used
        reports.rollups.Rollups.lose
        reports.rollups.Rollups.sample
        reports.rollups.Rollups.take
        reports.rollups.Rollups.take_samples
        reports.rollups._release
        reports.rollups.process_key
        reports.writer_thread.WriterThread._write_rollups
        values.histogram.Buckets.add
        values.histogram.Buckets.limited
        values.histogram.Buckets.merge
        values.histogram.Histogram.__init__
        values.histogram.Histogram.add
        values.histogram.Histogram.count
        values.histogram.Histogram.document
        values.histogram.Histogram.merge
        values.histogram.Histogram.of
        values.histogram._listed
        values.histogram.index_of
        values.rollup.ProcessRollup.__init__
        values.rollup.ProcessRollup.columns
        values.rollup.ProcessRollup.merge
        values.rollup.RouteKey.of_others
        values.rollup.RouteRollup.__init__
        values.rollup.RouteRollup.add
        values.rollup.RouteRollup.counts
        values.rollup.RouteRollup.document
        values.rollup.RouteRollup.merge
        values.rollup.RouteRollup.of
        values.rollup._mapping
    """,
    "runs where so many requests wait for the writer's thread that they add up themselves": """
        reports.rollups.Rollups._try_to_add_up
    """,
    "runs in the commands that show, merge and delete what is added up": """
        reports.harms._bytes_of_a_row
        reports.harms._garbage
        reports.harms._interval
        reports.harms._net
        reports.harms._of_the_first_few
        reports.harms._peak
        reports.harms._retained
        reports.harms._surviving
        reports.harms._rss
        reports.harms._something
        reports.harms.harms_of
        reports.harms.harms_of.<locals>.<lambda>
        reports.impact.<lambda>
        reports.impact.<lambda> (2)
        reports.impact.<lambda> (3)
        reports.impact.<lambda> (4)
        reports.impact.<lambda> (5)
        reports.impact.RankedRoute.bytes
        reports.impact.RankedRoute.of
        reports.impact.RankedRoute.rollup
        reports.impact._bytes_by
        reports.impact._bytes_by.<locals>.measure
        reports.impact._parts
        reports.impact._size
        reports.impact.parts_of
        reports.impact.rank
        reports.impact.rank.<locals>.<lambda>
        reports.overview.Question.has
        reports.overview._evaluation
        reports.overview._figures
        reports.overview._key
        reports.overview._known
        reports.overview._known.<locals>.<genexpr>.<lambda>
        reports.overview._known.<locals>.<lambda>
        reports.overview._known.<locals>.<lambda> (2)
        reports.overview._reports
        reports.overview._rollup_of
        reports.overview._size
        reports.overview._with_ends
        reports.overview._workers
        reports.overview._workers.<locals>.<lambda>
        reports.overview._workers.<locals>.<lambda> (2)
        reports.overview._workers.<locals>.<lambda> (3)
        reports.overview.read
        reports.overview.summaries
        values.histogram.Histogram.deviation
        values.impact.Worker.accumulated
        values.impact.Worker.growth
        values.impact.Workers.hours
        values.impact.Workers.of
        values.impact.Workers.of.<locals>.<lambda>
        values.impact.Workers.within
        models.ProcessRollup.__str__
        models.Rollup.__str__
        reports.rollup_merging.delete_all
        reports.rollup_merging.merge_all
        reports.rollup_merging.now
        reports.rollup_merging.readable_since
        reports.rollup_storage.read_processes
        reports.rollup_storage.read_routes
        values.histogram.Histogram._ascending
        values.histogram.Histogram.mean
        values.histogram.Histogram.quantile
        values.histogram._estimate
        values.rollup.RouteKey.without_release
        values.rollup.RouteRollup.__getitem__
    """,
    "runs once another function has failed": """
        measuring.callables._place_of
        measuring.source_files.is_called_by_memsize
    """,
    "runs in the writer's thread, or beside it where it can store: see test_writing": """
        reports.connection._unlogged
        reports.connection.limit_session
        reports.connection.open_own
        reports.database._OwnExecutor.__init__
        reports.database._OwnLoader.load_disk
        reports.database._always
        reports.database._migration
        reports.database._connect
        reports.database._make_file
        reports.database._own_file
        reports.database._plan
        reports.database._WithOwnFile.__iter__
        reports.database._WithOwnFile.__len__
        reports.database.described
        reports.database.file_id
        reports.database.is_own_file
        reports.database.migrate
        reports.database.own_file
        reports.database.prepare
        reports.queue.Queue.batch
        reports.queue.Queue._size
        reports.queue.Queue.has_batch
        reports.queue.Queue.put
        reports.queue.Queued.__init__
        reports.queue.Queued.report
        reports.queue.Queued.size
        reports.queue._columns
        reports.queue._within_bytes
        reports.writer_thread.WriterThread._connect
        reports.writer_thread.WriterThread._disconnect
        reports.writer_thread.WriterThread._drop
        reports.serialization.Dumped.__init__
        reports.serialization.Dumped.document
        reports.writer_thread.WriterThread._fail
        reports.writer_thread.WriterThread._fail_rollups
        reports.writer_thread.WriterThread._is_connected
        reports.writer_thread._are_rollups_missing
        reports.rollup_writer.RollupWriter.fail
        reports.rollup_writer.longer
        reports.writer_thread.WriterThread._wait_out
        reports.writer_thread.WriterThread._write_batch
        reports.writer_thread.WriterThread.hurry
        reports.writer_thread.WriterThread.is_failing
        reports.writer_thread.WriterThread.put
        reports.writer_thread.WriterThread.refused
        reports.writer_thread.WriterThread.stored
        workers.worker.note_error
    """,
    "runs where a report of an iterator is read": """
        reports.drivers.why_all_at_once
    """,
    "runs where a report has more evaluations than are stored": """
        reports.build._instances_of
    """,
    "runs where a report is read, or has more types than are stored": """
        values.summary.Summary.is_remembered
        values.type_tables.Diff.of
        values.type_tables._TypeTable.__getitem__
        values.type_tables._TypeTable.ranked
    """,
    "runs where the database refuses a report": """
        reports.storage._escaped
        reports.storage._stored_among
        reports.storage._unchanged
        reports.storage._write_alone
        reports.immediate._InHand.uid
        reports.immediate._Outcome.refused
    """,
    "runs where the callable of SAMPLE answers: see test_measuring_sampling": """
        measuring.sampling._is_share
    """,
    "runs where later requests of a route are over: see test_measuring_survivors": """
        measuring.survivors._Followed.has_just_enough
        measuring.survivors._Followed.has_later
        measuring.survivors._Followed.is_enough
        measuring.survivors._Followed.look_at_types
    """,
    "runs where a report is shown": """
        reports.own_sizes.own_sizes
        reports.own_sizes._less
        values.survival.Survival.freed
    """,
    "runs where a view is a class or a method: see test_reports_view_names": """
        reports.view_names._name_of_function
        reports.view_names._first_argument
        reports.view_names._is_called_alike
        reports.view_names._owner
    """,
    "runs where an installed library, or a template of Jinja, calls the ORM": """
        measuring.source_files.installed_name
        orm.roles._apps
        orm.roles._is_named_in_settings
        orm.roles._packages_of_program
        orm.roles._role_of_installed
        orm.roles.begins_view
        orm.roles.is_of_the_orm
        orm.templates._line_in_template
        orm.templates.generated_line
    """,
    "runs where a recording waits that is one too many": """
        reports.recordings._Pending.drop
    """,
    "runs in the writer's thread, which no test has": """
        reports.untraced._leave_out_of_ddtrace
        reports.untraced._leave_out_of_opentelemetry
        reports.untraced.untraced
    """,
    "runs when the process ends, and where a command waits": """
        measuring.deferred.hurry
        reports.writer_thread.WriterThread.end
        reports.rollups.Rollups.requests_left
        reports.writer._end_rollups
        reports.writer._end_rollups.<locals>.<lambda>
        reports.writer._wait
        reports.writer.flush.<locals>.<lambda>
        reports.writer_thread.WriterThread.end_rollups
        reports.writer._at_exit
        reports.writer._end
        reports.writer._unfinished
        reports.writer.flush
        reports.writer.last_error
        workers.state_file.StateFile.remove
        workers.worker.end
    """,
    "runs in the command that shows the processes, and in the writer's thread": """
        workers.state_file._beginning
        workers.state_file._ended
        workers.state_file._inspect
        workers.state_file._parse
        workers.state_file._read
        workers.state_file.Worker.dropped
        workers.state_file.Worker.is_over_budget
        workers.state_file.Worker.lost
        reports.database.size
        workers.tally.lost
        workers.worker._inherit
        workers.state_file.workers
        workers.state_file.StateFile.read
        workers.tally.Tally.inherit
        workers.worker.workers
    """,
    "runs where the guess of a route was wrong, or never judged: see test_measuring_sampling": """
        measuring.routes.Route.miss
    """,
    "runs where a request has a cookie, or a server sends a scope: see test_measuring_tokens": """
        measuring.tokens._of_cookies
        measuring.tokens._of_scope
    """,
    "runs where a cache pickles a response": """
        middleware._Visit.__reduce__
    """,
    "runs after the meter has missed allocations": """
        reports.build._without_remainder
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

HIT_BY_CHANCE = {"reports.writer_thread.WriterThread._gather"}
"""Functions that a thread calls, if it comes so far while a page is served."""


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
            if not hits and name not in HIT_BY_CHANCE:
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
    assert sorted(missed - HIT_BY_VERSION - HIT_BY_CHANCE - set(PASSES)) == sorted(NEVER_HIT)
    named = set(PASSES) | LEAVES_COLLECTOR_OFF | HIT_BY_VERSION | HIT_BY_CHANCE
    assert named <= set(functions)


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
    deferred.start_thread()
    faults.wait_for_threads(seconds=2)

    assert 1 < len(attempts) < 10


@pytest.mark.parametrize("name", sorted(faults.LEFT_OUT))
def test_what_is_left_out_exists(name):
    assert name in ("commands", "contrib") or (
        (faults.ROOT / name.replace(".", "/")).is_dir()
        or (faults.ROOT / f"{name.replace('.', '/')}.py").is_file()
    )
