"""Statements and rows of cursors, past the ORM."""

import functools

import pytest
from django.db import connection
from django.db.backends.utils import CursorWrapper

from django_memsize.measuring.spans import in_span
from django_memsize.orm import patches
from tests.app.models import Book
from tests.books import BOOKS

pytest_plugins = ["tests.orm_fixtures"]


def fetch_all(cursor):
    return len(cursor.fetchall())


def fetch_some(cursor):
    return len(cursor.fetchmany(2)) + len(cursor.fetchmany(2))


def fetch_one_by_one(cursor):
    return sum(1 for _ in iter(cursor.fetchone, None))


def go_through(cursor):
    return sum(1 for _ in cursor)


@pytest.mark.parametrize("fetch", [fetch_all, fetch_some, fetch_one_by_one, go_through])
def test_rows_that_a_cursor_fetches_are_counted(books, recording, fetch):
    with in_span(recording), connection.cursor() as cursor:
        cursor.execute(BOOKS)
        fetched = fetch(cursor)

    assert fetched >= 4
    assert (recording.statements, recording.cursor_rows) == (1, fetched)
    assert (recording.rows, recording.evaluations) == (0, ())


def keep_fetch_all(cursor):
    return cursor.fetchall


def keep_fetch_some(cursor):
    return functools.partial(cursor.fetchmany, 4)


def keep_fetch_one(cursor):
    return functools.partial(list, iter(cursor.fetchone, None))


def keep_going_through(cursor):
    rows = iter(cursor)
    next(rows)
    return functools.partial(list, rows)


@pytest.mark.parametrize(
    ("keep", "counted"),
    [(keep_fetch_all, 0), (keep_fetch_some, 0), (keep_fetch_one, 0), (keep_going_through, 1)],
)
def test_rows_that_a_cursor_fetches_once_its_recording_is_closed_are_not_in_it(
    books, recording, keep, counted
):
    with in_span(recording), connection.cursor() as cursor:
        cursor.execute(BOOKS)
        fetch = keep(cursor)
        recording.close()

        assert len(fetch()) >= 4

    assert recording.cursor_rows == counted


@pytest.mark.parametrize("fetch", [fetch_all, fetch_some, fetch_one_by_one])
def test_a_cursor_fetches_by_methods_of_classes_behind_that_of_django(books, recording, fetch):
    class Last:
        def fetchall(self):
            return self.cursor.fetchall()[1:]

        def fetchmany(self, size):
            return self.cursor.fetchmany(size)[1:]

        def fetchone(self):
            return self.cursor.fetchone() and self.cursor.fetchone()

    class Mine(CursorWrapper, Last):
        pass

    with in_span(recording), connection.cursor() as cursor:
        mine = Mine(cursor.cursor, connection)
        mine.execute(BOOKS)
        fetched = fetch(mine)

    assert fetched == {fetch_all: 5, fetch_some: 2, fetch_one_by_one: 3}[fetch]
    assert recording.cursor_rows == fetched


def test_a_cursor_with_a_getattr_of_its_own_fetches_through_it(books, recording):
    class Mine(CursorWrapper):
        def __getattr__(self, name):
            found = super().__getattr__(name)
            return (lambda: found()[1:]) if name == "fetchall" else found

    with in_span(recording), connection.cursor() as cursor:
        mine = Mine(cursor.cursor, connection)
        mine.execute(BOOKS)
        assert fetch_all(mine) == 5

    assert recording.cursor_rows == 5


def test_rows_of_a_cursor_that_another_patch_makes_a_plain_iterator_are_counted(
    books, recording, monkeypatch
):
    patches.uninstall()
    with monkeypatch.context() as before_us:
        before_us.setattr(CursorWrapper, "__iter__", lambda self: iter(self.cursor.fetchall()))
        patches.install()
        with in_span(recording), connection.cursor() as cursor:
            cursor.execute(BOOKS)
            fetched = go_through(cursor)
        patches.uninstall()
    patches.install()

    assert recording.cursor_rows == fetched >= 4


def test_rows_that_the_orm_fetches_are_not_rows_of_a_cursor(books, recording):
    with in_span(recording):
        list(Book.objects.all())
        assert Book.objects.count() == 6
        assert Book.objects.exists()
        Book.objects.create(title="New")

    assert (recording.statements, recording.cursor_rows, recording.rows) == (3, 0, 6)


def test_a_call_of_executemany_counts_as_one_statement(books, recording):
    with in_span(recording), connection.cursor() as cursor:
        cursor.executemany("UPDATE app_book SET blurb = %s WHERE title = %s", [("a", "b")] * 3)

    assert recording.statements == 1
