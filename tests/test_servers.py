"""Real servers answer the same with memsize as without, and end as they would."""

import contextlib
import signal

import pytest

from tests.serving import COMMANDS, Server, only_if_long, prepare, require

pytestmark = only_if_long

SETTINGS = """
from tests.settings import *

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SERVED_DATABASE"]}
}
ROOT_URLCONF = "served_urls"
MEMSIZE = {"SAMPLE_RATE": 1.0, "MAX_OVERHEAD": 1.0, "EVALUATIONS": False}
if "WITHOUT_MEMSIZE" in os.environ:
    MIDDLEWARE = MIDDLEWARE[1:]
"""

URLS = """
import asyncio, os, time
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path


def pid(request):
    return HttpResponse(str(os.getpid()))


def long(request):
    return StreamingHttpResponse(parts())


def parts():
    for _ in range(1000):
        yield b"." * 1000
        time.sleep(0.01)


async def long_async(request):
    return StreamingHttpResponse(parts_async())


async def parts_async():
    for _ in range(1000):
        yield b"." * 1000
        await asyncio.sleep(0.01)


urlpatterns = [
    path("pid/", pid),
    path("long/", long),
    path("long/async/", long_async),
    path("", include("tests.urls")),
]
"""

ASKED = ["/nothing/", "/accounts/1/", "/accounts/async/", "/file/", "/no/such/page/"]
STREAMED = {"gunicorn": "/accounts/stream/", "uvicorn": "/accounts/stream/async/"}
LONG = {"gunicorn": "/long/", "uvicorn": "/long/async/"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    prepare(folder, SETTINGS, URLS)
    return folder


@pytest.fixture(scope="module", params=COMMANDS)
def servers(request, folder):
    """Return the same server twice: without memsize, and with it."""
    require(request.param)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                contextlib.closing(Server(request.param, folder, measured=measured))
            )
            for measured in (False, True)
        ]


def test_a_server_answers_the_same_with_memsize_as_without(servers):
    without, measured = servers
    for url in [*ASKED, STREAMED[measured.name]]:
        assert measured.get(url) == without.get(url)

    # In any order: the threads that served write them after the last byte.
    routes = {report[0] for report in measured.wait_for(len(ASKED) + 1)}
    assert routes == {
        *("/nothing/", "/accounts/<int:pk>/", "/accounts/async/", "/file/", "(unresolved)"),
        STREAMED[measured.name],
    }
    assert without.reports() == []


def test_a_report_has_the_pid_of_the_process_that_served_the_request(servers):
    _, measured = servers
    number = len(measured.reports())
    _, _, body = measured.get("/pid/")

    assert {pid for _, _, _, pid in measured.wait_for(number + 1)} == {int(body)}
    assert (measured.process.pid == int(body)) == (measured.name == "uvicorn")


def test_a_client_that_leaves_half_way_leaves_nothing_behind(servers):
    _, measured = servers
    number = len(measured.reports())
    assert measured.leave_half_way(LONG[measured.name]).startswith(b"HTTP/1.1 200")
    assert measured.wait_for(number + 1)[-1][:2] == (LONG[measured.name], 200)

    measured.get("/nothing/")

    assert measured.wait_for(number + 2)[-1][:3] == ("/nothing/", 200, 0)


def test_a_server_ends_as_it_would_without_memsize(servers):
    without, measured = servers

    assert measured.stop() == without.stop()
    assert measured.process.returncode == (-signal.SIGTERM if measured.name == "uvicorn" else 0)
    log = measured.log.read_text()
    assert "django-memsize" not in log
    assert log.count("Traceback") == without.log.read_text().count("Traceback")
