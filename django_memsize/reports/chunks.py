"""Deleting rows in short transactions: how many at once, by which statement, with what pauses."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

CHUNK: Final = 500
"""Rows that are examined at once, and the most that one transaction replaces or deletes."""

SQLITE_CHUNK: Final = 100
"""The most rows that one transaction replaces or deletes on SQLite, where all other writers wait
for it."""

_SQLITE_PAUSE: Final = 2
"""Time without a transaction after a full one on SQLite, as a multiple of its time. A writer that
waits there looks ten times a second, and finds no free moment between two that follow at once."""


def most(database: str, elsewhere: int | None = None) -> int:
    """Return how many rows one transaction replaces or deletes at most.

    On another database than SQLite that is ``elsewhere``, or ``CHUNK`` for None.
    """
    if _is_sqlite(database):
        return SQLITE_CHUNK
    return CHUNK if elsewhere is None else elsewhere


def pause(database: str, began: float) -> None:
    """Leave SQLite's file to others after a full transaction that ``began`` at this moment.

    The moment is one of ``time.monotonic()``. Does nothing on another database.
    """
    if _is_sqlite(database):
        time.sleep(_SQLITE_PAUSE * (time.monotonic() - began))


def deletion(connection: BaseDatabaseWrapper, model: type[Model], keys: Iterable[int]) -> str:
    """Return a statement that deletes rows by their primary keys, and touches no other row.

    Unlike ``QuerySet.delete()``, it sends no signals to receivers of the program. The keys are a
    part of its text: thousands of parameters take a driver several times as long.
    """
    table = connection.ops.quote_name(model._meta.db_table)
    key = connection.ops.quote_name("id")
    numbers = sorted(map(int, keys))
    listed = ", ".join(map(str, numbers))
    sql = f"DELETE FROM {table} WHERE {key} IN ({listed})"  # noqa: S608 (names and numbers of ours)
    # MariaDB prefers to read a small table from end to end, and would wait for each row that
    # another process has locked. A LIMIT makes it use the primary key: see test_quick_select() in
    # sql/opt_range.cc.
    return f"{sql} ORDER BY {key} LIMIT {len(numbers)}" if connection.vendor == "mysql" else sql


def lock_file(model: type[Model], database: str) -> None:
    """Have a transaction that reads first be the one that writes, on SQLite, by deleting nothing.

    SQLite refuses to write in a transaction that has read before another one wrote.
    """
    if _is_sqlite(database):
        connection = connections[database]
        with connection.cursor() as cursor:
            cursor.execute(deletion(connection, model, [0]))


def _is_sqlite(database: str) -> bool:
    return connections[database].vendor == "sqlite"
