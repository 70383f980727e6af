"""The window of a request holds its request object: what is left is known without a walk."""

import asyncio
import contextvars
import gc
import logging
from contextlib import contextmanager

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib import messages
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.urls import path
from django.utils.decorators import sync_and_async_middleware

from django_memsize import engine
from django_memsize.measuring import deferred, spans
from django_memsize.measuring.recording import Recording
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.reports import recordings
from django_memsize.screens.notes import notes
from tests import asgi
from tests.app.views import accounts_stream_async
from tests.visits import (
    EVERY_REQUEST,
    MEMSIZE,
    WITH_EVALUATIONS,
    create_accounts,
    others_under_way,
)

if engine.Window is not None:
    from django_memsize.engine.compiled import hooks_installed
    from tests.windows import forget_names

pytestmark = [
    pytest.mark.usefixtures("as_under_a_test_client", "no_collections"),
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
    pytest.mark.django_db(transaction=True),
    # Django does not close its connections to databases in memory; those of a thread end with it.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]

NUMBER = 1000
THING = f"{__name__}.Thing"


class Thing:
    pass


# Views. Each leaves a thousand things with its request.


def hold_things(request):
    request.things = [Thing() for _ in range(NUMBER)]


def plain(request):
    hold_things(request)
    return HttpResponse("plain")


def in_a_cycle(request):
    hold_things(request)
    request.itself = {"request": [request]}
    return HttpResponse("in a cycle")


def session(request):
    hold_things(request)
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse("session")


def user(request):
    hold_things(request)
    return HttpResponse(str(request.user))


def message(request):
    hold_things(request)
    messages.info(request, "message")
    return HttpResponse("message")


def stream(request):
    def parts():
        hold_things(request)
        yield "stream"

    return StreamingHttpResponse(parts())


def failing(request):
    hold_things(request)
    raise ArithmeticError("on purpose")


def kept(request):
    hold_things(request)
    KEPT.append(request)
    return HttpResponse("kept")


async def asynchronous(request):
    hold_things(request)
    return HttpResponse(str(await request.auser()))


async def asynchronous_stream(request):
    async def parts():
        hold_things(request)
        yield "stream"

    return StreamingHttpResponse(parts())


async def asynchronously_kept(request):
    hold_things(request)
    KEPT.append(request)
    return HttpResponse("kept")


def kept_alone(request):
    KEPT.append(request)
    return HttpResponse("kept alone")


def nested(request):
    """Keep itself, and make a request that keeps itself."""
    inside = spans.open_span()
    Client().get("/kept/")
    assert spans.open_span() is inside
    return kept(request)


KEPT = []

VIEWS = (plain, in_a_cycle, session, user, message, stream, failing, kept)
ASYNC_VIEWS = (asynchronous, asynchronous_stream, asynchronously_kept)
urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (*VIEWS, *ASYNC_VIEWS, kept_alone, nested, accounts_stream_async)
]


# Ways to make a request


def by_wsgi(path):
    response = WSGI(RequestFactory()._base_environ(PATH_INFO=path), lambda *started: None)
    b"".join(response)
    response.close()


def by_client(path):
    response = Client(raise_request_exception=False).get(path)
    b"".join(response)
    response.close()
    response.json = None  # refers to the response


def by_asgi(path):
    asyncio.run(asgi.speak(path, application=ASGI))


def by_async_client(path):
    async def visit():
        response = await AsyncClient(raise_request_exception=False).get(path)
        if response.streaming:
            [part async for part in response]
        response.close()
        response.json = None
        await asgi.let_go()

    asyncio.run(visit())


WSGI = ASGI = None


@pytest.fixture
def visit(settings, monkeypatch):
    """Return a function that makes a request and returns its recording, analysed."""
    settings.MEMSIZE = EVERY_REQUEST
    settings.ROOT_URLCONF = __name__
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    monkeypatch.setattr(f"{__name__}.WSGI", WSGIHandler())
    monkeypatch.setattr(f"{__name__}.ASGI", ASGIHandler())
    measured = []
    build = recordings.build
    monkeypatch.setattr(
        recordings, "build", lambda *given: measured.append(given[0]) or build(*given)
    )

    def visit(way, view):
        way(f"/{view.__name__}/")
        forget_names()
        deferred.analyse_now()
        return measured.pop()

    with recordings.collecting():
        yield visit
    KEPT.clear()


@contextmanager
def patched(module, name, note):
    """Call ``note`` with what a function returns."""
    function = getattr(module, name)

    def noting(*given, **named):
        made = function(*given, **named)
        note(made)
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, noting)
        yield


@pytest.fixture
def without_logging(caplog):
    """Keep log records, which have their requests, out of the lists of pytest."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def things_of():
    """Count the things that there are."""
    return sum(type(each) is Thing for each in gc.get_objects())


def forget_things():
    """Free what earlier visits left."""
    KEPT.clear()
    gc.collect()
    assert things_of() == 0


def count_of(kind, amount):
    total = amount.types.get(kind)
    return total.count if total else 0


@pytest.fixture
def walks(monkeypatch):
    """Return a list that gets an item for each walk of the heap."""
    counted = []
    census = engine.census
    monkeypatch.setattr(engine, "census", lambda *given: counted.append(given) or census(*given))
    monkeypatch.setattr(gc, "get_referrers", counted.append)
    return counted


WAYS = {by_wsgi: VIEWS, by_client: VIEWS, by_asgi: VIEWS + ASYNC_VIEWS}
REQUESTS = [(way, view) for way, views in WAYS.items() for view in views]


@pytest.mark.parametrize(
    ("way", "view"), REQUESTS, ids=[f"{way.__name__}-{view.__name__}" for way, view in REQUESTS]
)
def test_what_a_request_leaves_is_known_without_a_walk(visit, walks, without_logging, way, view):
    """The request is alive: it is in a cycle, or kept."""
    visit(way, view)  # fills caches
    forget_things()
    recording = visit(way, view)
    found = [count_of(THING, recording.retained), count_of(THING, recording.garbage)]
    del recording

    things = things_of()
    gc.collect()
    left = things_of()
    assert found == [left, things - left]
    assert left == (NUMBER if view in (kept, asynchronously_kept) else 0)
    assert walks == []


@pytest.mark.parametrize("view", VIEWS + ASYNC_VIEWS)
def test_what_a_request_leaves_is_known_or_said_not_to_be(visit, walks, without_logging, view):
    """Django's test client for asynchronous requests makes the request before we can know."""
    visit(by_async_client, view)
    forget_things()
    recording = visit(by_async_client, view)
    found = [count_of(THING, recording.retained), count_of(THING, recording.garbage)]
    is_known = not recording.request_held
    del recording

    things = things_of()
    gc.collect()
    left = things_of()
    assert not is_known or found == [left, things - left]
    assert is_known or view in (stream, kept, asynchronously_kept)
    assert not (is_known and left)
    assert walks == []


def test_a_report_says_that_it_is_not_known_what_its_request_left(visit):
    held = RequestFactory().get("/")

    def keep_things(request):
        hold_things(request)
        return HttpResponse()

    with recordings.collecting() as reports:
        MemsizeMiddleware(keep_things)(held).close()
    summary = reports[0].summary()

    assert summary.request_held
    assert (summary.retained, summary.garbage, summary.alive) == (None, None, None)
    assert summary.peak.bytes > NUMBER * 16
    assert [note for note in notes(summary) if note.startswith("The retained bytes are not known")]


# What is inside


@sync_and_async_middleware
def before_ours(get_response):
    """Allocate what the request holds, on the way in; answer some requests at once."""
    if iscoroutinefunction(get_response):

        async def answer(request):
            hold_things(request)
            return HttpResponse("early") if "early" in request.path else await get_response(request)

    else:

        def answer(request):
            hold_things(request)
            return HttpResponse("early") if "early" in request.path else get_response(request)

    return answer


@pytest.fixture
def ours_is_second(settings):
    settings.MIDDLEWARE = [f"{__name__}.before_ours", MEMSIZE]


@pytest.mark.usefixtures("ours_is_second")
@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (by_wsgi, "django.core.handlers.wsgi.WSGIRequest"),
        (by_client, "django.core.handlers.wsgi.WSGIRequest"),
        (by_asgi, "django.core.handlers.asgi.ASGIRequest"),
    ],
)
def test_the_request_object_and_the_middleware_before_ours_are_in_the_window(visit, way, kind):
    recording = visit(way, kept_alone)

    assert count_of(kind, recording.retained) == 1
    assert count_of(THING, recording.retained) == NUMBER
    assert not recording.incomplete


@pytest.mark.parametrize("view", [plain, asynchronous, asynchronous_stream])
def test_what_the_server_does_to_send_is_no_part_of_the_request(visit, view):
    sent = []

    def by_a_server_that_keeps_things(path):
        asyncio.run(asgi.speak(path, application=ASGI, on_send=lambda: sent.append(Thing())))

    recording = visit(by_a_server_that_keeps_things, view)

    assert len(sent) > 1
    assert count_of(THING, recording.retained) == 0
    assert recording.allocated.bytes > NUMBER * 16


@pytest.mark.parametrize("way", [by_wsgi, by_client, by_asgi])
def test_no_recording_outlives_its_request(visit, way):
    before = recordings_of_requests()  # pytest keeps what other tests log, with its tracebacks
    visit(way, plain)
    gc.collect()

    assert recordings_of_requests() == before


def recordings_of_requests():
    """Return how many recordings of requests the collector knows."""
    found = [each for each in gc.get_objects() if type(each) is Recording]
    return sum(recording.kind == "request" for recording in found)


def test_no_block_of_ours_is_in_the_window_while_a_server_sends_a_stream(visit, settings):
    create_accounts(100)
    settings.MEMSIZE = WITH_EVALUATIONS
    recording = visit(
        lambda path: async_to_sync(asgi.speak)(path, application=ASGI), accounts_stream_async
    )

    assert recording.near_peak.rows == 100
    assert recording.near_peak.diff["tests.app.models.Account"].count
    assert "django_memsize.measuring.spans.in_span" not in recording.near_peak.diff
    assert "django_memsize.measuring.errors._Entering" not in recording.near_peak.diff


@pytest.mark.usefixtures("ours_is_second")
@pytest.mark.parametrize("way", [by_wsgi, by_client, by_asgi])
def test_a_request_that_is_answered_before_our_middleware_leaves_nothing_open(visit, way):
    opened = []
    with patched(recordings, "new_recording", opened.append):
        way("/early/")

    (recording,) = opened
    assert (recording.closed, recording.analysed, recording.window.is_open) == (True, True, False)
    assert others_under_way() == 0
    assert spans.open_span() is None
    assert not hooks_installed()


@pytest.mark.usefixtures("ours_is_second")
def test_a_request_that_is_never_closed_either_ends_with_the_next_one(visit):
    def serve_two():
        for _ in range(2):
            WSGI(RequestFactory()._base_environ(PATH_INFO="/early/"), lambda *started: None)
            assert others_under_way() == 1

    contextvars.copy_context().run(serve_two)

    assert others_under_way() == 0
    assert not hooks_installed()


@pytest.mark.parametrize("way", [by_wsgi, by_client, by_asgi])
def test_a_request_whose_path_is_excluded_opens_no_window(visit, settings, monkeypatch, way):
    opened = []
    monkeypatch.setattr(recordings, "is_collecting", lambda: False)
    settings.MEMSIZE = EVERY_REQUEST | {"EXCLUDE": ["/plain/"]}
    with patched(recordings, "new_recording", opened.append):
        way("/plain/")

    assert opened == []


def test_a_request_inside_a_view_is_a_part_of_the_request_around_it(visit):
    outer = visit(by_client, nested)

    assert outer.name == "/nested/"
    assert outer.allocated.bytes > 2 * NUMBER * object().__sizeof__()
    assert count_of(THING, outer.retained) == 2 * NUMBER
    assert spans.open_span() is None
