"""Which database has the reports, and their own file beside a SQLite database.

SQLite refuses a transaction that read before another connection wrote ("database is locked"),
without waiting. So the reports never share a file with the program, unless the settings say so.
"""

from __future__ import annotations

import contextlib
import copy
import os
import pkgutil
import stat
import time
from collections import ChainMap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import parse_qs, urlsplit

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from .. import conf
from ..formatting import named_database

OWN_ALIAS: Final = "memsize"
"""The alias of the reports' own file."""

_APP: Final = "django_memsize"
_IN_MEMORY: Final = ":memory:"
_TIMEOUT: Final = 5
"""The seconds that a connection to the own file waits for its lock."""
_BETWEEN_TRIES: Final = 0.01
"""The seconds between two tries to connect to the own file."""
_SQLITE_BUSY: Final = 5
"""A lock was not free: SQLITE_BUSY in https://sqlite.org/rescode.html; sqlite3 may be missing."""

_SIZE: Final = {
    "postgresql": "SELECT pg_total_relation_size(%s::regclass)",
    "mysql": "SELECT data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = DATABASE() AND table_name = %s",
}
"""The question for the bytes of a table, by vendor."""


class _OwnFile(dict[str, Any]):
    """The settings of the reports' own file, as in ``DATABASES``."""


class _WithOwnFile(ChainMap[str, dict[str, Any]]):
    """The program's ``DATABASES``, which it may change at any time, and the reports' own file.

    The own file is no database of the program, which may ask each of its databases whether it
    answers. So only a thread that has read reports finds it when it iterates, as it does to close
    its connections.
    """

    def __iter__(self) -> Iterator[str]:
        programs, own = self.maps
        aliases = list(programs)  # another thread may add one
        has_read = getattr(connections, "_connections", None)
        return iter(aliases + [alias for alias in own if hasattr(has_read, alias)])

    def __len__(self) -> int:
        return len(list(iter(self)))


def alias() -> str:
    """Return the alias of the database that has the reports.

    Unless ``MEMSIZE`` names one, it is the default database; or, where that is a file of SQLite, a
    file of their own, whose alias is added when it is first needed. Raises nothing.
    """
    named = ""
    with contextlib.suppress(conf.InvalidSettingsError):
        named = conf.config().database
    if named:
        return named
    if conf.is_under_test():  # a test's database is made, and undone, for the aliases of DATABASES
        return DEFAULT_DB_ALIAS
    known = connections.settings
    if OWN_ALIAS in known:
        return OWN_ALIAS
    path = file_of(known[DEFAULT_DB_ALIAS])
    if path is None:
        return DEFAULT_DB_ALIAS
    own = _own_file(known[DEFAULT_DB_ALIAS], path)
    # The dict itself is the program's: other threads may iterate over it.
    connections.settings = cast("dict[str, Any]", _WithOwnFile(known, {OWN_ALIAS: own}))
    return OWN_ALIAS


def identity() -> str:
    """Return what the processes that store their reports in one place have in common."""
    name = alias()  # may replace the settings of the connections
    settings = connections.settings[name]
    parts = [settings[key] for key in ("ENGINE", "HOST", "PORT", "NAME")]
    if path := file_of(settings):
        parts[-1] = path.absolute()  # many projects call their file "db.sqlite3"
    # These may stand for all the others.
    parts += [settings["OPTIONS"].get(key, "") for key in ("service", "read_default_file")]
    return "\0".join(map(str, parts))


def size(database: str) -> int | None:
    """Return the bytes that reports and rollups take in their database; None if not known.

    A shared file of SQLite does not tell.
    """
    connection = connections[database]
    if path := own_file(database):
        # What was written last is in the write-ahead log: see https://sqlite.org/wal.html
        files = (path, path.with_name(f"{path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())
    question = _SIZE.get(connection.vendor)
    if question is None:
        return None
    tables = [model._meta.db_table for model in apps.get_app_config(_APP).get_models()]
    total = 0
    with connection.cursor() as cursor:
        for table in set(tables) & set(connection.introspection.table_names(cursor)):
            cursor.execute(question, [table])
            row = cursor.fetchone()
            if row is None or row[0] is None:
                return None
            total += int(row[0])
    return total


def file_id(database: str) -> tuple[int, int] | None:
    """Return what tells the file of a SQLite database from one that takes its place later."""
    path = file_of(connections.settings[database])
    if path is not None:
        with contextlib.suppress(OSError):
            found = path.stat()
            return found.st_dev, found.st_ino
    return None


def is_own_file(database: str) -> bool:
    """Return whether the alias is that of the reports' own file."""
    return isinstance(connections.settings[database], _OwnFile)


def own_file(database: str) -> Path | None:
    """Return the path of the reports' own file; None if the alias is that of another database."""
    return Path(connections.settings[database]["NAME"]) if is_own_file(database) else None


def described(database: str) -> str:
    """Return what a user knows a database by: its alias, or the path of the own file."""
    return named_database(database, own_file(database))


def is_in_memory(database: str) -> bool:
    """Return whether the database is one of SQLite that only its own connection has."""
    settings = connections.settings[database]
    return _is_sqlite(settings) and file_of(settings) is None


def file_of(settings: dict[str, Any]) -> Path | None:
    """Return the file of a SQLite database; None for one in memory, and for other databases."""
    if not _is_sqlite(settings):
        return None
    name = str(settings["NAME"] or _IN_MEMORY)
    if name.startswith("file:"):
        url = urlsplit(name)
        in_memory = url.path == _IN_MEMORY or "memory" in parse_qs(url.query).get("mode", ())
        name = _IN_MEMORY if in_memory else url.path
    return None if name == _IN_MEMORY else Path(name)


def _is_sqlite(settings: dict[str, Any]) -> bool:
    return str(settings["ENGINE"]).endswith(("sqlite3", "spatialite"))


def has_table(database: str) -> bool:
    """Return whether the database has the table of reports."""
    table = apps.get_model(_APP, "Report")._meta.db_table
    return table in connections[database].introspection.table_names()


def prepare(database: str) -> None:
    """Make or upgrade the table in the reports' own file. Does nothing for another database."""
    if is_own_file(database):
        path = Path(connections.settings[database]["NAME"])
        if not path.exists():
            _make_file(path, file_of(connections.settings[DEFAULT_DB_ALIAS]))
        connection = connections[database]
        _connect(connection)
        migrate(connection)


def _connect(connection: BaseDatabaseWrapper) -> None:
    """Connect to the own file, which its first connections switch to a write-ahead log.

    SQLite does not wait for the lock that it needs to do so: see PRAGMA journal_mode in
    https://sqlite.org/pragma.html.
    """
    deadline = time.monotonic() + _TIMEOUT
    while connection.connection is None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            if code != _SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_BETWEEN_TRIES)


def _make_file(path: Path, beside: Path | None) -> None:
    """Make the own file with the rights of the program's, as SQLite does for the files beside it.

    Whoever first reads or writes reports makes the file: maybe not the user who serves.
    """
    with contextlib.suppress(OSError):
        if beside is None:
            return
        theirs = beside.stat()
        path.touch(exist_ok=False)
        path.chmod(stat.S_IMODE(theirs.st_mode))
        if hasattr(os, "chown"):
            os.chown(path, -1, theirs.st_gid)
            os.chown(path, theirs.st_uid, -1)


def migrate(connection: BaseDatabaseWrapper) -> None:
    """Apply the migrations of this app alone, without signals.

    Another process may do so at the same time: the second one waits, and finds them applied.
    """
    if not _plan(_OwnExecutor(connection)):
        return
    # SQLite cannot alter a table while it checks foreign keys, nor stop checking in a transaction.
    connection.disable_constraint_checking()
    try:
        with transaction.atomic(using=connection.alias):  # locks the file: see _own_file()
            executor = _OwnExecutor(connection)
            if _plan(executor):
                executor.migrate(executor.loader.graph.leaf_nodes())
    finally:
        connection.enable_constraint_checking()


class _OwnLoader(MigrationLoader):
    """Loads the migrations of this app only: those of the program need not be imported."""

    def load_disk(self) -> None:
        package = import_module("django_memsize.migrations")
        names = [module.name for module in pkgutil.iter_modules(package.__path__)]
        self.disk_migrations = {(_APP, name): _migration(package.__name__, name) for name in names}
        self.migrated_apps = {_APP}
        self.unmigrated_apps = set()


def _migration(package: str, name: str) -> Migration:
    """Return a migration that no router of the program forbids: the file is ours alone."""
    migration: Migration = import_module(f"{package}.{name}").Migration(name, _APP)
    operations = list(map(copy.copy, migration.operations))
    for operation in operations:
        vars(operation)["allow_migrate_model"] = _always
    vars(migration)["operations"] = operations  # its class has the others
    return migration


def _always(*_: object) -> bool:
    return True


class _OwnExecutor(MigrationExecutor):
    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.loader = _OwnLoader(connection)
        self.recorder = MigrationRecorder(connection)
        self.progress_callback = None


def _plan(executor: MigrationExecutor) -> list[Any]:
    return executor.migration_plan(executor.loader.graph.leaf_nodes())


def _own_file(settings: dict[str, Any], path: Path) -> _OwnFile:
    options = {
        "timeout": _TIMEOUT,
        # Takes the lock for writing at the beginning, so that it is waited for.
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
    return _OwnFile(
        {
            **settings,
            "NAME": str(path.with_name(f"{path.stem}.memsize{path.suffix}")),
            "ENGINE": "django.db.backends.sqlite3",
            "ATOMIC_REQUESTS": False,
            "AUTOCOMMIT": True,
            "CONN_MAX_AGE": 0,
            "CONN_HEALTH_CHECKS": False,
            "OPTIONS": options,
        }
    )
