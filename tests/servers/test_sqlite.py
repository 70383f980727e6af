"""Reports in SQLite: no program's transaction fails because of them, and no request waits."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import served_databases
from tests.servers.clients import MANY, served
from tests.serving import Server, made, only_if_long, wait_until

pytestmark = only_if_long

READERS = 3


def read_and_write(server):
    """Return the answers to one client that reads and then writes, among others that read."""
    with ThreadPoolExecutor(1 + READERS) as clients:
        asking = [
            clients.submit(lambda url: [server.get(url).status for _ in range(MANY)], url)
            for url in ["/read-and-write/", *["/read/"] * READERS]
        ]
        return [status for each in asking for status in each.result()]


@pytest.mark.parametrize(
    ("kind", "workers"), [("runserver", 1), ("gthread", 1), ("gthread", 2), ("uvicorn", 1)]
)
def test_no_transaction_that_reads_before_it_writes_fails(kind, workers, folder):
    for measured in (False, True):
        database = served_databases.SQLite(folder)
        with Server(
            kind, folder, database, measured=measured, threads=4, workers=workers
        ) as server:
            statuses = read_and_write(server)
            number = measured * len(statuses)
            assert len(server.wait_for(number)) == number
            log = server.log.read_text()
        assert statuses == [200] * MANY * (1 + READERS)
        assert "database is locked" not in log


@pytest.mark.parametrize("kind", ["runserver", "gthread", "gevent", "uvicorn"])
def test_reports_are_stored_while_a_stream_has_no_end(kind, database, folder):
    with Server(kind, folder, database) as server:
        endless = "/stream/async/" if server.kind.is_async else "/stream/"
        with server.streaming(endless):
            served(server, 10)
            assert len(server.wait_for(10)) == 10
        assert server.wait_for(11)[-1][:2] == (endless, 200)


# Under gevent the writer's thread is a greenlet, and stops the others of its process meanwhile.
@pytest.mark.parametrize("kind", ["sync", "gthread", "uvicorn"])
def test_no_request_waits_for_a_locked_file(kind, database, folder):
    with Server(kind, folder, database, SERVED_PATIENT="1") as server:
        served(server, 5)
        server.wait_for(5)
        with database.locked():
            served(server)
            assert wait_until(lambda: made(database) == 5 + MANY)
            assert len(server.reports()) == 5
        assert len(server.wait_for(5 + MANY)) == 5 + MANY
