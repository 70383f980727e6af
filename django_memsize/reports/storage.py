"""Inserting reports through the connection of this thread: all of a batch, or each that can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    NotSupportedError,
    models,
)
from django.db.models import Value

from ..models import Report
from ..workers.tally import Tally
from .connection import short_question, short_transaction
from .serialization import Dumped

_DATA_ERRORS: Final = (DataError, IntegrityError, NotSupportedError)

_REFUSED_BY_MYSQL: Final = frozenset({1153, 1264, 1366, 1406})
"""Errors about the data, some of which mysqlclient raises as OperationalError: a packet too large,
a number out of range, a character that the charset of the table lacks, a text too long."""

_DOCUMENT: Final = Report._meta.get_field("document")
# Django inserts several rows of plain values on PostgreSQL as arrays, in which psycopg escapes each
# quote of a document in Python: that takes longer than all the rest. An expression is no plain
# value (django/db/backends/postgresql/compiler.py).

DROPPED: Final = "dropped"
"""The key of a document under which are the reports dropped before it, by cause."""


class Item(Protocol):
    """A report that can be made any number of times."""

    @property
    def uid(self) -> UUID:
        """What identifies the report, before and after it is stored."""

    def report(self) -> Report:
        """Return the report, not stored yet."""


class Outcome(Protocol):
    """Takes what became of each report, as soon as it is known."""

    def stored(self, items: Sequence[Any]) -> None:
        """Take reports that are stored."""

    def refused(self, item: Any, error: Exception) -> None:
        """Take a report that the database will never store."""


def write(
    items: Sequence[Item], database: str, tally: Tally, outcome: Outcome, *, may_be_stored: bool
) -> int | None:
    """Insert reports in one transaction; if one of them is refused, each in a transaction.

    Returns the primary key of the last report if all were inserted and the database tells it.

    With ``may_be_stored`` an earlier attempt may have succeeded without being answered: what the
    database has already is not inserted again. Raises what the database raises, unless the reason
    is a report's data. Then nothing is known of the reports that the outcome has not taken.
    """
    if may_be_stored and (known := _stored_among(items, database, tally)):
        outcome.stored([item for item in items if item.uid in known])
        items = [item for item in items if item.uid not in known]
    if not items:
        return None
    try:
        newest = _insert([item.report() for item in items], database, tally)
    except Exception as error:
        if not is_refusal(error):
            raise
        for item in items:
            _write_alone(item, database, tally, outcome)
        return None
    outcome.stored(items)
    return newest


def _write_alone(item: Item, database: str, tally: Tally, outcome: Outcome) -> None:
    for make in (_unchanged, _escaped):
        try:
            _insert([make(item.report())], database, tally)
        except Exception as error:
            if not is_refusal(error):
                raise
            refusal = error
        else:
            outcome.stored([item])
            return
    if _stored_among([item], database, tally):
        outcome.stored([item])
    else:
        outcome.refused(item, refusal)


def _insert(reports: list[Report], database: str, tally: Tally) -> int | None:
    """Insert reports in one transaction. The first one tells the drops before it.

    Returns the primary key of the last one if the database tells it.
    """
    drops = tally.untold()
    first = reports[0]
    first.dropped = sum(drops.values())
    if drops:
        document = first.document
        first.document = (document.document() if type(document) is Dumped else document) | {
            DROPPED: dict(drops)
        }
    for report in reports:
        report.document = Value(report.document, _DOCUMENT)
    with short_transaction(database):
        # save() would send signals to receivers of the program.
        Report.objects.using(database).bulk_create(reports)
    tally.tell(drops)
    newest: int | None = reports[-1].pk
    return newest


def _stored_among(items: Sequence[Item], database: str, tally: Tally) -> set[UUID]:
    """Return the reports that the database has all the same, and count the drops they tell."""
    found = Report.objects.using(database).filter(uid__in=[item.uid for item in items])
    known = set()
    with short_question(database):
        rows = list(found.values_list("uid", "document"))
    for uid, document in rows:
        known.add(uid)
        tally.tell(document.get(DROPPED, {}))
    return known


def is_refusal(error: Exception) -> bool:
    """Return whether an error is about the data of a row, so that it will never be stored."""
    if isinstance(error, _DATA_ERRORS):
        return True
    if isinstance(error, (DatabaseError, InterfaceError)):
        return bool(error.args) and error.args[0] in _REFUSED_BY_MYSQL
    return isinstance(error, (ValueError, TypeError, OverflowError))  # the driver refuses it


def _unchanged(report: Report) -> Report:
    return report


def _escaped(report: Report) -> Report:
    r"""Return the report with ``\uXXXX`` for what is not ASCII, as a table may have any charset."""
    for field in Report._meta.concrete_fields:
        if isinstance(field, models.CharField):
            text = getattr(report, field.attname)
            escaped = text.encode("ascii", "backslashreplace").decode("ascii")
            setattr(report, field.attname, escaped[: field.max_length])
    return report
