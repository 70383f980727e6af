"""What the meter says of requests: of each its own, and what of it is kept."""

import asyncio
import contextvars
import gc
import os
import sys
import threading
import time
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.template import Engine, RequestContext
from django.test import RequestFactory
from django.urls import path
from django.views.generic import ListView

import django_memsize as memsize
from django_memsize import engine
from django_memsize.measuring import deferred
from django_memsize.measuring.spans import in_span
from django_memsize.reports import recordings
from django_memsize.reports.build import RequestFacts, build
from django_memsize.screens import terminal
from tests.app import views
from tests.app.models import Account
from tests.visits import EVERY_REQUEST, WITH_EVALUATIONS, create_accounts

if engine.Window is not None:
    from django_memsize.engine.compiled import hooks_installed

pytestmark = [
    pytest.mark.usefixtures("as_under_a_test_client"),
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
]

ACCOUNT = "tests.app.models.Account"


@pytest.fixture
def accounts(db):
    return create_accounts(3090)


def test_a_block_tells_what_it_keeps(accounts):
    with memsize.measure("block") as recording:
        kept = list(Account.objects.all())

    assert recording.instrument == "meter"
    assert recording.diff[ACCOUNT].count == recording.retained.types[ACCOUNT].count == 3090
    assert recording.garbage.types.get(ACCOUNT) is None
    assert recording.peak.bytes >= recording.alive.bytes >= recording.retained.bytes > 1_000_000
    assert kept


def test_the_three_parts_are_all_that_is_alive(accounts):
    with memsize.measure("block") as recording:
        kept = list(Account.objects.all())

    parts = recording.retained + recording.garbage + recording.free_lists
    assert (parts.blocks, parts.bytes) == (recording.alive.blocks, recording.alive.bytes)
    assert kept


def test_a_block_that_keeps_nothing_retains_nothing(accounts):
    retained = []
    for _ in range(7):
        with memsize.measure("block") as recording:
            list(Account.objects.all())
        retained.append(recording.retained.bytes)

    assert min(retained) < 1024
    assert recording.allocated.bytes > recording.peak.bytes > 1_000_000


def test_a_recording_says_how_much_the_meter_itself_took(accounts):
    with memsize.measure("block") as recording:
        kept = list(Account.objects.all())

    summary = build(recording, RequestFacts("block"), is_first=False).summary()
    assert 0 < recording.overhead_bytes < 60 * recording.alive.blocks
    assert summary.overhead_bytes == recording.overhead_bytes
    assert [name for name, _, _ in terminal.figures(summary)].count("own memory") == 1
    assert kept


def test_rows_in_a_cycle_are_dead(accounts):
    gc.disable()
    try:
        with memsize.measure("block") as recording:
            cycle = [list(Account.objects.all())]
            cycle.append(cycle)
            del cycle
    finally:
        gc.enable()

    assert recording.garbage.types[ACCOUNT].count == 3090
    assert ACCOUNT not in recording.retained.types


# Requests

LEAK = []


@pytest.fixture
def visit(settings, monkeypatch):
    """Return a function that makes a request as a server does, and returns its recording."""
    settings.MEMSIZE = WITH_EVALUATIONS
    settings.ROOT_URLCONF = __name__
    told = []
    real = recordings.build
    monkeypatch.setattr(recordings, "build", lambda *known: told.append(known[0]) or real(*known))
    application = WSGIHandler()

    def visit(path):
        serve(application, path)
        forget_names()
        deferred.analyse_now()
        return told.pop()

    with recordings.collecting():
        yield visit
    LEAK.clear()


def forget_names():
    """Have CPython forget which attributes it looked up: it would keep their names."""
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()


def serve(application, path):
    response = application(RequestFactory()._base_environ(PATH_INFO=path), lambda *started: None)
    b"".join(response)
    response.close()


PAGE = Engine().from_string("{% for account in accounts %}{{ account }} {% endfor %}")


def page(request):
    context = RequestContext(request, {"accounts": Account.objects.all()})
    return HttpResponse(PAGE.render(context))


class Listed(ListView):
    model = Account
    context_object_name = "accounts"

    def render_to_response(self, context):
        return HttpResponse(PAGE.render(RequestContext(self.request, context)))


def leaking(request):
    LEAK.append(list(Account.objects.all()))
    return HttpResponse("kept")


def shrinking(request):
    LEAK.clear()
    return HttpResponse("dropped")


urlpatterns = [
    path("page/", page),
    path("listed/", Listed.as_view()),
    path("leaking/", leaking),
    path("shrinking/", shrinking),
    path("nothing/", views.nothing),
    path("accounts/", views.accounts),
    path("stream/", views.accounts_stream),
    path("response/", views.accounts_in_template_response),
]


@pytest.mark.parametrize("path", ["/page/", "/listed/"])
def test_rows_of_a_rendered_page_are_dead_and_not_retained(accounts, visit, path):
    visit(path)
    gc.collect()
    gc.disable()
    try:
        recording = visit(path)
    finally:
        gc.enable()

    assert recording.garbage.types[ACCOUNT].count == 3090
    assert ACCOUNT not in recording.retained.types
    (evaluation,) = recording.evaluations
    assert evaluation.diff[ACCOUNT].count == 3090
    assert evaluation.retained.bytes < 16 * 1024


def test_rows_that_are_kept_are_retained_each_time(accounts, visit):
    for _ in range(3):
        recording = visit("/leaking/")

        assert recording.retained.types[ACCOUNT].count == 3090
        (evaluation,) = recording.evaluations
        assert evaluation.retained.bytes > 0.95 * recording.retained.bytes


@pytest.mark.parametrize("path", ["/nothing/", "/accounts/", "/stream/"])
def test_a_page_that_keeps_nothing_retains_nothing(accounts, visit, path):
    visit(path)

    # Now and then a table of the program's grows.
    assert min(visit(path).retained.bytes for _ in range(7)) < 1024


def test_what_a_request_drops_of_another_is_not_counted_for_it(accounts, visit):
    for _ in range(2):
        visit("/shrinking/")
    visit("/leaking/")

    recording = visit("/shrinking/")

    assert recording.retained.bytes < 1024
    assert ACCOUNT not in recording.diff


def test_the_moment_of_most_is_told_by_type(accounts, visit):
    recording = visit("/accounts/")

    assert recording.near_peak.amount.types[ACCOUNT].count == 3090
    assert recording.near_peak.rows == 3090
    assert recording.near_peak.amount.bytes <= recording.peak.bytes


def test_the_rows_of_a_stream_are_credited_and_its_consumer_is_not(accounts):
    with memsize.measure("block") as recording:
        kept = []
        for account in Account.objects.iterator(chunk_size=100):
            kept.append(account)
            scratch = bytearray(1_000_000)
            del scratch

    (evaluation,) = recording.evaluations
    assert evaluation.rows == 3090
    assert evaluation.peak.bytes < 3_000_000
    assert evaluation.allocated.bytes < 60_000_000
    assert recording.allocated.bytes > 3_000_000_000
    assert evaluation.retained.bytes > 1_000_000
    assert kept


def load_one_by_one(keys):
    return [Account.objects.get(pk=key) for key in keys]


def test_a_loop_that_there_is_no_budget_for_has_no_table_of_its_first_rows(accounts, settings):
    settings.MEMSIZE = WITH_EVALUATIONS | {"MAX_OVERHEAD": 0.0}

    with memsize.measure("block") as recording:
        kept = load_one_by_one([account.pk for account in accounts[:30]])

    (evaluation,) = recording.evaluations
    assert (evaluation.times, evaluation.diff, evaluation.over_budget) == (30, None, True)
    assert evaluation.alive.bytes > 30 * 500
    assert kept


def test_what_a_loop_loads_is_one_evaluation_in_one_window(accounts, settings):
    settings.MEMSIZE = WITH_EVALUATIONS
    keys = [account.pk for account in accounts[:300]]
    load_one_by_one(keys[:2])

    with memsize.measure("block") as recording:
        kept = load_one_by_one(keys)

    (evaluation,) = recording.evaluations
    assert (evaluation.times, evaluation.rows) == (300, 300)
    assert evaluation.alive.bytes <= 1.1 * evaluation.diff.total.size
    assert 150 < evaluation.diff[ACCOUNT].count <= 300
    assert recording.retained.types[ACCOUNT].count == 300
    assert evaluation.alive.bytes >= evaluation.diff[ACCOUNT].size
    assert recording.allocated.bytes >= evaluation.allocated.bytes >= evaluation.peak.bytes
    assert 0.8 * recording.retained.bytes < evaluation.retained.bytes <= recording.retained.bytes
    assert kept


def test_what_a_loop_loads_and_drops_stands_no_higher_than_once(accounts):
    keys = [account.pk for account in accounts[:300]]
    load_one_by_one(keys[:2])

    with memsize.measure("block") as recording:
        for key in keys:
            Account.objects.get(pk=key)

    (evaluation,) = recording.evaluations
    assert evaluation.times == 300
    assert 20 * evaluation.peak.bytes < evaluation.allocated.bytes
    assert ACCOUNT not in recording.retained.types


def test_what_runs_between_two_loadings_of_a_loop_is_not_credited_to_them(accounts):
    keys = [account.pk for account in accounts[:20]]
    kept = []

    with memsize.measure("block") as recording:
        for key in keys:
            Account.objects.get(pk=key)
            kept.append(bytearray(1_000_000))

    (evaluation,) = recording.evaluations
    assert evaluation.allocated.bytes < 10_000_000 < recording.retained.bytes


def test_statements_at_one_place_have_their_own_bytes(accounts):
    kept = []
    with memsize.measure("block") as recording:
        for number in (1, 3000, 1, 3000):
            rows = Account.objects.all()
            kept.append(list(rows if number > 1 else rows.filter(name="account 1")))
            kept.append(list((rows if number > 1 else rows.filter(name="account 1")).iterator()))

    few, streamed_few, many, streamed_many = recording.evaluations
    for evaluation in (few, streamed_few):
        assert (evaluation.times, evaluation.rows) == (2, 2)
        assert evaluation.retained.bytes < 100_000
    for evaluation in (many, streamed_many):
        assert (evaluation.times, evaluation.rows) == (2, 2 * 3090)
        assert evaluation.retained.bytes > 2_000_000


# Threads and tasks


def test_threads_are_credited_each_with_its_own(accounts):
    recordings = {}
    begun = threading.Barrier(2, timeout=30)

    def work(name, size):
        with memsize.measure(name) as recordings[name]:
            begun.wait()
            for _ in range(50):
                kept = [bytes(1000) for _ in range(size)]
                time.sleep(0)
            begun.wait()
        return kept

    threads = [
        threading.Thread(target=work, args=("large", 5000)),
        threading.Thread(target=work, args=("small", 50)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    large, small = recordings["large"], recordings["small"]
    assert large.retained.types["bytes"].count == 5000
    assert small.retained.types["bytes"].count == 50
    assert small.peak.bytes < 250_000
    assert large.in_flight == small.in_flight == 1


async def test_tasks_are_credited_each_with_its_own():
    async def work(name, size):
        with memsize.measure(name) as recording:
            kept = []
            for _ in range(50):
                kept.append(bytes(size))
                await asyncio.sleep(0)
        return recording, kept

    done = await asyncio.gather(work("large", 100_000), work("small", 100))

    (large, _), (small, _) = done
    assert 5_000_000 < large.retained.bytes < 5_020_000
    assert 5_000 < small.retained.bytes < 20_000


async def test_a_task_that_is_begun_inside_belongs_to_its_beginner():
    kept = []

    async def inner():
        await asyncio.sleep(0)
        kept.append(bytes(1_000_000))

    with memsize.measure("block") as recording:
        await asyncio.create_task(inner())

    assert recording.retained.types["bytes"].size > 1_000_000


async def test_a_cancelled_task_leaves_no_window_behind():
    async def endless():
        with memsize.measure("endless"):
            await asyncio.sleep(60)

    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not hooks_installed()


async def test_code_called_in_a_thread_for_async_code_is_credited():
    with memsize.measure("block") as recording:
        kept = await sync_to_async(bytes)(1_000_000)

    assert recording.retained.types["bytes"].size > 1_000_000
    assert kept


def test_async_code_called_from_sync_code_is_credited():
    async def work():
        await asyncio.sleep(0)
        return bytes(1_000_000)

    with memsize.measure("block") as recording:
        kept = async_to_sync(work)()

    assert recording.retained.types["bytes"].size > 1_000_000
    assert kept


def test_a_pool_of_threads_is_credited_with_the_context_only():
    with ThreadPoolExecutor(1) as pool:
        with memsize.measure("with") as copied:
            context = contextvars.copy_context()
            kept = pool.submit(context.run, bytes, 1_000_000).result()
        with memsize.measure("without") as bare:
            also = pool.submit(bytes, 1_000_000).result()

    assert copied.retained.types["bytes"].size > 1_000_000
    assert bare.allocated.bytes < 1_000_000
    assert kept
    assert also


# Safety


def test_nothing_is_watched_once_nothing_is_measured(accounts, visit):
    visit("/accounts/")

    assert not hooks_installed()


def test_tracemalloc_stopped_inside_makes_a_recording_incomplete():
    tracemalloc.start()
    try:
        with memsize.measure("block") as recording:
            tracemalloc.stop()
            kept = [bytes(1000) for _ in range(1000)]
    finally:
        tracemalloc.stop()

    assert recording.incomplete
    assert kept
    with memsize.measure("block") as recording:
        kept = [bytes(1000) for _ in range(1000)]
    assert not recording.incomplete
    assert recording.retained.types["bytes"].count == 1000


def test_a_child_process_starts_empty():
    with memsize.measure("block"):
        child = os.fork()
        if child == 0:
            os._exit(hooks_installed())
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_a_response_that_is_dropped_unclosed_leaves_no_window_behind(accounts, settings):
    settings.MEMSIZE = EVERY_REQUEST
    with recordings.collecting() as reports:
        response = WSGIHandler()(
            RequestFactory()._base_environ(PATH_INFO="/accounts/stream/"), lambda *started: None
        )
        next(iter(response))
        response._resource_closers.clear()
        del response
        gc.collect()

    assert reports == []
    assert not hooks_installed()


@pytest.mark.parametrize("latest", [0.0, 60.0])
def test_nothing_is_settled_while_the_collector_still_frees_it(monkeypatch, latest):
    monkeypatch.setattr(deferred, "_LATEST", latest)

    class Held:
        def __del__(self):
            deferred.analyse_what_is_over()
            during.extend(analysed)

    analysed, during = [], []
    held = Held()
    held.itself = held
    deferred.wait((weakref.ref(held),), lambda _: analysed.append("analysed"))
    del held
    gc.collect()
    assert during == []

    time.sleep(0.05)
    deferred.analyse_what_is_over()

    assert analysed == ["analysed"]


def test_what_another_recording_takes_off_the_free_lists_is_parked_all_the_same():
    first = memsize.Recording("first")
    first.open()
    with in_span(first):
        dropped = [(object(),) * size for size in range(1, 20) for _ in range(500)]
        del dropped
    first.close()
    second = memsize.Recording("second")
    second.open()
    first.analyse()
    second.discard()

    assert first.retained.bytes < 1024
    assert first.free_lists.types["tuple"].count > 1000
