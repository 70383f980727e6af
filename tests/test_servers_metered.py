"""The meter and requests that a real server answers at the same time."""

import json
import random
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from django_memsize import engine
from tests import served_databases
from tests.serving import Server, only_if_long

pytestmark = [
    only_if_long,
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
]

ROUNDS = 10
EACH = 10
"""Requests for either page in a round. At the end of a round the server frees what leaked."""
CLIENTS = 4

MILLION = 1_000_000
LEAKED = 10 * MILLION + sys.getsizeof([each for each in range(10)])  # noqa: C416 - grows as there

PASSING = "served_urls.Passing"

NOTHING = 2 * 1024
"""Bytes in the median request. On a busy machine more requests are in flight at once, and the
objects of ``TAKEN`` reach 1.1 KB there."""

IN_TASKS = 3 * 1024
"""Bytes that an asynchronous request may retain: asyncio's set of all tasks has a weak reference
to each task of Django's handler until the collector frees the task."""

TABLE_OF_TASKS = 512 * 16
"""Bytes of that set's table after it grew from 128 entries, in whichever request it does."""

TAKEN = 4 * 1024
"""Bytes of small tuples, lists and dicts that a request returned to CPython's free lists, and that
another request in flight took from there before the first one was analysed."""
URLS = """
import asyncio, gc, sys, threading, time
from django.http import HttpResponse
from django.urls import path

LEAK = []
SIZE = 1_000_000 - sys.getsizeof(b"")
MUCH = 1_000_000


class Passing:
    def __init__(self):
        self.own = bytearray(1000)


def leaking(request):
    LEAK.append([bytes(SIZE) for _ in range(10)])
    return HttpResponse("leaked")


def passing(request):
    for _ in range(10):
        [Passing() for _ in range(100)]
    return HttpResponse("passed")


async def leaking_async(request):
    leaked = []
    for _ in range(10):
        leaked.append(bytes(SIZE))
        await asyncio.sleep(0)
    LEAK.append(leaked)
    return HttpResponse("leaked")


async def passing_async(request):
    for _ in range(10):
        passing = [Passing() for _ in range(100)]
        await asyncio.sleep(0)
    return HttpResponse("passed")


def freeing(request):
    LEAK.clear()
    return HttpResponse("freed")


async def freeing_async(request):
    return freeing(request)


def with_much(response):
    response.much = [Passing() for _ in range(1000)]
    return response


async def large(request):
    return with_much(HttpResponse(b"x" * MUCH))


async def large_leaked(request):
    LEAK.append(await large(request))
    return LEAK[-1]


async def large_held(request):
    response = await large(request)
    LEAK.append(asyncio.create_task(hold(response)))
    return response


async def hold(response):
    await asyncio.sleep(1000)
    return response


def collecting(request):
    threading.Thread(target=collect, daemon=True).start()
    return HttpResponse("collecting")


def uncollecting(request):
    gc.disable()
    return HttpResponse("not collecting")


def collect():
    while True:
        gc.collect()
        time.sleep(0.01)


urlpatterns = [
    path("collecting/", collecting),
    path("uncollecting/", uncollecting),
    path("gthread/leaking/", leaking),
    path("gthread/passing/", passing),
    path("gthread/freeing/", freeing),
    path("uvicorn/leaking/", leaking_async),
    path("uvicorn/passing/", passing_async),
    path("uvicorn/freeing/", freeing_async),
    path("uvicorn/large/", large),
    path("uvicorn/large-leaked/", large_leaked),
    path("uvicorn/large-held/", large_held),
]
"""


class Stored(NamedTuple):
    """A report as stored."""

    route: str
    incomplete: int
    dropped: int
    in_flight: int
    peak_bytes: int
    retained_bytes: int
    document: str

    def tables(self):
        """Return name -> (objects, bytes) of retained objects, garbage and free lists."""
        document = json.loads(self.document)
        return [
            {name: (count, size) for name, count, size in document[amount]["types"]["rows"]}
            for amount in ("retained", "garbage", "free_lists")
        ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metered")
    (folder / "served_urls.py").write_text(URLS)
    return folder


def begin(folder, name, **options):
    """Return a server whose pages are those of this module."""
    database = served_databases.SQLite(folder)
    database.memsize = {"EVALUATIONS": True}
    return Server(name, folder, database, SERVED_URLS="served_urls", **options)


def ask(folder, name, *first):
    """Return the reports of both pages after the first round: several clients ask at once."""
    order = random.Random(0)
    both = [f"/{name}/leaking/", f"/{name}/passing/"] * EACH
    with (
        begin(folder, name, threads=CLIENTS) as server,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        number = 0
        for urls in [first, *([both, [f"/{name}/freeing/"]] * (1 + ROUNDS))]:
            answers = list(clients.map(server.get, order.sample(urls, len(urls))))
            assert all(status == 200 for status, _, _ in answers)
            # Before the leak is freed.
            number += len(urls)
            assert len(server.wait_for(number)) == number
        reports = [Stored(*row) for row in server.columns(*Stored._fields)]
        log = server.log.read_text()
    assert "django-memsize" not in log
    assert "Traceback" not in log
    assert not any(report.incomplete or report.dropped for report in reports)
    assert any(report.in_flight for report in reports)
    leaking, passing = of(reports, "leaking"), of(reports, "passing")
    assert len(leaking) == len(passing) == EACH * (1 + ROUNDS)
    # The first round imports modules and fills caches.
    return leaking[EACH:], passing[EACH:]


def of(reports, page):
    return [report for report in reports if report.route.endswith(f"/{page}/")]


def assert_each_is_credited_with_its_own(leaking, passing):
    for report in leaking:
        retained, garbage, free_lists = report.tables()
        assert report.retained_bytes == pytest.approx(LEAKED, rel=0.001)
        assert report.peak_bytes == pytest.approx(LEAKED, rel=0.003)
        assert retained["bytes"][1] == pytest.approx(10 * MILLION, abs=500)
        assert not {PASSING, "bytearray"} & {*retained, *garbage, *free_lists}
    for report in passing:
        retained, garbage, free_lists = report.tables()
        assert 100_000 < report.peak_bytes < 400_000
        assert all(table.get("bytes", (0, 0))[1] < 500 for table in (retained, garbage, free_lists))
        assert not {PASSING, "bytearray"} & {*retained, *garbage, *free_lists}


def assert_tasks_retain_little(reports):
    retained = sorted(report.retained_bytes for report in reports)
    assert statistics.median(retained) < IN_TASKS
    assert retained[-5] < TAKEN
    assert retained[-1] < TAKEN + TABLE_OF_TASKS


def test_threads_of_a_server_are_credited_each_with_its_own(folder):
    leaking, passing = ask(folder, "gthread")

    assert_each_is_credited_with_its_own(leaking, passing)
    assert statistics.median(report.retained_bytes for report in passing) < NOTHING
    assert max(report.retained_bytes for report in passing) < TAKEN


def test_tasks_of_a_server_are_credited_each_with_its_own(folder):
    leaking, passing = ask(folder, "uvicorn")

    assert_each_is_credited_with_its_own(leaking, passing)
    assert_tasks_retain_little(passing)


def test_a_response_in_a_cycle_is_garbage_with_all_of_its_content_unless_it_is_held(folder):
    pages = ["large", "large-leaked", "large-held"] * EACH
    with begin(folder, "uvicorn") as server:
        server.get("/uncollecting/")
        for page in pages:
            server.get(f"/uvicorn/{page}/")
        assert len(server.wait_for(1 + len(pages))) == 1 + len(pages)
        reports = [Stored(*row) for row in server.columns(*Stored._fields)]
        log = server.log.read_text()
    assert "django-memsize" not in log
    pages = ("large", "large-leaked", "large-held")
    large, leaked, held = (of(reports, page)[1:] for page in pages)
    assert len(large) == len(leaked) == len(held) == EACH - 1
    for report in large:
        retained, garbage, _ = report.tables()
        assert PASSING not in retained
        assert garbage[PASSING][0] == 1000
        assert retained.get("bytes", (0, 0))[1] < 500
    assert min(report.retained_bytes for report in large) < NOTHING
    assert statistics.median(report.retained_bytes for report in large) < TAKEN
    for report in [*leaked, *held]:
        retained, garbage, _ = report.tables()
        assert retained[PASSING][0] == 1000
        assert PASSING not in garbage
        assert report.retained_bytes > 2 * MILLION


def test_what_a_cycle_refers_to_is_not_retained_once_the_collector_ran(folder):
    _, passing = ask(folder, "uvicorn", "/collecting/")

    assert_tasks_retain_little(passing)
