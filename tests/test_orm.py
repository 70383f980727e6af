"""The patch on Django: how it goes on and off, and that nobody notices it."""

import asyncio
import contextvars
import datetime
import functools
import gc
import inspect
import linecache
import logging
import pickle
import threading
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django import forms
from django.db import DataError, IntegrityError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.db.models import FilteredRelation, Q
from django.db.models.query import ModelIterable, QuerySet, RawQuerySet
from django.db.models.sql.compiler import SQLUpdateCompiler
from django.template import Context, Engine, engines
from django.test.utils import CaptureQueriesContext

from django_memsize import measure
from django_memsize.measuring.recording import Recording
from django_memsize.measuring.spans import in_span, open_span
from django_memsize.orm import call_sites, coroutines, evaluations, patches
from tests.app.models import Account, Author, Book, Card, Reader
from tests.programs import ended_well

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
]
BOOKS = "SELECT * FROM app_book ORDER BY id"


@pytest.fixture
def _without_censuses(settings):
    settings.MEMSIZE = {"EVALUATIONS": False}


@pytest.fixture
def books(db, _without_censuses):
    """Six books of two authors."""
    ann, ben = (Author.objects.create(name=name) for name in ("Ann", "Ben"))
    return [
        Book.objects.create(title=f"Book {number}", author=author)
        for number, author in enumerate([ann, ben] * 3)
    ]


@pytest.fixture
def recording(_without_censuses):
    """A recording to work within; it takes no census."""
    return Recording("a test")


# On and off


@pytest.fixture
def functions():
    """Django's own functions, while the patch is off; afterwards it is on again."""
    Recording("the first, which puts it on")
    patches.uninstall()
    try:
        yield in_place()
    finally:
        patches.uninstall()
        patches.install()


def in_place():
    """What is there, and None for what a cursor has only when asked for it."""
    return {(cls, name): cls.__dict__.get(name) for cls, name in PATCHED}


def test_installing_replaces_methods_of_querysets_updates_and_cursors(functions):
    patches.install()

    assert all(in_place()[place] is not original for place, original in functions.items())


def test_installing_twice_patches_once(functions):
    patches.install()
    once = in_place()

    patches.install()

    assert in_place() == once
    assert {place: original_of(patch) for place, patch in once.items()} == functions


def original_of(patch):
    return getattr(patch, "__wrapped__", None)


def test_uninstalling_restores_the_identical_functions(functions):
    patches.install()

    patches.uninstall()

    assert all(in_place()[place] is original for place, original in functions.items())


def test_uninstalling_what_is_not_installed_changes_nothing(functions):
    patches.uninstall()

    assert in_place() == functions


PATCHED_BY_A_LIBRARY = """
import sys, types
import django
from django.apps import AppConfig
from django.conf import settings
from django.core.management import call_command
from django.db.models.query import QuerySet

class Library(AppConfig):
    name = "library"
    path = "."

    def ready(self):
        below = QuerySet._fetch_all
        def _fetch_all(self):
            if self._result_cache is None:
                self._result_cache = list(self._iterable_class(self))
            below(self)
        QuerySet._fetch_all = _fetch_all

sys.modules["library"] = library = types.ModuleType("library")
library.Library = Library
settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes", *sys.argv[1:]],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
call_command("migrate", verbosity=0)

import django_memsize as memsize
from django.contrib.contenttypes.models import ContentType

with memsize.measure("all") as recording:
    number = len(ContentType.objects.all())
print(recording.rows == number > 0)
"""


@pytest.mark.parametrize(
    "apps",
    [
        ("django_memsize",),
        ("django_memsize", "library.Library"),
        ("library.Library", "django_memsize"),
    ],
)
def test_no_library_hides_rows_by_loading_them_itself(apps):
    assert ended_well(PATCHED_BY_A_LIBRARY, *apps) == "True\n"


@pytest.mark.parametrize("kept", ["ours", "original"])
def test_uninstalling_leaves_a_later_patch_of_someone_else_in_place(
    monkeypatch, books, functions, kept
):
    patches.install()
    ours, calls = QuerySet._fetch_all, []
    below = ours if kept == "ours" else functions[QuerySet, "_fetch_all"]

    @functools.wraps(below)
    def theirs(self):
        calls.append(self.model)
        below(self)

    with monkeypatch.context() as patching:
        patching.setattr(QuerySet, "_fetch_all", theirs)
        patches.uninstall()

        assert QuerySet._fetch_all is theirs
        assert list(Book.objects.order_by("pk")) == books
        assert set(calls) == {Book}
        assert RawQuerySet._fetch_all is functions[RawQuerySet, "_fetch_all"]

    assert QuerySet._fetch_all is ours
    patches.uninstall()
    assert in_place() == functions


def test_installing_again_under_someone_elses_patch_does_not_patch_twice(
    monkeypatch, books, functions, recording
):
    patches.install()
    ours = QuerySet._fetch_all

    with monkeypatch.context() as patching:
        patching.setattr(QuerySet, "_fetch_all", lambda self: ours(self))
        patches.uninstall()
        patches.install()
        with in_span(recording):
            list(Book.objects.all())

    assert [one.rows for one in recording.evaluations] == [6]


@pytest.mark.django_db(transaction=True)
def test_eight_threads_that_begin_together_patch_once(monkeypatch, books, functions):
    barrier, recordings = threading.Barrier(8), [Recording(str(number)) for number in range(8)]
    wrapped = []

    def slowly(wrap):
        def wrapping(original):
            wrapped.append(original)
            time.sleep(0.01)
            return wrap(original)

        return wrapping

    for place, wrap in patches._WRAPPERS.items():
        monkeypatch.setitem(patches._WRAPPERS, place, slowly(wrap))

    def begin(recording):
        barrier.wait(10)
        patches.install()
        with in_span(recording):
            assert len(list(Book.objects.prefetch_related("author"))) == 6

    in_threads(*(functools.partial(begin, recording) for recording in recordings))

    assert wrapped == [original_of(patch) for patch in in_place().values()]
    assert wrapped == list(functions.values())
    rows = [[one.rows for one in recording.evaluations] for recording in recordings]
    assert rows == [[6, 2]] * 8


def in_threads(*functions):
    """Run each in a thread of its own; raise what the first of them raised."""
    errors = []

    def run(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)
        finally:
            # Not its own close(), which keeps a database in memory open.
            BaseDatabaseWrapper.close(connection)

    threads = [threading.Thread(target=run, args=[function]) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]


@pytest.fixture
def lent_connection(books):
    """The connection of the test, for use in other threads."""
    lent = connections["default"]
    lent.inc_thread_sharing()
    yield lent
    lent.dec_thread_sharing()


@pytest.fixture
async def _thread_of_async_code(lent_connection):
    """Have the thread in which async code queries see what the test put in the database."""

    def borrow():
        connections["default"] = lent_connection

    def give_back():
        del connections["default"]

    await sync_to_async(borrow)()
    yield
    await sync_to_async(give_back)()


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


@pytest.mark.parametrize(("cls", "name"), PATCHED)
def test_patched_functions_keep_name_and_signature(functions, cls, name):
    original = functions[cls, name]
    patches.install()
    patch = cls.__dict__[name]

    if original is None:
        assert (patch.__name__, patch.__qualname__) == (name, f"{cls.__qualname__}.{name}")
        return
    assert (patch.__name__, patch.__qualname__) == (original.__name__, original.__qualname__)
    assert patch.__doc__ == original.__doc__
    assert inspect.signature(patch) == inspect.signature(original)


class Closing(ModelIterable):
    """Tells when its generator is closed."""

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
    """Close the server's cursor now: closed any later, it would break the next transaction."""
    traceback.clear_frames(caught.tb)


def books_as(iterable):
    queryset = Book.objects.order_by("pk")
    queryset._iterable_class = iterable
    return queryset


@pytest.mark.usefixtures("_either_way")
def test_closing_an_iterator_closes_what_it_iterates_over(books):
    rows = books_as(Closing).iterator()
    next(rows)
    before = Closing.closed

    rows.close()

    assert Closing.closed == before + 1
    assert next(rows, "no more") == "no more"


async def test_closing_an_async_iterator_closes_what_it_iterates_over(
    monkeypatch, functions, recording
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


async def test_iterators_of_someone_else_need_not_be_generators(monkeypatch, functions, recording):
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
def test_wrong_arguments_are_refused_as_ever(arguments):
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


def test_rows_of_an_iterator_die_behind_the_loop(books, recording):
    seen, alive = [], []

    with in_span(recording):
        for book in Book.objects.iterator(chunk_size=2):
            seen.append(weakref.ref(book))
            alive.append(sum(one() is not None for one in seen))

    assert alive == [1] * 6


def test_rows_of_an_async_iterator_die_behind_the_loop(books, recording):
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
    """Nothing that anybody catches."""


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


async def listed(rows):
    return [row async for row in rows]


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
        "measuring.evaluation_log.EvaluationTotals.__init__",
        "measuring.evaluation_span.EvaluationSpan.__init__",
        "measuring.evaluation_span.EvaluationSpan.statement_ran",
        "measuring.evaluation_span.EvaluationSpan.close_uncredited",
        "measuring.evaluation_span.EvaluationSpan.open",
    ],
)
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_fault_of_ours_changes_no_query(monkeypatch, caplog, books, recording, query, function):
    caplog.set_level(logging.CRITICAL, "django_memsize")
    expected = query()
    # A function in C: what it raises is raised by the line of ours that calls it.
    monkeypatch.setattr(f"django_memsize.{function}", functools.partial(int, "no number"))

    with in_span(recording):
        assert query() == expected
        assert open_span() is recording


# To whom it is credited


def test_querysets_gathered_by_asyncio_are_credited_each_to_its_own_recording(books, recording):
    async def load(title):
        with in_span(Recording(title)) as _:
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


# How many instances


def built(recording):
    return [dict(one.instances) for one in recording.evaluations]


def test_instances_are_counted_by_model(books, recording):
    with in_span(recording):
        list(Book.objects.all())
        list(Book.objects.values("title"))
        list(Book.objects.raw(BOOKS))
        list(Book.objects.iterator())
        list(Book.objects.values_list("title").iterator())
        async_to_sync(listed)(Book.objects.aiterator())

    assert built(recording) == [
        *({"app.Book": 6}, {}, {"app.Book": 6}, {"app.Book": 6}, {}),
        {"app.Book": 6},
    ]


FAN_OUT = {"app.Book": 7, "app.Author": 6}
SELECTED = {
    "list": list,
    "iterator": lambda found: list(found.iterator()),
    "aiterator": lambda found: async_to_sync(listed)(found.aiterator()),
}


@pytest.mark.parametrize("load", SELECTED.values(), ids=SELECTED)
def test_instances_of_select_related_are_counted_each_time_they_are_built(books, recording, load):
    Book.objects.create(title="Anonymous")

    with in_span(recording), CaptureQueriesContext(connection) as captured:
        load(Book.objects.select_related("author"))

    assert built(recording) == [FAN_OUT]
    assert len(captured) == 1


@pytest.mark.filterwarnings("ignore:Calling select_related")
def test_instances_of_select_related_are_counted_however_they_are_asked_for(books, recording):
    reader = Reader.objects.create(name="Rae")
    Card.objects.create(reader=reader)
    Author.objects.update(best=books[0])

    with in_span(recording):
        list(Card.objects.select_related())
        list(Reader.objects.select_related("card"))
        list(Book.objects.select_related("author__best__author").filter(title="Book 1"))
        list(
            Book.objects.annotate(
                ann=FilteredRelation("author", condition=Q(author__name="Ann"))
            ).select_related("ann")
        )

    assert built(recording) == [
        {"app.Card": 1, "app.Reader": 1},
        {"app.Reader": 1, "app.Card": 1},
        {"app.Book": 3 - 1, "app.Author": 2},
        {"app.Book": 6, "app.Author": 3},
    ]


def test_instances_of_what_a_row_turns_into_are_counted_as_that(books, recording):
    class Turning(ModelIterable):
        def __iter__(self):
            yield from (Author(name=book.title) for book in super().__iter__())

    with in_span(recording):
        list(books_as(Turning))
        list(books_as(Turning).iterator())

    assert built(recording) == [{"app.Author": 6}] * 2


@pytest.mark.parametrize("load", SELECTED.values(), ids=SELECTED)
def test_what_makes_rows_need_not_be_a_class(books, recording, load):
    queryset = Book.objects.all()
    queryset._iterable_class = functools.partial(ModelIterable)
    with in_span(recording):
        load(queryset)

    (evaluation,) = recording.evaluations
    assert (evaluation.kind, evaluation.rows) == ("partial", 6)
    assert built(recording) == [{"app.Book": 6}]


# What is loaded again and again


def test_a_loop_is_one_evaluation_with_its_sums(books, recording):
    with in_span(recording):
        for book in Book.objects.all():
            author_of(book)

    loop = recording.evaluations[1]
    assert (loop.times, loop.rows, dict(loop.instances)) == (6, 6, {"app.Author": 6})
    assert loop.kind == "lazy"
    assert recording.rows == 12


def test_statements_that_differ_are_evaluations_of_their_own(books, recording):
    with in_span(recording):
        for field in ("title", "title", "blurb", "title"):
            list(Book.objects.filter(**{field: "Book 1"}))

    assert [(one.times, one.rows) for one in recording.evaluations] == [(3, 3), (1, 0)]


# Past the ORM


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
def test_a_cursor_finds_what_its_classes_behind_that_of_django_have(books, recording, fetch):
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


def test_a_cursor_that_finds_what_fetches_in_its_own_way_still_does(books, recording):
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


class NoModel:
    """A row of the program's own, which has what it has, and raises for all else."""

    def __init__(self, book):
        self.title = book.title

    def __getattr__(self, name):
        raise LookupError(name)


@pytest.mark.parametrize("load", SELECTED.values(), ids=SELECTED)
@pytest.mark.parametrize("row", [NoModel, lambda book: {"title": book.title}])
def test_rows_that_are_no_models_are_counted_where_relations_are_selected(
    books, recording, caplog, row, load
):
    class Turning(ModelIterable):
        def __iter__(self):
            return map(row, super().__iter__())

    queryset = Book.objects.select_related("author")
    queryset._iterable_class = Turning
    with in_span(recording):
        load(queryset)

    (evaluation,) = recording.evaluations
    assert (evaluation.rows, evaluation.instances) == (6, {})
    assert caplog.records == []


@pytest.mark.parametrize("load", SELECTED.values(), ids=SELECTED)
def test_a_model_is_not_asked_for_a_filtered_relation_that_a_row_lacks(
    books, recording, monkeypatch, load
):
    def asked(self, name):
        raise LookupError(name)

    monkeypatch.setattr(Book, "__getattr__", asked, raising=False)
    anns = FilteredRelation("author", condition=Q(author__name="Ann"))
    with in_span(recording):
        load(Book.objects.annotate(ann=anns).select_related("ann"))

    assert built(recording) == [{"app.Book": 6, "app.Author": 3}]


def test_what_the_orm_fetches_is_no_row_of_a_cursor(books, recording):
    with in_span(recording):
        list(Book.objects.all())
        assert Book.objects.count() == 6
        assert Book.objects.exists()
        Book.objects.create(title="New")

    assert (recording.statements, recording.cursor_rows, recording.rows) == (3, 0, 6)


def test_many_statements_at_once_are_one(books, recording):
    with in_span(recording), connection.cursor() as cursor:
        cursor.executemany("UPDATE app_book SET blurb = %s WHERE title = %s", [("a", "b")] * 3)

    assert recording.statements == 1


# The line that asked


def line(evaluation):
    """Return the text of the line at the site of an evaluation."""
    return linecache.getline(str(ROOT / evaluation.site.file), evaluation.site.line).strip()


def author_of(book):
    return book.author


def test_the_site_is_the_line_of_a_plain_call(books, recording):
    with in_span(recording):
        list(Book.objects.all())

    (evaluation,) = recording.evaluations
    assert line(evaluation) == "list(Book.objects.all())"
    assert evaluation.site.file == "tests/test_orm.py"
    assert evaluation.site.function == "test_the_site_is_the_line_of_a_plain_call"


def test_code_with_a_new_name_each_time_does_not_pile_up(books, recording, monkeypatch):
    monkeypatch.setattr(call_sites, "_MAX_ROLES", 20)
    with in_span(recording):
        for number in range(100):
            exec(compile("list(Book.objects.all())", f"/rule-{number}.py", "exec"))

    assert len(call_sites._roles) <= 20
    assert {one.site.file for one in recording.evaluations} == {
        f"rule-{number}.py" for number in range(100)
    }


def test_the_site_is_the_line_of_a_comprehension(books, recording):
    with in_span(recording):
        titles = [book.title for book in Book.objects.all()]

    (evaluation,) = recording.evaluations
    assert titles
    assert line(evaluation) == "titles = [book.title for book in Book.objects.all()]"


def test_the_site_of_an_iterator_is_where_it_was_asked_for(books, recording):
    with in_span(recording):
        rows = Book.objects.iterator()
        list(rows)

    (evaluation,) = recording.evaluations
    assert line(evaluation) == "rows = Book.objects.iterator()"


def test_the_site_of_a_lazy_foreign_key_is_the_helper_that_follows_it(books, recording):
    book = Book.objects.get(title="Book 1")
    with in_span(recording):
        author_of(book)

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line(evaluation)) == ("author_of", "return book.author")


def test_the_site_of_a_prefetch_is_that_of_the_queryset(books, recording):
    with in_span(recording):
        list(Book.objects.prefetch_related("author"))

    outer, inner = recording.evaluations
    assert inner.site == outer.site
    assert line(outer) == 'list(Book.objects.prefetch_related("author"))'


def test_the_site_of_what_a_template_loads_is_the_line_that_renders_it(books, recording):
    source = "{% for book in books %}{{ book.author.name }}{% endfor %}"
    template = engines["django"].from_string(source)

    with in_span(recording):
        template.render({"books": Book.objects.all()})

    assert [(one.model, one.times) for one in recording.evaluations] == [
        ("app.Book", 1),
        ("app.Author", 6),
    ]
    rendering = 'template.render({"books": Book.objects.all()})'
    assert {line(one) for one in recording.evaluations} == {rendering}


PAGES = {
    "outer.html": "<h1>Books</h1>\n{% for book in books %}\n{% include 'inner.html' %}{% endfor %}",
    "inner.html": "<p>\n\n{{ book.title }} by {{ book.author.name }}</p>",
}


def test_the_site_of_what_a_template_loads_has_the_line_of_the_innermost_node(books, recording):
    loader = ("django.template.loaders.locmem.Loader", PAGES)
    template = Engine(loaders=[loader]).get_template("outer.html")

    with in_span(recording):
        template.render(Context({"books": Book.objects.all()}))

    whole, lazy = (one.site for one in recording.evaluations)
    assert (whole.template, whole.template_line) == ("outer.html", 2)
    assert (lazy.template, lazy.template_line) == ("inner.html", 3)
    assert str(lazy) == f"inner.html:3, rendered by tests/test_orm.py:{lazy.line}"


def test_a_template_of_the_programs_own_goes_before_one_of_a_library(books, recording):
    class Choice(forms.Form):
        author = forms.ModelChoiceField(Author.objects.all())

    pages = {"form.html": "<form>\n{{ form }}</form>"}
    loader = ("django.template.loaders.locmem.Loader", pages)

    with in_span(recording):
        Engine(loaders=[loader]).get_template("form.html").render(Context({"form": Choice()}))
        str(Choice())

    of_page, of_django = (one.site for one in recording.evaluations)
    assert (of_page.template, of_page.template_line) == ("form.html", 2)
    assert of_django.template.startswith("django/forms/")


async def view_that_gets():
    return await Book.objects.aget(title="Book 1")


async def view_that_loops():
    async for book in Book.objects.all():
        assert book.title


async def view_that_iterates():
    async for book in Book.objects.aiterator(chunk_size=4):
        assert book.title


async def view_that_awaits_another():
    return await view_that_gets()


async def view_with_a_synchronous_function():
    return await sync_to_async(synchronous_function)()


def synchronous_function():
    return list(Book.objects.all())


ASYNC_SITES = [
    (view_that_gets, "view_that_gets", 'return await Book.objects.aget(title="Book 1")'),
    (view_that_loops, "view_that_loops", "async for book in Book.objects.all():"),
    (
        view_that_iterates,
        "view_that_iterates",
        "async for book in Book.objects.aiterator(chunk_size=4):",
    ),
    (
        view_that_awaits_another,
        "view_that_gets",
        'return await Book.objects.aget(title="Book 1")',
    ),
    (
        view_with_a_synchronous_function,
        "synchronous_function",
        "return list(Book.objects.all())",
    ),
]


@pytest.mark.parametrize(("view", "function", "text"), ASYNC_SITES)
@pytest.mark.usefixtures("_thread_of_async_code")
async def test_the_site_in_async_code_is_the_line_that_awaits(recording, view, function, text):
    with in_span(recording):
        await view()

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line(evaluation)) == (function, text)


@pytest.mark.usefixtures("_thread_of_async_code")
async def test_a_coroutine_that_is_not_suspended_yet_is_waited_for(monkeypatch, recording):
    """Its thread may have begun meanwhile."""
    looks = []

    def suspended(awaited):
        looks.append(awaited)
        return iter(()) if len(looks) == 1 else suspended_by_now(awaited)

    suspended_by_now = coroutines._suspended_frames
    task = asyncio.current_task()
    monkeypatch.setattr(coroutines, "_suspended_frames", suspended)
    monkeypatch.setattr(asyncio, "all_tasks", lambda loop: {task})
    with in_span(recording):
        await view_that_gets()

    (evaluation,) = recording.evaluations
    assert evaluation.site.function == "view_that_gets"
    assert len(looks) == 2


@pytest.mark.usefixtures("_thread_of_async_code")
async def test_the_sites_of_gathered_tasks_are_each_its_own(recording):
    views = [view_that_gets, view_that_loops, view_that_iterates, view_that_gets]

    with in_span(recording):
        await asyncio.gather(*(view() for view in views))

    times = {one.site.function: one.times for one in recording.evaluations}
    assert times == Counter(view.__name__ for view in views)


@pytest.mark.parametrize(("view", "function", "text"), ASYNC_SITES)
def test_the_site_in_async_code_called_by_sync_code_is_the_line_that_awaits(
    books, recording, view, function, text
):
    with in_span(recording):
        async_to_sync(view)()

    (evaluation,) = recording.evaluations
    assert (evaluation.site.function, line(evaluation)) == (function, text)


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
