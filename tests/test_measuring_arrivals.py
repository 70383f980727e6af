"""What is begun before Django makes the request object, and ended wherever the request ends."""

import asyncio
import contextvars
import gc

import pytest
from asgiref.sync import iscoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import RequestFactory, override_settings
from django.utils.decorators import sync_and_async_middleware

from django_memsize.measuring import arrivals
from tests import asgi


class Listener:
    """Stands for a middleware that is alive."""


class Begun:
    def __init__(self, path, method, source):
        self.path = path
        self.method = method
        self.source = source
        self.ends = 0

    def leave(self):
        self.ends += 1


pytestmark = pytest.mark.usefixtures("as_under_a_test_client", "no_connection_is_closed")


@pytest.fixture
def no_connection_is_closed():
    """Keep the beginning of a request from closing connections, as Django's test client does."""
    request_started.disconnect(close_old_connections)
    yield
    request_started.connect(close_old_connections)


@pytest.fixture
def begun():
    """Listen alone; return the list of what was begun."""
    made = []

    def begin(path, method, source, has_own_context):
        made.append(Begun(path, method, source))
        return made[-1]

    gc.collect()  # middleware of other tests
    arrivals.uninstall()
    listener = Listener()
    arrivals.listen(listener, begin)
    yield made
    del listener
    arrivals.uninstall()


@sync_and_async_middleware
def looking(get_response):
    """Note what waits for a middleware, and take it where the path says so."""

    def look(request):
        arrival = arrivals.latest()
        seen.append(arrival and arrival.begun)
        if request.path_info == "/taken/":
            arrival.take()

    if iscoroutinefunction(get_response):

        async def answer(request):
            look(request)
            return await get_response(request)

    else:

        def answer(request):
            look(request)
            return get_response(request)

    return answer


seen = []


@pytest.fixture(autouse=True)
def _only_our_middleware():
    seen.clear()
    with override_settings(MIDDLEWARE=["tests.test_measuring_arrivals.looking"]):
        yield


def serve(path, application=None, closes=True):
    application = application or WSGIHandler()
    response = application(RequestFactory()._base_environ(PATH_INFO=path), lambda *started: None)
    if closes:
        response.close()


def in_a_context(function, *arguments):
    return contextvars.copy_context().run(function, *arguments)


SYNC_AND_ASYNC = pytest.mark.parametrize(
    "request_of", [serve, lambda path: asyncio.run(asgi.speak(path))], ids=["WSGI", "ASGI"]
)


@SYNC_AND_ASYNC
def test_a_request_begins_before_it_reaches_any_middleware(begun, request_of):
    in_a_context(request_of, "/nothing/")

    (one,) = begun
    assert seen == [one]
    assert (one.path, one.method) == ("/nothing/", "GET")
    assert one.source.get("REQUEST_METHOD", one.source.get("method")) == "GET"


@SYNC_AND_ASYNC
def test_what_no_middleware_took_ends_with_the_request(begun, request_of):
    in_a_context(request_of, "/nothing/")

    assert [one.ends for one in begun] == [1]


@SYNC_AND_ASYNC
def test_what_the_middleware_took_is_its_own_to_end(begun, request_of):
    in_a_context(request_of, "/taken/")

    assert [one.ends for one in begun] == [0]


def test_what_is_left_over_ends_when_the_next_request_of_the_context_arrives(begun):
    def serve_two():
        serve("/nothing/", closes=False)
        assert [one.ends for one in begun] == [0]
        serve("/nothing/", closes=False)

    in_a_context(serve_two)

    assert [one.ends for one in begun] == [1, 0]


def test_what_is_left_over_dies_with_its_context(begun):
    died = []

    class Mortal(Begun):
        def __init__(self, path, method, source, has_own_context):
            super().__init__(path, method, source)

        def __del__(self):
            died.append(self.path)

    listener = Listener()
    arrivals.listen(listener, Mortal)
    in_a_context(serve, "/nothing/", None, False)
    seen.clear()

    assert died == ["/nothing/"]


@pytest.mark.parametrize("raises", [True, False])
def test_a_request_that_django_cannot_make_ends_at_once(begun, monkeypatch, raises):
    def refuse(scope, body_file):
        raise KeyboardInterrupt if raises else UnicodeDecodeError("utf-8", b"", 0, 1, "on purpose")

    ended = []
    monkeypatch.setattr(ASGIHandler, "request_class", staticmethod(refuse))
    request_finished.connect(
        finished := lambda **_: ended.extend(one.ends for one in begun), weak=False
    )
    try:
        if raises:
            with pytest.raises(KeyboardInterrupt):
                ASGIHandler().create_request(asgi.scope_of("/nothing/"), None)
            assert [one.ends for one in begun] == [1]
        else:
            status = asyncio.run(asgi.speak("/nothing/"))[0]["status"]
            assert (status, ended) == (400, [1])
    finally:
        request_finished.disconnect(finished)


def test_nothing_begins_once_no_listener_is_alive(begun):
    arrivals.uninstall()
    listener = Listener()
    arrivals.listen(listener, lambda path, *_: begun.append(path))
    in_a_context(serve, "/nothing/")
    del listener
    in_a_context(serve, "/nothing/")

    assert begun == ["/nothing/"]
    assert seen[-1] is None


def test_a_fault_at_the_arrival_keeps_no_request_from_being_answered(begun):
    def fails(path, method, source, has_own_context):
        raise ArithmeticError(path)

    fails.__code__ = fails.__code__.replace(co_filename=arrivals.__file__)  # a fault of ours
    listener = Listener()
    arrivals.listen(listener, fails)
    for request_of in (serve, lambda path: asyncio.run(asgi.speak(path))):
        in_a_context(request_of, "/nothing/")

    assert seen == [None, None]


def test_a_signal_without_what_a_server_sends_begins_nothing(begun):
    def send():
        request_started.send(sender=None)
        request_started.send(sender=None, environ={})

    in_a_context(send)

    assert [one.path for one in begun] == ["/"]


@pytest.mark.parametrize(("prefix", "path"), [("", "/app/page/"), ("/app", "/page/")])
def test_the_path_of_an_asynchronous_request_is_that_below_its_prefix(begun, prefix, path):
    asyncio.run(asgi.speak("/app/page/", root_path=prefix))

    assert [one.path for one in begun] == [path]


def test_another_release_of_django_may_pass_other_arguments(begun, monkeypatch):
    given = []

    async def send_response(self, *arguments, **named):
        given.append((arguments, named))

    def create_request(self, *arguments, **named):
        given.append((arguments, named))
        return "a request"

    arrivals.uninstall()
    monkeypatch.setattr(ASGIHandler, "create_request", create_request)
    monkeypatch.setattr(ASGIHandler, "send_response", send_response)
    listener = Listener()
    arrivals.listen(listener, lambda path, *_: begun.append(path))
    scope = asgi.scope_of("/nothing/")
    handler = ASGIHandler()

    assert in_a_context(handler.create_request) == "a request"
    assert in_a_context(lambda: handler.create_request(scope, None, more=1)) == "a request"
    asyncio.run(handler.send_response(1, 2, more=3))

    assert given == [((), {}), ((scope, None), {"more": 1}), ((1, 2), {"more": 3})]
    assert begun == ["/nothing/"]
    arrivals.uninstall()


def test_another_release_of_django_may_have_no_such_methods(begun, monkeypatch):
    arrivals.uninstall()
    monkeypatch.delattr(ASGIHandler, "create_request")
    monkeypatch.delattr(ASGIHandler, "send_response")
    listener = Listener()
    arrivals.listen(listener, lambda path, *_: begun.append(path))

    assert not hasattr(ASGIHandler, "create_request")
    in_a_context(serve, "/nothing/")

    assert begun == ["/nothing/"]
    arrivals.uninstall()


def test_the_method_of_django_comes_back_unless_another_replaced_ours(begun):
    ours = ASGIHandler.create_request
    arrivals.uninstall()
    original = ASGIHandler.create_request
    assert original is ours.__wrapped__

    listener = Listener()
    arrivals.listen(listener, begun.append)
    ours = ASGIHandler.create_request
    ASGIHandler.create_request = theirs = lambda *given: ours(*given)
    try:
        arrivals.uninstall()
        assert ASGIHandler.create_request is theirs
        in_a_context(asyncio.run, asgi.speak("/nothing/"))
        assert begun == []
    finally:
        ASGIHandler.create_request = ours
