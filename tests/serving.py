"""Servers of a project, each a process, and their clients.

Tests with servers take long, so they run only with ``MEMSIZE_LONG=1``, as in ``.ci/run``.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from django_memsize.workers import state_file
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent
only_if_long = pytest.mark.skipif(
    os.environ.get("MEMSIZE_LONG") != "1", reason="takes long: set MEMSIZE_LONG=1"
)


class Kind(NamedTuple):
    """A server, and how it is run."""

    module: str
    """What has to be installed."""
    command: list[str]
    """The arguments of Python, with the names of `Server` in braces."""
    is_async: bool = False
    exit_code: int = 0
    """After SIGTERM."""
    has_parent: bool = False
    """Whether another process than the first one serves."""
    runs_no_exit_functions: bool = False
    """Whether Python's are not run after SIGTERM: what waits is told by the next process."""
    resets_connections: bool = False
    """Whether a process that ends resets connections that it accepted and has yet to read."""


def _gunicorn(worker, *options):
    return [
        *("-m", "gunicorn", "--bind=fd://{fd}", f"--worker-class={worker}", "--workers={workers}"),
        *("--no-control-socket", "--worker-tmp-dir={folder}", *options),
    ]


WSGI, ASGI = "tests.served.applications:wsgi", "tests.served.applications:asgi"

KINDS = {
    "gthread": Kind(
        "gunicorn", [*_gunicorn("gthread", "--threads={threads}"), WSGI], has_parent=True
    ),
    "preload": Kind(
        "gunicorn",
        [*_gunicorn("gthread", "--threads={threads}", "--preload"), WSGI],
        has_parent=True,
    ),
    "sync": Kind("gunicorn", [*_gunicorn("sync"), WSGI], has_parent=True),
    "gevent": Kind("gevent", [*_gunicorn("gevent"), WSGI], has_parent=True),
    "uvicorn": Kind(
        "uvicorn",
        ["-m", "uvicorn", "--fd={fd}", "--no-access-log", ASGI],
        is_async=True,
        exit_code=-signal.SIGTERM,
        runs_no_exit_functions=True,
    ),
    "uvicorn-worker": Kind(
        "uvicorn_worker",
        [*_gunicorn("uvicorn_worker.UvicornWorker"), ASGI],
        is_async=True,
        has_parent=True,
        runs_no_exit_functions=True,
        resets_connections=True,
    ),
    "hypercorn": Kind(
        "hypercorn",
        ["-m", "hypercorn", "--bind=fd://{fd}", "--workers={workers}", ASGI],
        is_async=True,
        has_parent=True,
    ),
    "daphne": Kind("daphne", ["-m", "daphne", "--fd={fd}", "--verbosity=0", ASGI], is_async=True),
    "waitress": Kind(
        "waitress",
        ["-m", "tests.served.with_waitress", "{fd}", "{threads}"],
        exit_code=-signal.SIGTERM,
        runs_no_exit_functions=True,
    ),
    "runserver": Kind(
        "django",
        ["-m", "django", "runserver", "--noreload", "127.0.0.1:{port}"],
        exit_code=-signal.SIGTERM,
        runs_no_exit_functions=True,
    ),
}


class Answer(NamedTuple):
    """A response, without its date."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Server:
    """A server of the tests' project on a port of its own, and its database."""

    def __init__(
        self,
        kind,
        folder,
        database,
        *,
        measured=True,
        threads=2,
        workers=1,
        options=(),
        **variables,
    ):
        self.kind = KINDS[kind]
        require(self.kind.module)
        self.database = database
        self.log = folder / f"{kind}-{measured}-{time.monotonic_ns()}.log"
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address = self.listening.getsockname()
        fd, port = self.listening.fileno(), self.address[1]
        values = {"fd": fd, "port": port, "folder": folder, "threads": threads, "workers": workers}
        *first, last = (part.format(**values) for part in self.kind.command)
        self.takes_port = "{port}" in self.kind.command[-1]
        if self.takes_port:
            self.listening.close()
        self.command = [sys.executable, *first, *options, last]
        self.folder = folder
        self.variables = environment(folder, database, measured=measured) | variables
        self.start()

    def start(self):
        """Start the server. One that was stopped gets the connections made since then."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.variables,
                pass_fds=[] if self.takes_port else [self.listening.fileno()],
                stdout=log,
                stderr=log,
            )

    def connect(self):
        """Return a connection. One whose process has yet to listen is waited for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return socket.create_connection(self.address, PATIENCE)
            except ConnectionRefusedError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def get(self, url):
        """Return the answer to a request, sent again if a process that ends reset it unread."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._get(url)
            except ConnectionResetError:
                if not self.kind.resets_connections or time.monotonic() > deadline:
                    raise

    def _get(self, url):
        with contextlib.closing(http.client.HTTPConnection(*self.address, PATIENCE)) as to:
            to.sock = self.connect()
            to.request("GET", url, headers={"Connection": "close"})
            response = to.getresponse()
            headers = [(n, v) for n, v in response.getheaders() if n.lower() != "date"]
            return Answer(response.status, headers, response.read())

    def ask(self, urls):
        """Return the answers to requests that several clients send at once."""
        return self.each(self.get, urls)

    def each(self, function, urls, clients=4):
        """Return what a function returns for each URL, in the threads of several clients."""
        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(function, urls))

    @contextlib.contextmanager
    def streaming(self, url):
        """Send a request, and read the beginning of its response; close the connection at last."""
        with self.connect() as to:
            to.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            read = b""
            while b"...." not in read:
                part = to.recv(1000)
                assert part, read
                read += part
            yield read

    def leave_half_way(self, url):
        """Send a request, read the beginning of the response, and close the connection."""
        with self.streaming(url) as read:
            return read

    def reports(self):
        """Return (route, status, spans in flight, PID) of each report, in their order."""
        rows = self.database.reports("route", "document", "in_flight", "pid")
        return [
            (route, _loaded(document)["status"], in_flight, pid)
            for route, document, in_flight, pid in rows
        ]

    def columns(self, *names):
        """Return a tuple of these columns for each report, in their order."""
        return self.database.reports(*names)

    def wait_for(self, number):
        """Return the reports once there are so many: they are written after the response."""
        wait_until(lambda: len(self.database.reports("id")) >= number)
        return self.reports()

    def serving(self):
        """Return the PID of the process that serves."""
        return int(self.get("/pid/").body)

    def send(self, number):
        """Send a signal to the first process."""
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        """End the server as an operator does, and return its exit code."""
        self.send(number)
        return self.process.wait(PATIENCE)

    def close(self):
        """Kill the server if it still runs, with the processes that it made."""
        if self.process.poll() is None:
            import psutil

            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            self.process.wait(PATIENCE)
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        self.listening.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _loaded(document):
    return json.loads(document) if isinstance(document, (str, bytes)) else document


def environment(folder, database, *, measured=True):
    """Return the environment of a process that runs the tests' project."""
    ours = {
        "DJANGO_SETTINGS_MODULE": "tests.served.settings",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "SERVED_DATABASES": json.dumps(database.settings),
        "SERVED_MEMSIZE": json.dumps(database.memsize),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(database.files),
    }
    inherited = ("PATH", "HOME", "LANG", "MEMSIZE_ENGINE")
    theirs = {name: os.environ[name] for name in inherited if name in os.environ}
    return theirs | ours | ({} if measured else {"WITHOUT_MEMSIZE": "1"})


def run(program, folder, database, timeout=PATIENCE):
    """Run a program of Python with the settings of the tests' project, until it ends well."""
    subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment(folder, database),
        check=True,
        timeout=timeout,
    )


def manage(folder, database, *words, **variables):
    """Run a command of Django in the tests' project, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "django", *words],
        cwd=folder,
        env=environment(folder, database) | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def workers_of(database):
    """Return what the files of processes say, without a lock on them that a process would see."""
    found = []
    for path in Path(database.files).glob("django-memsize-*/*.worker"):
        with contextlib.suppress(FileNotFoundError):
            found.append(state_file._parse(path.read_bytes(), is_alive=True))
    return [worker for worker in found if worker is not None]


def made(database):
    """Return how many reports the processes made that have a file."""
    return sum(worker.numbers["made"] for worker in workers_of(database))


def require(name):
    """Skip the test where this module is not installed; fail it in CI."""
    if importlib.util.find_spec(name) is None:
        missing(name)


def missing(name):
    """Skip the test, or fail it in CI, because something is not installed."""
    reason = f"{name} is not installed"
    pytest.fail(reason) if "CI" in os.environ else pytest.skip(reason)
