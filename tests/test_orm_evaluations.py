"""Evaluations of querysets: nobody notices that they are measured, and each is recorded once."""

import asyncio
import contextvars
import datetime
import functools
import gc
import inspect
import logging
import pickle
import pprint
import sys
import traceback
import weakref
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from asgiref.sync import async_to_sync
from django.db import DataError, IntegrityError, OperationalError, connection
from django.db.models.query import ModelIterable, QuerySet
from django.test.utils import CaptureQueriesContext

from django_memsize import measure
from django_memsize.measuring.source_files import PACKAGE
from django_memsize.measuring.spans import in_span, open_span
from django_memsize.orm import evaluations, patches
from django_memsize.reports.recordings import new_recording
from tests.app.models import Account, Author, Book
from tests.books import BOOKS, books_as, in_threads, listed

pytest_plugins = ["tests.orm_fixtures"]


# What the program sees


@pytest.fixture(params=["recorded", "not recorded"])
def _either_way(request, recording):
    with in_span(recording if request.param == "recorded" else None):
        yield


@pytest.mark.usefixtures("_either_way")
def test_iterators_are_still_generators(books):
    assert inspect.isgenerator(Book.objects.iterator())
    assert isinstance(Book.objects.raw(BOOKS).iterator(), Iterator)
    assert inspect.isgenerator(Book.objects.raw(BOOKS).iterator())
    assert inspect.isasyncgen(Book.objects.aiterator())


class Closing(ModelIterable):
    """Counts how often its generator is closed."""

    closed = 0

    def __iter__(self):
        try:
            yield from super().__iter__()
        finally:
            type(self).closed += 1


class Breaking(ModelIterable):
    """Raises after two rows."""

    error = ValueError("on purpose")

    def __iter__(self):
        rows = super().__iter__()
        yield next(rows)
        yield next(rows)
        raise self.error


def release(caught):
    """Release the server-side cursor: closed later, it would break the next transaction."""
    traceback.clear_frames(caught.tb)


@pytest.mark.usefixtures("_either_way")
def test_closing_an_iterator_closes_what_it_iterates_over(books):
    rows = books_as(Closing).iterator()
    next(rows)
    before = Closing.closed

    rows.close()

    assert Closing.closed == before + 1
    assert next(rows, "no more") == "no more"


async def test_closing_an_async_iterator_closes_what_it_iterates_over(
    monkeypatch, originals, recording
):
    closed = []

    async def aiterator(self):
        try:
            yield "a row"
            yield "another"
        finally:
            closed.append(True)

    with monkeypatch.context() as patching, in_span(recording):
        patching.setattr(QuerySet, "aiterator", aiterator)
        patches.install()
        rows = Book.objects.aiterator()
        await anext(rows)
        await rows.aclose()
        patches.uninstall()

    assert closed == [True]


async def test_iterators_of_someone_else_need_not_be_generators(monkeypatch, originals, recording):
    class Rows:
        def __init__(self):
            self.left = [2, 1]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    with monkeypatch.context() as patching, in_span(recording):
        patching.setattr(QuerySet, "aiterator", lambda self: Rows())
        patching.setattr(QuerySet, "_iterator", lambda self, *_: iter([1, 2]))
        patches.install()
        assert list(Book.objects.iterator()) == [1, 2]
        assert await listed(Book.objects.aiterator()) == [1, 2]
        patches.uninstall()

    assert recording.evaluations == ()


@pytest.mark.usefixtures("_either_way")
def test_an_exception_thrown_into_an_iterator_comes_out_of_it(books):
    thrown = ValueError("on purpose")
    rows = books_as(Closing).iterator()
    next(rows)
    before = Closing.closed

    with pytest.raises(ValueError, match="on purpose") as caught:
        rows.throw(thrown)

    assert caught.value is thrown
    assert Closing.closed == before + 1
    release(caught)


def test_an_unknown_kind_of_rows_goes_by_the_name_of_its_class(books, recording):
    with in_span(recording):
        list(books_as(Closing))

    assert [one.kind for one in recording.evaluations] == ["Closing"]


@pytest.mark.usefixtures("_either_way")
@pytest.mark.parametrize("arguments", [{"chunk_size": 0}, {"chunk_size": -1}])
def test_wrong_arguments_raise_as_without_memsize(arguments):
    with pytest.raises(ValueError, match="strictly positive"):
        Book.objects.iterator(**arguments)


@pytest.mark.usefixtures("books")
def test_pickles_of_evaluated_querysets_are_the_same_to_the_byte(recording):
    def pickled():
        queryset = Book.objects.order_by("pk").prefetch_related("author")
        list(queryset)
        return pickle.dumps(queryset)

    unrecorded = pickled()
    assert pickled() == unrecorded

    with in_span(recording):
        assert pickled() == unrecorded
    assert recording.rows == 8


def test_an_iterator_holds_no_row_that_the_loop_has_left(books, recording):
    seen, alive = [], []

    with in_span(recording):
        for book in Book.objects.iterator(chunk_size=2):
            seen.append(weakref.ref(book))
            alive.append(sum(one() is not None for one in seen))

    assert alive == [1] * 6


def test_an_async_iterator_holds_no_row_that_the_loop_has_left(books, recording):
    async def alive_at_each_row():
        seen = []
        async for book in Book.objects.aiterator(chunk_size=1):
            seen.append(weakref.ref(book))
            yield sum(one() is not None for one in seen)

    async def most_alive():
        return max([number async for number in alive_at_each_row()])

    unrecorded = async_to_sync(most_alive)()
    with in_span(recording):
        recorded = async_to_sync(most_alive)()

    assert recorded == unrecorded < 3


@pytest.mark.parametrize("disabled", [True, False])
def test_rows_are_the_same_without_server_side_cursors(monkeypatch, books, recording, disabled):
    monkeypatch.setitem(connection.settings_dict, "DISABLE_SERVER_SIDE_CURSORS", disabled)

    with in_span(recording):
        assert list(Book.objects.order_by("pk").iterator(chunk_size=2)) == books

    (evaluation,) = recording.evaluations
    assert (evaluation.rows, evaluation.streamed) == (6, True)
    assert evaluation.sql.startswith("SELECT")


def test_a_recording_runs_no_query_of_its_own(books, recording):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            for author in Author.objects.prefetch_related("books"):
                assert len(author.books.all()) == 3
            list(Book.objects.raw(BOOKS).iterator())
        return [query["sql"] for query in captured.captured_queries]

    unrecorded = queries()
    with in_span(recording):
        assert queries() == unrecorded
    assert recording.rows == 14


# What is recorded while it runs


def test_the_body_of_a_loop_over_an_iterator_belongs_to_the_recording(books, recording):
    with in_span(recording):
        for _ in Book.objects.iterator():
            assert open_span() is recording
        assert open_span() is recording


def test_the_body_of_an_async_loop_belongs_to_the_recording(books, recording):
    async def loop():
        async for _ in Book.objects.aiterator(chunk_size=2):
            assert open_span() is recording
        assert open_span() is recording

    with in_span(recording):
        async_to_sync(loop)()
    assert recording.rows == 6


def test_an_iterator_abandoned_outside_its_recording_leaves_nothing_behind(books, recording):
    with in_span(recording):
        rows = Book.objects.iterator()
        next(rows)

    del rows

    assert open_span() is None
    assert [one.rows for one in recording.evaluations] == [1]


def test_an_iterator_consumed_outside_is_credited_to_where_it_was_made(books, recording):
    with in_span(recording):
        rows = Book.objects.iterator()

    assert len(list(rows)) == 6
    assert [one.rows for one in recording.evaluations] == [6]


def test_rows_loaded_once_a_recording_is_closed_are_not_in_it(books, recording):
    with in_span(recording):
        recording.close()
        list(Book.objects.all())
        list(Book.objects.iterator())

    assert recording.evaluations == ()


def test_an_evaluated_queryset_is_not_followed_again(monkeypatch, books, recording):
    loaded = Book.objects.all()
    list(loaded)
    followed = []
    monkeypatch.setattr(evaluations, "_open", lambda *_: followed.append(_))

    with in_span(recording):
        assert list(loaded) == books
        assert loaded
        pickle.dumps(loaded)

    assert followed == []


def test_parameters_are_not_in_the_statement(books, recording):
    with in_span(recording):
        list(Book.objects.filter(title="secret"))
        list(Book.objects.filter(title="secret").iterator())
        list(Book.objects.raw("SELECT * FROM app_book WHERE title = %s", ["secret"]))

    assert len(recording.evaluations) == 3
    assert not [one.sql for one in recording.evaluations if "secret" in one.sql]


class Unforeseen(BaseException):
    """An exception that no ``except Exception`` catches."""


ERRORS = [
    IntegrityError("on purpose"),
    DataError("on purpose"),
    OperationalError("canceling statement due to statement timeout"),
    asyncio.CancelledError("on purpose"),
    Unforeseen("on purpose"),
]
QUERIES = {
    "list": lambda: list(Book.objects.all()),
    "get": lambda: Book.objects.get(title="Book 1"),
    "iterator": lambda: list(Book.objects.iterator()),
    "raw": lambda: list(Book.objects.raw(BOOKS)),
    "raw iterator": lambda: list(Book.objects.raw(BOOKS).iterator()),
    "async for": lambda: async_to_sync(listed)(Book.objects.all()),
    "aiterator": lambda: async_to_sync(listed)(Book.objects.aiterator()),
}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_that_raises_raises_the_same_exception(books, recording, query, error):
    def raising(execute, sql, params, many, context):
        raise error

    assert gc.isenabled()
    with in_span(recording), connection.execute_wrapper(raising):
        with pytest.raises(type(error)) as caught:
            query()
        assert open_span() is recording

    assert caught.value is error
    assert gc.isenabled()
    assert recording.evaluations == ()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        (list, []),
        (lambda books: list(books.iterator()), [2]),
        (lambda books: async_to_sync(listed)(books), []),
        (lambda books: async_to_sync(listed)(books.aiterator(chunk_size=1)), [2]),
    ],
    ids=["list", "iterator", "async for", "aiterator"],
)
def test_an_error_between_two_rows_is_raised_as_it_is(books, recording, query, rows):
    with in_span(recording):
        with pytest.raises(ValueError, match="on purpose") as caught:
            query(books_as(Breaking))
        assert open_span() is recording

    assert caught.value is Breaking.error
    assert [one.rows for one in recording.evaluations] == rows
    release(caught)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(books, recording, enabled):
    if not enabled:
        gc.disable()
    try:
        with in_span(recording):
            list(Book.objects.prefetch_related("author"))
            assert gc.isenabled() is enabled
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "function",
    [
        "orm.evaluations.find_call_site",
        "orm.evaluations._kind",
        "orm.evaluations.count_instances",
        "orm.evaluations.selected_relations",
        "measuring.evaluation_log.EvaluationLog.totals_at",
        "measuring.evaluation_totals.EvaluationTotals.__init__",
        "measuring.evaluation_span.EvaluationSpan.__init__",
        "measuring.evaluation_span.EvaluationSpan.statement_ran",
        "measuring.evaluation_span.EvaluationSpan.close_uncredited",
        "measuring.evaluation_span.EvaluationSpan.open",
    ],
)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_fault_of_memsize_changes_no_query(
    monkeypatch, caplog, books, recording, query, function
):
    caplog.set_level(logging.CRITICAL, "django_memsize")
    expected = query()
    # int() is in C, so its ValueError is raised by the line of django-memsize that calls it.
    monkeypatch.setattr(f"django_memsize.{function}", functools.partial(int, "no number"))

    with in_span(recording):
        assert query() == expected
        assert open_span() is recording


# To whom it is credited


def test_querysets_gathered_by_asyncio_are_credited_each_to_its_own_recording(books, recording):
    async def load(title):
        with in_span(new_recording(title)) as _:
            mine = open_span()
            rows = await listed(Book.objects.filter(title__lte=title))
            await asyncio.sleep(0)
            rows += await listed(Book.objects.filter(title__lte=title).aiterator(chunk_size=1))
            assert open_span() is mine
            return len(rows), [one.rows for one in mine.evaluations]

    async def gathered():
        return await asyncio.gather(*(load(f"Book {number}") for number in range(4)))

    with in_span(recording):
        credited = async_to_sync(gathered)()

    assert credited == [(2, [1, 1]), (4, [2, 2]), (6, [3, 3]), (8, [4, 4])]
    assert recording.evaluations == ()


@pytest.mark.django_db(transaction=True)
def test_threads_are_credited_only_if_they_run_in_a_copy_of_the_context(books, recording):
    with in_span(recording):
        copied = contextvars.copy_context()

    in_threads(
        lambda: copied.run(list, Book.objects.all()),
        lambda: Book.objects.get(title="Book 1"),
    )

    assert [one.rows for one in recording.evaluations] == [6]


def test_an_async_loop_abandoned_inside_a_recording_is_credited_to_it(books, recording):
    async def first():
        async with aclosing(Book.objects.aiterator()) as rows:
            async for _ in rows:
                break

    with in_span(recording):
        async_to_sync(first)()

    assert [one.rows for one in recording.evaluations] == [1]


# What is loaded again and again


def test_a_loop_is_one_evaluation_with_its_sums(books, recording):
    with in_span(recording):
        for book in Book.objects.all():
            assert book.author

    loop = recording.evaluations[1]
    assert (loop.times, loop.rows, dict(loop.instances)) == (6, 6, {"app.Author": 6})
    assert loop.kind == "lazy"
    assert recording.rows == 12


def test_statements_that_differ_are_evaluations_of_their_own(books, recording):
    with in_span(recording):
        for field in ("title", "title", "blurb", "title"):
            list(Book.objects.filter(**{field: "Book 1"}))

    assert [(one.times, one.rows) for one in recording.evaluations] == [(3, 3), (1, 0)]


# How exact


def test_an_evaluation_counts_what_it_loads_to_the_object(db):
    made = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    Account.objects.bulk_create(
        Account(
            name=f"Account {number}",
            created_at=made + datetime.timedelta(minutes=number),
            updated_at=made + datetime.timedelta(days=1, minutes=number),
            born_on=None if number < 6 else made.date() - datetime.timedelta(days=number),
        )
        for number in range(3090)
    )

    for _ in range(3):
        with measure("accounts") as recording:
            accounts = list(Account.objects.all())

    (evaluation,) = recording.evaluations
    counts = {name: total.count for name, total in evaluation.diff.items()}
    assert len(accounts) == evaluation.rows == 3090
    assert counts["tests.app.models.Account"] == 3090
    assert counts["django.db.models.base.ModelState"] == 3090
    assert counts["datetime.datetime"] == 6180
    assert counts["datetime.date"] == 3084
    assert not [name for name in counts if name.startswith("django_memsize")]


# Tools that print the local variables of each frame on the stack


@pytest.mark.django_db
@pytest.mark.parametrize("measured", [True, False])
def test_printing_the_local_variables_of_our_frames_runs_no_statement(measured):
    Author.objects.create(name="a")
    printed, depths = [], []

    def show(execute, *arguments):
        depths.append(len(depths))
        assert len(depths) == 1, "printing evaluates the queryset"
        frame = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                printed.append(pprint.pformat(frame.f_locals))
            frame = frame.f_back
        depths.pop()
        return execute(*arguments)

    patches.install()
    with connection.execute_wrapper(show):
        if measured:
            with measure("block"):
                assert len(Author.objects.filter(name="a")) == 1
        else:
            assert len(Author.objects.filter(name="a")) == 1

    assert printed
    assert max(map(len, printed)) < 2000
