"""Asynchronous requests are measured like any other, and go through as if nobody looked."""

import asyncio
import gc
import threading

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIHandler
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, override_settings
from django.urls import path
from django.utils.decorators import async_only_middleware, sync_only_middleware

from django_memsize import measure
from django_memsize.measuring import spans
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import recordings
from tests import urls
from tests.app import views
from tests.asgi import scope_of, speak
from tests.paths import PATHS
from tests.visits import (
    EVERY_REQUEST,
    MEMSIZE,
    WITH_EVALUATIONS,
    create_accounts,
    headers_of,
    others_under_way,
    type_names,
    without_and_with_memsize,
    without_memsize,
)

# Django does not close its connections to databases in memory, and those of a thread end with it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.usefixtures("as_under_a_test_client", "instrument"),
]


@pytest.fixture(scope="module", autouse=True)
def _connections_of_threads_end_here():
    yield
    gc.collect()


async def visit(client, url):
    """Return all that the caller of a request can tell: the answer, or what was raised."""
    try:
        response = await client.get(url)
        body = await read(response) if response.streaming else response.content
    except BaseException as error:
        return type(error), error.args, type(error.__cause__)
    return type(response), response.status_code, headers_of(response), body


async def read(response):
    return b"".join([part async for part in response])


def outcome(client, url):
    return async_to_sync(visit)(client, url)


def stored():
    """Return the stored reports, once the thread has ended that writes beside an event loop."""
    recordings.analyse_now()
    for thread in threading.enumerate():
        if thread.name == "memsize":
            thread.join(20)
    return Report.objects


async def through(view):
    """Return what an async view answers from below our middleware."""
    return await MemsizeMiddleware(view)(AsyncRequestFactory().get("/"))


# What is stored


@pytest.mark.parametrize("url", ["/accounts/async/", "/accounts/stream/async/"])
@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_request_is_stored_with_the_rows_it_loaded(settings, url):
    create_accounts(3090)
    settings.MEMSIZE = EVERY_REQUEST
    _, status, _, body = outcome(AsyncClient(), url)
    assert status == 200
    assert len(body.split()) == 3090 or body == b"3090"

    report = stored().get()

    assert (report.route, report.method, report.summary().status) == (url, "GET", 200)
    assert (report.rows, report.in_flight, report.incomplete) == (3090, 0, False)
    (evaluation,) = report.summary().evaluations
    assert (evaluation.model, evaluation.kind, evaluation.rows) == (
        "app.Account",
        "instances",
        3090,
    )
    assert evaluation.streamed == ("stream" in url)
    assert evaluation.site.file == "tests/app/views.py"
    assert evaluation.site.function.startswith(
        "accounts_stream_async" if "stream" in url else "accounts_async"
    )
    assert not [name for name in type_names(report) if name.startswith("django_memsize")]


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_evaluation_has_each_type_counted_exactly(settings):
    create_accounts(3090)
    settings.MEMSIZE = WITH_EVALUATIONS
    with recordings.collecting() as reports:
        outcome(AsyncClient(), "/accounts/async/")
        outcome(AsyncClient(), "/accounts/async/")

    first, report = reports
    assert (first.first_request, report.first_request) == (True, False)
    (evaluation,) = report.summary().evaluations
    counts = {name: total.count for name, total in evaluation.diff.items()}
    assert counts["tests.app.models.Account"] == 3090
    assert counts["django.db.models.base.ModelState"] == 3090
    assert counts["datetime.datetime"] == 6180
    assert counts["datetime.date"] == 3084


@pytest.mark.django_db(transaction=True)
def test_a_block_measured_inside_an_event_loop_is_stored(measured, quick_census):
    @measure("a job", save=True)
    async def job():
        await asyncio.sleep(0)

    asyncio.run(job())

    assert stored().get().route == "a job"


# The same as without


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize(
    "url", [*PATHS, "/accounts/stream/async/"], ids=lambda url: url.replace("\x00", "NUL")
)
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_the_caller_of_an_asynchronous_request_cannot_tell_that_it_was_measured(
    settings, quick_census, url, raising
):
    create_accounts(3)
    settings.MEMSIZE = WITH_EVALUATIONS
    expected, got, reports = without_and_with_memsize(
        settings, lambda: outcome(AsyncClient(raise_request_exception=raising), url)
    )

    assert got == expected
    answered = not issubclass(expected[0], BaseException) or expected[0] is ValueError
    assert len(reports) == answered


async def test_an_exception_that_reaches_us_is_handed_on_as_the_same_object(measured, quick_census):
    for kind in (ValueError, Http404, SuspiciousOperation, asyncio.CancelledError):
        error = kind("on purpose")

        async def raises(request, error=error):
            assert spans.open_span() is not None
            raise error

        with recordings.collecting() as reports, pytest.raises(kind) as caught:
            await through(raises)
        assert caught.value is error
        assert reports == []
        assert spans.open_span() is None
        assert others_under_way() == 0


async def test_a_view_that_is_cancelled_hears_of_it_and_leaves_nothing_behind(
    measured, quick_census
):
    heard = []

    async def waits(request):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.append(spans.open_span() is not None)
            raise

    task = asyncio.create_task(through(waits))
    await asyncio.sleep(0.01)
    assert others_under_way() == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert heard == [True]
    assert others_under_way() == 0


# Streams


async def chunks(log):
    try:
        for number in range(4):
            log.append(f"making {number}")
            assert spans.open_span() is not None
            yield f"chunk {number}"
    finally:
        log.append("closed")


async def test_no_chunk_is_made_before_it_is_asked_for(measured, quick_census):
    log = []

    async def view(request):
        return StreamingHttpResponse(chunks(log))

    with recordings.collecting() as reports:
        response = await through(view)
        assert log == []
        stream = aiter(response)
        assert await anext(stream) == b"chunk 0"
        assert log == ["making 0"]
        assert spans.open_span() is None
        assert [part async for part in stream] == [b"chunk 1", b"chunk 2", b"chunk 3"]
        assert log[-1] == "closed"
        assert reports == []
        response.close()

    assert log.count("closed") == 1
    assert len(reports) == 1
    assert others_under_way() == 0


async def test_an_iterator_that_is_no_generator_is_streamed(measured, quick_census):
    class Countdown:
        left = 3

        def __aiter__(self):
            return self

        async def __anext__(self):
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return str(self.left)

    async def view(request):
        return StreamingHttpResponse(Countdown())

    with recordings.collecting() as reports:
        response = await through(view)
        assert [part async for part in response] == [b"2", b"1", b"0"]
        response.close()

    assert len(reports) == 1


async def test_a_stream_aborted_half_way_is_closed_and_stored(measured, quick_census):
    log = []

    async def view(request):
        return StreamingHttpResponse(chunks(log))

    with recordings.collecting() as reports:
        response = await through(view)
        stream = aiter(response)
        await anext(stream)
        await stream.aclose()
        response.close()
        del stream, response
        await asyncio.sleep(0.01)

    assert log == ["making 0", "closed"]
    assert len(reports) == 1
    assert others_under_way() == 0


async def test_a_stream_dropped_half_way_leaves_nothing_behind(measured, quick_census):
    log = []

    async def view(request):
        return StreamingHttpResponse(chunks(log))

    gc.disable()
    try:
        with recordings.collecting() as reports:
            response = await through(view)
            stream = aiter(response)
            await anext(stream)
            del response, stream
            await asyncio.sleep(0.01)
    finally:
        gc.enable()

    assert log == ["making 0", "closed"]
    assert reports == []
    assert others_under_way() == 0


async def test_a_response_dropped_without_being_closed_leaves_nothing_behind(
    measured, quick_census
):
    async def view(request):
        return StreamingHttpResponse(chunks([]))

    gc.disable()
    try:
        with recordings.collecting() as reports:
            for answer in (view, views.nothing_async):
                response = await through(answer)
                assert others_under_way() == 1
                del response
                assert others_under_way() == 0
    finally:
        gc.enable()

    assert reports == []


async def test_requests_of_one_thread_that_overlap_say_so(measured, quick_census):
    async def view(request):
        await meeting.wait()
        return HttpResponse()

    async def visit():
        (await through(view)).close()

    meeting = asyncio.Barrier(3)
    with recordings.collecting() as reports:
        await asyncio.gather(visit(), visit(), visit())
    assert [report.in_flight for report in reports] == [2, 2, 2]


# Through Django's ASGI application


def answers(settings, url, **how):
    """Return what the application says without us and with us, and the reports."""
    return without_and_with_memsize(settings, lambda: async_to_sync(speak)(scope_of(url), **how))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "url",
    ["/nothing/", "/nothing/async/", "/accounts/async/", "/accounts/stream/async/", "/raises/404/"],
)
def test_the_application_sends_the_same_messages(settings, measured, quick_census, url):
    create_accounts(3)
    expected, got, reports = answers(settings, url)

    assert got == expected
    assert len(reports) == 1
    assert others_under_way() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(("url", "after"), [("/endless/", 4), ("/waits/", None)])
def test_a_client_that_leaves_frees_what_its_request_held(
    settings, measured, quick_census, url, after
):
    ended.clear()
    if after is None:
        with recordings.collecting() as reports:
            async_to_sync(leave_while_it_waits)(url)
        assert reports == []
    else:
        expected, got, reports = answers(settings, url, disconnect_after=after)
        assert got == expected
        assert len(reports) == 1

    assert set(ended) == {url}
    assert spans.open_span() is None
    assert others_under_way() == 0


async def leave_while_it_waits(url):
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive():
        for message in messages:
            return message
        await asyncio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(message):
        raise AssertionError(message)

    await asyncio.wait_for(ASGIHandler()(scope_of(url), receive, send), 20)


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_what_is_no_request_is_left_to_django(measured, settings, kind):
    said = []
    for middleware in (without_memsize(settings.MIDDLEWARE), settings.MIDDLEWARE):
        with override_settings(MIDDLEWARE=middleware), pytest.raises(ValueError, match=kind) as no:
            await speak({"type": kind, "asgi": {"version": "3.0"}})
        said.append(no.value.args)

    assert said[0] == said[1]


# Middleware of both kinds around ours


@sync_only_middleware
def synchronous(get_response):
    def answer(request):
        response = get_response(request)
        response.headers["X-Sync"] = response.headers.get("X-Sync", "") + "s"
        return response

    return answer


@async_only_middleware
def asynchronous(get_response):
    async def answer(request):
        response = await get_response(request)
        response.headers["X-Async"] = response.headers.get("X-Async", "") + "a"
        return response

    return answer


SYNC, ASYNC = "tests.test_asgi.synchronous", "tests.test_asgi.asynchronous"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("url", ["/accounts/", "/accounts/async/", "/raises/404/"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.parametrize(
    "around",
    [
        [MEMSIZE, SYNC, ASYNC],
        [SYNC, MEMSIZE, ASYNC],
        [ASYNC, MEMSIZE, SYNC],
        [ASYNC, SYNC, MEMSIZE],
        [SYNC, ASYNC, MEMSIZE, ASYNC, SYNC],
    ],
    ids=lambda around: "-".join(path.rpartition(".")[2] for path in around),
)
def test_middleware_of_either_kind_may_stand_around_it(
    settings, measured, quick_census, url, client, around
):
    create_accounts(3)
    answered = []
    with recordings.collecting() as reports:
        for middleware in (without_memsize(around), around):
            with override_settings(MIDDLEWARE=middleware):
                if client is AsyncClient:
                    answered.append(outcome(client(), url))
                else:
                    response = client().get(url)
                    headers = headers_of(response)
                    answered.append(
                        (type(response), response.status_code, headers, response.content)
                    )

    assert answered[0] == answered[1]
    (report,) = reports
    assert report.rows == (3 if "accounts" in url else 0)
    assert spans.open_span() is None
    assert others_under_way() == 0


def test_it_is_asynchronous_exactly_where_what_it_calls_is():
    assert iscoroutinefunction(MemsizeMiddleware(views.nothing_async))
    assert not iscoroutinefunction(MemsizeMiddleware(views.nothing))


# Pages of these tests

ended = []


async def endless(request):
    async def parts():
        try:
            while True:
                yield "more"
                await asyncio.sleep(0)
        finally:
            ended.append("/endless/")

    return StreamingHttpResponse(parts())


async def waits(request):
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("/waits/")


urlpatterns = [*urls.urlpatterns, path("endless/", endless), path("waits/", waits)]
