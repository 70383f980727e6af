"""The writer's own connection to the reports' database, and what its statements may take.

The program's connections are never used: their transactions, logs and locks are the program's.
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend

from ..values import ours

_TO_CONNECT: Final = 5
"""Seconds that connecting may take."""

_TO_LOCK: Final = 2
"""Seconds that a statement may wait for a lock."""

_TO_RUN: Final = 10
"""Seconds that a statement may run."""

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "postgresql": {
        "connect_timeout": _TO_CONNECT,
        "tcp_user_timeout": _TO_RUN * 1000,
        "application_name": "django-memsize",
    },
    "mysql": {
        "connect_timeout": _TO_CONNECT,
        "read_timeout": _TO_RUN + _TO_CONNECT,
        "write_timeout": _TO_RUN + _TO_CONNECT,
    },
    "sqlite": {"timeout": _TO_LOCK, "transaction_mode": "IMMEDIATE"},
}
"""Options of a connection, by vendor."""


def open_own(alias: str) -> BaseDatabaseWrapper:
    """Make a connection of our own that of this thread for ``alias``, and return it.

    It connects when it is first used. It has the settings of the alias but for what would share it,
    end it, or let it wait for ever, and it logs no query.
    """
    settings = dict(connections.settings[alias])
    backend = load_backend(settings["ENGINE"])
    vendor = backend.DatabaseWrapper.vendor
    given = dict(settings["OPTIONS"])
    given.pop("pool", None)  # PostgreSQL's: its connections are the program's
    settings |= {
        "ATOMIC_REQUESTS": False,
        "AUTOCOMMIT": True,
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
        "OPTIONS": given | _OPTIONS.get(vendor, {}),
    }
    connection: BaseDatabaseWrapper = _unlogged(backend.DatabaseWrapper)(settings, alias)
    connections[alias] = connection
    return connection


@functools.cache
def _unlogged(wrapper: type[BaseDatabaseWrapper]) -> type[BaseDatabaseWrapper]:
    """Return the class of connections of a backend, without a log of queries."""
    # A property of BaseDatabaseWrapper (django/db/backends/base/base.py).
    return ours(type("DatabaseWrapper", (wrapper,), {"queries_logged": False}))


def limit_session(connection: BaseDatabaseWrapper) -> None:
    """Limit what the statements of a session may wait for, on MariaDB and MySQL."""
    if connection.vendor != "mysql":
        return
    limits = {"lock_wait_timeout": _TO_LOCK, "innodb_lock_wait_timeout": _TO_LOCK}
    if getattr(connection, "mysql_is_mariadb", False):
        limits["max_statement_time"] = _TO_RUN
    with connection.cursor() as cursor:
        names = ", ".join(f"SESSION {name} = {value}" for name, value in limits.items())
        cursor.execute(f"SET {names}")


@contextlib.contextmanager
def short_transaction(alias: str) -> Iterator[None]:
    """Run the block in a transaction whose statements do not wait for ever.

    On PostgreSQL these limits are those of the transaction, not of the session: a pooler hands the
    session on to others.
    """
    connection = connections[alias]
    with transaction.atomic(using=alias):
        if connection.vendor == "postgresql":
            # One statement, because the program's options may have statements prepared.
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT set_config('lock_timeout', '{_TO_LOCK}s', true), "
                    f"set_config('statement_timeout', '{_TO_RUN}s', true)"
                )
        yield


@contextlib.contextmanager
def short_question(alias: str) -> Iterator[None]:
    """Run the block, which only reads, so that its statements do not wait for ever.

    Not in a transaction on SQLite: one of our own connections would lock the file for it.
    """
    if connections[alias].vendor == "sqlite":
        yield
        return
    with short_transaction(alias):
        yield


@contextlib.contextmanager
def unnoticed(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have the statements of the block stand in no log of a connection of the program's tests."""
    log, wrappers = connection.queries_log, connection.execute_wrappers
    forced = connection.force_debug_cursor
    connection.queries_log = deque(maxlen=1)
    connection.execute_wrappers = []
    connection.force_debug_cursor = False
    connection.make_debug_cursor = connection.make_cursor  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del connection.make_debug_cursor
        connection.force_debug_cursor = forced
        connection.execute_wrappers = wrappers
        connection.queries_log = log
