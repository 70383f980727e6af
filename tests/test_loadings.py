"""Every way in which Django's ORM loads rows, and what the recording says of it."""

import datetime
import inspect
import json
import pickle
from contextlib import ExitStack, aclosing
from types import SimpleNamespace
from typing import NamedTuple

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django import forms
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.paginator import Paginator
from django.db import connection, connections, models
from django.db.models import Count, Exists, OuterRef, Prefetch, prefetch_related_objects
from django.shortcuts import aget_object_or_404, get_list_or_404, get_object_or_404
from django.template import engines
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_memsize.context import within
from django_memsize.recording import Recording
from tests.app.models import Account, Author, Book, Card, Novel, Reader, Tag

pytestmark = pytest.mark.django_db(databases=["default", "other"])

with isolate_apps("tests.app"):

    class Seat(models.Model):
        pk = models.CompositePrimaryKey("row", "number")
        row = models.IntegerField()
        number = models.IntegerField()

        class Meta:
            app_label = "app"


class Loaded(NamedTuple):
    model: str
    kind: str
    rows: int
    depth: int = 0
    streamed: bool = False
    database: str = "default"
    times: int = 1


def instances(model, rows, **others):
    return Loaded(model, "instances", rows, **others)


def values(model, rows, **others):
    return Loaded(model, "values", rows, **others)


def values_list(model, rows, **others):
    return Loaded(model, "values_list", rows, **others)


def raw(model, rows, **others):
    return Loaded(model, "raw", rows, **others)


def lazy(model, rows, **others):
    return Loaded(model, "lazy", rows, **others)


def deferred(model, rows, **others):
    return Loaded(model, "deferred", rows, **others)


def refresh(model, rows, **others):
    return Loaded(model, "refresh", rows, **others)


def prefetch(model, rows, depth=1, **others):
    return Loaded(model, "prefetch", rows, depth, **others)


WAYS = []


def way(*loaded, other_selects=0):
    """Say what a way of loading rows loads, in the order in which the loadings end.

    ``other_selects`` is how many statements it runs besides that read, but load no rows: those
    that count or look whether there are any.
    """

    def add(function):
        WAYS.append(pytest.param(function, list(loaded), other_selects, id=function.__name__))
        return function

    return add


@pytest.fixture(autouse=True)
def _without_censuses(settings):
    settings.MEMSIZE = {"EVALUATIONS": False}


@pytest.fixture
def world():
    """Two authors, four books of which one is a novel, two readers, three tags, four accounts."""
    ann, ben = Author.objects.create(name="Ann"), Author.objects.create(name="Ben")
    alpha, beta = (Book.objects.create(title=title, author=ann) for title in ("Alpha", "Beta"))
    gamma = Book.objects.create(title="Gamma", author=ben)
    Novel.objects.create(title="Delta", pages=300)
    rae, sam = Reader.objects.create(name="Rae"), Reader.objects.create(name="Sam")
    alpha.readers.set([rae, sam])
    beta.readers.set([rae])
    Card.objects.create(reader=rae, number=7)
    for name, target in (("first", alpha), ("old", alpha), ("last", gamma)):
        Tag.objects.create(name=name, target=target)
    for day in (1, 1, 2, 3):
        made = datetime.datetime(2024, 5, day, day, tzinfo=datetime.UTC)
        Account.objects.create(name=f"of the {day}", created_at=made, updated_at=made)
    Reader.objects.using("other").create(name="Una")
    return SimpleNamespace(ann=ann, alpha=alpha, beta=beta, gamma=gamma, rae=rae, sam=sam)


# Querysets of instances, evaluated whole


@way(instances("app.Book", 4))
def list_of_a_queryset(world):
    list(Book.objects.all())


@way(instances("app.Book", 4))
def loop_over_a_queryset(world):
    for book in Book.objects.all():
        assert book.title


@way(instances("app.Book", 4))
def len_of_a_queryset(world):
    len(Book.objects.all())


@way(instances("app.Book", 3))
def truth_of_a_queryset(world):
    bool(Book.objects.filter(author__isnull=False))


@way(instances("app.Book", 4))
def membership_in_a_queryset(world):
    assert world.beta in Book.objects.all()


@way(instances("app.Book", 4))
def repr_of_a_queryset(world):
    repr(Book.objects.all())


@way(instances("app.Book", 4))
def template_loop_over_a_queryset(world):
    template = engines["django"].from_string("{% for book in books %}{{ book }}{% endfor %}")
    template.render({"books": Book.objects.all()})


@way(instances("app.Book", 4))
def evaluated_queryset_used_again(world):
    books = Book.objects.all()
    assert list(books) == list(books)
    assert len(books) == 4
    assert books[1]


@way(instances("app.Book", 4), instances("app.Book", 4))
def clone_of_an_evaluated_queryset(world):
    books = Book.objects.all()
    list(books)
    list(books.all())


@way(instances("app.Book", 4))
def pickling_an_unevaluated_queryset(world):
    pickle.dumps(Book.objects.all())


@way(instances("app.Book", 4))
def unpickled_evaluated_queryset(world):
    books = Book.objects.all()
    list(books)
    assert len(pickle.loads(pickle.dumps(books))) == 4


@way(instances("app.Book", 4))
def unpickled_query(world):
    books = Book.objects.all()
    books.query = pickle.loads(pickle.dumps(books.query))
    list(books)


@way(instances("app.Book", 4))
def union_of_two_querysets(world):
    list(Book.objects.filter(title="Alpha").union(Book.objects.exclude(title="Alpha")))


@way(instances("app.Book", 2))
def distinct_instances(world):
    list(Book.objects.filter(readers__isnull=False).distinct())


@way(instances("app.Author", 2))
def annotated_instances(world):
    list(Author.objects.annotate(number=Count("books")))


@way(instances("app.Book", 2))
def subquery_inside_a_filter(world):
    list(Book.objects.filter(author__in=Author.objects.filter(name="Ann")))


@way(instances("app.Author", 2))
def existence_inside_a_filter(world):
    list(Author.objects.filter(Exists(Book.objects.filter(author=OuterRef("pk")))))


@way()
def queryset_of_none(world):
    assert list(Book.objects.none()) == []


@way()
def membership_in_no_keys(world):
    assert list(Book.objects.filter(pk__in=[])) == []


@way()
def slice_of_nothing(world):
    assert list(Book.objects.all()[2:2]) == []


@way(instances("app.Book", 0))
def queryset_without_a_match(world):
    assert list(Book.objects.filter(title="Omega")) == []


# Some rows of a queryset


@way(instances("app.Book", 1))
def index_into_a_queryset(world):
    assert Book.objects.order_by("title")[2].title == "Delta"


@way(instances("app.Book", 2))
def slice_of_a_queryset(world):
    list(Book.objects.order_by("title")[1:3])


@way(instances("app.Book", 4))
def slice_with_a_step(world):
    assert len(Book.objects.order_by("title")[0:4:3]) == 2


@way(instances("app.Book", 1))
def get(world):
    Book.objects.get(title="Alpha")


@way(instances("app.Book", 0))
def get_without_a_match(world):
    with pytest.raises(Book.DoesNotExist):
        Book.objects.get(title="Omega")


@way(instances("app.Book", 2))
def get_with_two_matches(world):
    with pytest.raises(Book.MultipleObjectsReturned):
        Book.objects.get(author=world.ann)


@way(instances("app.Book", 1))
def first(world):
    Book.objects.first()


@way(instances("app.Book", 1))
def last(world):
    Book.objects.last()


@way(instances("app.Account", 1))
def earliest(world):
    Account.objects.earliest("created_at")


@way(instances("app.Account", 1))
def latest(world):
    Account.objects.latest("created_at")


@way(instances("app.Book", 2))
def in_bulk(world):
    assert len(Book.objects.in_bulk([world.alpha.pk, world.beta.pk])) == 2


@way(instances("app.Book", 1), instances("app.Book", 4))
def shortcuts_of_views(world):
    get_object_or_404(Book, title="Alpha")
    get_list_or_404(Book)


@way(instances("app.Account", 2), other_selects=1)
def page_of_a_paginator(world):
    page = Paginator(Account.objects.order_by("pk"), 2).page(2)
    assert len(list(page)) == 2


# Rows that are no instances


@way(values("app.Book", 4))
def values_of_a_queryset(world):
    list(Book.objects.values("title", "author__name"))


@way(values_list("app.Book", 4))
def values_list_of_a_queryset(world):
    list(Book.objects.values_list("pk", "title"))


@way(values_list("app.Book", 4))
def flat_values_list(world):
    list(Book.objects.values_list("title", flat=True))


@way(values_list("app.Book", 4))
def named_values_list(world):
    list(Book.objects.values_list("pk", "title", named=True))


@way(values_list("app.Book", 1))
def get_of_a_flat_values_list(world):
    assert Book.objects.values_list("title", flat=True).get(pk=world.alpha.pk) == "Alpha"


@way(values("app.Book", 2))
def grouped_values(world):
    list(Book.objects.filter(author__isnull=False).values("author").annotate(number=Count("pk")))


@way(values_list("app.Account", 1))
def dates(world):
    list(Account.objects.dates("created_at", "month"))


@way(values_list("app.Account", 3))
def datetimes(world):
    list(Account.objects.datetimes("created_at", "day"))


# Questions that load no rows


@way(other_selects=1)
def count(world):
    assert Book.objects.count() == 4


@way(other_selects=1)
def exists(world):
    assert Book.objects.exists()


@way(other_selects=1)
def contains(world):
    assert Book.objects.contains(world.beta)


@way(other_selects=1)
def aggregate(world):
    assert Book.objects.aggregate(number=Count("pk")) == {"number": 4}


@way()
def explain(world):
    Book.objects.all().explain()


# Fields that come later


@way(instances("app.Book", 4), deferred("app.Book", 1))
def deferred_field_of_one_instance(world):
    first, *_ = Book.objects.defer("blurb")
    assert first.blurb == ""


@way(instances("app.Book", 4), deferred("app.Book", 4, times=4))
def field_left_out_by_only(world):
    for book in Book.objects.only("title"):
        assert book.blurb == ""


@way(refresh("app.Book", 1))
def refresh_from_db(world):
    world.alpha.refresh_from_db()


@way(refresh("app.Book", 1))
def refresh_of_one_field(world):
    world.alpha.refresh_from_db(fields=["title"])


# Relations


@way(instances("app.Book", 3), lazy("app.Author", 3, times=3))
def foreign_key_of_each_instance(world):
    for book in Book.objects.filter(author__isnull=False):
        assert book.author.name


@way(instances("app.Book", 1), lazy("app.Author", 1))
def foreign_key_asked_for_twice(world):
    book = Book.objects.get(title="Alpha")
    assert book.author is book.author


@way(instances("app.Book", 4))
def select_related(world):
    assert [book.author and book.author.name for book in Book.objects.select_related("author")]


@way(instances("app.Book", 2))
def reverse_foreign_key(world):
    assert all(book.author is world.ann for book in world.ann.books.all())


@way(instances("app.Card", 1), lazy("app.Reader", 1))
def forward_one_to_one(world):
    assert Card.objects.get().reader.name == "Rae"


@way(instances("app.Reader", 1), lazy("app.Card", 1))
def reverse_one_to_one(world):
    assert Reader.objects.get(name="Rae").card.number == 7


@way(instances("app.Reader", 1), lazy("app.Card", 0))
def reverse_one_to_one_that_is_missing(world):
    assert not hasattr(Reader.objects.get(name="Sam"), "card")


@way(instances("app.Reader", 2))
def many_to_many(world):
    list(world.alpha.readers.all())


@way(instances("app.Book", 2))
def reverse_many_to_many(world):
    list(world.rae.books.all())


@way(instances("app.Book_readers", 3))
def table_of_a_many_to_many(world):
    list(Book.readers.through.objects.all())


@way(instances("app.Tag", 2))
def generic_relation(world):
    list(world.alpha.tags.all())


@way(instances("app.Tag", 1), lazy("app.Book", 1))
def generic_foreign_key(world):
    assert Tag.objects.get(name="first").target == world.alpha


@way(lazy("contenttypes.ContentType", 1), instances("app.Tag", 2))
def generic_relation_before_its_content_type_is_known(world):
    ContentType.objects.clear_cache()
    list(world.alpha.tags.all())


@way(instances("app.Novel", 1))
def inherited_instance_with_its_parent(world):
    assert Novel.objects.get().title == "Delta"


@way(instances("app.Book", 1), lazy("app.Novel", 1))
def child_of_a_parent_instance(world):
    assert Book.objects.get(title="Delta").novel.pages == 300


@way(instances("app.Novel", 1), deferred("app.Novel", 1))
def deferred_field_of_the_parent(world):
    assert Novel.objects.only("pages").get().title == "Delta"


# Prefetching: each related queryset is a loading inside the first


@way(instances("app.Author", 0))
def prefetch_for_no_instances(world):
    list(Author.objects.filter(name="Nobody").prefetch_related("books"))


@way(prefetch("app.Book", 3), instances("app.Author", 2))
def prefetch_of_a_reverse_foreign_key(world):
    for author in Author.objects.prefetch_related("books"):
        assert author.books.all()


@way(prefetch("app.Author", 2), instances("app.Book", 4))
def prefetch_of_a_foreign_key(world):
    list(Book.objects.prefetch_related("author"))


@way(prefetch("app.Reader", 3), instances("app.Book", 4))
def prefetch_of_a_many_to_many(world):
    list(Book.objects.prefetch_related("readers"))


@way(prefetch("app.Tag", 3), instances("app.Book", 4))
def prefetch_of_a_generic_relation(world):
    list(Book.objects.prefetch_related("tags"))


@way(prefetch("app.Book", 2), instances("app.Tag", 3))
def prefetch_of_a_generic_foreign_key(world):
    list(Tag.objects.prefetch_related("target"))


@way(
    prefetch("app.Book", 3),
    prefetch("app.Reader", 3),
    instances("app.Author", 2),
)
def prefetch_through_a_prefetch(world):
    list(Author.objects.prefetch_related("books__readers"))


@way(
    prefetch("app.Reader", 3, depth=2),
    prefetch("app.Book", 3),
    instances("app.Author", 2),
)
def prefetch_by_a_queryset_with_a_prefetch(world):
    books = Book.objects.prefetch_related("readers")
    list(Author.objects.prefetch_related(Prefetch("books", books)))


@way(prefetch("app.Book", 1), instances("app.Author", 2))
def prefetch_to_an_attribute(world):
    alphas = Prefetch("books", Book.objects.filter(title="Alpha"), to_attr="alphas")
    assert [len(author.alphas) for author in Author.objects.prefetch_related(alphas)]


@way(instances("app.Author", 2), prefetch("app.Book", 3, depth=0))
def prefetch_for_a_list_of_instances(world):
    authors = list(Author.objects.all())
    prefetch_related_objects(authors, "books")
    prefetch_related_objects(authors, "books")


@way(prefetch("app.Book", 2), instances("app.Author", 1), instances("app.Book", 1))
def prefetch_left_aside_by_a_filter(world):
    ann = Author.objects.prefetch_related("books").get(name="Ann")
    list(ann.books.filter(title="Alpha"))


# Raw statements


BOOKS = "SELECT * FROM app_book ORDER BY id"


@way(raw("app.Book", 4))
def raw_statement(world):
    books = Book.objects.raw(BOOKS)
    assert list(books) == list(books)


@way(raw("app.Book", 4), raw("app.Book", 4))
def index_into_a_raw_statement(world):
    assert Book.objects.raw(BOOKS)[2].title == "Gamma"
    assert len(Book.objects.raw(BOOKS)) == 4


@way(raw("app.Book", 4, streamed=True))
def iterator_of_a_raw_statement(world):
    assert sum(1 for _ in Book.objects.raw(BOOKS).iterator()) == 4


@way(prefetch("app.Author", 2), raw("app.Book", 4))
def raw_statement_with_a_prefetch(world):
    list(Book.objects.raw(BOOKS).prefetch_related("author"))


@way(raw("app.Book", 4), deferred("app.Book", 1))
def field_left_out_by_a_raw_statement(world):
    first, *_ = Book.objects.raw("SELECT id, title FROM app_book ORDER BY id")
    assert first.blurb == ""


@way(raw("app.Book", 1))
def raw_statement_with_parameters(world):
    list(Book.objects.raw("SELECT * FROM app_book WHERE title = %s", ["Alpha"]))


# Streams


@way(instances("app.Book", 4, streamed=True))
def iterator(world):
    assert sum(1 for _ in Book.objects.iterator()) == 4


@way(values_list("app.Book", 4, streamed=True))
def iterator_over_a_values_list(world):
    list(Book.objects.values_list("title", flat=True).iterator(chunk_size=2))


@way(prefetch("app.Reader", 3, times=2), instances("app.Book", 4, streamed=True))
def iterator_with_a_prefetch_for_each_chunk(world):
    list(Book.objects.order_by("pk").prefetch_related("readers").iterator(chunk_size=2))


@way(instances("app.Book", 2, streamed=True))
def iterator_abandoned_half_way(world):
    for number, _ in enumerate(Book.objects.iterator(), start=1):
        if number == 2:
            break


@way()
def iterator_never_begun(world):
    Book.objects.iterator()


@way(lazy("app.Author", 2, times=2), instances("app.Book", 3, streamed=True))
def foreign_keys_inside_the_loop_over_an_iterator(world):
    for book in Book.objects.exclude(title="Beta").order_by("pk").iterator():
        assert book.author is None or book.author.name


@way(instances("app.Book", 3, streamed=True, times=2), instances("app.Author", 2, streamed=True))
def iterators_inside_each_other(world):
    for author in Author.objects.order_by("-pk").iterator():
        list(author.books.iterator())


@way(instances("app.Book", 4, streamed=True))
def iterator_of_an_evaluated_queryset_asks_again(world):
    books = Book.objects.all()
    books._result_cache = []
    assert len(list(books.iterator())) == 4


# Writing


@way(instances("app.Author", 1))
def get_or_create_of_what_is_there(world):
    assert Author.objects.get_or_create(name="Ann") == (world.ann, False)


@way(instances("app.Author", 0))
def get_or_create_of_what_is_new(world):
    assert Author.objects.get_or_create(name="Eve")[1]


@way(instances("app.Author", 1))
def update_or_create_of_what_is_there(world):
    assert Author.objects.update_or_create(name="Ann", defaults={"best": world.alpha})[1] is False


@way(instances("app.Author", 0))
def update_or_create_of_what_is_new(world):
    assert Author.objects.update_or_create(name="Eve")[1]


@way()
def save(world):
    world.alpha.save()
    Author(name="Eve").save()


@way()
def bulk_create(world):
    Author.objects.bulk_create([Author(name="Eve"), Author(name="Fay")])


@way()
def bulk_update(world):
    world.alpha.title = "Aleph"
    Book.objects.bulk_update([world.alpha], ["title"])


@way()
def update(world):
    assert Book.objects.filter(author__name="Ann").update(blurb="new") == 2


@way(Loaded("app.Novel", "update", 1))
def update_that_asks_for_keys_first(world):
    assert Novel.objects.update(title="Novel") == 1


@way()
def delete_without_cascades(world):
    assert Card.objects.all().delete() == (1, {"app.Card": 1})


@way(
    *[Loaded("app.Author", "delete", 2), Loaded("app.Book", "delete", 3)],
    Loaded("app.Novel", "delete", 0),
)
def delete_with_cascades(world):
    Author.objects.all().delete()


@way(Loaded("app.Book", "delete", 2), Loaded("app.Novel", "delete", 0))
def delete_of_an_instance_with_cascades(world):
    world.ann.delete()


@way(values_list("app.Reader", 2))
def set_of_a_many_to_many(world):
    world.alpha.readers.set([world.sam])


@way()
def add_to_a_many_to_many(world):
    world.gamma.readers.add(world.sam)


@way(instances("app.Book", 2))
def set_of_a_reverse_foreign_key(world):
    world.ann.books.set([world.alpha, world.beta, world.gamma])


@way()
def add_to_a_reverse_foreign_key(world):
    world.ann.books.add(world.gamma)


# Forms and serializers


@way(instances("app.Author", 2, streamed=True))
def choices_of_a_model_field(world):
    field = forms.ModelChoiceField(Author.objects.all())
    assert "Ben" in field.widget.render("author", None)


@way(instances("app.Author", 1))
def validating_a_choice(world):
    assert forms.ModelChoiceField(Author.objects.all()).clean(str(world.ann.pk)) == world.ann


@way(instances("app.Reader", 2))
def validating_several_choices(world):
    field = forms.ModelMultipleChoiceField(Reader.objects.all())
    assert len(field.clean([str(world.rae.pk), str(world.sam.pk)])) == 2


@way(instances("app.Author", 2))
def formset_of_models(world):
    formset = forms.modelformset_factory(Author, fields=["name"], extra=0)
    assert len(formset(queryset=Author.objects.order_by("pk")).forms) == 2


@way(instances("app.Author", 2))
def serializing_every_instance(world):
    assert len(json.loads(serializers.serialize("json", Author.objects.all()))) == 2


@way(other_selects=2)
def validating_a_foreign_key_and_its_uniqueness(world):
    Card(reader=world.sam).full_clean()


# Async


@way(instances("app.Book", 1))
async def aget(world):
    await Book.objects.aget(title="Alpha")


@way(instances("app.Book", 1), instances("app.Book", 1))
async def afirst_and_alast(world):
    await Book.objects.afirst()
    await Book.objects.alast()


@way(instances("app.Book", 4))
async def async_for(world):
    assert len([book async for book in Book.objects.all()]) == 4


@way(raw("app.Book", 4))
async def async_for_over_a_raw_statement(world):
    assert len([book async for book in Book.objects.raw(BOOKS)]) == 4


@way(instances("app.Book", 4, streamed=True))
async def aiterator(world):
    assert len([book async for book in Book.objects.aiterator(chunk_size=2)]) == 4


@way(prefetch("app.Reader", 3, times=2), instances("app.Book", 4, streamed=True))
async def aiterator_with_a_prefetch_for_each_chunk(world):
    books = Book.objects.order_by("pk").prefetch_related("readers")
    assert len([book async for book in books.aiterator(chunk_size=2)]) == 4


@way(instances("app.Book", 1, streamed=True))
async def aiterator_abandoned_half_way(world):
    async with aclosing(Book.objects.aiterator()) as books:
        async for _ in books:
            break


@way(other_selects=3)
async def async_questions(world):
    assert await Book.objects.acount() == 4
    assert await Book.objects.aexists()
    assert await Book.objects.aaggregate(number=Count("pk"))


@way(instances("app.Author", 1), instances("app.Author", 0))
async def aget_or_create(world):
    await Author.objects.aget_or_create(name="Ann")
    await Author.objects.aget_or_create(name="Eve")


@way(instances("app.Book", 2))
async def ain_bulk(world):
    await Book.objects.ain_bulk([world.alpha.pk, world.beta.pk])


@way(refresh("app.Book", 1), instances("app.Book", 1))
async def arefresh_from_db(world):
    await world.alpha.arefresh_from_db()
    await aget_object_or_404(Book, title="Alpha")


@way(instances("app.Author", 2), prefetch("app.Book", 3, depth=0))
async def aprefetch_for_a_list_of_instances(world):
    authors = [author async for author in Author.objects.all()]
    await models.aprefetch_related_objects(authors, "books")


@way(instances("app.Book", 4))
async def list_in_a_thread_of_sync_to_async(world):
    await sync_to_async(list)(Book.objects.all())


# Elsewhere


@way(instances("app.Reader", 1, database="other"))
def another_database(world):
    list(Reader.objects.using("other"))


@way(instances("app.Seat", 2), instances("app.Seat", 1), values_list("app.Seat", 2))
def composite_primary_key(world):
    if not connection.features.can_rollback_ddl:
        pytest.skip("here the table would outlive the test")
    with connection.cursor() as cursor:
        cursor.execute('CREATE TABLE app_seat ("row" integer, number integer)')
        cursor.execute("INSERT INTO app_seat VALUES (1, 1), (1, 2)")
    list(Seat.objects.all())
    Seat.objects.get(pk=(1, 2))
    list(Seat.objects.values_list("pk"))


# What came with Django 6.1


if django.VERSION >= (6, 1):

    @way(instances("app.Book", 3), lazy("app.Author", 2))
    def foreign_keys_of_peers(world):
        books = Book.objects.filter(author__isnull=False).fetch_mode(models.FETCH_PEERS)
        for book in list(books):
            assert book.author.name

    @way(instances("app.Book", 4), deferred("app.Book", 4))
    def deferred_field_of_peers(world):
        for book in list(Book.objects.defer("blurb").fetch_mode(models.FETCH_PEERS)):
            assert book.blurb == ""

    @way(instances("app.Book", 1))
    def fetching_that_is_forbidden(world):
        book = Book.objects.fetch_mode(models.FETCH_RAISE).get(title="Alpha")
        with pytest.raises(django.core.exceptions.FieldFetchBlocked):
            assert book.author

    @way(values_list("app.Book", 2))
    def in_bulk_of_values(world):
        titles = Book.objects.values_list("title", flat=True)
        assert len(titles.in_bulk([world.alpha.pk, world.beta.pk])) == 2


def selects(captured):
    """Return the captured statements that read, a cursor on the server's side included."""
    return [
        query["sql"]
        for query in captured.captured_queries
        if query["sql"].lstrip("( ").startswith(("SELECT", "DECLARE"))
    ]


@pytest.mark.parametrize(("load", "loaded", "other_selects"), WAYS)
def test_each_loading_of_rows_is_one_evaluation(world, load, loaded, other_selects):
    recording = Recording("a way of loading rows")

    with ExitStack() as stack:
        captured = [
            stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in ("default", "other")
        ]
        stack.enter_context(within(recording))
        (async_to_sync(load) if inspect.iscoroutinefunction(load) else load)(world)

    evaluations = recording.evaluations
    found = [
        Loaded(
            *(each.model, each.kind, each.rows, each.depth, each.streamed, each.database),
            each.times,
        )
        for each in evaluations
    ]
    loads = sum(each.times for each in evaluations)
    assert found == loaded
    assert recording.rows == sum(each.rows for each in loaded)
    assert sum(map(len, map(selects, captured))) == loads + other_selects
    assert {each.site.function.partition(".")[0] for each in evaluations} <= {load.__name__}
    assert all("SELECT" in each.sql for each in evaluations)
