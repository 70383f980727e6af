"""Merging rollups: every request is counted exactly once, whoever merges, and rows become few."""

import contextlib
import dataclasses
import threading

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from django_memsize import models
from django_memsize.reports import chunks, rollup_merging, rollup_storage
from django_memsize.reports.rollup_merging import merge, merge_all, readable_since
from django_memsize.values import RouteRollup
from django_memsize.values.rollup import Level
from tests import rolled
from tests.rolled import MIDNIGHT, insert, row, sample, stored
from tests.writing import Project

pytestmark = pytest.mark.django_db

HOUR, DAY = 3600, 86_400


@pytest.fixture
def at(monkeypatch):
    """Return a function that sets the clock."""

    def set_clock(moment):
        monkeypatch.setattr(rollup_merging, "now", lambda: moment)

    set_clock(MIDNIGHT)
    return set_clock


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 4)
    monkeypatch.setattr(rollup_merging, "CHUNK", 4)
    monkeypatch.setattr(chunks, "SQLITE_CHUNK", 4)
    monkeypatch.setattr(rollup_merging, "CHUNKS", 3)


def read():
    return rollup_storage.read_routes("default", 0)


def test_rows_grow_fewer_with_their_age_and_add_up_to_the_same(at):
    source, rows = rolled.made_up(), []
    for minute in range(0, 3 * 24 * 60, 97):
        for _ in range(3):
            rows += rolled.process(source, MIDNIGHT + 60 * minute)
    insert(*rows)
    expected = rolled.total(rows)
    numbers = []
    for age in (0, 300, 4 * HOUR, 5 * DAY, 30 * DAY):
        at(MIDNIGHT + 3 * DAY + age)
        merge_all("default")
        assert read() == expected
        numbers.append(len(stored()))

    assert numbers == sorted(numbers, reverse=True)
    assert stored() == [
        (Level.DAY, MIDNIGHT + DAY * day, f"/{number}/") for day in range(3) for number in range(5)
    ]


@pytest.mark.parametrize(
    ("age", "level"),
    [
        (60 + 179, Level.PROCESS),
        (60 + 181, Level.MINUTE),
        (3 * HOUR + 59, Level.MINUTE),
        (4 * HOUR + 60, Level.HOUR),
        (8 * DAY, Level.HOUR),
        (9 * DAY + 60, Level.DAY),
    ],
)
def test_a_row_is_merged_at_its_age(at, age, level):
    insert(row(MIDNIGHT), row(MIDNIGHT))
    at(MIDNIGHT + age)
    merge_all("default")

    assert {found for found, *_ in stored()} == {level}


def test_rows_of_other_releases_methods_and_minutes_are_not_merged(at):
    insert(
        row(MIDNIGHT, release="1.0"),
        row(MIDNIGHT, release="2.0"),
        row(MIDNIGHT, method="POST"),
        row(MIDNIGHT + 60),
        row(MIDNIGHT + 60),
    )
    at(MIDNIGHT + HOUR)
    merge_all("default")

    assert stored() == [
        *[(Level.MINUTE, MIDNIGHT, "/a/")] * 3,
        (Level.MINUTE, MIDNIGHT + 60, "/a/"),
    ]


def test_what_comes_late_is_added_up_as_well(at):
    at(MIDNIGHT + 30 * DAY)
    insert(row(MIDNIGHT, "/a/", 1))
    merge_all("default")
    insert(row(MIDNIGHT + 60, "/a/", 2), row(MIDNIGHT, "/a/", 3, level=Level.HOUR))
    merge_all("default")

    assert {found for found, *_ in stored()} == {Level.DAY}
    (total,) = read().values()
    assert total == rolled.rollup(1, 2, 3)


def test_chunks_of_any_size_give_the_same_rows(at, small_chunks):
    rows = [row(MIDNIGHT, f"/{number % 3}/", number) for number in range(30)]
    insert(*rows)
    at(MIDNIGHT + HOUR)
    merge_all("default")
    at(MIDNIGHT + 30 * DAY)
    merge_all("default")

    assert read() == rolled.total(rows)
    assert len(stored()) < 30


def test_one_call_merges_a_few_chunks_and_the_next_call_goes_on(at, small_chunks):
    insert(*(row(MIDNIGHT) for _ in range(30)))
    at(MIDNIGHT + HOUR)
    left = []
    for _ in range(6):
        merge("default")
        left.append(len(stored(Level.PROCESS)))

    assert left[:3] == [18, 6, 0]


def test_a_call_that_finds_nothing_is_followed_by_calls_without_a_query(at):
    merge("default")

    with CaptureQueriesContext(connection) as captured:
        merge("default")

    assert list(captured) == []


def test_samples_of_a_process_become_hours_and_days(at):
    for pid in (1, 2):
        insert(
            samples=[
                sample(MIDNIGHT + 60 * minute, pid, rss_sum=minute, rss_max=minute)
                for minute in range(90)
            ]
        )
    rows = models.ProcessRollup.objects.order_by("start", "pid")
    columns = ("start", "pid", "samples", "rss_sum", "rss_max")
    at(MIDNIGHT + 6 * HOUR)
    merge_all("default")
    by_hour = list(rows.values_list(*columns))
    at(MIDNIGHT + 30 * DAY)
    merge_all("default")

    late = MIDNIGHT + HOUR
    assert by_hour == [
        (MIDNIGHT, 1, 60, sum(range(60)), 59),
        (MIDNIGHT, 2, 60, sum(range(60)), 59),
        (late, 1, 30, sum(range(60, 90)), 89),
        (late, 2, 30, sum(range(60, 90)), 89),
    ]
    assert list(rows.values_list(*columns)) == [
        (MIDNIGHT, pid, 90, sum(range(90)), 89) for pid in (1, 2)
    ]


def test_an_unreadable_row_is_merged_with_its_number_of_requests(at):
    insert(row(MIDNIGHT), row(MIDNIGHT))
    models.Rollup.objects.filter(pk=models.Rollup.objects.first().pk).update(histograms="{broken")
    at(MIDNIGHT + HOUR)
    merge_all("default")

    (total,) = read().values()
    assert total.requests == 2


# Age


def test_rollups_are_deleted_at_the_age_of_the_settings(at, settings):
    settings.MEMSIZE = {"ROLLUP_DAYS": 10}
    insert(row(MIDNIGHT, "/old/"), row(MIDNIGHT + 2 * DAY, "/new/"))
    insert(samples=[sample(MIDNIGHT), sample(MIDNIGHT + 2 * DAY)])
    models.ProcessRollup.objects.filter(samples=0).delete()
    at(MIDNIGHT + 11.5 * DAY)
    merge_all("default")

    assert [route for *_, route in stored()] == ["/new/"]
    assert [found.start for found in models.ProcessRollup.objects.all()] == [MIDNIGHT + 2 * DAY]


@pytest.mark.parametrize("days", [None, 0])
def test_without_a_limit_nothing_is_deleted(at, settings, days):
    settings.MEMSIZE = {"ROLLUP_DAYS": days}
    insert(row(MIDNIGHT))
    at(MIDNIGHT + 9999 * DAY)
    merge_all("default")

    assert len(stored()) == 1


def test_all_rollups_can_be_deleted(small_chunks):
    insert(*(row(MIDNIGHT) for _ in range(30)), samples=[sample(MIDNIGHT)])

    assert rollup_merging.delete_all("default") == 31
    assert not models.Rollup.objects.exists()
    assert not models.ProcessRollup.objects.exists()


# What can be read


@pytest.mark.parametrize(
    ("age", "step"),
    [(HOUR, 60), (2 * HOUR, 60), (5 * HOUR, HOUR), (7 * DAY, HOUR), (20 * DAY, DAY)],
)
def test_a_moment_is_moved_to_the_start_of_what_rows_of_its_age_are_merged_into(age, step):
    now = MIDNIGHT + 1000 * DAY + 47_171
    since = now - age

    assert readable_since(since, now) == since // step * step


def test_whatever_was_merged_meanwhile_the_same_requests_are_read(at):
    rows = [row(MIDNIGHT + 60 * minute, "/a/", minute) for minute in range(0, 20 * 24 * 60, 631)]
    insert(*rows)
    now = MIDNIGHT + 20 * DAY
    at(now)
    for age in (30 * 60, 2 * HOUR, 11 * HOUR, 6 * DAY, 15 * DAY):
        since = readable_since(now - age, now)
        before = rollup_storage.read_routes("default", since)
        with transaction.atomic():
            merge_all("default")
            assert rollup_storage.read_routes("default", since) == before
            transaction.set_rollback(True)


# Several processes


@contextlib.contextmanager
def threads(number, run):
    def call():
        try:
            run()
        finally:
            connections.close_all()

    running = [threading.Thread(target=call) for _ in range(number)]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(60)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="a database in memory has no other")
def test_processes_that_merge_at_once_count_each_request_once(at, monkeypatch):
    monkeypatch.setattr(rollup_merging, "CHUNK", 40)
    source, rows = rolled.made_up(), []
    for number in range(20):
        rows += rolled.process(source, MIDNIGHT + 60 * (number % 2), routes=30)
    insert(*rows)
    expected = rolled.total(rows)
    at(MIDNIGHT + HOUR)
    failures = []

    def merge_everything():
        for _ in range(20):
            try:
                merge_all("default")
            except DatabaseError as error:  # a deadlock, which the next call goes on from
                failures.append(error)

    with threads(4, merge_everything):
        pass
    merge_all("default")

    assert read() == expected
    assert not stored(Level.PROCESS)
    assert models.Rollup.objects.count() < 200


@pytest.mark.django_db(transaction=True)
def test_rows_that_another_process_has_locked_are_skipped(at):
    if not connection.features.has_select_for_update_skip_locked:
        pytest.skip("the database cannot skip rows that are locked")
    insert(row(MIDNIGHT), row(MIDNIGHT))
    at(MIDNIGHT + HOUR)
    with transaction.atomic():
        list(models.Rollup.objects.select_for_update())
        with threads(1, lambda: merge_all("default")):
            pass
        assert len(stored(Level.PROCESS)) == 2
    merge_all("default")

    assert not stored(Level.PROCESS)


def test_rows_that_another_process_merged_first_are_not_added_up_again(at, monkeypatch):
    insert(row(MIDNIGHT), row(MIDNIGHT))
    at(MIDNIGHT + HOUR)

    def remove_one():
        models.Rollup.objects.filter(level=Level.PROCESS).first().delete()
        return RouteRollup()

    table = rollup_merging.TABLES[0]
    monkeypatch.setattr(rollup_merging, "TABLES", [dataclasses.replace(table, total=remove_one)])
    with pytest.raises(DatabaseError, match="another process"), transaction.atomic():
        merge_all("default")

    assert len(stored(Level.PROCESS)) == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite waits for some seconds anyway")
def test_no_statement_waits_for_ever(at, settings):
    def note(execute, sql, *arguments):
        asked.append(sql)
        if "django_memsize" in sql and not connection.in_atomic_block:
            unlimited.append(sql)
        return execute(sql, *arguments)

    asked, unlimited = [], []
    settings.MEMSIZE = {"ROLLUP_DAYS": 10}
    batch = insert(row(MIDNIGHT), row(MIDNIGHT + 5 * DAY), samples=[sample(MIDNIGHT)])
    at(MIDNIGHT + 11.5 * DAY)
    with connection.execute_wrapper(note):
        rollup_storage.is_stored(batch, "default")
        merge_all("default")
        rollup_merging.delete_all("default")

    assert len(asked) > 20
    assert unlimited == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="other databases lock rows")
def test_where_the_program_writes_to_the_same_file_meanwhile_merging_waits(tmp_path):
    project = Project(tmp_path, {"DATABASE": "default"})
    project.manage("migrate", "-v0", "--run-syncdb")
    out = project.run(MERGE_BESIDE_A_WRITER)

    assert out == "2 1\n1 1\n"


MERGE_BESIDE_A_WRITER = """
import contextlib, sqlite3
from django.core.management import call_command
from django_memsize.reports import rollup_merging
from tests.rolled import MIDNIGHT, insert, row, stored

def write_beside():
    # Waits no time: the file is locked, or the program has written first.
    with contextlib.closing(sqlite3.connect(path, timeout=0)) as file:
        with contextlib.suppress(sqlite3.OperationalError), file:
            file.execute("UPDATE django_memsize_rollup SET first_requests = 7")

def locked(rows, alias):
    for _ in rows[:1]:
        write_beside()
    return rows

path = str(connection.settings_dict["NAME"])
with connection.cursor() as cursor:
    cursor.execute("PRAGMA journal_mode=WAL")
insert(row(MIDNIGHT), row(MIDNIGHT))
say(f"{len(stored())} {len({start for _, start, _ in stored()})}")
rollup_merging._locked = locked
rollup_merging.now = lambda: MIDNIGHT + 3600
call_command("memprofile", "prune", stdout=open(os.devnull, "w"))
say(f"{len(stored())} {len({start for _, start, _ in stored()})}")
"""
