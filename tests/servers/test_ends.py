"""However a server or one of its processes ends: each report is stored, or told as dropped."""

import contextlib
import http.client
import itertools
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.servers.successors import accounted
from tests.serving import KINDS, Server, made, only_if_long, wait_until

pytestmark = only_if_long

SERVERS = ("postgresql", "mariadb", "pooled")
ALL = [
    *((kind, "sqlite") for kind in KINDS),
    *itertools.product(("gthread", "uvicorn"), SERVERS),
]


def ask(server, number):
    """Send requests, and wait until their reports are counted as made."""
    before = made(server.database)
    assert all(answer.status == 200 for answer in server.ask(["/read/"] * number))
    assert wait_until(lambda: made(server.database) == before + number)


@pytest.mark.parametrize(("kind", "database"), ALL, indirect=["database"])
def test_after_sigterm(kind, database, folder):
    with Server(kind, folder, database) as server:
        ask(server, 10)
        assert server.stop() == server.kind.exit_code

    stored, dropped = accounted(folder, database)
    assert stored + dropped == 10
    assert dropped == 0 or server.kind.runs_no_exit_functions


@pytest.mark.parametrize("kind", ["gthread", "uvicorn", "hypercorn", "daphne", "waitress"])
def test_after_ctrl_c(kind, database, folder):
    with Server(kind, folder, database, measured=False) as without:
        without.get("/read/")
        code = without.stop(signal.SIGINT)
    with Server(kind, folder, database) as server:
        ask(server, 10)
        assert server.stop(signal.SIGINT) == code

    assert sum(accounted(folder, database)) == 10


@pytest.mark.parametrize(
    ("kind", "most"), [("gthread", 1), ("gthread", 2), ("sync", 1), ("gevent", 1)]
)
def test_after_workers_that_serve_few_requests(kind, most, database, folder):
    with Server(kind, folder, database, options=[f"--max-requests={most}"]) as server:
        answers = [server.get("/read/") for _ in range(3)]
        server.stop()

    assert [answer.status for answer in answers] == [200] * 3
    assert accounted(folder, database) == (3, 0)


def test_after_a_server_that_ends_by_itself(database, folder):
    with Server("uvicorn", folder, database, options=["--limit-max-requests=2"]) as server:
        for _ in range(2):
            server.get("/read/")
        assert server.process.wait(60) == 0

    assert accounted(folder, database) == (2, 0)


@pytest.mark.parametrize("kind", ["gthread", "preload", "uvicorn-worker"])
def test_after_a_reload_among_requests(kind, database, folder):
    with Server(kind, folder, database, workers=2) as server:
        before = {server.serving() for _ in range(10)}
        reloaded, statuses = threading.Event(), [200] * 10

        def keep_asking():
            while not reloaded.is_set():
                statuses.append(server.get("/read/").status)

        def is_reloaded():
            statuses.append(200)
            return server.serving() not in before

        with ThreadPoolExecutor(3) as clients:
            asking = [clients.submit(keep_asking) for _ in range(3)]
            server.send(signal.SIGHUP)
            try:
                assert wait_until(is_reloaded)
            finally:
                reloaded.set()
            for each in asking:
                each.result()
        server.stop()

    assert set(statuses) == {200}
    assert sum(accounted(folder, database)) == len(statuses)


@pytest.mark.parametrize(
    ("kind", "database"),
    [("gthread", "sqlite"), ("uvicorn", "postgresql"), ("gthread", "mariadb")],
    indirect=["database"],
)
def test_after_a_worker_is_killed(kind, database, folder):
    with Server(kind, folder, database) as server:
        serving = server.serving()
        server.wait_for(1)
        with database.locked():
            ask(server, 5)
            os.kill(serving, signal.SIGKILL)
            wait_until(lambda: not psutil.pid_exists(serving) or server.process.poll() is not None)
        if server.kind.has_parent:
            server.get("/read/")
            assert server.wait_for(2)[-1][-1] != serving
            server.stop()

    assert accounted(folder, database) == (1 + server.kind.has_parent, 5)


def test_after_a_worker_that_takes_too_long(database, folder):
    with Server("sync", folder, database, options=["--timeout=3"]) as server:
        for _ in range(3):
            server.get("/read/")
        with contextlib.suppress(http.client.HTTPException, ConnectionError):
            server.get("/stuck/")
        assert server.get("/read/").status == 200
        assert server.stop() == 0
        log = server.log.read_text()

    assert "WORKER TIMEOUT" in log
    assert accounted(folder, database) == (4, 0)
