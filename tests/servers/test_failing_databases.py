"""No request waits for a reports' database that is locked, hangs, or refuses, and none fails."""

import contextlib
import itertools

import pytest

from tests.proxies import Proxy
from tests.servers.clients import MANY, served
from tests.servers.successors import accounted
from tests.serving import Server, made, manage, only_if_long, wait_until, workers_of

pytestmark = only_if_long

KINDS = ("gthread", "uvicorn")
PAIRS = [*itertools.product(KINDS, ("postgresql", "mariadb"))]
on_each = pytest.mark.parametrize(("kind", "database"), PAIRS, indirect=["database"])
with_sync = pytest.mark.parametrize(
    ("kind", "database"),
    [*PAIRS, *itertools.product(["sync"], ("postgresql", "mariadb"))],
    indirect=["database"],
)
on_each_and_pooled = pytest.mark.parametrize(
    ("kind", "database"),
    [*PAIRS, *itertools.product(KINDS, ["pooled"])],
    indirect=["database"],
)


def untold(database, cause):
    """Return how many reports the running processes dropped because of this."""
    return sum(worker.numbers[cause] for worker in workers_of(database))


def errors(database):
    """Return what hindered the running processes last."""
    return [worker.error for worker in workers_of(database) if worker.error]


@on_each_and_pooled
def test_no_request_waits_for_a_locked_table(kind, database, folder):
    with Server(kind, folder, database, SERVED_PATIENT="1") as server:
        served(server, 5)
        server.wait_for(5)
        with database.locked():
            served(server, 1)
            assert wait_until(database.waiting)
            served(server)
            assert len(database.waiting()) == 1
        assert len(server.wait_for(6 + MANY)) == 6 + MANY
        server.stop()
    assert accounted(folder, database) == (6 + MANY, 0)


@with_sync
def test_a_locked_table_is_given_up_and_tried_again(kind, database, folder):
    with Server(kind, folder, database) as server:
        served(server, 5)
        server.wait_for(5)
        with database.locked():
            served(server, 5)
            assert wait_until(lambda: errors(database))
            served(server, 5)
        assert len(server.wait_for(15)) == 15
        server.stop()
        log = server.log.read_text()
    assert log.count("django-memsize: reports cannot be stored in the ") == 1
    assert accounted(folder, database) == (15, 0)


@with_sync
def test_a_server_ends_as_soon_though_the_table_is_locked(kind, database, folder):
    with Server(kind, folder, database, SERVED_PATIENT="1") as server:
        served(server, 5)
        server.wait_for(5)
        with database.locked():
            served(server, 5)
            assert wait_until(lambda: made(database) == 10 and database.waiting())
            assert server.stop() == server.kind.exit_code
        log = server.log.read_text()
    assert "SIGKILL" not in log
    assert "TIMEOUT" not in log
    assert accounted(folder, database) == (5, 5)


@contextlib.contextmanager
def _unanswered(database):
    """Have the reports stored through a proxy that accepts and never answers, until it is told."""
    with Proxy(database.port) as proxy:
        database.store_through(PORT=str(proxy.port))
        proxy.is_silent = True
        yield proxy


@with_sync
def test_no_request_waits_for_a_database_that_never_answers(kind, database, folder):
    with _unanswered(database) as proxy:
        with Server(kind, folder, database, SERVED_PATIENT="1") as server:
            served(server)
            assert wait_until(lambda: proxy.connections)
            served(server)
            assert proxy.connections == 1
            proxy.is_silent = False
            proxy.cut()
            assert len(server.wait_for(2 * MANY)) == 2 * MANY
            server.stop()
        assert accounted(folder, database) == (2 * MANY, 0)


@on_each
def test_a_database_that_never_answers_is_given_up_and_tried_again(kind, database, folder):
    with _unanswered(database) as proxy:
        with Server(kind, folder, database) as server:
            served(server, 5)
            assert wait_until(lambda: errors(database))
            proxy.is_silent = False
            assert len(server.wait_for(5)) == 5
            server.stop()
        assert accounted(folder, database) == (5, 0)


@with_sync
def test_a_server_ends_as_soon_though_its_reports_database_never_answers(kind, database, folder):
    with _unanswered(database) as proxy:
        with Server(kind, folder, database, SERVED_PATIENT="1") as server:
            served(server, 5)
            assert wait_until(lambda: proxy.connections and made(database) == 5)
            assert server.stop() == server.kind.exit_code
            log = server.log.read_text()
        assert "SIGKILL" not in log
        proxy.is_silent = False
        assert accounted(folder, database) == (0, 5)


@on_each_and_pooled
def test_sessions_that_are_ended_cost_no_report_and_no_request(kind, database, folder):
    with Server(kind, folder, database) as server:
        for number in (10, 20, 30):
            served(server, 10)
            server.wait_for(number)
            assert database.terminate()
        served(server, 10)
        assert len(server.wait_for(40)) == 40
        server.stop()
    assert accounted(folder, database) == (40, 0)


@on_each
def test_a_server_that_is_stopped_and_started_costs_no_report_and_no_request(
    kind, database, folder
):
    with Proxy(database.port) as proxy:
        database.store_through(PORT=str(proxy.port))
        with Server(kind, folder, database) as server:
            served(server, 10)
            server.wait_for(10)
            with proxy.stopped():
                served(server)
                assert wait_until(lambda: errors(database))
                served(server, 10)
            assert len(server.wait_for(20 + MANY)) == 20 + MANY
            server.stop()
        assert accounted(folder, database) == (20 + MANY, 0)


@on_each
def test_a_worker_has_one_session_more_than_without(kind, database, folder):
    used = []
    for measured in (False, True):
        with Proxy(database.port) as proxy:
            direct = database.settings["default"]
            database.settings["default"] = direct | {"PORT": str(proxy.port)}
            with Server(kind, folder, database, measured=measured) as server:
                for _ in range(20):
                    server.get("/read/")
                assert len(server.wait_for(20 * measured)) == 20 * measured
                server.stop()
            used.append(proxy.connections)
            database.settings["default"] = direct
    without, with_memsize = used
    assert without == 20  # one a request: CONN_MAX_AGE is 0
    assert with_memsize - without == 1


@on_each
def test_a_user_without_sessions_left_costs_few_attempts(kind, database, folder):
    with Proxy(database.port) as proxy, database.user() as user:
        database.store_through(PORT=str(proxy.port), USER=user)
        with Server(kind, folder, database) as server:
            with database.exhausted(user):
                served(server)
                assert wait_until(lambda: errors(database))
                served(server)
                assert proxy.connections <= 6
                assert database.told() == (0, 0)
            assert len(server.wait_for(2 * MANY)) == 2 * MANY
            server.stop()
        assert accounted(folder, database) == (2 * MANY, 0)


@on_each
def test_a_read_only_database_costs_no_request(kind, database, folder):
    with database.user() as user:
        database.store_through(USER=user)
        with Server(kind, folder, database) as server:
            with database.read_only(user):
                served(server)
                assert wait_until(lambda: errors(database) or untold(database, "database failed"))
                served(server, 5)
            assert len(server.wait_for(MANY + 5)) == MANY + 5
            server.stop()
        assert accounted(folder, database) == (MANY + 5, 0)


@pytest.mark.parametrize(
    ("kind", "database"),
    [("gthread", "postgresql"), ("uvicorn", "mariadb")],
    indirect=["database"],
)
def test_reports_are_stored_once_their_table_is_made_without_a_restart(kind, database, folder):
    manage(folder, database, "migrate", "django_memsize", "zero", "--verbosity=0")
    try:
        with Server(kind, folder, database) as server:
            served(server, 10)
            assert wait_until(lambda: untold(database, "table missing") == 10)
            manage(folder, database, "migrate", "django_memsize", "--verbosity=0")
            served(server, 10)
            assert wait_until(lambda: sum(database.told()) == 20), database.told()
            server.stop()
            log = server.log.read_text()
    finally:
        manage(folder, database, "migrate", "django_memsize", "--verbosity=0")

    assert log.count("manage.py migrate django_memsize") == 1
    assert accounted(folder, database) == (10, 10)


@pytest.mark.parametrize("database", ["pooled"], indirect=True)
def test_a_pooler_hands_no_limit_of_ours_on_to_other_programs(database, folder):
    with Server("gthread", folder, database) as server:
        served(server)
        server.wait_for(MANY)
        assert set(database.limits()) == {"0"}
