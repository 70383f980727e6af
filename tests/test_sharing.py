"""What is shared by threads, caches and the programs around: nobody is disturbed."""

import contextvars
import gc
import pickle
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter

import pytest
from django.db import connection, models, transaction
from django.db.models.signals import pre_save
from django.http import HttpResponse
from django.test import RequestFactory

import django_memsize as memsize
from django_memsize.measuring import in_flight, instruments, recording, spans
from django_memsize.measuring.recording import Recording
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import writer
from django_memsize.tools import measure
from tests.app.models import Author

pytestmark = pytest.mark.census

EVERY_REQUEST = {"SAMPLE_RATE": 1.0, "EVALUATIONS": False}


def served(view=lambda request: HttpResponse("answer")):
    return MemsizeMiddleware(view)(RequestFactory().get("/"))


@pytest.mark.django_db
def test_a_pickled_response_has_nothing_of_ours_and_closes_quietly(settings):
    settings.MEMSIZE = EVERY_REQUEST
    response = served()
    pickled = pickle.dumps(response)
    response.close()

    assert b"memsize" not in pickled
    pickle.loads(pickled).close()
    assert Report.objects.count() == 1


@pytest.mark.django_db
def test_receivers_of_signals_hear_nothing_of_reports(settings):
    settings.MEMSIZE = EVERY_REQUEST
    heard = []

    def hear(sender, **_):
        heard.append(sender)

    pre_save.connect(hear)
    models.signals.post_delete.connect(hear)
    try:
        served().close()
    finally:
        pre_save.disconnect(hear)
        models.signals.post_delete.disconnect(hear)

    assert Report.objects.count() == 1
    assert heard == []


@pytest.mark.django_db
def test_the_oldest_reports_go_and_the_newest_stay(settings):
    settings.MEMSIZE = EVERY_REQUEST | {"RETENTION": 3}
    for _ in range(5):
        served().close()
    newest = Report.objects.order_by("-pk").values_list("pk", flat=True)[0]

    assert list(Report.objects.order_by("pk").values_list("pk", flat=True)) == [
        newest - 2,
        newest - 1,
        newest,
    ]


def test_a_time_limit_that_strikes_while_we_work_reaches_the_program():
    class TimeLimit(Exception):
        pass

    def strike(signum, frame):
        raise TimeLimit

    def work_until_struck():
        for _ in range(50):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with memsize.measure("task"):
                pass

    ballast = [[number] for number in range(300_000)]
    before = signal.signal(signal.SIGALRM, strike)
    try:
        with pytest.raises(TimeLimit):
            work_until_struck()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert gc.isenabled()
    assert measure._blocks.get() is None
    assert ballast


@pytest.mark.django_db
def test_an_interrupt_in_the_census_of_a_query_leaves_the_collector_on(monkeypatch):
    def interrupted(self, around):
        raise KeyboardInterrupt

    with memsize.measure("block"), monkeypatch.context() as patch:
        patch.setattr(instruments.Census, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(Author.objects.all())
        assert gc.isenabled()
        assert isinstance(spans.open_span(), recording.Recording)


@pytest.mark.django_db
@pytest.mark.parametrize("evaluations", [True, False])
def test_the_collector_is_paused_only_while_a_query_is_measured(settings, evaluations):
    settings.MEMSIZE = {"EVALUATIONS": evaluations}
    seen = []

    def watch(execute, *args):
        seen.append(gc.isenabled())
        return execute(*args)

    with memsize.measure("block"), connection.execute_wrapper(watch):
        list(Author.objects.all())

    assert seen == [not evaluations]
    assert gc.isenabled()


def test_what_outlives_its_recording_is_not_recorded():
    with memsize.measure("block") as measured:
        context = contextvars.copy_context()

    assert context.run(spans.open_span) is None
    assert measured.closed


def test_one_measure_serves_several_threads():
    shared, recordings = memsize.measure("shared"), {}
    first_in, second_done = threading.Event(), threading.Event()

    def first():
        with shared as measured:
            recordings["first"] = measured
            first_in.set()
            second_done.wait(30)

    def second():
        first_in.wait(30)
        with shared as measured:
            recordings["second"] = measured
        second_done.set()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [recordings[name].closed for name in ("first", "second")] == [True, True]
    assert recordings["first"].duration > recordings["second"].duration > 0


@pytest.mark.django_db
@pytest.mark.parametrize("memsize_setting", [None, {"ENABLED": False}])
def test_a_saved_block_is_not_stored_where_nobody_asked(
    settings, django_assert_num_queries, memsize_setting
):
    if memsize_setting is not None:
        settings.MEMSIZE = memsize_setting
    with django_assert_num_queries(0), memsize.measure("import", save=True):
        pass


@pytest.mark.django_db
def test_a_saved_block_is_never_cold(settings):
    settings.MEMSIZE = EVERY_REQUEST
    with memsize.measure("import", save=True):
        pass

    report = Report.objects.get()
    assert (report.kind, report.route, report.first_request) == ("block", "import", False)


def test_drops_are_told_once_however_many_save_together():
    counter = writer._Writer()
    counter.add_dropped(5)
    taken = []
    threads = [threading.Thread(target=lambda: taken.append(counter.take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sum(taken) == 5


@pytest.fixture
def _hasty():
    """Have threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_hasty")
def test_what_threads_load_at_the_same_line_adds_up_exactly():
    workers, times, statements = 4, 25_000, ("SELECT 1", "SELECT 2")
    outer, inner = Recording("outer", counted=True), Recording("inner", counted=True)
    inner.evaluation_log.around = outer.evaluation_log
    barrier = threading.Barrier(workers)

    def load():
        barrier.wait(30)
        for number in range(times):
            one = inner.new_evaluation(inner, 0, Author._meta, "instances", None)
            one.open()
            one.ran(statements[number % 2], "default")
            one.end(2, {"app.Author": 2, f"app.Book{number % 4}": 1})
            inner.evaluation_log.ran()
            inner.evaluation_log.fetched(3)

    threads = [threading.Thread(target=load) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    loads = workers * times
    for one in (outer, inner):
        assert (one.rows, one.statements) == (2 * loads, loads)
        assert one.cursor_rows == 3 * loads
        found = {each.sql: (each.times, each.rows) for each in one.evaluations}
        assert len(one.evaluations) == 2
        assert found == dict.fromkeys(statements, (loads // 2, loads))
        instances = Counter()
        for evaluation in one.evaluations:
            instances.update(evaluation.instances)
        assert instances.pop("app.Author") == 2 * loads
        assert instances == {f"app.Book{number}": loads // 4 for number in range(4)}


def test_reports_wait_only_so_many():
    waiting = writer._Writer()

    accepted = [waiting.put(Report()) for _ in range(writer._MOST_QUEUED + 3)]

    assert accepted.count(False) == 3
    assert len(waiting) == writer._MOST_QUEUED


@pytest.mark.skipif(
    "connection.vendor != 'sqlite'", reason="SQLite alone refuses at once, without waiting"
)
@pytest.mark.django_db(transaction=True)
def test_a_report_does_not_come_between_the_reading_and_the_writing_of_another(settings):
    """Of two threads, one is in a transaction while the report of the other is due."""
    settings.MEMSIZE = EVERY_REQUEST
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
    served().close()
    stored_meanwhile = len(writer._writer.queue)
    other_closed.set()
    thread.join(60)

    assert faults == []
    assert stored_meanwhile == 1
    assert Author.objects.filter(name="written").exists()
    assert Report.objects.count() == 2
    assert in_flight.in_flight_elsewhere() == 0


def test_sqlite_refuses_a_writer_whose_reading_is_old(tmp_path):
    """The fault that the report of another thread would cause, shown without us."""
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


@pytest.mark.django_db
def test_what_a_query_loads_inside_is_stored_below_it(settings):
    settings.MEMSIZE = EVERY_REQUEST
    Author.objects.create(name="one").books.create(title="two")

    def view(request):
        list(Author.objects.prefetch_related("books"))
        return HttpResponse()

    served(view).close()

    loadings = Report.objects.get().summary().loadings
    assert [(one.model, one.depth) for one in loadings] == [("app.Author", 0), ("app.Book", 1)]
