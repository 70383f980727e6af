"""How many instances an evaluation built, by model."""

import functools

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.db.models import FilteredRelation, Q
from django.db.models.query import ModelIterable
from django.test.utils import CaptureQueriesContext

from django_memsize.measuring.spans import in_span
from tests.app.models import Author, Book, Card, Reader
from tests.books import BOOKS, books_as, listed

pytest_plugins = ["tests.orm_fixtures"]


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


def test_rows_that_an_iterable_replaces_are_counted_by_their_new_model(books, recording):
    class Turning(ModelIterable):
        def __iter__(self):
            yield from (Author(name=book.title) for book in super().__iter__())

    with in_span(recording):
        list(books_as(Turning))
        list(books_as(Turning).iterator())

    assert built(recording) == [{"app.Author": 6}] * 2


@pytest.mark.parametrize("load", SELECTED.values(), ids=SELECTED)
def test_an_iterable_need_not_be_a_class(books, recording, load):
    queryset = Book.objects.all()
    queryset._iterable_class = functools.partial(ModelIterable)
    with in_span(recording):
        load(queryset)

    (evaluation,) = recording.evaluations
    assert (evaluation.kind, evaluation.rows) == ("partial", 6)
    assert built(recording) == [{"app.Book": 6}]


class NoModel:
    """A row that is no model instance, whose ``__getattr__()`` raises LookupError."""

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
