"""Where ``iterator()`` does not keep rows from being in memory all at once."""

from __future__ import annotations

from typing import Final

from django.db import connections

from .sql import vendor_of

_OF_MYSQL: Final = "the driver of MariaDB and MySQL fetches all rows at once"
_WITHOUT_CURSORS: Final = "DISABLE_SERVER_SIDE_CURSORS has all rows fetched at once"


def why_all_at_once(database: str) -> str:
    """Return why the rows of ``iterator()`` are fetched all at once; empty if they are not.

    ``database`` is an alias. Django asks for chunks of rows only without the setting
    (``QuerySet.iterator()``), and mysqlclient stores the whole result before the first of them
    unless the settings name another class of cursors.
    """
    settings = connections.settings.get(database)
    if settings is None:
        return ""
    if settings.get("DISABLE_SERVER_SIDE_CURSORS"):
        return _WITHOUT_CURSORS
    is_stored = vendor_of(database) == "mysql" and "cursorclass" not in settings.get("OPTIONS", {})
    return _OF_MYSQL if is_stored else ""
