"""Servers of the tests' project, each a process, with a database of its own.

Tests with servers take long, so they run only with ``MEMSIZE_LONG=1``, as in ``.ci/run``.
"""

import contextlib
import http.client
import importlib.util
import json
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
"""Seconds to wait for a server."""

only_if_long = pytest.mark.skipif(
    os.environ.get("MEMSIZE_LONG") != "1", reason="takes long: set MEMSIZE_LONG=1"
)

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
        *("gunicorn", "--bind=fd://{fd}", "--worker-class=gthread", "--workers=1"),
        *("--threads={threads}", "--no-control-socket", "--worker-tmp-dir={folder}"),
        "applications:wsgi",
    ],
    "uvicorn": ["uvicorn", "--fd={fd}", "--no-access-log", "applications:asgi"],
}


class Server:
    """A server of the tests' project on a port of its own, and its database."""

    def __init__(self, name, folder, *, measured=True, threads=2):
        self.name = name
        self.database = folder / f"{name}-{measured}.sqlite3"
        self.database.write_bytes((folder / "prepared.sqlite3").read_bytes())
        self.log = folder / f"{name}-{measured}.log"
        self.listening = socket.create_server(("127.0.0.1", 0))
        fd = self.listening.fileno()
        command = [part.format(fd=fd, folder=folder, threads=threads) for part in COMMANDS[name]]
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
        """Return the status, headers and body of a response, without its date."""
        address, port = self.listening.getsockname()
        with contextlib.closing(http.client.HTTPConnection(address, port, timeout=PATIENCE)) as to:
            to.request("GET", url)
            response = to.getresponse()
            headers = [(name, value) for name, value in response.getheaders() if name != "Date"]
            return response.status, [h for h in headers if h[0] != "date"], response.read()

    def leave_half_way(self, url):
        """Send a request, read the beginning of the response, and close the connection."""
        with socket.create_connection(self.listening.getsockname(), PATIENCE) as to:
            to.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            read = b""
            while b"...." not in read:
                part = to.recv(1000)
                assert part, read
                read += part
        return read

    def reports(self):
        """Return (route, status, spans in flight, PID) of each report, in their order."""
        rows = self.columns("route", "document", "in_flight", "pid")
        return [
            (route, json.loads(document)["status"], in_flight, pid)
            for route, document, in_flight, pid in rows
        ]

    def columns(self, *names):
        """Return a tuple of these columns for each report, in their order."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(
                f"SELECT {', '.join(names)} FROM django_memsize_report ORDER BY id"
            ).fetchall()

    def wait_for(self, number):
        """Return the reports once there are so many: they are written after the response."""
        deadline = time.monotonic() + PATIENCE
        while len(self.reports()) < number and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.reports()

    def stop(self):
        """Terminate the server as an operator does, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self):
        """Kill the server if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)
        self.listening.close()


def environment(folder, database, *, measured=True):
    """Return the environment of a process that runs the tests' project."""
    ours = {
        "DJANGO_SETTINGS_MODULE": "served",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "SERVED_DATABASE": str(database),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    inherited = ("PATH", "HOME", "LANG", "MEMSIZE_ENGINE")
    theirs = {name: os.environ[name] for name in inherited if name in os.environ}
    return theirs | ours | ({} if measured else {"WITHOUT_MEMSIZE": "1"})


def prepare(folder, settings, urls):
    """Write the modules that servers in this folder import, and the database they begin with."""
    (folder / "served.py").write_text(settings)
    (folder / "served_urls.py").write_text(urls)
    (folder / "applications.py").write_text(APPLICATIONS)
    subprocess.run(
        [sys.executable, "-c", PREPARE],
        cwd=folder,
        env=environment(folder, folder / "prepared.sqlite3"),
        check=True,
        timeout=60,
    )


def require(name):
    """Skip the test where this server is not installed; fail it in CI."""
    if importlib.util.find_spec(name) is None:
        missing = f"{name} is not installed"
        pytest.fail(missing) if "CI" in os.environ else pytest.skip(missing)
