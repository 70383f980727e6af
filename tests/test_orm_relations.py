"""The relation that an evaluation follows: the model that has it, and its name there."""

import pytest
from django.db.models import prefetch_related_objects
from django.template import Context, Engine

from django_memsize.measuring.spans import in_span
from django_memsize.values import FollowedRelation
from tests.app.models import Author, Book, Card, Novel, Reader, Tag

pytest_plugins = ["tests.orm_fixtures"]

AUTHOR = FollowedRelation("app.Book", "author", to_one=True)


def forward():
    for book in Book.objects.all():
        assert book.author.name


def in_a_template():
    template = Engine().from_string("{% for book in books %}{{ book.author.name }}{% endfor %}")
    assert template.render(Context({"books": Book.objects.all()}))


def reverse():
    for author in Author.objects.all():
        assert len(author.books.all())


def filtered():
    for author in Author.objects.all():
        assert author.books.filter(title__startswith="Book").first()


def many_to_many():
    for book in Book.objects.all():
        assert list(book.readers.all())


def many_to_many_from_behind():
    for reader in Reader.objects.all():
        assert list(reader.books.values_list("title"))


def one_to_one():
    for card in Card.objects.all():
        assert card.reader.name


def one_to_one_from_behind():
    for reader in Reader.objects.all():
        assert reader.card.pk


def generic():
    for tag in Tag.objects.all():
        assert tag.target


@pytest.fixture
def library(books):
    """Books, each with its reader, a card and a tag."""
    for book in books:
        reader = Reader.objects.create(name=book.title)
        book.readers.add(reader)
        Card.objects.create(reader=reader)
        Tag.objects.create(target=book)
    return books


@pytest.mark.parametrize(
    ("load", "relation"),
    [
        (forward, AUTHOR),
        (in_a_template, AUTHOR),
        (reverse, FollowedRelation("app.Author", "books")),
        (filtered, FollowedRelation("app.Author", "books")),
        (many_to_many, FollowedRelation("app.Book", "readers")),
        (many_to_many_from_behind, FollowedRelation("app.Reader", "books")),
        (one_to_one, FollowedRelation("app.Card", "reader", to_one=True)),
        (one_to_one_from_behind, FollowedRelation("app.Reader", "card", to_one=True)),
        (generic, FollowedRelation("app.Tag", "target")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_relation_that_a_loop_follows_is_known(library, recording, load, relation):
    with in_span(recording):
        load()

    first, *others = recording.evaluations
    assert first.relations == ()
    assert {each.relations for each in others if each.model != "contenttypes.ContentType"} == {
        (relation,)
    }


def test_a_line_may_follow_two_relations_to_one_model_by_one_statement(books, recording):
    Tag.objects.create(target=books[0].author)
    tags = Tag.objects.select_related("content_type")
    with in_span(recording):
        for book, tag in zip(Book.objects.all()[:1], tags, strict=True):
            assert book.author == tag.target

    (author,) = (each for each in recording.evaluations if each.model == "app.Author")
    assert author.relations == (AUTHOR, FollowedRelation("app.Tag", "target"))


@pytest.mark.parametrize(
    "load",
    [
        lambda books: list(Book.objects.filter(author=books[0].author)),
        lambda books: [Author.objects.get(pk=book.author_id) for book in books],
        lambda books: prefetch_related_objects(books, "readers"),
        lambda books: list(Book.objects.raw("SELECT * FROM app_book")),
        lambda books: [book.title for book in Book.objects.defer("title")],
        lambda books: list(Novel.objects.all()),
    ],
)
def test_what_follows_no_relation_of_an_instance_has_none(books, recording, load):
    with in_span(recording):
        load(books)

    assert {each.relations for each in recording.evaluations} == {()}
