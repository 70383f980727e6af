"""Real servers answer the same with memsize as without, and end as they would."""

import contextlib

import pytest

from tests import served_databases
from tests.serving import KINDS, Server, only_if_long, wait_until

pytestmark = only_if_long

SERVERS = [kind for kind in KINDS if kind != "runserver"]
ASKED = [
    *("/nothing/", "/accounts/1/", "/accounts/async/", "/file/", "/no/such/page/"),
    *("/raises/value/", "/raises/denied/", "/broken/"),
]
ROUTES = [
    *("/nothing/", "/accounts/<int:pk>/", "/accounts/async/", "/file/", "(unresolved)"),
    *("/raises/<str:what>/", "/raises/<str:what>/", "/broken/"),
]


@pytest.fixture(scope="module", params=SERVERS)
def servers(request, folder):
    """Return the same server twice: without memsize, and with it."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Server(request.param, folder, served_databases.SQLite(folder), measured=measured)
            )
            for measured in (False, True)
        ]


def streamed(server, url):
    """Return the page in the way that the server has: a synchronous server has no event loop."""
    return f"{url}async/" if server.kind.is_async else url


def test_a_server_answers_the_same_with_memsize_as_without(servers):
    without, measured = servers
    rows = streamed(measured, "/accounts/stream/")
    for url in [*ASKED, rows]:
        assert measured.get(url) == without.get(url)

    # In any order: what reports wait for is over at different times.
    assert sorted(report[0] for report in measured.wait_for(len(ASKED) + 1)) == sorted(
        [*ROUTES, rows]
    )
    assert without.reports() == []


def test_a_report_has_the_pid_of_the_process_that_served_the_request(servers):
    _, measured = servers
    number = len(measured.reports())
    serving = measured.serving()

    assert {pid for _, _, _, pid in measured.wait_for(number + 1)} == {serving}
    assert (measured.process.pid != serving) == measured.kind.has_parent


def leave_half_way(server):
    """Read the beginning of a stream and leave; return it once the stream is over, and reported."""
    url = streamed(server, "/stream/")
    number = reported(server, url)
    read = server.leave_half_way(url)
    wait_until(lambda: reported(server, url) > number)
    return read


def reported(server, url):
    return [route for route, *_ in server.reports()].count(url)


def test_the_first_bytes_of_a_stream_come_before_the_others_are_made(servers):
    _, measured = servers

    assert leave_half_way(measured).startswith(b"HTTP/1.1 200")


def test_a_client_that_leaves_half_way_leaves_nothing_behind(servers):
    _, measured = servers
    leave_half_way(measured)
    number = len(measured.reports())

    measured.get("/nothing/")

    assert measured.wait_for(number + 1)[-1][:3] == ("/nothing/", 200, 0)


def test_a_server_ends_as_it_would_without_memsize(servers):
    without, measured = servers

    assert measured.stop() == without.stop() == measured.kind.exit_code
    log = measured.log.read_text()
    assert "django-memsize" not in log
    assert log.count("Traceback") == without.log.read_text().count("Traceback")
