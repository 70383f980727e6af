"""The writer's thread and the rollups: once a minute, at the end, and while the database fails."""

import json
import sqlite3

import pytest
from django.db import DataError, OperationalError, connection

from django_memsize import models, process
from django_memsize.measuring.recording import Recording
from django_memsize.reports import database, rollup_merging, rollup_storage, rollup_writer
from django_memsize.reports.rollup_writer import RollupWriter
from django_memsize.reports.rollups import rollups
from django_memsize.values import OwnTuple
from tests.rolled import MIDNIGHT
from tests.writing import Project

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Return a function that sets the clock; begin as a new process does."""
    process.reset()
    monkeypatch.setattr(rollups, "_due_after", 1.0)

    def set_clock(moment):
        monkeypatch.setattr(rollup_writer, "now", lambda: moment)

    set_clock(MIDNIGHT)
    return set_clock


def serve(route="/a/", moment=MIDNIGHT, rows=1):
    """Count a request."""
    recording = Recording(route, "request", counted=True)
    recording.started_at, recording.duration = float(moment), 0.5
    rollups.add(recording, OwnTuple(("GET", route)), rows, 0)


def stored():
    """Return how many requests are stored."""
    return sum(models.Rollup.objects.values_list("requests", flat=True))


def due(own, clock, moment):
    """Return whether something is to be written at a moment."""
    clock(moment)
    own.look(moment)
    return own.is_due


# Once a minute


def test_a_minute_is_written_once_it_is_over(clock):
    own = RollupWriter()
    serve()
    assert not due(own, clock, MIDNIGHT + 5)
    assert not due(own, clock, MIDNIGHT + 59)
    assert due(own, clock, MIDNIGHT + 81)

    serve(moment=MIDNIGHT + 70)
    own.write("default")

    assert stored() == 1
    assert not own.is_due
    (sample,) = models.ProcessRollup.objects.all()
    assert (sample.samples, sample.start) == (1, MIDNIGHT)
    assert not due(own, clock, MIDNIGHT + 82)
    assert due(own, clock, MIDNIGHT + 141)


def test_nothing_is_due_in_a_process_that_serves_no_request(clock):
    own = RollupWriter()

    assert not any(due(own, clock, MIDNIGHT + second) for second in range(0, 600, 7))


def test_a_process_without_requests_is_sampled_once_it_has_served_one(clock):
    own = RollupWriter()
    serve()
    for minute in range(1, 6):
        is_due = due(own, clock, MIDNIGHT + 60 * minute + 30)
        assert is_due == (minute > 1)
        if is_due:
            own.write("default")

    assert sum(models.ProcessRollup.objects.values_list("samples", flat=True)) == 4
    assert stored() == 1


def test_the_thread_sleeps_until_the_next_minute_is_due():
    own = RollupWriter()
    for second in range(0, 300, 11):
        left = own.look(MIDNIGHT + second)
        assert 0 < left <= 60


def test_the_clock_may_be_set_back(clock):
    own = RollupWriter()
    serve()
    own.look(MIDNIGHT + 7200)

    assert 0 < own.look(MIDNIGHT) <= 60


def test_writes_follow_routes_and_minutes_and_not_requests(
    clock, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(rollup_merging, "merge", lambda alias: None)
    own = RollupWriter()
    for number in range(1000):
        serve(f"/{number % 10}/")
    own.look(MIDNIGHT)
    assert due(own, clock, MIDNIGHT + 90)

    with django_assert_max_num_queries(6):
        own.write("default")

    assert models.Rollup.objects.count() == 10
    assert stored() == 1000


def test_at_the_end_the_open_minute_is_written_too(clock):
    own = RollupWriter()
    serve()
    own.ends = True
    assert due(own, clock, MIDNIGHT + 1)
    assert not own.is_done
    own.write("default")

    assert stored() == 1
    assert own.is_done
    assert not due(own, clock, MIDNIGHT + 2)


def test_many_rows_are_written_in_batches(clock, monkeypatch):
    monkeypatch.setattr(rollup_writer, "BATCH_ROWS", 3)
    own = RollupWriter()
    for number in range(10):
        serve(f"/{number}/")
    own.ends = True
    own.look(MIDNIGHT)
    own.write("default")

    assert stored() == 10
    assert models.ProcessRollup.objects.count() == 4
    assert sum(models.ProcessRollup.objects.values_list("samples", flat=True)) == 1


# Databases that fail


class Failing:
    """The insertion of batches, which fails as often as it is told."""

    def __init__(self, monkeypatch, error=None, is_stored=False):
        self.error = error or OperationalError("server closed the connection")
        self.is_stored = is_stored
        self.times = 0
        self.insert = rollup_storage.insert
        monkeypatch.setattr(rollup_storage, "insert", self)

    def __call__(self, batch, alias):
        if self.times > 0:
            self.times -= 1
            if self.is_stored:
                self.insert(batch, alias)
            raise self.error
        self.insert(batch, alias)


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_batch_that_was_not_answered_is_stored_exactly_once(clock, monkeypatch, is_stored):
    failing = Failing(monkeypatch, is_stored=is_stored)
    own = RollupWriter()
    for minute in range(5):
        serve(moment=MIDNIGHT + 60 * minute)
        failing.times = minute % 2
        own.look(MIDNIGHT + 60 * minute + 90)
        clock(MIDNIGHT + 60 * minute + 90)
        if failing.times:
            with pytest.raises(OperationalError):
                own.write("default")
            assert own.is_due
            assert not own.is_done
        own.write("default")

    own.ends = True
    own.look(MIDNIGHT + 400)
    own.write("default")
    assert stored() == 5
    assert sum(models.ProcessRollup.objects.values_list("requests", flat=True)) == 5


def test_a_batch_that_is_committed_late_is_stored_exactly_once(clock, monkeypatch, caplog):
    failing = Failing(monkeypatch, is_stored=True)
    own = RollupWriter()
    serve()
    own.ends = True
    own.look(MIDNIGHT)
    failing.times = 1
    with pytest.raises(OperationalError):
        own.write("default")
    answers, ask = [False], rollup_storage.is_stored
    monkeypatch.setattr(
        rollup_storage, "is_stored", lambda *asked: answers.pop() if answers else ask(*asked)
    )
    own.write("default")

    assert stored() == 1
    assert sum(models.ProcessRollup.objects.values_list("requests", flat=True)) == 1
    assert rollups.lost == 0
    assert own.is_done
    assert "missing" not in caplog.text


def test_a_batch_that_was_not_answered_for_an_hour_is_given_up_and_counted(
    clock, monkeypatch, caplog
):
    failing = Failing(monkeypatch)
    own = RollupWriter()
    serve()
    own.look(MIDNIGHT)
    assert due(own, clock, MIDNIGHT + 90)
    failing.times = 1
    with pytest.raises(OperationalError):
        own.write("default")
    assert due(own, clock, MIDNIGHT + 4000)
    own.write("default")
    assert due(own, clock, MIDNIGHT + 4090)
    own.write("default")

    assert stored() == 0
    assert sum(models.ProcessRollup.objects.values_list("lost_requests", flat=True)) == 1
    assert "1 requests are missing in the figures of routes" in caplog.text


def test_a_batch_that_is_refused_is_stored_in_ascii(clock, monkeypatch):
    failing = Failing(monkeypatch, DataError("Incorrect string value"))
    failing.times = 1
    own = RollupWriter()
    serve("/ü/")
    own.ends = True
    own.look(MIDNIGHT)
    own.write("default")

    assert models.Rollup.objects.get().route == "/\\xfc/"


def test_a_batch_that_is_refused_twice_is_counted_and_the_next_one_stored(
    clock, monkeypatch, caplog
):
    failing = Failing(monkeypatch, DataError("out of range"))
    failing.times = 2
    own = RollupWriter()
    serve()
    own.look(MIDNIGHT)
    assert due(own, clock, MIDNIGHT + 90)
    own.write("default")
    serve(moment=MIDNIGHT + 90)
    assert due(own, clock, MIDNIGHT + 150)
    own.write("default")

    assert stored() == 1
    assert models.ProcessRollup.objects.order_by("pk").last().lost_requests == 1
    assert "DataError: out of range" in caplog.text


def test_a_fault_of_ours_gives_the_batch_up(clock, monkeypatch):
    failing = Failing(monkeypatch, MemoryError())
    failing.times = 1
    own = RollupWriter()
    serve()
    own.ends = True
    own.look(MIDNIGHT)
    with pytest.raises(MemoryError):
        own.write("default")
    own.drop(MemoryError())

    assert own.is_done
    assert rollups.lost == 1


def test_what_nobody_could_read_is_forgotten():
    own = RollupWriter()
    serve()
    own.ends = True
    own.look(MIDNIGHT)
    own.discard()

    assert own.is_done
    assert stored() == 0


# Processes


SERVE = """
from django.test import Client
def visit(times=1, path="/nothing/"):
    for _ in range(times):
        Client().get(path)
"""


@pytest.fixture
def project(tmp_path, transactional_db):
    return Project(tmp_path, {"SAMPLE_RATE": 0})


def rows(project, table="rollup", columns="route, requests"):
    sql = f"SELECT {columns} FROM django_memsize_{table} ORDER BY id"
    if connection.vendor == "sqlite":
        with sqlite3.connect(project.own_file()) as file:
            return file.execute(sql).fetchall()
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(map(tuple, cursor.fetchall()))


def test_a_process_stores_its_requests_at_its_end(project):
    project.run(SERVE + "visit(3); visit(2, '/accounts/') if False else None")

    assert sum(requests for _, requests in rows(project)) == 3
    assert rows(project, "processrollup", "samples, requests") == [(1, 3)]


def test_the_thread_begins_at_the_first_request_also_after_a_fork(project):
    out = project.run(
        SERVE
        + """
names = lambda: [thread.name for thread in threading.enumerate()]
assert "memsize-writer" not in names(), names()
visit(2)
assert "memsize-writer" in names(), names()
pid = os.fork()
if not pid:
    assert "memsize-writer" not in names(), names()
    visit(5)
    assert "memsize-writer" in names(), names()
    import sys
    sys.exit()
say(os.waitpid(pid, 0)[1])
"""
    )

    assert out == "0\n"
    assert sum(requests for _, requests in rows(project)) == 7
    assert sorted(rows(project, "processrollup", "requests")) == [(2,), (5,)]


def test_minutes_are_written_while_the_process_serves(project):
    project.run(
        SERVE
        + """
from django_memsize.reports import rollup_writer, rollups as module
from django_memsize.values.rollup import Level
module.rollups._due_after = 0.0
Level.seconds = property(lambda self: 1)  # a minute of one second
module.Rollups.seconds_until_due = lambda self, now: 0.2
visit(3)
from django_memsize.models import Rollup
def stored():
    try:
        return sum(Rollup.objects.values_list("requests", flat=True))
    except Exception:
        return 0
wait_for(lambda: stored() == 3)
visit(2)
wait_for(lambda: stored() == 5)
say("served")
"""
    )

    assert sum(requests for _, requests in rows(project)) == 5


def test_a_process_that_serves_nothing_stores_no_rollup(project):
    project.run("submit('work'); assert writer.flush(10)")

    assert rows(project) == rows(project, "processrollup", "id") == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no server")
def test_what_is_lost_at_the_end_is_logged(project):
    project.databases["default"]["PORT"] = "1"
    ended = project.begin(SERVE + "import logging; logging.basicConfig(); visit(3)")
    _, errors = ended.communicate(timeout=60)

    assert ended.returncode == 0
    assert "3 requests are missing in the figures of routes: the process ended" in errors


def test_a_report_and_the_rollups_share_one_connection(project):
    project.memsize = {"SAMPLE_RATE": 1.0, "MAX_OVERHEAD": 1.0}
    out = project.run(
        SERVE
        + """
import json
from django.db.backends.signals import connection_created
opened = []
connection_created.connect(
    lambda connection, **_: opened.append(threading.current_thread().name), weak=False
)
visit(2)
assert writer.flush(10)
import atexit
atexit.register(lambda: None)
from django_memsize.reports import writer
writer._at_exit()
say(json.dumps(opened))
"""
    )

    assert json.loads(out) == ["memsize-writer"]
    assert sum(requests for _, requests in rows(project)) == 2
    assert database.OWN_ALIAS == "memsize"
