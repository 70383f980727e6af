"""Writing reports beside the program's own work: a report is dropped rather than forced."""

import contextlib
import sqlite3
import threading
import time

import pytest
from django.db import connection, connections, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.db.utils import DatabaseError, InterfaceError, OperationalError
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import path

from django_memsize import measure, process
from django_memsize.measuring import errors, in_flight
from django_memsize.measuring.recording import Recording
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import recordings, writer
from tests import urls
from tests.app.models import Account, Author
from tests.visits import EVERY_REQUEST

TABLE = "django_memsize_report"


pytestmark = [pytest.mark.usefixtures("measured", "quick_census"), pytest.mark.census]


@pytest.fixture(autouse=True)
def _new_warnings(monkeypatch):
    """Have no warning of an earlier test keep one of this test from being logged."""
    monkeypatch.setattr(writer, "_missing_table", errors.RateLimitedWarning())
    monkeypatch.setattr(writer, "_manual_transactions", errors.RateLimitedWarning())
    for module in (writer, recordings):
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
def refusing(error, alias="default"):
    """Raise an error for every statement that names the table of reports, and for no other."""

    def refuse(execute, sql, *rest):
        if TABLE in sql or "sqlite_master" in sql:
            raise error
        return execute(sql, *rest)

    with connections[alias].execute_wrapper(refuse):
        yield


# Which reports, and where


@pytest.mark.django_db
@pytest.mark.parametrize("retention", [1, 3])
def test_as_many_reports_are_kept_as_the_settings_say(settings, retention):
    settings.MEMSIZE = {"RETENTION": retention}
    for number in range(6):
        recordings.store(recorded(f"work {number}"))
        assert Report.objects.count() == min(number + 1, retention)

    names = Report.objects.order_by("pk").values_list("route", flat=True)
    assert list(names) == [f"work {number}" for number in range(6 - retention, 6)]


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
        recordings.store(recorded())
        recordings.store(recorded())
        assert heard == []
    finally:
        for signal in (pre_save, post_save, pre_delete, post_delete):
            signal.disconnect(receive)

    assert Report.objects.count() == 1


# Other threads


def in_flight_in_another_thread():
    """Return a span in flight that another thread opened."""
    opened = []
    thread = threading.Thread(target=lambda: opened.append(in_flight.InFlight()))
    thread.start()
    thread.join()
    return opened[0]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for each other")
def test_on_sqlite_a_report_waits_until_no_other_thread_has_a_span_in_flight():
    span = in_flight_in_another_thread()
    assert recordings.store(recorded("first")).pk is None
    assert not Report.objects.exists()

    span.close()
    recordings.store(recorded("second"))

    routes = Report.objects.order_by("pk").values_list("route", flat=True)
    assert list(routes) == ["first", "second"]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for each other")
def test_reports_that_find_no_room_in_the_queue_are_dropped_and_counted():
    span = in_flight_in_another_thread()
    accepted = [recordings.store(recorded()) is not None for _ in range(103)]
    assert accepted == [True] * 100 + [False] * 3

    span.close()
    writer.flush()

    assert Report.objects.count() == 100
    assert sum(Report.objects.values_list("dropped", flat=True)) == 3


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
    for _ in range(3):
        assert client.get("/nothing/").content == b"nothing"

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
def test_a_report_whose_pruning_fails_is_dropped_whole(client, settings):
    settings.MEMSIZE = EVERY_REQUEST | {"RETENTION": 1}
    client.get("/nothing/")

    def refuse(execute, sql, *rest):
        if sql.startswith("DELETE"):
            raise InterfaceError("connection already closed")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        for _ in range(2):
            client.get("/nothing/")
    before = Report.objects.get()

    client.get("/nothing/")
    report = Report.objects.get()
    assert report.dropped == 2
    assert report != before


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


# The queue


def test_the_queue_has_room_for_a_hundred_reports():
    queue = writer._Writer()

    accepted = [queue.put(Report(rows=number)) for number in range(103)]

    assert accepted == [True] * 100 + [False] * 3
    assert [queue.take().rows for _ in range(100)] == list(range(100))
    assert queue.take() is None


def test_drops_are_counted_once_however_many_threads_store_a_report():
    queue = writer._Writer()
    queue.add_dropped(5)
    taken = []
    threads = [
        threading.Thread(target=lambda: taken.append(queue.take_dropped())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(taken) == [0] * 7 + [5]


def test_a_child_process_has_none_of_the_reports_that_its_parent_writes():
    queue = writer._Writer()
    queue.put(Report())
    queue.add_dropped(5)

    queue.reset()

    assert (queue.take(), queue.take_dropped()) == (None, 0)


@pytest.mark.django_db
def test_a_child_process_does_not_report_what_its_parent_dropped():
    with refusing(OperationalError("gone")):
        recordings.store(recorded())
    process.reset()  # as after a fork

    assert recordings.store(recorded()).dropped == 0


@pytest.mark.django_db
def test_a_report_is_one_insert_and_no_update():
    with CaptureQueriesContext(connection) as captured:
        recordings.store(recorded())

    written = [one["sql"] for one in captured if one["sql"].startswith(("INSERT", "UPDATE"))]
    assert len(written) == 1
    assert written[0].startswith("INSERT")


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases wait for each other")
def test_the_background_thread_writes_only_while_nothing_is_in_flight():
    writer._writer.put(
        Report(kind="block", route="a", started_at="2026-01-01T00:00:00Z", duration=1)
    )
    span = in_flight.InFlight()
    assert not writer.flush_alone()
    assert not Report.objects.exists()

    span.close()

    assert writer.flush_alone()
    assert Report.objects.count() == 1


@pytest.mark.django_db(transaction=True)
async def test_where_an_event_loop_runs_a_thread_of_its_own_writes(monkeypatch):
    threads, done = [], threading.Event()
    monkeypatch.setattr(
        writer, "flush", lambda: (threads.append(threading.current_thread()), done.set())
    )

    assert writer.submit(Report())

    assert done.wait(10)
    assert threads[0].name == "memsize"
    assert threads[0] is not threading.main_thread()


# SQLite


@pytest.mark.skipif(
    connection.vendor != "sqlite", reason="SQLite alone refuses at once, without waiting"
)
@pytest.mark.django_db(transaction=True)
def test_a_report_does_not_come_between_the_reading_and_the_writing_of_another_thread():
    reading, other_closed = threading.Event(), threading.Event()
    faults = []

    def read_then_write(request):
        with transaction.atomic():
            Author.objects.count()
            reading.set()
            other_closed.wait(30)
            Author.objects.create(name="written")
        return HttpResponse()

    def first():
        try:
            served(read_then_write).close()
        except Exception as error:
            faults.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    reading.wait(30)
    served(lambda request: HttpResponse()).close()
    stored_meanwhile = len(writer._writer.queue)
    other_closed.set()
    thread.join(60)

    assert faults == []
    assert stored_meanwhile == 1
    assert Author.objects.filter(name="written").exists()
    assert Report.objects.count() == 2
    assert in_flight.in_flight_elsewhere() == 0


def served(view):
    return MemsizeMiddleware(view)(RequestFactory().get("/"))


def test_sqlite_refuses_a_writer_that_read_before_another_one_wrote(tmp_path):
    """The fault that the report of another thread would cause, shown without django-memsize."""
    path = tmp_path / "db.sqlite3"
    one, other = sqlite3.connect(path), sqlite3.connect(path)
    one.execute("PRAGMA journal_mode=WAL")
    one.execute("CREATE TABLE t (n)")
    one.commit()
    one.isolation_level = None
    one.execute("BEGIN")
    one.execute("SELECT count(*) FROM t").fetchall()
    other.execute("INSERT INTO t VALUES (1)")
    other.commit()

    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        one.execute("INSERT INTO t VALUES (2)")

    assert time.monotonic() - began < 2
    one.close()
    other.close()
