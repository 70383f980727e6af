"""The table of reports, and transactions that are rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction

from .. import conf
from ..formatting import migrate_command
from ..models import Report, ReportQuerySet
from ..reports import database, drops, rollup_storage
from ..reports.connection import limit_session, short_transaction


def stored_reports() -> ReportQuerySet:
    """Return all stored reports.

    Raises CommandError where the table is missing or its database does not answer.
    """
    require_table()
    reports: ReportQuerySet = Report.objects.all()
    return reports


def require_table() -> None:
    """Raise CommandError where a table of ours is missing, or its database unavailable."""
    conf.config()  # raises what is wrong with the settings
    alias = database.alias()
    try:
        database.prepare(alias)
        ready = database.has_table(alias) and rollup_storage.has_tables(alias)
    except (DatabaseError, ImproperlyConfigured) as error:
        place, reason = database.described(alias), drops.describe(error)
        raise CommandError(f"The {place} does not answer: {reason}") from error
    if not ready:
        raise CommandError(
            f"The database {alias!r} has no table of reports: run '{migrate_command(alias)}' first."
        )


@contextmanager
def reading(alias: str) -> Iterator[None]:
    """Read the reports without waiting for a lock, or for a statement, for more than seconds.

    Raises what the database raises.
    """
    connection = connections[alias]
    # A transaction in the reports' own file would lock it. SQLite waits for some seconds anyway.
    if connection.vendor == "sqlite":
        yield
        return
    limit_session(connection)
    with short_transaction(alias):
        yield


@contextmanager
def answering(alias: str) -> Iterator[None]:
    """Raise CommandError where the database of the reports fails."""
    try:
        yield
    except (DatabaseError, ImproperlyConfigured) as error:
        raise CommandError(f"The database {alias!r} fails: {drops.describe(error)}") from error


@contextmanager
def rolled_back(*, commit: bool = False) -> Iterator[None]:
    """Roll back all writes to any database in this context, unless ``commit`` is true."""
    with ExitStack() as stack:
        if not commit:
            for alias in connections:
                if not database.is_own_file(alias):
                    _roll_back(stack, alias)
        yield


def _roll_back(stack: ExitStack, alias: str) -> None:
    try:
        block = transaction.atomic(using=alias)
        # A block with durable=True must be the outermost one. Django lets it be inside a block of
        # a test case, and so inside this one: see _from_testcase in django/db/transaction.py.
        block._from_testcase = True  # type: ignore[attr-defined]
        stack.enter_context(block)
    except (DatabaseError, ImproperlyConfigured):
        return  # nothing is written to a database that does not answer
    stack.callback(transaction.set_rollback, True, using=alias)
