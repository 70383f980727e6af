"""Writing reports beside the program's own work: a report is dropped rather than forced."""

import contextlib
import logging
import threading
from queue import Empty

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.db.utils import DatabaseError, InterfaceError, OperationalError
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import path

from django_memsize import conf, measure, process
from django_memsize.measuring import deferred, errors
from django_memsize.measuring.recording import Recording
from django_memsize.models import Report
from django_memsize.reports import (
    database,
    immediate,
    queue,
    recordings,
    retention,
    rollup_storage,
    rollup_writer,
    storage,
    writer,
    writer_thread,
)
from django_memsize.reports.build import RequestFacts
from django_memsize.reports.rollup_writer import RollupWriter
from django_memsize.workers.tally import MADE, Cause, State, tally
from tests import urls
from tests.app.models import Account, Author
from tests.visits import EVERY_REQUEST

TABLE = "django_memsize_report"


pytestmark = [pytest.mark.usefixtures("measured", "quick_census"), pytest.mark.census]


@pytest.fixture(autouse=True)
def _new_warnings(monkeypatch):
    """Have no warning of an earlier test keep one of this test from being logged."""
    for module in (writer, immediate, recordings):
        monkeypatch.setattr(module, "_contained", errors.ErrorBoundary("storing a report"))
    process.reset()


@pytest.fixture
def without_table():
    """Rename the table of reports; its name is restored at the end, if no test did so."""
    rename(TABLE, "hidden")
    yield
    if "hidden" in connection.introspection.table_names():
        rename("hidden", TABLE)


def rename(table, name):
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


def recorded(name="work", kind="block"):
    recording = Recording(name, kind)
    recording.open()
    recording.close()
    return recording


@contextlib.contextmanager
def refusing(error):
    """Have the database fail with an error for every statement about reports."""

    def refuse(*args, **options):
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "_insert", refuse)
        yield


# Which reports, and where


@pytest.mark.django_db
@pytest.mark.parametrize("retention", [1, 3])
def test_as_many_reports_are_kept_as_the_settings_say(settings, retention):
    settings.MEMSIZE = {"RETENTION": retention}
    for number in range(9):
        recordings.store(recorded(f"work {number}"))
        assert Report.objects.count() == min(number + 1, 2 * retention)

    names = Report.objects.order_by("pk").values_list("route", flat=True)
    assert list(names) == [f"work {number}" for number in range(9 - 2 * retention, 9)]


@pytest.mark.django_db(databases=["default", "other"])
def test_reports_go_to_the_database_of_the_settings(client, settings):
    settings.MEMSIZE = EVERY_REQUEST | {"DATABASE": "other"}
    client.get("/nothing/")

    assert Report.objects.using("other").count() == 1
    assert Report.objects.using("default").count() == 0


@pytest.mark.django_db
def test_the_receivers_of_the_signals_of_models_are_not_called_for_reports(settings):
    settings.MEMSIZE = EVERY_REQUEST | {"RETENTION": 1}
    heard = []

    def receive(sender, **_):
        heard.append(sender)

    for signal in (pre_save, post_save, pre_delete, post_delete):
        signal.connect(receive)
    try:
        for _ in range(3):
            recordings.store(recorded())
        assert heard == []
    finally:
        for signal in (pre_save, post_save, pre_delete, post_delete):
            signal.disconnect(receive)

    assert Report.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_without_autocommit_a_report_is_dropped_because_nobody_would_commit_it(caplog):
    transaction.set_autocommit(False)
    try:
        recordings.store(recorded())
        Author.objects.create(name="somebody")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)

    assert "autocommit" in caplog.text
    assert recordings.store(recorded()).dropped == 1


# A missing table


@pytest.mark.django_db
def test_without_its_table_requests_are_served_and_one_line_names_the_command(
    client, without_table, caplog
):
    with CaptureQueriesContext(connection) as captured:
        for _ in range(3):
            assert client.get("/nothing/").content == b"nothing"

    assert list(captured) == []
    (record,) = caplog.records
    assert "'manage.py migrate django_memsize'" in record.getMessage()
    rename("hidden", TABLE)
    client.get("/nothing/")
    assert Report.objects.get().dropped == 3
    client.get("/nothing/")
    assert Report.objects.order_by("pk").last().dropped == 0
    assert len(caplog.records) == 1


@pytest.mark.django_db(databases=["default", "other"])
def test_the_command_names_the_database_that_lacks_the_table(client, settings, caplog):
    settings.MEMSIZE = EVERY_REQUEST | {"DATABASE": "other"}
    with transaction.atomic("other"):
        with connections["other"].cursor() as cursor:
            cursor.execute(f"DROP TABLE {TABLE}")
        assert client.get("/nothing/").content == b"nothing"
        transaction.set_rollback(True, "other")

    (record,) = caplog.records
    assert "'manage.py migrate django_memsize --database other'" in record.getMessage()


@pytest.mark.django_db(transaction=True)  # MariaDB commits what precedes a change of a table
def test_a_block_is_measured_without_the_table(without_table):
    with measure("work", save=True) as recording:
        Author.objects.create(name="somebody")

    assert recording.closed
    assert Author.objects.count() == 1


# Databases that fail


@pytest.mark.django_db
@pytest.mark.parametrize(
    "error",
    [
        OperationalError("server closed the connection unexpectedly\n\x1b[31m"),
        InterfaceError("connection already closed"),
        ValueError("a driver of its own mind"),
        RecursionError("too deep"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_where_the_database_fails_reports_are_dropped_counted_and_logged_once(
    client, caplog, error
):
    with refusing(error):
        for _ in range(3):
            assert client.get("/nothing/").content == b"nothing"

    (record,) = caplog.records
    assert type(error).__name__ in record.getMessage()
    assert "\n" not in record.getMessage()
    assert "\x1b" not in record.getMessage()
    client.get("/nothing/")
    assert Report.objects.get().dropped == 3


@pytest.mark.django_db
def test_a_report_is_stored_although_deleting_old_ones_fails(client, monkeypatch, caplog):
    def prune(database):
        raise InterfaceError("connection already closed")

    monkeypatch.setattr(retention, "prune", prune)
    for _ in range(2):
        assert client.get("/nothing/").content == b"nothing"

    assert [report.dropped for report in Report.objects.order_by("pk")] == [0, 0]
    assert len(caplog.records) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the pragma is SQLite's")
def test_a_report_for_a_read_only_database_is_dropped(client, caplog):
    Author.objects.create(name="somebody")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        assert client.get("/nothing/").content == b"nothing"
        assert client.get("/nothing/").content == b"nothing"
        assert Author.objects.count() == 1
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")

    assert len(caplog.records) == 1
    client.get("/nothing/")
    assert Report.objects.get().dropped == 2


@pytest.mark.django_db(transaction=True)
def test_a_failed_report_leaves_the_connection_usable_in_the_middle_of_a_transaction():
    with transaction.atomic():
        Author.objects.create(name="before")
        with refusing(OperationalError("disk full")), measure("work", save=True):
            Author.objects.create(name="inside")
        Author.objects.create(name="after")

    assert Author.objects.count() == 3
    assert not Report.objects.exists()


# Transactions of the program


def loads_and_fails(request):
    Author.objects.create(name="rolled back")
    list(Account.objects.all())
    raise ValueError("on purpose")


def rolls_back(request):
    with contextlib.suppress(ValueError), transaction.atomic():
        Author.objects.create(name="rolled back")
        raise ValueError
    return HttpResponse("rolled back")


def breaks_its_transaction(request):
    Author.objects.create(name="rolled back")
    with connection.cursor() as cursor:
        cursor.execute("SELECT nonsense FROM nowhere")


urlpatterns = [
    *urls.urlpatterns,
    path("fails/", loads_and_fails),
    path("rolls-back/", rolls_back),
    path("breaks/", breaks_its_transaction),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "kind", "status"),
    [("/fails/", ValueError, 500), ("/breaks/", DatabaseError, 500)],
)
def test_a_transaction_around_the_request_fails_by_its_own_error_alone(
    settings, monkeypatch, url, kind, status
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    client = Client()
    with pytest.raises(kind) as caught:
        client.get(url)
    assert "memsize" not in str(caught.value)
    assert Client(raise_request_exception=False).get(url).status_code == status

    assert not Author.objects.exists()
    assert [report.summary().status for report in Report.objects.all()] == [status, status]


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls(__name__)
def test_a_report_outlives_what_its_request_rolled_back(client):
    assert client.get("/rolls-back/").content == b"rolled back"

    assert not Author.objects.exists()
    assert Report.objects.get().route == "/rolls-back/"


@pytest.mark.django_db(transaction=True)
def test_a_block_stored_inside_a_transaction_shares_its_fate():
    with transaction.atomic():
        with measure("work", save=True):
            pass
        assert Report.objects.count() == 1
        transaction.set_rollback(True)

    assert not Report.objects.exists()


@pytest.mark.django_db
def test_a_child_process_does_not_report_what_its_parent_dropped():
    with refusing(OperationalError("gone")):
        recordings.store(recorded())
    process.reset()  # as after a fork

    assert recordings.store(recorded()).dropped == 0


# Tests of the program


@pytest.mark.django_db
@pytest.mark.parametrize("debug", [False, True])
def test_no_statement_about_reports_is_in_a_log_of_queries(settings, debug, caplog):
    settings.DEBUG = debug
    caplog.set_level(logging.DEBUG, "django.db.backends")
    seen = []

    def wrapper(execute, *arguments):
        seen.append(arguments)
        return execute(*arguments)

    before = len(connection.queries)
    with connection.execute_wrapper(wrapper), CaptureQueriesContext(connection) as captured:
        recordings.store(recorded())
        assert list(captured) == seen == []
        Author.objects.count()

    assert len(captured) == len(seen) == 1
    assert len(connection.queries) - before == 1
    assert "report" not in " ".join(record.getMessage() for record in caplog.records)
    assert Report.objects.count() == 1
    assert connection.force_debug_cursor is False
    assert "make_debug_cursor" not in vars(connection)


@pytest.mark.django_db
def test_no_thread_writes_while_tests_run(client):
    client.get("/nothing/")

    assert Report.objects.count() == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "memsize-writer"]


@pytest.mark.django_db
def test_a_test_that_asks_has_its_report_written_at_once_whatever_its_database(monkeypatch):
    monkeypatch.setattr(database, "is_in_memory", lambda alias: False)
    monkeypatch.setattr(writer_thread.WriterThread, "begin", lambda self: None)
    recordings.store(recorded())

    assert Report.objects.count() == tally.numbers()[State.STORED] == 1
    assert not writer._writer.queue


@pytest.mark.django_db
@pytest.mark.parametrize("asks_first", [False, True])
def test_what_waits_of_a_test_that_asked_is_written_in_no_later_test(monkeypatch, asks_first):
    request = HttpResponse()
    with monkeypatch.context() as patched:  # the override of the fixture ends after the patch
        patched.setattr(conf, "_overrides", conf.Overrides())
        with override_settings(MEMSIZE=EVERY_REQUEST):
            deferred.wait(deferred.watch(request), waiting().store)

        deferred.analyse_now()
        if asks_first:
            with override_settings(MEMSIZE=EVERY_REQUEST):
                deferred.analyse_now()

        assert not Report.objects.exists()
        assert tally.numbers()[State.WAITING] == 0
    assert request


def waiting():
    """Return a recording that counts as waiting for its analysis."""
    tally.made(State.WAITING)
    return recordings._Pending(recorded(), RequestFacts("work"), (), None)


# What is counted


@pytest.mark.django_db
def test_every_report_made_is_stored_dropped_queued_or_waiting(queueing, monkeypatch):
    monkeypatch.setattr(deferred, "start_thread", lambda: None)
    monkeypatch.setattr(queue, "MOST_REPORTS", 3)
    request = HttpResponse()
    for _ in range(2):
        deferred.wait(deferred.watch(request), waiting().store)
    for _ in range(5):
        recordings.store(recorded())

    numbers = tally.numbers()
    assert numbers[MADE] == 7
    assert numbers[State.WAITING] == len(deferred._deferred.waiting) == 2
    assert numbers[State.QUEUED] == len(writer._writer.queue) == 3
    assert numbers[Cause.QUEUE_FULL] == 2

    writer._writer._write_batch()

    numbers = tally.numbers()
    assert numbers[State.STORED] == Report.objects.count() == 3
    assert numbers[State.QUEUED] == len(writer._writer.queue) == 0
    assert [report.dropped for report in Report.objects.order_by("pk")] == [2, 0, 0]
    assert Report.objects.earliest("pk").document["dropped"] == {"queue full": 2}
    assert tally.untold() == {}
    assert request


@pytest.fixture
def queueing(monkeypatch):
    """Have reports be queued as in a process that serves, for a thread that does not run."""
    monkeypatch.setattr(conf, "is_under_test", lambda: False)
    monkeypatch.setattr(database, "is_in_memory", lambda alias: False)
    monkeypatch.setattr(writer_thread.WriterThread, "begin", lambda self: None)
    monkeypatch.setattr(writer_thread.WriterThread, "_disconnect", lambda self: None)
    monkeypatch.setattr(writer_thread, "open_own", lambda alias: connections[alias])
    return writer._writer


@pytest.mark.django_db
def test_a_fault_in_the_middle_of_a_batch_drops_what_is_left_of_it_alone(queueing, monkeypatch):
    def write(items, database, tally, outcome, **options):
        outcome.stored(items[1:2])
        raise MemoryError

    monkeypatch.setattr(queue, "BATCH_REPORTS", 3)
    monkeypatch.setattr(storage, "write", write)
    for number in range(5):
        recordings.store(recorded(str(number)))

    queueing._write_batch()

    numbers = tally.numbers()
    assert (numbers[State.STORED], numbers[Cause.FAULT], numbers[State.QUEUED]) == (1, 2, 2)
    assert [item.report().route for item in queueing.queue] == ["3", "4"]


@pytest.fixture(params=[OperationalError, ImproperlyConfigured])
def unreachable(request, queueing, monkeypatch):
    """Have the database be out of reach; return a list of the attempts to reach it."""

    def connect(self):
        asked.append(self)
        raise request.param("no route to host")

    class Unreachable:
        alias, connection = "default", None
        ensure_connection = connect

    asked = []
    monkeypatch.setattr(writer_thread, "open_own", lambda alias: Unreachable())
    monkeypatch.setattr(writer_thread, "is_table_missing", asked.append)
    return asked


@pytest.mark.django_db
def test_a_database_that_cannot_be_reached_is_asked_once(queueing, unreachable):
    recordings.store(recorded())

    queueing._write_batch()

    assert len(unreachable) == 1
    assert tally.numbers()[State.QUEUED] == 1
    assert queueing.is_failing


@pytest.mark.django_db
def test_without_room_because_the_database_fails_that_is_the_cause(
    queueing, unreachable, monkeypatch
):
    monkeypatch.setattr(queue, "MOST_REPORTS", 1)
    recordings.store(recorded())
    queueing._write_batch()
    recordings.store(recorded())

    numbers = tally.numbers()
    assert (numbers[Cause.DATABASE_FAILED], numbers[Cause.QUEUE_FULL]) == (1, 0)


@pytest.mark.django_db
def test_pauses_grow_to_a_minute_and_end_with_the_first_success(queueing, unreachable, monkeypatch):
    pauses = []
    recordings.store(recorded())
    for _ in range(8):
        queueing._connection = None  # it would be closed
        queueing._write_batch()
        pauses.append(queueing._pause)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]

    monkeypatch.setattr(writer_thread, "open_own", lambda alias: connections[alias])
    queueing._connection = None
    queueing._write_batch()

    assert not queueing.is_failing
    assert tally.numbers()[State.STORED] == Report.objects.count() == 1


@pytest.mark.django_db
def test_the_thread_pauses_after_a_failure_whatever_comes(queueing, monkeypatch):
    def write(self):
        done.append("write")
        self._pause = 1.0
        if done.count("write") == 3:
            self.is_closed = True

    done, now = [], iter(range(1000))
    monkeypatch.setattr(writer_thread.WriterThread, "_write_batch", write)
    monkeypatch.setattr(writer_thread.WriterThread, "_wait_out", lambda self: done.append("pause"))
    recordings.store(recorded())
    queueing._store_what_comes(queueing._thread_lock)
    assert done == ["write", "pause", "write", "pause", "write"]

    monkeypatch.undo()
    monkeypatch.setattr(writer_thread.time, "monotonic", lambda: next(now) / 4)
    queueing.is_closed = False
    for _ in range(2):
        queueing.wake.put(None)
    queueing._wait_out()

    assert queueing.wake.empty()
    assert next(now) == 5  # a second and a quarter


@pytest.mark.django_db
def test_figures_of_routes_are_tried_again_after_a_pause_though_no_report_comes(
    queueing, monkeypatch
):
    def write(self, alias):
        done.append(self.is_pausing)
        if len(done) == 1:
            raise OperationalError("gone")
        queueing.is_closed = True

    done = []
    monkeypatch.setattr(RollupWriter, "write", write)
    monkeypatch.setattr(rollup_writer, "_SHORTEST_PAUSE", 0.05)
    queueing.rollups.is_due = True
    queueing._store_what_comes(queueing._thread_lock)

    assert done == [False, False]


@pytest.fixture
def failing_rollups(queueing, monkeypatch):
    """Have figures of routes be due that cannot be stored; return a list of the attempts."""

    def write(self, alias):
        attempts.append(rollup_writer.time.monotonic())
        raise OperationalError("permission denied for table")

    attempts = []
    monkeypatch.setattr(RollupWriter, "write", write)
    queueing.rollups.is_due = True
    return attempts


@pytest.mark.django_db
def test_figures_of_routes_that_fail_hinder_no_report(queueing, failing_rollups, caplog):
    pauses = []
    for _ in range(8):
        queueing._write_rollups()
        pauses.append(queueing.rollups._pause)
    recordings.store(recorded())

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert queueing.rollups.is_pausing
    assert not queueing.is_failing
    assert not queueing.is_pausing
    assert not queueing._may_be_stored
    assert writer.last_error() == ""
    assert "the figures of routes cannot be stored in the database 'default'" in caplog.text
    assert "reports" not in caplog.text
    queueing._write_batch()
    assert tally.numbers()[State.STORED] == 1


@pytest.mark.django_db
def test_without_the_tables_of_rollups_no_report_is_dropped(
    queueing, failing_rollups, monkeypatch, caplog
):
    monkeypatch.setattr(rollup_storage, "has_tables", lambda alias: False)
    recordings.store(recorded())
    queueing._connection = connections["default"]
    queueing._write_rollups()

    assert tally.numbers()[State.QUEUED] == 1
    assert "their tables are missing, run 'manage.py migrate django_memsize" in caplog.text


@pytest.mark.django_db
def test_the_process_ends_without_waiting_for_figures_of_routes_that_fail(
    queueing, failing_rollups, monkeypatch
):
    monkeypatch.setattr(writer_thread.WriterThread, "is_running", True)
    monkeypatch.setattr(writer, "_LOOK", -1)  # would raise where it waits
    queueing._write_rollups()

    writer._end_rollups(writer.time.monotonic() + 60)

    assert not queueing.rollups.is_done


class Clock:
    """Time that goes on only where the thread of the writer waits, by what comes meanwhile."""

    def __init__(self, arrivals):
        self.now = 1000.0
        self.arrivals = sorted(arrivals)
        self.tokens = 0

    def monotonic(self):
        return self.now

    time = monotonic

    def empty(self):
        return not self.tokens

    def put(self, item):
        self.tokens += 1

    def get(self, timeout=None):
        until = float("inf") if timeout is None else self.now + timeout
        while not self.tokens:
            if not self.arrivals or self.arrivals[0] > until:
                self.now = until
                raise Empty if until < float("inf") else Over
            self.now = max(self.now, self.arrivals.pop(0))
            recordings.store(recorded())
        self.tokens -= 1


class Over(Exception):
    """Nothing would wake the thread any more."""


def seconds(*numbers):
    return [1000.0 + number for number in numbers]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arrivals", "batches"),
    [
        (seconds(1, 3, 7), [(1, 1), (3, 1), (7, 1)]),
        (seconds(1, 1.125, 1.25, 1.625), [(1, 1), (1.5, 2), (2, 1)]),
        (seconds(1, 1.125, 1.125, 1.25, 1.25, 1.375, 3), [(1, 1), (1.25, 4), (1.75, 1), (3, 1)]),
        (seconds(*(1 + n / 8 for n in range(9))), [(1, 1), (1.5, 4), (2, 4)]),
    ],
    ids=["rare", "some", "a full batch", "many"],
)
def test_a_report_is_written_at_once_or_with_the_others_of_half_a_second(
    queueing, monkeypatch, arrivals, batches
):
    def write(self):
        written.append((clock.now - 1000.0, len(self.queue.batch())))
        for item in self.queue.batch():
            self.queue.remove(item)

    written, clock = [], Clock(arrivals)
    monkeypatch.setattr(queue, "BATCH_REPORTS", 4)
    monkeypatch.setattr(writer_thread.WriterThread, "_write_batch", write)
    monkeypatch.setattr(writer_thread, "time", clock)
    monkeypatch.setattr(RollupWriter, "look", lambda self, moment: float("inf"))
    queueing.wake = clock
    with pytest.raises(Over):
        queueing._store_what_comes(queueing._thread_lock)

    assert written == batches


@pytest.mark.django_db
def test_while_reports_flow_figures_of_routes_that_fail_are_tried_seldom(
    queueing, failing_rollups, monkeypatch
):
    def write_all(self):
        for item in self.queue.batch():
            self.queue.remove(item)
        return True

    clock = Clock(seconds(*range(1, 100)))
    monkeypatch.setattr(writer_thread.WriterThread, "_write_batch", write_all)
    monkeypatch.setattr(writer_thread, "time", clock)
    monkeypatch.setattr(rollup_writer, "time", clock)
    monkeypatch.setattr(RollupWriter, "look", lambda self, moment: float("inf"))
    queueing.wake = clock
    with pytest.raises(Over):
        queueing._store_what_comes(queueing._thread_lock)

    assert failing_rollups == seconds(0, 1, 3, 7, 15, 31, 63)


@pytest.mark.django_db
def test_who_waits_for_all_reports_waits_for_no_further_ones(queueing, monkeypatch):
    monkeypatch.setattr(writer_thread.WriterThread, "is_running", True)
    recordings.store(recorded())
    assert queueing.wake.empty()

    assert not writer.flush(0.05)

    assert not queueing.wake.empty()


@pytest.mark.django_db
def test_reports_without_their_table_are_dropped_and_counted(queueing, monkeypatch):
    def write(items, *arguments, **options):
        raise OperationalError("no such table")

    monkeypatch.setattr(storage, "write", write)
    monkeypatch.setattr(writer_thread, "is_table_missing", lambda alias: True)
    for _ in range(3):
        recordings.store(recorded())

    queueing._write_batch()

    assert tally.numbers()[Cause.TABLE_MISSING] == tally.numbers()[MADE] == 3
    assert not queueing.queue
    assert queueing.is_failing


@pytest.mark.django_db
def test_a_report_that_the_database_refuses_is_counted(queueing, monkeypatch):
    def write(items, database, tally, outcome, **options):
        outcome.refused(items[0], ValueError("too long"))

    monkeypatch.setattr(storage, "write", write)
    recordings.store(recorded())

    queueing._write_batch()

    assert tally.numbers()[Cause.REFUSED] == tally.numbers()[MADE] == 1
    assert not queueing.queue


@pytest.mark.django_db
def test_the_sessions_of_the_thread_are_limited_once_each(queueing, monkeypatch):
    limited = []
    monkeypatch.setattr(writer_thread, "limit_session", limited.append)
    for _ in range(3):
        recordings.store(recorded())
        queueing._write_batch()

    assert limited == [connections["default"]]


@pytest.mark.django_db(databases=["default", "other"])
def test_a_router_of_the_program_decides_nothing_about_reports(queueing, settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.Replicas"]
    recordings.store(recorded())
    queueing._write_batch()

    assert Report.objects.using("default").count() == 1
    assert Report.objects.using("other").count() == 0


class Replicas:
    def db_for_read(self, model, **hints):
        return "other"

    db_for_write = db_for_read


@pytest.mark.django_db
def test_a_report_that_comes_after_the_end_is_lost(queueing):
    queueing.end()

    assert recordings.store(recorded()) is None

    assert tally.numbers()[Cause.LOST] == tally.numbers()[MADE] == 1
    assert not queueing.queue


@pytest.mark.django_db
def test_a_fault_while_a_report_is_queued_is_counted(monkeypatch):
    def fails(report):
        raise MemoryError

    monkeypatch.setattr(writer, "submit", fails)

    assert recordings.store(recorded()) is None

    assert tally.numbers()[Cause.FAULT] == tally.numbers()[MADE] == 1
