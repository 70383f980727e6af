"""Reports are stored beside the program's own work: dropped rather than forced."""

import contextlib
import threading

import pytest
from django.db import connection, connections, transaction
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.db.utils import DatabaseError, InterfaceError, OperationalError
from django.http import HttpResponse
from django.test import Client
from django.urls import path

from django_memsize import measure, process
from django_memsize.measuring import errors, in_flight
from django_memsize.measuring.recording import Recording
from django_memsize.models import Report
from django_memsize.reports import recordings, writer
from django_memsize.reports.build import RequestFacts
from django_memsize.values import TypeTotal
from tests import urls
from tests.app.models import Account, Author
from tests.visits import EVERY_REQUEST, others_under_way

TABLE = "django_memsize_report"


pytestmark = [pytest.mark.usefixtures("measured", "quick_census"), pytest.mark.census]


@pytest.fixture(autouse=True)
def _log_speaks_again(monkeypatch):
    """Have the log of each test begin with a line to spare."""
    monkeypatch.setattr(writer, "_missing_table", errors.RateLimitedWarning())
    monkeypatch.setattr(writer, "_manual_transactions", errors.RateLimitedWarning())
    monkeypatch.setattr(writer, "_contained", errors.ErrorBoundary("storing a report"))
    process.reset()


@pytest.fixture
def without_table():
    """Take the table away, and give it back at the end if nobody has."""
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
    """Have the database fail at every statement on our table, and at nothing else."""

    def refuse(execute, sql, *rest):
        if TABLE in sql or "sqlite_master" in sql:
            raise error
        return execute(sql, *rest)

    with connections[alias].execute_wrapper(refuse):
        yield


# What a report says


@pytest.mark.django_db
def test_a_recording_becomes_a_report(settings):
    settings.MEMSIZE = {"RELEASE": "2024-05-01"}
    Author.objects.create(name="somebody")
    with measure("nightly import") as recording:
        list(Author.objects.all())

    kept = recordings.store(recording)

    report = Report.objects.get()
    assert kept == report
    assert (report.kind, report.route, report.method, report.status) == (
        "block",
        "nightly import",
        "",
        None,
    )
    assert (report.rows, report.release, report.dropped) == (1, "2024-05-01", 0)
    assert report.duration == pytest.approx(recording.duration)
    assert report.started_at.timestamp() == pytest.approx(recording.started_at)


@pytest.mark.django_db
def test_a_recording_not_yet_ended_is_ended_by_storing_it():
    recording = Recording("work")
    recording.open()

    recordings.store(recording)

    assert recording.closed
    assert not Report.objects.get().incomplete
    assert others_under_way() == 0


@pytest.mark.django_db
def test_only_the_first_of_a_route_is_cold():
    for route, method in [("/a/", "GET"), ("/a/", "GET"), ("/a/", "POST"), ("/b/", "GET")]:
        recordings.store(recorded(kind="request"), RequestFacts(route, method, 200))
    recordings.store(recorded())

    first_request = Report.objects.order_by("pk").values_list("first_request", flat=True)
    assert list(first_request) == [True, False, True, True, False]


@pytest.mark.django_db
def test_a_number_too_large_for_a_column_is_stored_as_the_largest():
    recording = recorded()
    recording.evaluation_log.rows = 2**70
    recording._instrument.diff = type(recording.diff)({"huge": -(2**70)}, {"huge": -(2**80)})

    report = recordings.store(recording)

    report.refresh_from_db()
    assert (report.rows, report.net_objects, report.net_bytes) == (2**63 - 1, 1 - 2**63, 1 - 2**63)
    assert report.summary().types.rows == (("huge", TypeTotal(1 - 2**63, 1 - 2**63)),)


@pytest.mark.django_db
def test_a_name_is_stored_without_what_a_database_or_a_terminal_chokes_on():
    recordings.store(recorded("a\x00b\x1b[1m\u202e\ud800" + "c" * 70_000))

    route = Report.objects.get().route
    assert route.startswith("a\ufffdb\ufffd[1m\ufffd\ufffdccc")
    assert len(route) == 255


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
def test_what_is_collected_is_not_stored(client):
    with recordings.collecting() as reports:
        client.get("/nothing/")

    assert [report.route for report in reports] == ["/nothing/"]
    assert not Report.objects.exists()


@pytest.mark.django_db
def test_the_receivers_of_signals_of_the_program_do_not_hear_of_reports(settings):
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


@pytest.mark.django_db
@pytest.mark.parametrize("memsize", [{"ENABLED": False}, {"RETENTION": 0}])
def test_nothing_is_stored_where_it_is_switched_off(settings, memsize):
    settings.MEMSIZE = memsize

    assert recordings.store(recorded()) is None
    assert not Report.objects.exists()


# In nobody's way


def somebody_elsewhere():
    """Return the presence of somebody under way in another thread."""
    present = []
    thread = threading.Thread(target=lambda: present.append(in_flight.InFlight()))
    thread.start()
    thread.join()
    return present[0]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for each other")
def test_on_sqlite_a_report_waits_until_nobody_is_under_way_elsewhere():
    somebody = somebody_elsewhere()
    assert recordings.store(recorded("first")).pk is None
    assert not Report.objects.exists()

    somebody.close()
    recordings.store(recorded("second"))

    routes = Report.objects.order_by("pk").values_list("route", flat=True)
    assert list(routes) == ["first", "second"]


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for each other")
def test_reports_that_cannot_wait_any_more_are_dropped_and_counted():
    somebody = somebody_elsewhere()
    accepted = [recordings.store(recorded()) is not None for _ in range(103)]
    assert accepted == [True] * 100 + [False] * 3

    somebody.close()
    writer.flush()

    assert Report.objects.count() == 100
    assert sum(Report.objects.values_list("dropped", flat=True)) == 3


@pytest.mark.django_db(transaction=True)
def test_without_autocommit_a_report_is_dropped_for_nobody_would_commit_it(caplog):
    transaction.set_autocommit(False)
    try:
        recordings.store(recorded())
        Author.objects.create(name="somebody")
        transaction.rollback()
    finally:
        transaction.set_autocommit(True)

    assert "autocommit" in caplog.text
    assert recordings.store(recorded()).dropped == 1


# Tables not migrated


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
    kept = Report.objects.get()

    client.get("/nothing/")
    report = Report.objects.get()
    assert report.dropped == 2
    assert report != kept


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="the pragma is SQLite's")
def test_a_database_that_may_only_be_read_is_no_obstacle(client, caplog):
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
    assert [report.status for report in Report.objects.all()] == [status, status]


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


# Processes


def test_what_was_under_way_at_a_fork_is_not_counted_in_the_child():
    span = in_flight.InFlight()
    process.reset()
    assert others_under_way() == 0
    span.close()
    assert others_under_way() == 0


@pytest.mark.django_db
def test_a_child_does_not_report_what_its_parent_dropped():
    with refusing(OperationalError("gone")):
        recordings.store(recorded())
    process.reset()  # as after a fork

    assert recordings.store(recorded()).dropped == 0
