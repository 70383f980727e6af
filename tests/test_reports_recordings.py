"""Recordings as the settings ask for them, until their reports are stored or handed over."""

import pickle
import threading
import weakref

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from django_memsize import conf, engine, measure, process
from django_memsize.measuring import deferred, errors, instruments, rss
from django_memsize.measuring import recording as measuring_recording
from django_memsize.measuring.recording import Options, Recording
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.orm import patches
from django_memsize.reports import database, outliers, recordings, writer
from django_memsize.reports.build import RequestFacts
from django_memsize.workers.tally import State, tally
from tests.app.models import Author
from tests.visits import WITH_EVALUATIONS, create_accounts, others_under_way
from tests.waiting import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("measured")]

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


@pytest.fixture(autouse=True)
def _nothing_served(monkeypatch):
    """Have each test begin as a process does, its first warning logged."""
    monkeypatch.setattr(recordings, "_contained", errors.ErrorBoundary("storing a report"))
    process.reset()
    yield
    process.reset()


def recorded(name="work", kind="block", **keywords):
    recording = Recording(name, kind, **keywords)
    recording.open()
    recording.close()
    return recording


def served(view=lambda request: HttpResponse("answer")):
    return MemsizeMiddleware(view)(RequestFactory().get("/"))


# How to measure


def test_a_recording_measures_as_the_settings_say(settings):
    settings.MEMSIZE = {
        "INSTRUMENT": "census",
        "EVALUATIONS": False,
        "MAX_OVERHEAD": 0.25,
        "METER_MEMORY": 3,
    }
    recording = recordings.new_recording("work")

    assert recordings._options() == Options("census", False, 0.25, 3 * 1024 * 1024)
    assert recording.instrument == "census"
    assert (recording.log.measures, recording.log.max_overhead) == (False, 0.25)


def test_only_a_request_that_nobody_asked_for_has_few_blocks_analysed(monkeypatch):
    asked = []

    def named(name, limit, most_analysed):
        asked.append(most_analysed)
        return instruments.Census()

    monkeypatch.setattr(measuring_recording, "instrument_named", named)
    recordings.new_recording("/", "request")
    recordings.new_recording("block")
    with recordings.collecting():
        recordings.new_recording("/", "request")

    assert asked == [recordings._MOST_ANALYSED, 0, 0]


@pytest.mark.parametrize("memsize", [{"ENABLED": False}, {"SAMPLE_RATE": "often"}])
def test_where_the_settings_say_nothing_usable_a_recording_has_the_defaults(settings, memsize):
    settings.MEMSIZE = memsize

    assert recordings._options() == Options()


def test_the_first_recording_patches_the_orm(monkeypatch):
    installed = []
    monkeypatch.setattr(patches, "install", lambda: installed.append("patched"))

    recordings.new_recording("work")

    assert installed == ["patched"]


# Storing


@pytest.mark.usefixtures("instrument")
def test_a_recording_becomes_a_report(settings):
    settings.MEMSIZE = {"RELEASE": "2024-05-01"}
    Author.objects.create(name="somebody")
    with measure("nightly import") as recording:
        list(Author.objects.all())

    returned = recordings.store(recording)

    report = Report.objects.get()
    assert returned == report
    assert (report.kind, report.route, report.method) == ("block", "nightly import", "")
    assert (report.rows, report.release, report.dropped) == (1, "2024-05-01", 0)
    assert report.instrument == recording.instrument
    assert report.duration == pytest.approx(recording.duration)
    assert report.started_at.timestamp() == pytest.approx(recording.started_at)
    assert report.summary().status is None


@pytest.mark.usefixtures("instrument")
def test_storing_closes_and_analyses_a_recording():
    recording = Recording("work")
    recording.open()

    recordings.store(recording)

    assert recording.closed
    assert recording.analysed
    assert not Report.objects.get().incomplete
    assert others_under_way() == 0


@pytest.mark.usefixtures("quick_census")
@pytest.mark.parametrize("memsize", [{"ENABLED": False}, {"RETENTION": 0}])
def test_nothing_is_stored_where_the_settings_switch_memsize_off(settings, memsize):
    settings.MEMSIZE = memsize
    recording = recorded()

    assert recordings.store(recording) is None
    assert recording.analysed
    assert not Report.objects.exists()


def test_nothing_is_stored_under_a_test_runner_unless_a_test_asks(monkeypatch):
    monkeypatch.setattr(conf, "is_quiet", lambda: True)

    assert recordings.store(recorded()) is None
    assert not Report.objects.exists()


def test_a_fault_of_storing_drops_the_report_and_discards_the_recording(monkeypatch, caplog):
    def fails(*_):
        raise MemoryError("on purpose")

    recording = recorded()
    with monkeypatch.context() as patched:
        patched.setattr(recordings, "build", fails)
        assert recordings.store(recording) is None

    assert "MemoryError: on purpose" in caplog.text
    assert recording.analysed
    assert recordings.store(recorded()).dropped == 1


# The first request of a route


def test_where_no_thread_can_be_started_a_report_is_queued_all_the_same(monkeypatch, caplog):
    def no_thread(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(conf, "is_under_test", lambda: False)
    monkeypatch.setattr(database, "alias", lambda: "other")
    monkeypatch.setattr(database, "is_in_memory", lambda alias: False)
    monkeypatch.setattr(threading.Thread, "start", no_thread)

    assert recordings.store(recorded()) is not None

    numbers = tally.numbers()
    assert (numbers[State.WAITING], numbers[State.QUEUED]) == (0, 1)
    assert "can't start new thread" in caplog.text
    assert not writer._writer.is_running


def test_only_the_first_request_of_a_route_and_method_is_a_first_request():
    for route, method in [("/a/", "GET"), ("/a/", "GET"), ("/a/", "POST"), ("/b/", "GET")]:
        recordings.store(recorded(kind="request"), RequestFacts(route, method, 200))

    first_request = Report.objects.order_by("pk").values_list("first_request", flat=True)
    assert list(first_request) == [True, False, True, True]


def test_requests_that_arrived_before_the_first_was_over_are_first_requests_too():
    slow, quick = (Recording("work", "request") for _ in range(2))
    for each in (slow, quick):
        each.open()
    for each in (quick, slow):
        recordings.store(each, RequestFacts("/a/", "GET", 200))
    recordings.store(recorded(kind="request"), RequestFacts("/a/", "GET", 200))

    first_request = Report.objects.order_by("pk").values_list("first_request", flat=True)
    assert list(first_request) == [True, True, False]


@needs_the_meter
def test_a_first_request_that_is_stored_last_is_the_first_all_the_same(settings, monkeypatch):
    """It ends in a circle, which the collector has yet to free; the second one does not."""
    settings.MEMSIZE = WITH_EVALUATIONS
    monkeypatch.setattr(deferred, "_LONGEST_WAIT", PATIENCE)
    monkeypatch.setattr(deferred, "_PAUSE", 0)
    filled, held = [], []

    def view(request):
        if not filled:
            filled.append(bytearray(1_000_000))
            held.append(request)
        return HttpResponse("answer")

    middleware = MemsizeMiddleware(view)
    for _ in range(2):
        middleware(RequestFactory().get("/")).close()
        deferred.analyse_what_is_over()
    held.clear()
    deferred.analyse_now()

    reports = Report.objects.order_by("pk").values_list("first_request", "peak_bytes")
    (later, small), (first, large) = reports
    assert (later, first) == (False, True)
    assert small < 100_000 < large


def test_a_block_is_never_a_first_request():
    with measure("import", save=True):
        pass

    report = Report.objects.get()
    assert (report.kind, report.route, report.first_request) == ("block", "import", False)


def test_in_a_child_process_each_route_has_its_first_request_again():
    for _ in range(2):
        recordings.store(recorded(kind="request"), RequestFacts("/a/", "GET"))
        process.reset()

    assert list(Report.objects.values_list("first_request", flat=True)) == [True, True]


# Counted requests


@pytest.mark.parametrize(
    ("rows", "cursor_rows", "is_stored"),
    [(outliers.ROWS - 1, 0, False), (outliers.ROWS, 0, True), (1, outliers.ROWS - 1, True)],
)
def test_a_counted_request_is_stored_if_it_is_an_outlier_of_its_route(rows, cursor_rows, is_stored):
    recording = recorded(kind="request", counted=True)
    recording.log.rows, recording.log.cursor_rows = rows, cursor_rows

    assert (recordings.store(recording, RequestFacts("/a/", "GET")) is not None) is is_stored
    assert recording.analysed


def test_the_growth_of_the_first_request_of_a_route_makes_no_outlier(monkeypatch):
    sizes = iter([0, 2 * outliers.GROWTH] * 2)
    monkeypatch.setattr(rss, "size", lambda: next(sizes))

    stored = [
        recordings.store(recorded(kind="request", counted=True), RequestFacts("/a/", "GET"))
        for _ in range(2)
    ]

    assert [report is not None for report in stored] == [False, True]
    assert not stored[1].first_request


def test_the_growth_of_a_first_request_with_many_rows_is_remembered(monkeypatch):
    sizes = iter([0, 2 * outliers.GROWTH] * 2)
    monkeypatch.setattr(rss, "size", lambda: next(sizes))
    first, second = (recorded(kind="request", counted=True) for _ in range(2))
    first.log.rows = outliers.ROWS

    assert recordings.store(first, RequestFacts("/a/", "GET")) is not None
    assert recordings.store(second, RequestFacts("/a/", "GET")) is None


def test_a_metered_request_is_stored_and_remembered_for_the_counted_ones():
    metered, counted = recorded(kind="request"), recorded(kind="request", counted=True)
    metered.log.rows = counted.log.rows = 4000

    assert recordings.store(metered, RequestFacts("/a/", "GET")) is not None
    assert recordings.store(counted, RequestFacts("/a/", "GET")) is None


# Handing over


def test_a_report_that_is_collected_is_not_stored(client):
    with recordings.collecting() as reports:
        assert recordings.is_collecting()
        client.get("/nothing/")

    assert not recordings.is_collecting()
    assert [report.route for report in reports] == ["/nothing/"]
    assert not Report.objects.exists()


def test_reports_are_collected_where_the_settings_switch_memsize_off(settings):
    settings.MEMSIZE = {"ENABLED": False}
    with recordings.collecting() as reports:
        recordings.store(recorded("work"))

    assert [report.route for report in reports] == ["work"]


# Requests that are not over


class Request:
    """Stands for a request, to be watched."""


@needs_the_meter
def test_a_report_waits_until_the_watched_objects_are_gone():
    request = Request()
    with recordings.collecting() as reports:
        recordings.store(
            recorded(kind="request"), RequestFacts("/a/", "GET"), (weakref.ref(request),)
        )
        assert reports == []

        recordings.analyse_now()

        assert [report.route for report in reports] == ["/a/"]


@needs_the_meter
def test_a_report_that_waits_is_handed_over_at_the_end_at_the_latest():
    request = Request()
    with recordings.collecting() as reports:
        recordings.store(
            recorded(kind="request"), RequestFacts("/a/", "GET"), (weakref.ref(request),)
        )

    assert len(reports) == 1


@needs_the_meter
def test_a_recording_that_finds_no_room_to_wait_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr(deferred, "_MOST_WAITING", 1)
    request, facts = Request(), RequestFacts("/a/", "GET")
    watched = (weakref.ref(request),)
    waiting, dropped = recorded(kind="request"), recorded(kind="request")

    assert recordings.store(waiting, facts, watched) is None
    assert recordings.store(dropped, facts, watched) is None
    recordings.analyse_now()

    assert dropped.analysed
    assert dropped.retained is None
    assert Report.objects.get().dropped == 1


@needs_the_meter
@pytest.mark.usefixtures("as_under_a_test_client")
def test_the_report_of_a_request_is_handed_over_once_its_response_is_gone(client, settings):
    settings.MEMSIZE = WITH_EVALUATIONS
    create_accounts(200)
    with recordings.collecting() as reports:
        response = client.get("/accounts/response/")
        assert response.status_code == 200
        assert reports == []

        recordings.analyse_now()

    (report,) = reports
    assert report.retained_bytes is not None
    assert report.peak_bytes > 100 * 200


# Requests


@pytest.mark.usefixtures("instrument")
def test_a_pickled_response_has_nothing_of_ours_and_closes_quietly():
    response = served()
    pickled = pickle.dumps(response)
    response.close()
    del response
    deferred.analyse_now()

    assert b"memsize" not in pickled
    pickle.loads(pickled).close()
    assert Report.objects.count() == 1


@pytest.mark.usefixtures("instrument")
def test_an_evaluation_inside_another_one_is_stored_below_it():
    Author.objects.create(name="one").books.create(title="two")

    def view(request):
        list(Author.objects.prefetch_related("books"))
        return HttpResponse()

    served(view).close()
    deferred.analyse_now()

    evaluations = Report.objects.get().summary().evaluations
    assert [(one.model, one.depth) for one in evaluations] == [("app.Author", 0), ("app.Book", 1)]


def test_a_request_that_arrives_analyses_nothing_of_earlier_ones(client, monkeypatch, settings):
    settings.MEMSIZE = {"SAMPLE_RATE": 0.0}
    monkeypatch.setattr(conf, "is_under_test", lambda: False)
    monkeypatch.setattr(writer, "begin", lambda: None)
    analysed = []
    deferred.wait((), lambda: analysed.append("analysed"))

    client.get("/nothing/")

    assert analysed == []
