"""Helpers of the tests of the ORM: querysets of books, what is patched, threads, call sites."""

import linecache
import threading
from pathlib import Path

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.db.models.query import QuerySet, RawQuerySet
from django.db.models.sql.compiler import SQLUpdateCompiler

from tests.app.models import Book

ROOT = Path(__file__).parent.parent
PATCHED = [
    (QuerySet, "_fetch_all"),
    (QuerySet, "_iterator"),
    (QuerySet, "aiterator"),
    (RawQuerySet, "_fetch_all"),
    (RawQuerySet, "iterator"),
    (SQLUpdateCompiler, "pre_sql_setup"),
    (CursorWrapper, "execute"),
    (CursorWrapper, "executemany"),
    (CursorWrapper, "callproc"),
    (CursorWrapper, "fetchone"),
    (CursorWrapper, "fetchmany"),
    (CursorWrapper, "fetchall"),
    (CursorWrapper, "__iter__"),
    (CursorDebugWrapper, "debug_sql"),
]
BOOKS = "SELECT * FROM app_book ORDER BY id"


def in_place():
    """Return the patched methods as they are now; None where a cursor has none of its own."""
    return {(cls, name): cls.__dict__.get(name) for cls, name in PATCHED}


def in_threads(*functions):
    """Run each function in a thread of its own, and raise the first exception."""
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            # Not close() of the connection itself: for SQLite in memory that does nothing.
            BaseDatabaseWrapper.close(connection)

    threads = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]


def books_as(iterable):
    """Return a queryset of all books whose rows are made by an iterable class."""
    queryset = Book.objects.order_by("pk")
    queryset._iterable_class = iterable
    return queryset


async def listed(rows):
    """Return the rows of an async iterable."""
    return [row async for row in rows]


def line_of(evaluation):
    """Return the text of the line at the call site of an evaluation."""
    return linecache.getline(str(ROOT / evaluation.site.file), evaluation.site.line).strip()
