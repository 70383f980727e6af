"""Which reports are kept, and that deleting the others disturbs nobody."""

import threading
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.db.models.signals import post_delete, pre_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_memsize import process
from django_memsize.models import Report
from django_memsize.reports import chunks, exemplars, retention

pytestmark = pytest.mark.django_db


@pytest.fixture
def skip_locked(transactional_db):
    """Skip a test where the database cannot skip rows that are locked."""
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("the database cannot skip rows that are locked")


def new_report(route="/", days=0.0, **columns):
    known = {
        "kind": "request",
        "method": "GET",
        "duration": 0.1,
        "engine": "compiled",
        "instrument": "meter",
    }
    started_at = timezone.now() - timedelta(days=days)
    return Report(**known | {"route": route, "started_at": started_at} | columns)


def store(*reports):
    """Insert reports of which nothing is deleted yet."""
    Report.objects.bulk_create(reports, batch_size=500)


def prune():
    """Delete until nothing is left to delete; return the number."""
    return retention.prune_all("default")


def numbers(**conditions):
    """Return what tells the reports of the tests apart: the process that they name."""
    return list(Report.objects.filter(**conditions).order_by("pk").values_list("pid", flat=True))


@pytest.fixture
def keep(settings):
    """Return a function that sets the number and the age up to which reports are kept."""

    def keep(number, days=None):
        settings.MEMSIZE = {"RETENTION": number, "RETENTION_DAYS": days}

    return keep


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    monkeypatch.setattr(chunks, "SQLITE_CHUNK", 2)
    monkeypatch.setattr(retention, "CHUNKS", 3)


# By number


def test_the_newest_reports_are_kept(keep):
    keep(20)
    store(*(new_report(pid=number) for number in range(50)))

    assert prune() == 50 - 20 - 3
    assert numbers() == list(range(27, 50))


def test_where_there_are_fewer_reports_than_are_kept_none_is_deleted(keep):
    keep(20)
    store(*(new_report(pid=number) for number in range(20)))

    assert prune() == 0
    assert numbers() == list(range(20))


def test_without_any_report_nothing_is_deleted(keep):
    keep(20)

    assert prune() == 0


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("sample", [7, 1000])
def test_reports_are_counted_where_their_primary_keys_have_gaps(keep, monkeypatch, step, sample):
    monkeypatch.setattr(retention, "_SAMPLE", sample)
    keep(20)
    store(*(new_report(pk=1 + step * number, pid=number) for number in range(50)))

    prune()

    assert numbers() == list(range(27, 50))


@pytest.mark.parametrize("gap_at", [45, 48])
def test_one_large_gap_between_primary_keys_does_not_stop_the_deletion(keep, monkeypatch, gap_at):
    monkeypatch.setattr(retention, "_SAMPLE", 6)
    keep(20)
    keys = (1 + number + (10_000 if number >= gap_at else 0) for number in range(50))
    store(*(new_report(pk=key, pid=number) for number, key in enumerate(keys)))

    retention.prune("default")

    assert Report.objects.count() < 50


def test_more_reports_are_deleted_once_a_twentieth_of_their_number_is_new(keep):
    keep(200)
    store(*(new_report() for _ in range(300)))
    retention.prune("default")
    kept = Report.objects.count()

    for _ in range(9):
        store(new_report())
        with CaptureQueriesContext(connection) as captured:
            assert retention.prune("default") == 0
        assert len(captured) == 1
    store(new_report())

    assert retention.prune("default") == 10
    assert Report.objects.count() == kept


# Exemplars


def test_of_each_route_the_newest_are_kept_longer(keep):
    keep(20)
    routes = [new_report(route) for route in ("/a/", "/b/", "/c/") for _ in range(10)]
    store(*routes, *(new_report("/new/") for _ in range(20)))

    prune()

    for route in ("/a/", "/b/", "/c/"):
        assert Report.objects.filter(route=route).count() == 3


@pytest.mark.parametrize(
    "column", ["retained_bytes", "net_bytes", "peak_bytes", "largest_evaluation_bytes", "rows"]
)
def test_of_each_route_the_worst_are_kept_longer(keep, column):
    keep(20)
    sizes = [50, 10, 90, 20, 70, 90, 80, 5, 5, 5, 5]
    store(
        *(new_report("/a/", pid=number, **{column: size}) for number, size in enumerate(sizes)),
        *(new_report("/b/") for _ in range(20)),
    )

    prune()

    assert numbers(route="/a/") == [2, 5, 6, *(8, 9, 10)]


def test_a_report_that_is_worse_displaces_the_exemplar_that_is_least_bad(keep):
    keep(10)
    for size in (50, 10, 90, 20, 70, *[1] * 20, 60, *[1] * 20, 5, *[1] * 20):
        store(new_report(retained_bytes=size, pid=size))
        retention.prune("default")

    assert [number for number in numbers() if number > 1] == [90, 70, 60]
    assert Report.objects.count() == 3 + 3 + 10


def test_a_report_that_retained_nothing_is_not_the_worst(keep):
    keep(5)
    store(
        *(new_report("/a/", pid=number, retained_bytes=0, net_bytes=-5) for number in range(9)),
        *(new_report("/b/") for _ in range(5)),
    )

    prune()

    assert numbers(route="/a/") == [6, 7, 8]


def test_the_first_request_of_a_route_is_not_the_worst(keep):
    keep(5)
    first = {"first_request": True, "retained_bytes": 900, "peak_bytes": 900, "rows": 900}
    store(
        new_report("/a/", pid=1, **first),
        *(new_report("/a/", pid=2, retained_bytes=5) for _ in range(9)),
        *(new_report("/b/") for _ in range(5)),
    )

    prune()

    assert set(numbers(route="/a/")) == {2}


@pytest.mark.parametrize(
    "other", [{"method": "POST"}, {"kind": "block"}, {"kind": "code"}, {"route": "/b/"}]
)
def test_a_route_is_told_apart_by_its_kind_and_method(keep, other):
    keep(10)
    store(*(new_report(**{"route": "/a/"} | other, pid=1) for _ in range(9)))
    store(*(new_report("/a/", pid=2) for _ in range(9)), *(new_report("/c/") for _ in range(10)))

    prune()

    assert sorted(numbers(route__in=["/a/", "/b/"])) == [1, 1, 1, 2, 2, 2]


def test_pages_that_are_not_found_displace_no_report_of_another_route(settings):
    settings.MEMSIZE = {}
    kept = [new_report(f"/{route}/", pid=number) for route in "abcde" for number in range(3)]
    store(*kept)

    for _ in range(11):
        store(*(new_report("(unresolved)") for _ in range(100)))
        prune()

    assert numbers(route__in=[f"/{route}/" for route in "abcde"]) == [0, 1, 2] * 5
    assert Report.objects.count() <= 15 + 1000 + 3


def test_exemplars_are_at_most_as_many_as_the_newest_reports(keep):
    keep(20)
    store(*(new_report(f"/{number}/", pid=number) for number in range(70)))

    prune()

    assert numbers() == list(range(30, 70))


# By age


def test_a_report_that_is_too_old_is_deleted_but_for_exemplars(keep):
    keep(1000, days=30)
    store(*(new_report("/a/", pid=number, days=40 - number) for number in range(20)))

    prune()

    # Reports 0 to 10 are older than 30 days, and the newest of these are exemplars.
    assert numbers() == list(range(8, 20))


def test_an_exemplar_is_deleted_once_it_is_four_times_as_old(keep):
    keep(1000, days=30)
    store(*(new_report("/a/", pid=days, days=days) for days in (130, 121, 119, 31, 1)))

    prune()

    assert numbers() == [119, 31, 1]


def test_a_report_grows_too_old_while_few_reports_are_new(keep, monkeypatch):
    keep(1000, days=30)
    store(*(new_report(pid=number) for number in range(9)))
    assert retention.prune("default") == 0
    later = timezone.now() + timedelta(days=31)
    monkeypatch.setattr(retention.timezone, "now", lambda: later)
    assert retention.prune("default") == 0  # it is asked once an hour

    process.reset()

    assert retention.prune("default") == 6
    assert numbers() == [6, 7, 8]


def test_after_an_hour_reports_are_examined_again(keep, monkeypatch):
    keep(1000)
    store(new_report())
    queries = []
    for seconds in (3600.0, 0.0):
        monkeypatch.setattr(retention, "_SECONDS", seconds)
        process.reset()
        retention.prune("default")
        with CaptureQueriesContext(connection) as captured:
            retention.prune("default")
        queries.append(len(captured))

    assert queries == [1, 5]


def test_who_knows_the_newest_primary_key_makes_no_query(keep):
    keep(1000)
    store(new_report())
    newest = Report.objects.latest("pk").pk
    retention.prune("default", newest)

    with CaptureQueriesContext(connection) as captured:
        assert retention.prune("default", newest + 1) == 0

    assert len(captured) == 0


@pytest.mark.parametrize("days", [None, 0])
def test_without_a_limit_of_age_old_reports_are_kept(keep, days):
    keep(1000, days=days)
    store(*(new_report(days=5000) for _ in range(9)))

    assert prune() == 0


def test_the_clock_of_another_host_keeps_no_report_for_ever(keep):
    keep(5, days=30)
    store(
        *(new_report("/a/", days=-400 if number == 2 else 0, pid=number) for number in range(20)),
        *(new_report("/b/") for _ in range(5)),
    )

    prune()

    assert numbers(route="/a/") == [17, 18, 19]


# In small steps


@pytest.mark.usefixtures("small_chunks")
def test_one_call_examines_a_few_chunks_and_the_next_one_goes_on(keep):
    keep(10)
    store(*(new_report(pid=number) for number in range(41)))

    deleted = [retention.prune("default") for _ in range(7)]

    assert deleted == [3, 6, 6, 6, 6, 1, 0]
    assert numbers() == list(range(28, 41))


@pytest.mark.usefixtures("small_chunks")
def test_a_transaction_deletes_one_chunk_and_reads_no_document(keep):
    keep(1)
    store(*(new_report(f"/{number % 3}/", retained_bytes=number) for number in range(50)))

    with CaptureQueriesContext(connection) as captured:
        prune()

    statements = [one["sql"] for one in captured]
    deletions = [sql for sql in statements if sql.startswith("DELETE")]
    assert len(deletions) > 10
    assert all(sql.partition(" IN ")[2].count(",") < 2 for sql in deletions)
    assert not any("document" in sql.replace("django_memsize_report", "") for sql in statements)
    assert not any("COUNT(" in sql for sql in statements)


@pytest.mark.usefixtures("small_chunks")
def test_on_sqlite_other_writers_have_a_moment_after_each_full_transaction(keep, monkeypatch):
    keep(10)
    store(*(new_report(pid=number) for number in range(41)))
    pauses = []
    monkeypatch.setattr(retention.time, "sleep", pauses.append)

    with CaptureQueriesContext(connection) as captured:
        prune()

    deletions = [one for one in captured if one["sql"].startswith("DELETE")]
    assert len(deletions) > 10
    if connection.vendor == "sqlite":
        assert len(deletions) - 5 <= len(pauses) <= len(deletions)
        assert all(pause > 0 for pause in pauses)
    else:
        assert pauses == []


def test_exemplars_are_read_only_when_a_report_is_no_longer_recent(keep, monkeypatch):
    keep(40)
    store(*(new_report(f"/{number // 3}/") for number in range(12)))
    store(*(new_report("/new/") for _ in range(40)))
    retention.prune("default")
    read = []
    candidates = exemplars.candidates

    def reading(reports, *number):
        found = candidates(reports, *number)
        read.append([report.route for report in found].count("/0/"))
        return found

    monkeypatch.setattr(exemplars, "candidates", reading)
    store(new_report("/new/"))
    retention.prune("default")
    assert read == []
    store(new_report("/new/"))
    retention.prune("default")

    # The chunk, the exemplars, and the oldest of these because of their age and their number.
    assert read == [0, 3, 3]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of SQLite")
def test_exemplars_are_read_by_their_primary_keys(keep):
    keep(5)
    store(*(new_report(f"/{number}/") for number in range(20)))
    retention.prune("default")
    store(*(new_report() for _ in range(20)))

    with CaptureQueriesContext(connection) as captured:
        retention.prune("default")

    selected = [one["sql"] for one in captured if "first_request" in one["sql"]]
    assert len(selected) == 3
    for sql in selected:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            assert "INTEGER PRIMARY KEY (rowid" in str(cursor.fetchall())


def test_a_table_that_was_emptied_and_counts_from_one_is_examined_anew(keep):
    keep(5)
    store(*(new_report(pk=1000 + number) for number in range(20)))
    retention.prune("default")
    Report.objects.all().delete()

    store(*(new_report(pk=1 + number) for number in range(20)))

    assert retention.prune("default") == 20 - 5 - 3


def test_receivers_of_signals_are_not_called(keep):
    keep(3)
    store(*(new_report() for _ in range(11)))
    heard = []

    def receive(sender, **_):
        heard.append(sender)

    for signal in (pre_delete, post_delete):
        signal.connect(receive)
    try:
        assert prune() == 5
    finally:
        for signal in (pre_delete, post_delete):
            signal.disconnect(receive)
    assert heard == []


@pytest.mark.django_db(databases=["default", "other"])
def test_each_database_is_examined_by_itself(keep):
    keep(5)
    for alias in ("default", "other"):
        Report.objects.using(alias).bulk_create([new_report() for _ in range(20)])

    assert prune() == 12
    assert Report.objects.using("other").count() == 20
    assert retention.prune("other") == 12


def test_a_child_process_examines_the_table_anew():
    retention.prune("default")
    assert retention._pruners

    process.reset()

    assert not retention._pruners


# Beside others


def in_thread(function):
    """Run a function in a thread of its own, with a connection of its own; return the thread."""

    def run():
        try:
            function()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.usefixtures("skip_locked")
@pytest.mark.django_db(transaction=True)
def test_a_report_that_another_process_deletes_is_not_waited_for(keep):
    keep(3)
    store(*(new_report(pid=number) for number in range(11)))
    locked, pruned = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Report.objects.select_for_update().get(pid=2)
            locked.set()
            pruned.wait(60)

    thread = in_thread(hold)
    assert locked.wait(60)
    deleted = []
    other = in_thread(lambda: deleted.append(retention.prune("default")))
    other.join(30)
    was_waiting = other.is_alive()
    pruned.set()
    thread.join(60)
    other.join(60)

    assert not was_waiting
    assert deleted == [4]
    assert numbers() == [2, *range(5, 11)]


@pytest.mark.usefixtures("skip_locked")
@pytest.mark.django_db(transaction=True)
def test_four_processes_delete_at_once_beside_four_that_insert(keep, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 20)
    keep(50)
    store(*(new_report(f"/{number % 7}/", retained_bytes=number) for number in range(2000)))
    faults, start, is_over = [], threading.Barrier(8), threading.Event()

    def contained(work):
        def run():
            try:
                start.wait(60)
                work()
            except Exception as error:
                faults.append(error)

        return run

    def insert():
        for number in range(100):
            store(*(new_report(f"/{route}/", retained_bytes=number) for route in range(3)))

    def delete():
        pruner = retention.Pruner()
        while not is_over.is_set():
            pruner.prune("default")

    inserting = [in_thread(contained(insert)) for _ in range(4)]
    deleting = [in_thread(contained(delete)) for _ in range(4)]
    for thread in inserting:
        thread.join(120)
    is_over.set()
    for thread in deleting:
        thread.join(120)

    assert faults == []
    assert not any(thread.is_alive() for thread in (*inserting, *deleting))
    # Four processes that examine the same report at once may each keep another exemplar.
    prune()
    assert Report.objects.count() <= 50 + 7 * (3 + 3)
    assert Report.objects.filter(retained_bytes__gte=1997).count() == 3


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for each other")
def test_on_sqlite_a_deletion_is_the_first_statement_of_its_transaction(keep):
    keep(1)
    store(*(new_report() for _ in range(9)))

    with CaptureQueriesContext(connection) as captured:
        prune()

    statements = [one["sql"].split()[0] for one in captured]
    assert statements.count("DELETE") == statements.count("SAVEPOINT") == 2
    assert statements[statements.index("SAVEPOINT") + 1] == "DELETE"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="others wait for no lock of the table")
def test_on_sqlite_a_transaction_deletes_few_reports(keep):
    keep(1)
    store(*(new_report() for _ in range(700)))

    with CaptureQueriesContext(connection) as captured:
        prune()

    deletions = [one["sql"] for one in captured if one["sql"].startswith("DELETE")]
    assert max(sql.partition(" IN ")[2].count(",") for sql in deletions) == 100 - 1
    assert Report.objects.count() == 2
