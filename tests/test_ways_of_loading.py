"""Every way in which Django's ORM loads rows, with the evaluations that a recording lists."""

import asyncio
import copy
import datetime
import inspect
import io
import json
import pickle
import warnings
from collections import Counter
from contextlib import ExitStack, aclosing, contextmanager
from types import SimpleNamespace
from typing import NamedTuple

import django
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django import forms
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.contenttypes.prefetch import GenericPrefetch
from django.core import serializers
from django.core.management import call_command
from django.core.paginator import Paginator
from django.db import connection, connections, models
from django.db.models import (
    Count,
    Exists,
    FilteredRelation,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    prefetch_related_objects,
)
from django.shortcuts import aget_object_or_404, get_list_or_404, get_object_or_404
from django.template import engines
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.views.generic import DetailView, ListView

from django_memsize.measuring.spans import in_span
from django_memsize.reports.recordings import new_recording
from tests.app.models import Account, Author, Book, Card, Novel, Reader, Tag

pytestmark = pytest.mark.django_db(databases=["default", "other"])

with isolate_apps("tests.app"):

    class Seat(models.Model):
        pk = models.CompositePrimaryKey("row", "number")
        row = models.IntegerField()
        number = models.IntegerField()

        class Meta:
            app_label = "app"

    class Comic(Book):
        class Meta:
            app_label = "app"
            proxy = True


class Loaded(NamedTuple):
    """An evaluation, with the evaluations inside it in the order in which they began."""

    kind: str
    model: str
    rows: int
    instances: dict[str, int]
    inside: list["Loaded"]
    streamed: bool = False
    database: str = "default"
    times: int = 1


def of_instances(kind):
    """Return a function that makes evaluations whose rows are instances, some with related ones."""

    def loaded(model, rows, *inside, related=None, **others):
        made = Counter({model: rows}) + Counter(related)
        return Loaded(kind, model, rows, dict(made), list(inside), **others)

    return loaded


def of_rows(kind):
    """Return a function that makes evaluations whose rows are not instances."""
    return lambda model, rows, **others: Loaded(kind, model, rows, {}, [], **others)


instances, raw, lazy, deferred, refresh, prefetch, delete = map(
    of_instances, ["instances", "raw", "lazy", "deferred", "refresh", "prefetch", "delete"]
)
values, values_list, deferred_values, update_keys = map(
    of_rows, ["values", "values_list", "deferred", "update"]
)

# Where constraints are checked at once, foreign keys are set to NULL before the target is deleted.
DELETIONS = 5 if connection.features.can_defer_constraint_checks else 6

WAYS = []
IN_SESSION = ("SessionStore", "ModelBackend")


def way(*loaded, others=0, makes=None, by_django=()):
    """Declare the evaluations of a way of loading rows, in the order in which they begin.

    ``others`` is the number of statements that load no rows. ``makes`` are instances by model that
    no evaluation counts. ``by_django`` are the classes whose lines are the call sites,
    where no line of the program is on the stack.
    """

    def add(function):
        functions = set(by_django or (function.__name__,)) if loaded else set()
        expected = (function, list(loaded), others, makes or {}, functions)
        WAYS.append(pytest.param(*expected, id=function.__name__))
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
    Group.objects.create(name="Readers")
    client = Client()
    client.force_login(User.objects.create(username="eve", is_staff=True, is_superuser=True))
    return SimpleNamespace(
        client=client, ann=ann, ben=ben, alpha=alpha, beta=beta, gamma=gamma, rae=rae, sam=sam
    )


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


@way(instances("app.Book", 1))
def intersection_of_two_querysets(world):
    list(Book.objects.filter(author=world.ann).intersection(Book.objects.filter(title="Alpha")))


@way(instances("app.Book", 3))
def difference_of_two_querysets(world):
    list(Book.objects.all().difference(Book.objects.filter(title="Alpha")))


@way(instances("app.Book", 2))
def querysets_joined_by_or(world):
    list(Book.objects.filter(title="Alpha") | Book.objects.filter(title="Beta"))


@way(instances("app.Book", 4))
def copy_of_an_evaluated_queryset(world):
    books = Book.objects.all()
    list(books)
    assert len(copy.copy(books)) == 4


@way(instances("app.Book", 4), instances("app.Book", 4))
def deep_copy_of_an_evaluated_queryset(world):
    books = Book.objects.all()
    list(books)
    assert len(copy.deepcopy(books)) == 4


@way(instances("app.Author", 2))
def subquery_as_a_column(world):
    titles = Book.objects.filter(author=OuterRef("pk")).order_by("pk").values("title")
    authors = Author.objects.annotate(title=Subquery(titles[:1]))
    assert [author.title for author in authors.order_by("pk")] == ["Alpha", "Gamma"]


@way(instances("app.Book", 4), instances("app.Book", 4))
def evaluated_queryset_inside_a_filter(world):
    books = Book.objects.all()
    list(books)
    list(Book.objects.filter(pk__in=books))


@way(instances("app.Book", 1))
def locked_rows(world):
    Book.objects.select_for_update().get(title="Alpha")


@way(instances("app.Book", 4))
def loop_left_early(world):
    for _ in Book.objects.all():
        break


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


@way(instances("app.Account", 2), others=1)
def page_of_a_paginator(world):
    page = Paginator(Account.objects.order_by("pk"), 2).page(2)
    assert len(list(page)) == 2


@way(instances("app.Book", 4))
def in_bulk_of_all(world):
    assert len(Book.objects.in_bulk()) == 4


@way(instances("app.Account", 1), makes={"app.Account": 1})
def next_by_a_date(world):
    before = Account(pk=0, created_at=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC))
    assert before.get_next_by_created_at().name == "of the 1"


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


@way(values_list("app.Book", 4))
def union_of_values(world):
    titles = Book.objects.values_list("title")
    list(titles.filter(title="Alpha").union(titles.exclude(title="Alpha")))


@way(values("app.Book", 1))
def first_of_values(world):
    assert Book.objects.order_by("title").values("title").first() == {"title": "Alpha"}


# Statements that load no rows


@way(others=1)
def count(world):
    assert Book.objects.count() == 4


@way(others=1)
def exists(world):
    assert Book.objects.exists()


@way(others=1)
def contains(world):
    assert Book.objects.contains(world.beta)


@way(others=1)
def aggregate(world):
    assert Book.objects.aggregate(number=Count("pk")) == {"number": 4}


@way(others=1)
def explain(world):
    Book.objects.all().explain()


# Deferred fields


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


@way(refresh("app.Book", 1))
def refresh_from_a_queryset(world):
    world.alpha.refresh_from_db(from_queryset=Book.objects.select_related(None))


@way(refresh("app.Book", 1, related={"app.Author": 1}))
def refresh_with_its_relation(world):
    world.alpha.refresh_from_db(from_queryset=Book.objects.select_related("author"))


@way(values("app.Book", 4))
def values_of_deferred_fields(world):
    list(Book.objects.defer("blurb").values("blurb"))


# Relations


@way(instances("app.Book", 3), lazy("app.Author", 3, times=3))
def foreign_key_of_each_instance(world):
    for book in Book.objects.filter(author__isnull=False):
        assert book.author.name


@way(instances("app.Book", 1), lazy("app.Author", 1))
def foreign_key_asked_for_twice(world):
    book = Book.objects.get(title="Alpha")
    assert book.author is book.author


@way(instances("app.Book", 4, related={"app.Author": 3}))
def select_related(world):
    assert [book.author and book.author.name for book in Book.objects.select_related("author")]


@way(instances("app.Book", 3, related={"app.Author": 3}))
def select_related_without_nulls(world):
    list(Book.objects.filter(author__isnull=False).select_related("author"))


@way(instances("app.Tag", 3, related={"contenttypes.ContentType": 3}))
def select_related_of_a_content_type(world):
    list(Tag.objects.select_related("content_type"))


@way(instances("app.Book", 3, related={"app.Author": 3, "app.Book": 2}), others=1)
def select_related_through_two_relations(world):
    world.ann.best = world.gamma
    world.ann.save()
    books = Book.objects.select_related("author__best").filter(author__isnull=False)
    assert sum(book.author.best is not None for book in books) == 2


@way(instances("app.Card", 1, related={"app.Reader": 1}))
def select_related_of_all_that_is_never_null(world):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from Django 6.1 on it warns
        assert Card.objects.select_related().get().reader.name == "Rae"


@way(instances("app.Reader", 2, related={"app.Card": 1}))
def select_related_of_a_reverse_one_to_one(world):
    assert [hasattr(reader, "card") for reader in Reader.objects.select_related("card")]


@way(instances("app.Book", 4, related={"app.Novel": 1}))
def select_related_of_a_child(world):
    assert sum(hasattr(book, "novel") for book in Book.objects.select_related("novel")) == 1


@way(instances("app.Book", 3, related={"app.Author": 3}))
def select_related_with_only(world):
    books = Book.objects.select_related("author").only("title", "author__name")
    list(books.filter(author__isnull=False))


@way(instances("app.Author", 2, prefetch("app.Book", 3, related={"app.Author": 3})))
def select_related_inside_a_prefetch(world):
    list(Author.objects.prefetch_related(Prefetch("books", Book.objects.select_related("author"))))


@way(instances("app.Book", 4, related={"app.Author": 3}, streamed=True))
def select_related_in_an_iterator(world):
    list(Book.objects.select_related("author").iterator())


@way(instances("app.Author", 2, related={"app.Book": 1}))
def filtered_relation(world):
    alphas = FilteredRelation("books", condition=Q(books__title="Alpha"))
    list(Author.objects.annotate(alphas=alphas).select_related("alphas"))


@way(instances("app.Author", 2, related={"app.Book": 1, "app.Author": 1}))
def beyond_a_filtered_relation(world):
    alphas = FilteredRelation("books", condition=Q(books__title="Alpha"))
    list(Author.objects.annotate(alphas=alphas).select_related("alphas__author"))


@way(instances("app.Author", 3, related={"app.Reader": 2}))
def filtered_relation_of_a_filtered_relation(world):
    alphas = FilteredRelation("books", condition=Q(books__title="Alpha"))
    readers = FilteredRelation("alphas__readers")
    list(Author.objects.annotate(alphas=alphas, of=readers).select_related("of"))


@way(instances("app.Reader", 3, related={"app.Author": 3}))
def filtered_relation_by_way_of_another(world):
    authors = FilteredRelation("books__author")
    list(Reader.objects.annotate(authors=authors).select_related("authors"))


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


@way(instances("app.Comic", 4))
def proxy(world):
    assert {type(book) for book in Comic.objects.all()} == {Comic}


@way(update_keys("app.Novel", 1), instances("app.Novel", 1, related={"app.Author": 1}), others=1)
def select_related_of_the_parent(world):
    Novel.objects.update(author=world.ann)
    assert Novel.objects.select_related("author").get().author.name == "Ann"


@way(instances("app.Book", 1))
def get_of_a_reverse_foreign_key(world):
    assert world.ben.books.get().title == "Gamma"


@way(lazy("app.Author", 1), makes={"app.Book": 1})
def foreign_key_set_by_its_key(world):
    assert Book(author_id=world.ann.pk).author == world.ann


# Prefetching: the evaluation of each related queryset is inside the first


@way(instances("app.Author", 0))
def prefetch_for_no_instances(world):
    list(Author.objects.filter(name="Nobody").prefetch_related("books"))


@way(instances("app.Author", 2, prefetch("app.Book", 3)))
def prefetch_of_a_reverse_foreign_key(world):
    for author in Author.objects.prefetch_related("books"):
        assert author.books.all()


@way(instances("app.Book", 4, prefetch("app.Author", 2)))
def prefetch_of_a_foreign_key(world):
    list(Book.objects.prefetch_related("author"))


@way(instances("app.Book", 4, prefetch("app.Reader", 3)))
def prefetch_of_a_many_to_many(world):
    list(Book.objects.prefetch_related("readers"))


@way(instances("app.Book", 4, prefetch("app.Tag", 3)))
def prefetch_of_a_generic_relation(world):
    list(Book.objects.prefetch_related("tags"))


@way(instances("app.Tag", 3, prefetch("app.Book", 2)))
def prefetch_of_a_generic_foreign_key(world):
    list(Tag.objects.prefetch_related("target"))


@way(instances("app.Author", 2, prefetch("app.Book", 3), prefetch("app.Reader", 3)))
def prefetch_through_a_prefetch(world):
    list(Author.objects.prefetch_related("books__readers"))


@way(instances("app.Author", 2, prefetch("app.Book", 3, prefetch("app.Reader", 3))))
def prefetch_by_a_queryset_with_a_prefetch(world):
    books = Book.objects.prefetch_related("readers")
    list(Author.objects.prefetch_related(Prefetch("books", books)))


@way(instances("app.Author", 2, prefetch("app.Book", 1)))
def prefetch_to_an_attribute(world):
    alphas = Prefetch("books", Book.objects.filter(title="Alpha"), to_attr="alphas")
    assert [len(author.alphas) for author in Author.objects.prefetch_related(alphas)]


@way(instances("app.Author", 2), prefetch("app.Book", 3))
def prefetch_for_a_list_of_instances(world):
    authors = list(Author.objects.all())
    prefetch_related_objects(authors, "books")
    prefetch_related_objects(authors, "books")


@way(instances("app.Author", 1, prefetch("app.Book", 2)), instances("app.Book", 1))
def prefetch_left_aside_by_a_filter(world):
    ann = Author.objects.prefetch_related("books").get(name="Ann")
    list(ann.books.filter(title="Alpha"))


@way(instances("app.Tag", 3, prefetch("app.Book", 2)))
def prefetch_of_a_generic_foreign_key_by_querysets(world):
    list(Tag.objects.prefetch_related(GenericPrefetch("target", [Book.objects.defer("blurb")])))


@way(instances("app.Reader", 2, prefetch("app.Card", 1)))
def prefetch_of_a_reverse_one_to_one(world):
    list(Reader.objects.prefetch_related("card"))


@way(
    instances(
        *("app.Author", 2),
        prefetch("app.Book", 3, prefetch("app.Reader", 3), prefetch("app.Tag", 3)),
    )
)
def prefetches_beside_each_other_inside_a_prefetch(world):
    books = Book.objects.prefetch_related("readers", "tags")
    list(Author.objects.prefetch_related(Prefetch("books", books)))


@way(instances("app.Author", 1, prefetch("app.Book", 2)))
def prefetch_for_one_instance(world):
    assert len(Author.objects.prefetch_related("books").get(name="Ann").books.all()) == 2


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


@way(raw("app.Book", 4, prefetch("app.Author", 2)))
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


@way(instances("app.Book", 4, prefetch("app.Reader", 3, times=2), streamed=True))
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


@way(instances("app.Book", 3, streamed=True), lazy("app.Author", 2, times=2))
def foreign_keys_inside_the_loop_over_an_iterator(world):
    for book in Book.objects.exclude(title="Beta").order_by("pk").iterator():
        assert book.author is None or book.author.name


@way(instances("app.Author", 2, streamed=True), instances("app.Book", 3, streamed=True, times=2))
def iterators_inside_each_other(world):
    for author in Author.objects.order_by("-pk").iterator():
        list(author.books.iterator())


@way(instances("app.Book", 4, streamed=True))
def iterator_of_an_evaluated_queryset_asks_again(world):
    books = Book.objects.all()
    books._result_cache = []
    assert len(list(books.iterator())) == 4


@way(instances("app.Book", 4, streamed=True))
def iterator_by_chunks(world):
    list(Book.objects.iterator(chunk_size=3))


@way(instances("app.Book", 2, streamed=True), instances("app.Book", 2, streamed=True))
def iterator_over_a_slice(world):
    books = Book.objects.order_by("pk")
    list(books[:2].iterator())
    list(books[2:].iterator())


@way(instances("app.Book", 0, streamed=True))
def iterator_without_a_match(world):
    assert list(Book.objects.filter(title="Omega").iterator()) == []


@way(values_list("app.Account", 3, streamed=True))
def iterator_over_datetimes(world):
    list(Account.objects.datetimes("created_at", "day").iterator())


@way(instances("app.Book", 4, streamed=True))
def iterator_handed_on_by_a_generator(world):
    def titles():
        for book in Book.objects.iterator():
            yield book.title

    assert min(titles()) == "Alpha"


# Writing


@way(instances("app.Author", 1))
def get_or_create_of_what_is_there(world):
    assert Author.objects.get_or_create(name="Ann") == (world.ann, False)


@way(instances("app.Author", 0), others=3, makes={"app.Author": 1})
def get_or_create_of_what_is_new(world):
    assert Author.objects.get_or_create(name="Eve")[1]


@way(instances("app.Author", 1), others=3)
def update_or_create_of_what_is_there(world):
    assert Author.objects.update_or_create(name="Ann", defaults={"best": world.alpha})[1] is False


@way(instances("app.Author", 0), others=5, makes={"app.Author": 1})
def update_or_create_of_what_is_new(world):
    assert Author.objects.update_or_create(name="Eve")[1]


@way(others=2, makes={"app.Author": 1})
def save(world):
    world.alpha.save()
    Author(name="Eve").save()


@way(others=1, makes={"app.Author": 2})
def bulk_create(world):
    Author.objects.bulk_create([Author(name="Eve"), Author(name="Fay")])


@way(others=1)
def bulk_update(world):
    world.alpha.title = "Aleph"
    Book.objects.bulk_update([world.alpha], ["title"])


@way(others=1)
def update(world):
    assert Book.objects.filter(author__name="Ann").update(blurb="new") == 2


@way(update_keys("app.Novel", 1), others=1)
def update_that_asks_for_keys_first(world):
    assert Novel.objects.update(title="Novel") == 1


@way(others=1)
def delete_without_cascades(world):
    assert Card.objects.all().delete() == (1, {"app.Card": 1})


@way(
    delete("app.Author", 2),
    delete("app.Book", 3),
    delete("app.Novel", 0),
    others=DELETIONS,
)
def delete_with_cascades(world):
    Author.objects.all().delete()


@way(delete("app.Book", 2), delete("app.Novel", 0), others=DELETIONS)
def delete_of_an_instance_with_cascades(world):
    world.ann.delete()


@way(values_list("app.Reader", 2), others=1)
def set_of_a_many_to_many(world):
    world.alpha.readers.set([world.sam])


@way(others=1, makes={"app.Book_readers": 1})
def add_to_a_many_to_many(world):
    world.gamma.readers.add(world.sam)


@way(instances("app.Book", 2), others=1)
def set_of_a_reverse_foreign_key(world):
    world.ann.books.set([world.alpha, world.beta, world.gamma])


@way(others=1)
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


@way(others=2, makes={"app.Card": 1})
def validating_a_foreign_key_and_its_uniqueness(world):
    Card(reader=world.sam).full_clean()


@way(instances("app.Author", 1), others=1, makes={"app.Book": 1})
def validating_a_form_of_a_model(world):
    form = forms.modelform_factory(Book, fields=["title", "author"])
    assert form({"title": "Omega", "author": world.ann.pk}).is_valid()


@way(instances("app.Book", 2))
def inline_formset(world):
    formset = forms.inlineformset_factory(Author, Book, fields=["title"], extra=0)
    assert len(formset(instance=world.ann).forms) == 2


@way(instances("contenttypes.ContentType", 1), makes={"app.Tag": 1})
def deserializing_by_natural_keys(world):
    ContentType.objects.clear_cache()
    fields = {"name": "new", "content_type": ["app", "book"], "object_id": world.alpha.pk}
    text = json.dumps([{"model": "app.tag", "fields": fields}])
    assert [each.object.name for each in serializers.deserialize("json", text)] == ["new"]


@way(instances("app.Reader", 2, streamed=True))
def dumping_data(world):
    call_command("dumpdata", "app.Reader", stdout=io.StringIO())


# Pages


@way(instances("app.Account", 2), others=1)
def page_of_a_list_view(world):
    view = ListView.as_view(
        model=Account,
        ordering="pk",
        paginate_by=2,
        context_object_name="accounts",
        template_name="app/accounts.html",
    )
    assert view(RequestFactory().get("/")).render().content.startswith(b"of the 1")


@way(instances("app.Author", 1))
def page_of_a_detail_view(world):
    view = DetailView.as_view(model=Author, template_name="app/accounts.html")
    assert view(RequestFactory().get("/"), pk=world.ann.pk).render()


@way(instances("sessions.Session", 1), instances("auth.User", 1), by_django=IN_SESSION)
def page_of_someone_who_is_logged_in(world):
    assert world.client.get("/admin/password_change/").status_code == 200


@way(
    instances("sessions.Session", 1),
    instances("auth.User", 1),
    instances("auth.Group", 1),
    others=2,
    by_django=(*IN_SESSION, "ModelAdmin"),
)
def page_of_the_admin(world):
    assert b"1 group" in world.client.get("/admin/auth/group/").content


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


@way(instances("app.Book", 4, prefetch("app.Reader", 3, times=2), streamed=True))
async def aiterator_with_a_prefetch_for_each_chunk(world):
    books = Book.objects.order_by("pk").prefetch_related("readers")
    assert len([book async for book in books.aiterator(chunk_size=2)]) == 4


@way(instances("app.Book", 1, streamed=True), makes={"app.Book": 3})
async def aiterator_abandoned_half_way(world):
    async with aclosing(Book.objects.aiterator()) as books:
        async for _ in books:
            break


@way(others=3)
async def async_questions(world):
    assert await Book.objects.acount() == 4
    assert await Book.objects.aexists()
    assert await Book.objects.aaggregate(number=Count("pk"))


@way(instances("app.Author", 1), instances("app.Author", 0), others=3, makes={"app.Author": 1})
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


@way(instances("app.Author", 2), prefetch("app.Book", 3))
async def aprefetch_for_a_list_of_instances(world):
    authors = [author async for author in Author.objects.all()]
    await models.aprefetch_related_objects(authors, "books")


@way(instances("app.Book", 4))
async def list_in_a_thread_of_sync_to_async(world):
    await sync_to_async(list)(Book.objects.all())


@way(instances("app.Account", 1), instances("app.Account", 1))
async def aearliest_and_alatest(world):
    await Account.objects.aearliest("created_at")
    await Account.objects.alatest("created_at")


@way(values("app.Book", 4))
async def async_for_over_values(world):
    assert len([row async for row in Book.objects.values("title")]) == 4


@way(values_list("app.Book", 4, streamed=True))
async def aiterator_over_a_values_list(world):
    assert len([row async for row in Book.objects.values_list("title", flat=True).aiterator()]) == 4


@way(instances("app.Author", 2, prefetch("app.Book", 3)))
async def async_for_with_a_prefetch(world):
    assert [author async for author in Author.objects.prefetch_related("books")]


@way(instances("app.Book", 4, related={"app.Author": 3}))
async def async_for_with_select_related(world):
    assert [book async for book in Book.objects.select_related("author")]


@way(instances("app.Author", 1), others=3)
async def aupdate_or_create_of_what_is_there(world):
    await Author.objects.aupdate_or_create(name="Ann", defaults={"best": None})


@way(delete("app.Book", 2), delete("app.Novel", 0), others=DELETIONS)
async def adelete_with_cascades(world):
    await world.ann.adelete()


@way(instances("app.Reader", 2))
async def async_for_over_a_many_to_many(world):
    assert [reader async for reader in world.alpha.readers.all()]


@way(instances("app.Book", 8, times=2), instances("app.Author", 2))
async def evaluations_of_several_tasks(world):
    async def alist(rows):
        return [row async for row in rows]

    await asyncio.gather(alist(Book.objects.all()), alist(Book.objects.all()))
    await alist(Author.objects.all())


# Elsewhere


@way(instances("app.Reader", 1, database="other"))
def another_database(world):
    list(Reader.objects.using("other"))


@way(instances("app.Seat", 2), instances("app.Seat", 1), values_list("app.Seat", 2), others=2)
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

    @way(instances("app.Book", 4), deferred_values("app.Book", 4))
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


@pytest.mark.parametrize(("load", "loaded", "others", "makes", "functions"), WAYS)
def test_each_way_of_loading_rows_is_one_evaluation(world, load, loaded, others, makes, functions):
    recording = new_recording("a way of loading rows")

    with ExitStack() as stack:
        captured = [
            stack.enter_context(CaptureQueriesContext(connections[alias]))
            for alias in ("default", "other")
        ]
        made = stack.enter_context(counted_instances())
        stack.enter_context(in_span(recording))
        (async_to_sync(load) if inspect.iscoroutinefunction(load) else load)(world)

    evaluations = recording.evaluations
    assert tree_of(evaluations) == loaded
    assert recording.rows == sum(each.rows for each in evaluations)
    assert sum(map(len, captured)) == sum(each.times for each in evaluations) + others
    assert made == sum((Counter(each.instances) for each in flat(loaded)), Counter(makes))
    assert {each.site and each.site.function.partition(".")[0] for each in evaluations} == functions
    assert all("SELECT" in each.sql for each in evaluations)


@contextmanager
def counted_instances():
    """Count all instances that are made while the block runs, by model."""
    made = Counter()

    def count(sender, **kwargs):
        made[sender._meta.label] += 1

    models.signals.post_init.connect(count)
    try:
        yield made
    finally:
        models.signals.post_init.disconnect(count)


def tree_of(evaluations):
    """Return the outermost evaluations, each with the evaluations inside it.

    Evaluations are in the order in which they began, so one inside another one follows it.
    """
    levels = [[]]
    for each in evaluations:
        loaded = Loaded(
            *(each.kind, each.model, each.rows, dict(each.instances), []),
            *(each.streamed, each.database, each.times),
        )
        del levels[each.depth + 1 :]
        levels[each.depth].append(loaded)
        levels.append(loaded.inside)
    return levels[0]


def flat(loaded):
    """Yield evaluations, each followed by the evaluations inside it."""
    for each in loaded:
        yield each
        yield from flat(each.inside)
