"""The log of a recording's evaluations: which are one, how they add up, what is within budget."""

import sys
import threading
from collections import Counter

import pytest

import django_memsize as memsize
from django_memsize import engine
from django_memsize.measuring import evaluation_log, overhead
from django_memsize.measuring.evaluation_log import EVALUATIONS_LOGGED
from django_memsize.measuring.evaluation_span import new_evaluation
from django_memsize.measuring.recording import Options, Recording
from django_memsize.reports import recordings
from django_memsize.values import SQL_KEPT, CallSite
from tests.app.models import Account, Author, Book
from tests.visits import create_accounts

ACCOUNT = "tests.app.models.Account"
ROWS = 1000
LONG = 100_000 * "x"

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


@pytest.fixture
def options(monkeypatch):
    """Return a function that has recordings measure with other options."""

    def use(**values):
        monkeypatch.setattr(recordings, "_options", lambda _: Options(**values))

    return use


@pytest.fixture
def accounts(db):
    return create_accounts(ROWS)


def load(
    outer, sql="SELECT 1", rows=0, kind="instances", site=None, model=Book, database="default"
):
    """Load rows as the patch on Django does."""
    with new_evaluation(outer, 0, model._meta, kind, site) as evaluation:
        evaluation.statement_ran(sql, database)
        evaluation.close(rows)


def one_by_one(keys):
    return [Account.objects.get(pk=key) for key in keys]


# Which evaluations are one


def test_a_long_statement_is_kept_as_far_as_it_is_stored():
    recording = Recording("work", counted=True)
    for number in range(3):
        for _ in range(2):
            load(recording, f"SELECT {number} {LONG}")

    found = [(each.times, len(each.sql), each.sql[-1]) for each in recording.evaluations]
    assert found == [(2, SQL_KEPT + 1, "…")] * 3


@pytest.mark.parametrize("length", [10, SQL_KEPT - 1, SQL_KEPT, SQL_KEPT + 1, 100_000])
def test_statements_that_differ_in_their_last_character_are_two_evaluations(length):
    recording = Recording("work", counted=True)
    statements = ["x" * length, "x" * (length - 1) + "y", "x" * (length - 1), "x" * length]
    for sql in statements:
        load(recording, sql)

    assert [each.times for each in recording.evaluations] == [2, 1, 1]


def test_all_statements_are_those_of_evaluations_each_time_and_the_others():
    recording = Recording("work", counted=True)
    assert recording.log.all_statements == 0

    for sql in ("SELECT 1", "SELECT 2", "SELECT 1"):
        load(recording, sql)
    recording.log.count_statement()

    assert (recording.log.all_statements, recording.statements) == (4, 1)


def test_a_statement_is_copied_once_and_the_program_keeps_none_of_its_own():
    recording = Recording("work", counted=True)
    sql = f"SELECT 1 {LONG}"
    references = sys.getrefcount(sql)
    load(recording, sql)
    (first,) = recording.evaluations
    load(recording, sql)
    load(recording, str(sql.encode(), "utf-8"))
    (second,) = recording.evaluations

    assert second.sql is first.sql
    assert second.times == 3
    assert sys.getrefcount(sql) == references


def test_the_same_statement_at_the_same_call_site_is_one_evaluation():
    recording = Recording("work")
    for sql in ("SELECT 1", "SELECT 2", "SELECT 1", "SELECT 1"):
        load(recording, sql, rows=2)

    found = [(one.sql, one.times, one.rows) for one in recording.evaluations]
    assert found == [("SELECT 1", 3, 6), ("SELECT 2", 1, 2)]


@pytest.mark.parametrize(
    "difference",
    [
        {"kind": "lazy"},
        {"site": CallSite("bank/views.py", 41, "accounts")},
        {"model": Author},
        {"database": "other"},
        {"sql": "SELECT 2"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_evaluations_that_differ_in_anything_are_two(difference):
    recording = Recording("work", counted=True)
    for values in ({}, difference, {}, difference):
        load(recording, **values)

    assert [one.times for one in recording.evaluations] == [2, 2]


def test_an_evaluation_inside_another_one_follows_it_and_is_deeper():
    recording = Recording("work", counted=True)
    for _ in range(2):
        with new_evaluation(recording, 0, Author._meta, "instances", None) as outer:
            outer.statement_ran("SELECT 1", "default")
            load(outer, "SELECT 2", kind="prefetch")
            outer.close(1)
        load(recording, "SELECT 3")

    found = [(one.sql, one.depth, one.times) for one in recording.evaluations]
    assert found == [("SELECT 1", 0, 2), ("SELECT 2", 1, 2), ("SELECT 3", 0, 2)]


# Adding up


def test_evaluations_count_for_every_recording_around():
    with memsize.measure("outer") as outer, memsize.measure("inner") as inner:
        load(inner, rows=7)
        inner.log.count_statement()
        inner.log.count_cursor_rows(5)

    for recording in (inner, outer):
        assert (recording.rows, recording.statements, recording.cursor_rows) == (7, 1, 5)
    assert inner.evaluations == outer.evaluations
    assert [one.rows for one in inner.evaluations] == [7]


def test_rows_of_cursors_are_not_counted_once_the_recording_is_closed():
    recording = Recording("work", counted=True)
    recording.close()
    recording.log.count_cursor_rows(5)

    assert recording.cursor_rows == 0


def test_evaluations_beyond_those_logged_are_counted():
    recording = Recording("work", counted=True)
    for number in range(EVALUATIONS_LOGGED + 5):
        load(recording, f"SELECT {number}", rows=2, kind=f"kind {number}")

    assert len(recording.evaluations) == EVALUATIONS_LOGGED
    assert recording.evaluations_omitted == 5
    assert recording.rows == 2 * (EVALUATIONS_LOGGED + 5)


def test_instances_of_evaluations_beyond_those_logged_are_counted(monkeypatch):
    monkeypatch.setattr(evaluation_log, "EVALUATIONS_LOGGED", 2)
    with memsize.measure("outer") as outer:
        load(outer, "SELECT 0", kind="first")
        with memsize.measure("inner") as inner:
            for number in range(1, 5):
                for _ in range(2):
                    with new_evaluation(inner, 0, Book._meta, f"kind {number}", None) as evaluation:
                        evaluation.statement_ran(f"SELECT {number}", "default")
                        evaluation.close(1, {"app.Book": 1, "app.Author": number})

    assert (inner.evaluations_omitted, outer.evaluations_omitted) == (4, 5)
    assert dict(inner.log.omitted_instances) == {"app.Book": 4, "app.Author": 14}
    assert dict(outer.log.omitted_instances) == {"app.Book": 6, "app.Author": 18}


@needs_the_meter
def test_the_windows_of_evaluations_that_are_omitted_are_closed(monkeypatch):
    monkeypatch.setattr(evaluation_log, "EVALUATIONS_LOGGED", 2)
    with memsize.measure("block") as recording:
        spans = []
        for number in range(4):
            with new_evaluation(recording, 0, Book._meta, f"kind {number}", None) as evaluation:
                evaluation.statement_ran(f"SELECT {number}", "default")
                evaluation.close(1)
            spans.append(evaluation)

        windows = [evaluation.totals.window.is_open for evaluation in spans]
        assert windows == [True, True, False, False]


@pytest.fixture
def _hasty():
    """Have threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_hasty")
def test_what_threads_load_at_the_same_call_site_adds_up_exactly():
    workers, times, statements = 4, 5_000, ("SELECT 1", "SELECT 2")
    outer, inner = Recording("outer", counted=True), Recording("inner", counted=True)
    inner.log.outer = outer.log
    barrier = threading.Barrier(workers)

    def load_many():
        barrier.wait(30)
        for number in range(times):
            evaluation = new_evaluation(inner, 0, Author._meta, "instances", None)
            evaluation.open()
            evaluation.statement_ran(statements[number % 2], "default")
            evaluation.close(2, {"app.Author": 2, f"app.Book{number % 4}": 1})
            inner.log.count_statement()
            inner.log.count_cursor_rows(3)

    threads = [threading.Thread(target=load_many) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    evaluations = workers * times
    for recording in (outer, inner):
        assert (recording.rows, recording.statements) == (2 * evaluations, evaluations)
        assert recording.cursor_rows == 3 * evaluations
        found = {each.sql: (each.times, each.rows) for each in recording.evaluations}
        assert len(recording.evaluations) == 2
        assert found == dict.fromkeys(statements, (evaluations // 2, evaluations))
        instances = Counter()
        for evaluation in recording.evaluations:
            instances.update(evaluation.instances)
        assert instances.pop("app.Author") == 2 * evaluations
        assert instances == {f"app.Book{number}": evaluations // 4 for number in range(4)}


class _Overtaken(dict):
    """A dict that calls a function once, before it takes its first value."""

    def __init__(self, call):
        super().__init__()
        self.call = call

    def setdefault(self, key, value=None):
        if self.call is not None:
            call, self.call = self.call, None
            call()
        return super().setdefault(key, value)


def test_a_statement_that_another_thread_logs_first_is_one_evaluation():
    recording = Recording("work", counted=True)
    late = new_evaluation(recording, 0, Book._meta, "instances", None)

    def overtake():
        load(recording, "SELECT 2", rows=2)
        load(recording, "SELECT 1", rows=2)

    recording.log._by_statement = _Overtaken(overtake)
    load(recording, "SELECT 1", rows=2)
    with late:
        late.statement_ran("SELECT 1", "default")
        late.close(2)

    found = {one.sql: (one.times, one.rows) for one in recording.evaluations}
    assert len(recording.evaluations) == 2
    assert found == {"SELECT 1": (3, 6), "SELECT 2": (1, 2)}


# Budget


@pytest.mark.usefixtures("instrument")
def test_only_the_first_evaluation_has_types_when_the_budget_is_spent(options, accounts):
    options(max_overhead=0.0)
    with memsize.measure("block") as recording:
        rows = [
            list(Account.objects.all()),
            list(Account.objects.all()),
            list(Account.objects.all()),
        ]

    evaluations = recording.evaluations
    assert [one.diff is None for one in evaluations] == [False, True, True]
    assert [one.over_budget for one in evaluations] == [False, True, True]
    assert recording.evaluations_without_types == 2
    assert [one.rows for one in evaluations] == [ROWS] * 3
    assert rows


@pytest.mark.usefixtures("instrument")
def test_every_evaluation_has_types_while_there_is_budget(options, accounts):
    options(max_overhead=1.0)
    with memsize.measure("block") as recording:
        rows = [
            list(Account.objects.all()),
            list(Account.objects.all()),
            list(Account.objects.all()),
        ]

    assert [one.diff[ACCOUNT].count for one in recording.evaluations] == [ROWS] * 3
    assert recording.evaluations_without_types == 0
    assert rows


@needs_the_meter
def test_a_loop_over_budget_has_no_table_of_its_first_rows(options, accounts):
    options(max_overhead=0.0)
    with memsize.measure("block") as recording:
        rows = one_by_one([account.pk for account in accounts[:30]])

    (evaluation,) = recording.evaluations
    assert (evaluation.times, evaluation.diff, evaluation.over_budget) == (30, None, True)
    assert evaluation.alive.bytes > 30 * 500
    assert rows


@needs_the_meter
def test_the_budget_is_asked_about_the_share_of_the_recording(monkeypatch):
    shares = []
    monkeypatch.setattr(overhead, "is_within", lambda share: shares.append(share) or True)
    recording = Recording("work", options=Options(max_overhead=0.25))
    recording.log.note_breakdown()

    assert recording.log.may_break_down()
    assert shares == [0.25]


# Loops, metered


@needs_the_meter
def test_rows_loaded_by_a_loop_are_one_evaluation_in_one_window(options, accounts):
    options(max_overhead=1.0)
    keys = [account.pk for account in accounts[:300]]
    one_by_one(keys[:2])
    with memsize.measure("block") as recording:
        rows = one_by_one(keys)

    (evaluation,) = recording.evaluations
    assert (evaluation.times, evaluation.rows) == (300, 300)
    # Broken down by type again each time that it grew by a tenth.
    assert evaluation.alive.bytes <= 1.1 * evaluation.diff.total.size
    assert 150 < evaluation.diff[ACCOUNT].count <= 300
    assert recording.retained.types[ACCOUNT].count == 300
    assert recording.allocated.bytes >= evaluation.allocated.bytes >= evaluation.peak.bytes
    assert 0.8 * recording.retained.bytes < evaluation.retained.bytes <= recording.retained.bytes
    assert rows


@needs_the_meter
def test_rows_that_a_loop_frees_each_time_do_not_add_to_the_peak(accounts):
    keys = [account.pk for account in accounts[:300]]
    one_by_one(keys[:2])
    with memsize.measure("block") as recording:
        for key in keys:
            Account.objects.get(pk=key)

    (evaluation,) = recording.evaluations
    assert evaluation.times == 300
    assert 20 * evaluation.peak.bytes < evaluation.allocated.bytes
    assert ACCOUNT not in recording.retained.types


@needs_the_meter
def test_code_between_two_times_of_an_evaluation_is_not_credited_to_it(accounts):
    keys = [account.pk for account in accounts[:20]]
    objects = []
    with memsize.measure("block") as recording:
        for key in keys:
            Account.objects.get(pk=key)
            objects.append(bytearray(1_000_000))

    (evaluation,) = recording.evaluations
    assert evaluation.allocated.bytes < 10_000_000 < recording.retained.bytes


@needs_the_meter
def test_the_rows_of_a_stream_are_credited_and_its_consumer_is_not(accounts):
    with memsize.measure("block") as recording:
        rows = []
        for account in Account.objects.iterator(chunk_size=100):
            rows.append(account)
            scratch = bytearray(1_000_000)
            del scratch

    (evaluation,) = recording.evaluations
    assert (evaluation.rows, evaluation.streamed) == (ROWS, True)
    assert evaluation.peak.bytes < 1_000_000
    assert evaluation.allocated.bytes < 20_000_000
    assert recording.allocated.bytes > ROWS * 1_000_000
    assert evaluation.retained.bytes > 300_000
    assert rows


@pytest.mark.census
def test_a_census_does_not_measure_a_stream_because_its_consumer_runs_in_between(options, accounts):
    options(max_overhead=1.0)
    with memsize.measure("block") as recording:
        rows = list(Account.objects.iterator())

    (evaluation,) = recording.evaluations
    assert (evaluation.rows, evaluation.diff, evaluation.over_budget) == (ROWS, None, False)
    assert rows


@needs_the_meter
def test_statements_at_one_call_site_have_their_own_bytes(options, accounts):
    options(max_overhead=1.0)
    found = []
    with memsize.measure("block") as recording:
        for number in (1, 1000, 1, 1000):
            rows = Account.objects.all()
            found.append(list(rows if number > 1 else rows.filter(name="account 1")))
            found.append(list((rows if number > 1 else rows.filter(name="account 1")).iterator()))

    few, streamed_few, many, streamed_many = recording.evaluations
    for evaluation in (few, streamed_few):
        assert (evaluation.times, evaluation.rows) == (2, 2)
        assert evaluation.retained.bytes < 100_000
    for evaluation in (many, streamed_many):
        assert (evaluation.times, evaluation.rows) == (2, 2 * ROWS)
        assert evaluation.retained.bytes > 600_000


# Near the peak


@needs_the_meter
def test_what_is_alive_is_broken_down_at_the_end_of_the_evaluation_where_it_was_most(
    options, accounts
):
    options(max_overhead=1.0)
    with memsize.measure("block") as recording:
        list(Account.objects.all()[:500])
        list(Account.objects.all())
        list(Account.objects.all()[:700])

    near_peak = recording.near_peak
    assert near_peak.diff[ACCOUNT].count == ROWS
    assert (near_peak.model, near_peak.rows) == ("app.Account", ROWS)
    assert near_peak.site.file.endswith("test_measuring_evaluation_log.py")
    assert 0.8 * recording.peak.bytes < near_peak.diff.total.size <= recording.peak.bytes


@needs_the_meter
def test_what_no_evaluation_made_is_broken_down_as_well(options, accounts):
    options(max_overhead=1.0)
    with memsize.measure("block") as recording:
        first = Account.objects.first()
        made = [{"id": number} for number in range(30_000)]
        assert first
        del made

    near_peak = recording.near_peak
    assert near_peak.diff["dict"].count >= 15_000
    assert (near_peak.model, near_peak.rows, near_peak.site) == ("", 0, None)
    assert 0.5 * recording.peak.bytes < near_peak.diff.total.size <= recording.peak.bytes
    assert recording.overhead >= recording.window.seconds_near_peak[0] > 0


@needs_the_meter
def test_an_evaluation_far_above_the_others_is_broken_down_beyond_the_budget(options, accounts):
    options(max_overhead=0.0)
    with memsize.measure("block") as recording:
        Account.objects.first()
        list(Account.objects.all())

    assert recording.near_peak.diff[ACCOUNT].count >= ROWS / 2


@needs_the_meter
def test_the_recordings_around_are_broken_down_as_well(options, accounts):
    options(max_overhead=1.0)
    with memsize.measure("outer") as outer:
        more = [Account() for _ in range(50)]
        with memsize.measure("inner") as inner:
            rows = list(Account.objects.all()[:500])

    assert inner.near_peak.diff[ACCOUNT].count == 500
    assert outer.near_peak.diff[ACCOUNT].count == 550
    assert more
    assert rows


@pytest.mark.census
def test_a_census_does_not_know_what_was_alive_near_the_peak(accounts):
    with memsize.measure("block") as recording:
        list(Account.objects.all())

    assert recording.near_peak is None
