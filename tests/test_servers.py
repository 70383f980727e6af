"""Real servers answer the same with us as without us, and end as they would."""

import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATIENCE = 20

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

APPLICATIONS = """
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

asgi, wsgi = get_asgi_application(), get_wsgi_application()
"""

PREPARE = """
import django

django.setup()
from django.core.management import call_command
from django.utils import timezone
from tests.app.models import Account

call_command("migrate", verbosity=0, run_syncdb=True)
now = timezone.now()
Account.objects.bulk_create(
    Account(name=f"account {n}", created_at=now, updated_at=now) for n in range(50)
)
"""

COMMANDS = {
    "gunicorn": [
        *("gunicorn", "--bind=fd://{fd}", "--worker-class=gthread", "--workers=1", "--threads=2"),
        *("--no-control-socket", "--worker-tmp-dir={folder}", "applications:wsgi"),
    ],
    "uvicorn": ["uvicorn", "--fd={fd}", "--no-access-log", "applications:asgi"],
}

ASKED = ["/nothing/", "/accounts/1/", "/accounts/async/", "/file/", "/no/such/page/"]
STREAMED = {"gunicorn": "/accounts/stream/", "uvicorn": "/accounts/stream/async/"}
LONG = {"gunicorn": "/long/", "uvicorn": "/long/async/"}


class Server:
    """A server of the tests' project on a port of its own, and its database."""

    def __init__(self, name, folder, *, measured):
        self.name = name
        self.database = folder / f"{name}-{measured}.sqlite3"
        self.database.write_bytes((folder / "prepared.sqlite3").read_bytes())
        self.log = folder / f"{name}-{measured}.log"
        self.listening = socket.create_server(("127.0.0.1", 0))
        fd = self.listening.fileno()
        command = [part.format(fd=fd, folder=folder) for part in COMMANDS[name]]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=environment(folder, self.database, measured=measured),
                pass_fds=[fd],
                stdout=log,
                stderr=log,
            )

    def get(self, url):
        """Return all that a client sees of an answer, but for the date."""
        address, port = self.listening.getsockname()
        with contextlib.closing(http.client.HTTPConnection(address, port, timeout=PATIENCE)) as to:
            to.request("GET", url)
            response = to.getresponse()
            headers = [(name, value) for name, value in response.getheaders() if name != "Date"]
            return response.status, [h for h in headers if h[0] != "date"], response.read()

    def leave_half_way(self, url):
        """Ask, read the beginning of the answer, and hang up."""
        with socket.create_connection(self.listening.getsockname(), PATIENCE) as to:
            to.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            read = b""
            while b"...." not in read:
                part = to.recv(1000)
                assert part, read
                read += part
        return read

    def reports(self):
        """Return (route, status, overlapping, pid) of each report, in their order."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(
                "SELECT route, status, overlapping, pid FROM django_memsize_report ORDER BY id"
            ).fetchall()

    def wait_for(self, number):
        """Return so many reports once they are there: they are written after the answer."""
        deadline = time.monotonic() + PATIENCE
        while len(self.reports()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.reports()

    def stop(self):
        """End it as an operator would, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.listening.close()


def environment(folder, database, *, measured=True):
    ours = {
        "DJANGO_SETTINGS_MODULE": "served",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "SERVED_DATABASE": str(database),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | ours | ({} if measured else {"WITHOUT_MEMSIZE": "1"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    (folder / "served.py").write_text(SETTINGS)
    (folder / "served_urls.py").write_text(URLS)
    (folder / "applications.py").write_text(APPLICATIONS)
    subprocess.run(
        [sys.executable, "-c", PREPARE],
        cwd=folder,
        env=environment(folder, folder / "prepared.sqlite3"),
        check=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="module", params=COMMANDS)
def servers(request, folder):
    """The same server twice: without us, and with us."""
    if importlib.util.find_spec(request.param) is None:
        missing = f"{request.param} is not installed"
        pytest.fail(missing) if "CI" in os.environ else pytest.skip(missing)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                contextlib.closing(Server(request.param, folder, measured=measured))
            )
            for measured in (False, True)
        ]


def test_a_server_answers_the_same_with_us_as_without_us(servers):
    without, measured = servers
    for url in [*ASKED, STREAMED[measured.name]]:
        assert measured.get(url) == without.get(url)

    # In whatever order: the threads that served write them after the last byte.
    routes = {report[0] for report in measured.wait_for(len(ASKED) + 1)}
    assert routes == {
        *("/nothing/", "/accounts/<int:pk>/", "/accounts/async/", "/file/", "(unresolved)"),
        STREAMED[measured.name],
    }
    assert without.reports() == []


def test_reports_bear_the_process_that_served_the_request(servers):
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


def test_a_server_ends_as_it_would_without_us(servers):
    without, measured = servers

    assert measured.stop() == without.stop()
    assert measured.process.returncode == (-signal.SIGTERM if measured.name == "uvicorn" else 0)
    log = measured.log.read_text()
    assert "django-memsize" not in log
    assert log.count("Traceback") == without.log.read_text().count("Traceback")
