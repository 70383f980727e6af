"""Requests that are not chosen to be metered: rows are counted, and outliers are stored."""

import time

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import ResolverMatch, include, path

from django_memsize import conf, engine, measure, middleware
from django_memsize.measuring import overhead, rss
from django_memsize.measuring.spans import open_span
from django_memsize.models import Report
from django_memsize.reports import outliers, recordings, requests
from tests.app.models import Account
from tests.visits import EVERY_REQUEST, create_accounts, others_under_way

pytestmark = [pytest.mark.usefixtures("as_under_a_test_client"), pytest.mark.django_db]

UNSAMPLED = EVERY_REQUEST | {"SAMPLE_RATE": 0}


def one_by_one(request):
    keys = Account.objects.values_list("pk", flat=True)[:1200]
    for key in keys:
        Account.objects.get(pk=key)
    return HttpResponse(str(len(keys)))


def by_cursor(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM app_account")
        return HttpResponse(str(len(cursor.fetchall())))


def growing(request):
    memory.append(memory[-1] + 2 * outliers.GROWTH)
    return HttpResponse("grown")


memory = [10**9]


def matched_by_hand(request):
    request.resolver_match = ResolverMatch(matched_by_hand, (), {})
    return HttpResponse("matched")


urlpatterns = [
    path("matched-by-hand/", matched_by_hand),
    path("one-by-one/", one_by_one),
    path("by-cursor/", by_cursor),
    path("growing/", growing),
    path("", include("tests.urls")),
]


@pytest.fixture(autouse=True)
def unsampled(settings, monkeypatch):
    """Meter no request, and have the RSS of the process be what a test says."""
    settings.MEMSIZE = UNSAMPLED
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(rss, "size", lambda: memory[-1])


def test_a_request_that_loads_many_rows_is_stored_once(client):
    create_accounts(3090)
    for _ in range(3):
        assert client.get("/accounts/").content == b"3090"

    report = Report.objects.get()
    assert (report.route, report.instrument, report.rows) == ("/accounts/", "counted", 3090)
    for figure in ("net_bytes", "peak_bytes", "retained_bytes", "largest_evaluation_bytes"):
        assert getattr(report, figure) is None
    (evaluation,) = report.summary().evaluations
    assert evaluation.site.function == "accounts"
    assert dict(evaluation.instances) == {"app.Account": 3090}
    assert open_span() is None
    assert others_under_way() == 0


def test_a_request_that_loads_few_rows_is_not_stored_and_runs_no_other_query(client):
    create_accounts(outliers.ROWS - 1)
    with CaptureQueriesContext(connection) as captured:
        client.get("/accounts/")

    assert len(captured) == 1
    assert not Report.objects.exists()


def test_a_stream_is_counted_to_its_end(client):
    create_accounts(3090)
    response = client.get("/accounts/stream/")
    assert not Report.objects.exists()
    assert response.getvalue().count(b"\n") == 3090
    response.close()

    assert Report.objects.get().rows == 3090


def test_the_rows_of_a_loop_are_one_evaluation(client):
    create_accounts(1200)
    client.get("/one-by-one/")

    summary = Report.objects.get().summary()
    assert [(one.kind, one.times, one.rows) for one in summary.evaluations] == [
        ("values_list", 1, 1200),
        ("instances", 1200, 1200),
    ]
    assert summary.evaluations[1].site.file == "tests/test_requests_counted.py"


def test_rows_of_cursors_make_an_outlier_as_well(client):
    create_accounts(1200)
    client.get("/by-cursor/")

    summary = Report.objects.get().summary()
    assert (summary.rows, summary.statements, summary.cursor_rows) == (0, 1, 1200)


def test_a_request_by_which_the_process_grows_is_stored_but_for_the_first(client):
    client.get("/growing/")
    assert not Report.objects.exists()

    client.get("/growing/")

    report = Report.objects.get()
    assert not report.first_request
    assert report.summary().rss_change == 2 * outliers.GROWTH


def test_a_counted_request_is_not_stored_after_a_metered_one_of_its_route(client, settings):
    create_accounts(3090)
    settings.MEMSIZE = EVERY_REQUEST
    client.get("/accounts/")
    recordings.analyse_now()
    settings.MEMSIZE = UNSAMPLED
    client.get("/accounts/")

    assert [report.instrument for report in Report.objects.all()] == [
        "census" if engine.Window is None else "meter"
    ]


@pytest.mark.parametrize(
    "changes", [{"ENABLED": False}, {"EXCLUDE": ["/accounts/"]}, {"SAMPLE_RATE": 7}]
)
def test_no_counted_request_is_stored_where_the_settings_say_so(client, settings, caplog, changes):
    create_accounts(3090)
    settings.MEMSIZE = UNSAMPLED | changes
    client.get("/accounts/")

    assert not Report.objects.exists()


def test_no_counted_request_is_stored_under_a_test_runner_unless_a_test_asks(client, monkeypatch):
    create_accounts(3090)
    monkeypatch.setattr(conf, "is_quiet", lambda: True)
    client.get("/accounts/")

    assert not Report.objects.exists()


@pytest.mark.usefixtures("instrument")
def test_a_request_inside_a_measured_block_is_a_part_of_the_block(client, settings):
    create_accounts(3090)
    settings.MEMSIZE = UNSAMPLED | {"EVALUATIONS": True}
    with measure("block") as recording:
        client.get("/accounts/")

    (evaluation,) = recording.evaluations
    assert evaluation.diff["tests.app.models.Account"].count == 3090
    assert not Report.objects.exists()


@pytest.mark.parametrize("name", ["auto", "meter"])
def test_without_a_meter_requests_are_counted_and_no_heap_is_walked(
    client, settings, monkeypatch, name
):
    def walk(*given):
        raise AssertionError("a walk by itself")

    create_accounts(3090)
    settings.MEMSIZE = EVERY_REQUEST | {"EVALUATIONS": True, "INSTRUMENT": name}
    monkeypatch.setattr(engine, "Window", None)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "census", walk)
        client.get("/accounts/")
        recordings.analyse_now()

    report = Report.objects.get()
    assert (report.instrument, report.rows, report.incomplete) == ("counted", 3090, False)


@pytest.mark.parametrize("asks", ["the settings", "a command"])
def test_without_a_meter_who_asks_for_a_census_gets_one(
    client, settings, monkeypatch, quick_census, asks
):
    named = {"INSTRUMENT": "census" if asks == "the settings" else "auto"}
    settings.MEMSIZE = EVERY_REQUEST | named
    monkeypatch.setattr(engine, "Window", None)
    if asks == "the settings":
        client.get("/accounts/")
        recordings.analyse_now()
        (report,) = Report.objects.all()
    else:
        with recordings.collecting() as reports:
            client.get("/accounts/")
        (report,) = reports

    assert report.instrument == "census"


def test_a_request_that_is_only_counted_reads_the_clock_of_its_thread_four_times(
    client, monkeypatch
):
    """Each reading is a system call: a pair at the arrival, and one at the end."""
    client.get("/accounts/")
    readings = []
    monkeypatch.setattr(time, "thread_time", lambda: readings.append(1) or 0.0)

    client.get("/accounts/")

    assert len(readings) == 4


@pytest.mark.parametrize("rate", [0, 1])
def test_the_time_that_each_part_of_a_request_takes_is_overhead_once(
    client, settings, monkeypatch, rate
):
    """A clock that goes on in functions of ours alone, by another time in each."""
    now, spent = [0.0], []

    def taking(module, name, seconds):
        function = getattr(module, name)

        def taking_time(*given):
            now[0] += seconds
            spent.append(seconds)
            return function(*given)

        monkeypatch.setattr(module, name, taking_time)

    create_accounts(3090)
    settings.MEMSIZE = UNSAMPLED | {"SAMPLE_RATE": rate}
    client.get("/accounts/")
    recordings.analyse_now()
    monkeypatch.setattr(time, "thread_time", lambda: now[0])
    monkeypatch.setattr(recordings, "_seen", recordings._Seen())
    taking(conf, "is_quiet", 1.0)
    taking(middleware, "facts_of", 16.0)
    taking(recordings, "_is_reported", 256.0)
    taking(recordings, "build", 4096.0)
    overhead._process.reset()
    client.get("/accounts/")
    recordings.analyse_now()

    assert {1.0, 16.0, 256.0, 4096.0} == set(spent)
    # The engine, which looks at what is near the peak, has a clock of its own.
    assert int(overhead._process.cpu) == sum(spent)


@pytest.mark.parametrize("rate", [0, 1])
def test_a_fault_in_naming_the_route_leaves_nothing_open(client, settings, monkeypatch, rate):
    settings.MEMSIZE = UNSAMPLED | {"SAMPLE_RATE": rate}
    opened, new = [], recordings.new_recording
    monkeypatch.setattr(
        recordings, "new_recording", lambda *given: opened.append(new(*given)) or opened[-1]
    )
    monkeypatch.setattr(requests, "_is_ours", int)  # raises TypeError

    assert client.get("/accounts/").status_code == 200

    assert [recording.closed for recording in opened] == [True]
    assert others_under_way() == 0


def test_a_match_without_a_route_is_not_resolved(client, settings):
    settings.MEMSIZE = EVERY_REQUEST
    with recordings.collecting() as reports:
        client.get("/matched-by-hand/")

    assert [report.route for report in reports] == ["(unresolved)"]
