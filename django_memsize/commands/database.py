"""The table of reports, and transactions that are rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, transaction

from .. import conf
from ..models import Report, ReportQuerySet
from ..reports import writer


def stored_reports() -> ReportQuerySet:
    """Return all stored reports.

    Raises CommandError where the table is missing or its database does not answer.
    """
    require_table()
    return Report.objects.using(conf.config().database)


def require_table() -> None:
    """Raise CommandError where the table of reports is missing, or its database unavailable."""
    database = conf.config().database
    try:
        ready = writer.has_table(database)
    except (DatabaseError, ImproperlyConfigured) as error:
        raise CommandError(f"The database {database!r} does not answer: {error}") from error
    if not ready:
        option = "" if database == "default" else f" --database {database}"
        raise CommandError(
            f"The database {database!r} has no table of reports: "
            f"run 'manage.py migrate django_memsize{option}' first."
        )


@contextmanager
def rolled_back(*, commit: bool = False) -> Iterator[None]:
    """Roll back all writes to any database in this context, unless ``commit`` is true."""
    with ExitStack() as stack:
        if not commit:
            for alias in connections:
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
