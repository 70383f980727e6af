"""The writer's own connection, and statements that nobody notices."""

import threading

import pytest
from django.db import DatabaseError, connection, connections
from django.test.utils import CaptureQueriesContext

from django_memsize.reports import connection as own
from django_memsize.values import OURS


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(60)
    return found[0]


def opened():
    opened = own.open_own("default")
    try:
        return opened, connections["default"]
    finally:
        opened.close()


def test_a_connection_of_our_own_is_that_of_its_thread_alone():
    programs = connections["default"]

    ours, of_its_thread = in_a_thread(opened)

    assert ours is of_its_thread is not programs
    assert connections["default"] is programs
    assert type(ours) in OURS
    assert isinstance(ours, type(programs))


def test_what_would_share_end_or_log_a_connection_is_left_out(monkeypatch):
    settings = connections.settings["default"]
    monkeypatch.setitem(settings, "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(settings, "CONN_MAX_AGE", 3)
    monkeypatch.setitem(settings, "OPTIONS", {"pool": True, "isolation_level": None})

    ours, _ = in_a_thread(opened)

    assert ours.settings_dict["ATOMIC_REQUESTS"] is False
    assert ours.settings_dict["CONN_MAX_AGE"] is None
    assert "pool" not in ours.settings_dict["OPTIONS"]
    assert "isolation_level" in ours.settings_dict["OPTIONS"]
    assert settings["OPTIONS"] == {"pool": True, "isolation_level": None}
    ours.force_debug_cursor = True
    assert ours.queries_logged is False


CONNECTING = {
    "postgresql": {"connect_timeout": 5, "tcp_user_timeout": 10_000},
    "mysql": {"connect_timeout": 5, "read_timeout": 15, "write_timeout": 15},
    "sqlite": {"timeout": 2, "transaction_mode": "IMMEDIATE"},
}


def test_a_server_that_does_not_answer_is_waited_for_a_short_time_only(monkeypatch):
    wished = {"connect_timeout": 600, "read_timeout": 600, "timeout": 600}
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", wished)

    ours, _ = in_a_thread(opened)

    assert CONNECTING[connection.vendor].items() <= ours.settings_dict["OPTIONS"].items()


LIMITS = {
    "postgresql": [("SHOW lock_timeout", "2s"), ("SHOW statement_timeout", "10s")],
    "mysql": [
        ("SELECT @@lock_wait_timeout", 2),
        ("SELECT @@innodb_lock_wait_timeout", 2),
        ("SELECT @@max_statement_time", 10),
    ],
    "sqlite": [("PRAGMA busy_timeout", 2000)],
}


@pytest.mark.django_db(transaction=True)
def test_statements_wait_for_a_short_time_only():
    def ask():
        ours = own.open_own("default")
        ours.ensure_connection()
        own.limit_session(ours)
        with ours.cursor() as cursor:
            answers = []
            with own.short_transaction("default"):
                for question, _ in LIMITS[ours.vendor]:
                    cursor.execute(question)
                    answers.append(cursor.fetchone()[0])
            if ours.vendor == "postgresql":  # a pooler hands the session on to others
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("0",)
        ours.close()
        return answers

    assert in_a_thread(ask) == [limit for _, limit in LIMITS[connection.vendor]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about options of PostgreSQL")
def test_a_transaction_is_limited_where_statements_are_prepared(monkeypatch):
    pytest.importorskip("psycopg")
    settings = connections.settings["default"]
    options = settings["OPTIONS"] | {"server_side_binding": True, "prepare_threshold": 0}
    monkeypatch.setitem(settings, "OPTIONS", options)

    def ask():
        ours = own.open_own("default")
        try:
            with own.short_transaction("default"), ours.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                return cursor.fetchone()
        finally:
            ours.close()

    assert in_a_thread(ask) == ("2s",)


@pytest.mark.django_db(transaction=True)
def test_statements_that_nobody_notices_leave_everything_as_it_was():
    connection.ensure_connection()
    names = ("queries_log", "execute_wrappers", "force_debug_cursor", "make_debug_cursor")
    with CaptureQueriesContext(connection) as captured:
        before = [getattr(connection, name) for name in names]
        with pytest.raises(DatabaseError), own.unnoticed(connections["default"]):
            connection.cursor().execute("SELECT nothing FROM nowhere")
        assert [getattr(connection, name) for name in names] == before
        assert connection.queries_log is before[0]

    assert len(captured) == 0
    assert "make_debug_cursor" not in vars(connections["default"])
