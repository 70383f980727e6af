"""Requests added up in this process: which, with which figures, and what that takes."""

import gc
import random
import threading

import pytest
from django.http import HttpResponse
from django.test import override_settings
from django.urls import include, path

from django_memsize import conf, engine, measure, process
from django_memsize.measuring.evaluation_log import EvaluationLog
from django_memsize.measuring.recording import Recording
from django_memsize.models import Report
from django_memsize.reports import recordings, rollups
from django_memsize.reports.rollups import Rollups
from django_memsize.reports.thresholds import RETAINED_BY_A_STATEMENT
from django_memsize.values import OwnTuple, Reason
from tests.app.models import Account
from tests.visits import EVERY_REQUEST, create_accounts

pytestmark = [pytest.mark.usefixtures("as_under_a_test_client"), pytest.mark.django_db]

COUNTED = EVERY_REQUEST | {"SAMPLE_RATE": 0}
kept = []


def keeping(request):
    kept.append(bytearray(100_000))
    return HttpResponse(str(len(list(Account.objects.all()))))


def failing(request):
    raise ValueError


urlpatterns = [
    path("keeping/", keeping),
    path("failing/", failing),
    path("", include("tests.urls")),
]


@pytest.fixture(autouse=True)
def counted(settings):
    """Meter no request."""
    settings.MEMSIZE = COUNTED
    settings.ROOT_URLCONF = __name__
    process.reset()


def taken():
    """Return the rollups by method and route."""
    return {f"{row.key.method} {row.key.route}": row.rollup for row in rollups.rollups.take(10_000)}


def recording(started_at=1_800_000_000.0, duration=0.5):
    made = Recording("/", "request", counted=True)
    made.started_at, made.duration, made.first_request = started_at, duration, False
    return made


def add(to, route="/a/", rows=0, **times):
    to.add(recording(**times), OwnTuple(("GET", route)), rows, 0)


# Which requests


def test_every_request_is_added_up_and_the_first_one_is_told_apart(client):
    create_accounts(30)
    for _ in range(3):
        client.get("/accounts/")
    client.post("/accounts/")
    client.get("/no/such/page/")

    found = taken()

    assert {route: rollup.requests for route, rollup in found.items()} == {
        "GET /accounts/": 3,
        "POST /accounts/": 1,
        "GET (unresolved)": 1,
    }
    accounts = found["GET /accounts/"]
    assert (accounts.first_requests, accounts.metered) == (1, 0)
    assert (accounts["rows"].sum, accounts["rows"].maximum) == (90, 30)
    assert accounts["statements"].sum == 3
    assert accounts["duration"].count == 3
    assert accounts["rss_change"].count == 2  # that of the first is of imports, too
    assert accounts["duration"].maximum > 1000
    assert accounts["peak"].count == 0
    assert Report.objects.count() == 0


@pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")
def test_a_metered_request_has_its_bytes_added_up_once_they_are_known(client, settings):
    settings.MEMSIZE = EVERY_REQUEST | {"INSTRUMENT": "meter"}
    for _ in range(3):
        client.get("/keeping/")
    recordings.analyse_now()

    rollup = taken()["GET /keeping/"]

    assert (rollup.requests, rollup.metered) == (3, 3)
    reports = Report.objects.after_the_first()
    for figure in ("peak", "retained", "garbage"):
        stored = [getattr(report, f"{figure}_bytes") for report in reports]
        assert (rollup[figure].count, rollup[figure].sum) == (2, sum(stored))
        assert rollup[figure].maximum == max(stored)
    assert rollup["retained"].sum >= 200_000
    assert rollup["allocated"].sum >= rollup["peak"].sum
    assert rollup["retained_later"] == rollup["retained"]
    kept.clear()


@pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")
def test_what_statements_retain_by_themselves_does_not_add_up(client, settings, monkeypatch):
    settings.MEMSIZE = EVERY_REQUEST | {"INSTRUMENT": "meter"}
    monkeypatch.setattr(EvaluationLog, "all_statements", 128)
    for _ in range(3):
        client.get("/keeping/")
    recordings.analyse_now()

    retained = taken()["GET /keeping/"]["retained"]

    stored = [report.retained_bytes for report in Report.objects.after_the_first()]
    assert retained.sum == sum(stored) - 2 * 128 * RETAINED_BY_A_STATEMENT
    kept.clear()


@pytest.mark.parametrize(
    ("first", "reason", "counts"),
    [
        (True, Reason.RATE, (0, 0, 0)),
        (False, Reason.FIRST, (1, 1, 0)),
        (False, Reason.INTERVAL, (1, 1, 1)),
    ],
)
def test_the_bytes_of_the_first_requests_are_told_apart(first, reason, counts):
    own, metered = Rollups(), recording()
    metered.first_request, metered.reason = first, reason
    own.add_metered(metered, OwnTuple(("GET", "/a/")), 5, 0)

    (row,) = own.take(10)

    names = ("retained", "garbage", "retained_later")
    assert tuple(row.rollup[name].count for name in names) == counts
    assert row.rollup.metered == 1


@pytest.mark.census
def test_a_request_that_a_census_measured_has_no_bytes(client, settings, quick_census):
    settings.MEMSIZE = EVERY_REQUEST | {"INSTRUMENT": "census"}
    client.get("/accounts/")

    rollup = taken()["GET /accounts/"]

    assert (rollup.requests, rollup.metered) == (1, 0)


def test_a_request_that_fails_is_added_up(client):
    client.raise_request_exception = False
    client.get("/failing/")

    assert taken()["GET /failing/"].requests == 1


def test_nothing_is_added_up_for_a_test_that_did_not_ask(client, monkeypatch):
    with monkeypatch.context() as patched:  # the override of the fixture ends after the patch
        patched.setattr(conf, "_overrides", conf.Overrides())
        client.get("/accounts/")

    assert taken() == {}


def test_nothing_is_added_up_while_memsize_is_switched_off(client, settings):
    settings.MEMSIZE = COUNTED | {"ENABLED": False}
    client.get("/accounts/")

    assert taken() == {}


def test_requests_whose_reports_are_handed_over_and_blocks_are_not_added_up(client):
    with recordings.collecting() as reports:
        client.get("/accounts/")
    with measure("block", save=True):
        pass

    assert len(reports) == 1
    assert taken() == {}


def test_the_pages_of_memsize_itself_are_not_added_up(admin_client):
    admin_client.get("/admin/django_memsize/report/")

    assert taken() == {}


def test_what_a_test_asked_for_is_forgotten_at_its_end(client, monkeypatch):
    with monkeypatch.context() as patched:  # the override of the fixture ends after the patch
        patched.setattr(conf, "_overrides", conf.Overrides())
        with override_settings(MEMSIZE=COUNTED):
            client.get("/accounts/")
            assert not rollups.rollups.is_empty

        assert rollups.rollups.is_empty


def test_a_fault_of_ours_neither_changes_the_response_nor_loses_the_report(
    client, monkeypatch, settings
):
    def fails(*_):
        raise RuntimeError("broken")

    settings.MEMSIZE = EVERY_REQUEST
    monkeypatch.setattr(Rollups, "add", fails)

    assert client.get("/accounts/").content == b"0"
    recordings.analyse_now()
    assert Report.objects.count() == 1


# Adding up


def test_a_request_belongs_to_the_minute_in_which_it_ended():
    own = Rollups()
    add(own, started_at=1_800_000_059.0, duration=0.5)
    add(own, started_at=1_800_000_059.0, duration=1.5)

    assert [row.start for row in own.take(10)] == [1_800_000_000, 1_800_000_060]


def test_bytes_that_are_known_later_belong_to_the_minute_of_their_request():
    own = Rollups()
    add(own)
    assert len(own.take(10)) == 1

    own.add_metered(recording(), OwnTuple(("GET", "/a/")), 5, 6)
    (row,) = own.take(10)

    assert row.start == 1_800_000_000
    assert (row.rollup.requests, row.rollup.metered) == (0, 1)
    assert (row.rollup["retained"].sum, row.rollup["garbage"].sum) == (5, 6)


def test_releases_are_told_apart(settings):
    own = Rollups()
    for release in ("1.0", "2.0"):
        settings.MEMSIZE = COUNTED | {"RELEASE": release}
        add(own)
        own.requests_left()  # adds up

    assert {row.key.release for row in own.take(10)} == {"1.0", "2.0"}


def test_while_the_writer_hangs_requests_add_themselves_up(monkeypatch):
    monkeypatch.setattr(rollups, "MOST_EVENTS", 50)
    own = Rollups()
    for _ in range(1000):
        add(own)
        assert len(own._events) <= 51

    assert own.requests_left() == 1000


def test_a_request_waits_for_no_lock(monkeypatch):
    monkeypatch.setattr(rollups, "MOST_EVENTS", 5)
    own = Rollups()
    with own._lock:
        for _ in range(20):
            add(own)

    assert own.requests_left() == 20


def test_no_request_is_lost_between_threads():
    own, taken_rows = Rollups(), []

    def serve():
        for _ in range(2000):
            add(own)

    threads = [threading.Thread(target=serve) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        taken_rows += own.take(10)
    taken_rows += own.take(10)

    assert sum(row.rollup.requests for row in taken_rows) == 8000


def test_a_walk_of_the_heap_leaves_out_what_is_added_up():
    own = Rollups()
    add(own)
    gc.collect()
    before = engine.census()
    for number in range(300):
        add(own, f"/{number % 7}/", number)
    own.requests_left()
    for number in range(300):
        add(own, f"/{number % 7}/", number)
    gc.collect()
    after = engine.census()

    counts = {name: after[0][name] - before[0].get(name, 0) for name in ("dict", "tuple", "set")}
    assert max(counts.values()) < 30


# The process


def test_a_sample_has_the_memory_of_the_process_and_its_requests():
    own = Rollups()
    for _ in range(3):
        add(own)
    own.lose(2)
    own.sample(1_800_000_030)
    own.sample(1_800_000_090)

    first, second = own.take_samples()

    assert (first.start, second.start) == (1_800_000_000, 1_800_000_060)
    assert (first.rollup.samples, first.rollup.requests, first.rollup.lost_requests) == (1, 3, 2)
    assert (second.rollup.requests, second.rollup.lost_requests) == (0, 0)
    assert first.rollup.rss_max == first.rollup.rss_sum > 1024**2
    assert first.rollup.python_blocks_max > 10_000
    assert first.rollup.in_flight_max >= 1
    assert own.take_samples() == []


def test_the_least_rss_of_the_first_sample_is_that_before_the_first_request():
    own = Rollups()
    for before in (1000, 500):
        served = recording()
        served.rss_before = before
        own.add(served, OwnTuple(("GET", "/a/")), 0, 0)
    own.sample(1_800_000_030)
    own.sample(1_800_000_090)

    first, second = own.take_samples()

    assert first.rollup.rss_min == 1000
    assert second.rollup.rss_min == second.rollup.rss_max > 1024**2


def test_a_sample_has_the_full_collections_since_the_one_before():
    own = Rollups()
    own.sample(1_800_000_030)
    gc.collect()
    gc.collect(1)
    own.sample(1_800_000_090)

    first, second = own.take_samples()

    assert (first.rollup.full_collections, second.rollup.full_collections) == (0, 1)


def test_a_process_that_served_no_request_is_not_used():
    own = Rollups()
    assert not own.is_used
    assert own.is_empty

    add(own)

    assert own.is_used
    assert not own.is_empty


@pytest.mark.parametrize("second", [0, 0.5, 7, 21, 59.9])
def test_a_minute_is_due_shortly_after_its_end(second):
    own, now = Rollups(), 1_800_000_000 + second

    due = now + own.seconds_until_due(now)

    assert now < due <= now + 60
    assert 1 <= due % 60 <= 20


def test_the_random_numbers_of_the_program_stay_its_own():
    before = random.getstate()
    Rollups()

    assert random.getstate() == before
