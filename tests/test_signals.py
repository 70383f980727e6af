"""What the handler of a signal raises while django-memsize is at work reaches the program."""

import gc
import logging
import signal

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.test import Client

from django_memsize import measure, process
from django_memsize.reports import immediate
from tests.app.models import Author, Book
from tests.signals import TimeLimit, interrupted, places_of
from tests.visits import WITH_EVALUATIONS

if not hasattr(signal, "SIGUSR1"):
    pytest.skip("this system has no signal to send", allow_module_level=True)

pytestmark = pytest.mark.django_db


def request():
    response = Client().get("/accounts/")
    response.json = None  # of the test client: refers to the response, which is a reference cycle


def streamed():
    response = Client().get("/accounts/stream/")
    assert b"".join(response.streaming_content) is not None
    response.json = None


def evaluation():
    with measure("block"):
        assert list(Book.objects.select_related("author").prefetch_related("readers"))


def iteration():
    with measure("block"):
        assert list(Book.objects.select_related("author").iterator(2))


def cursor():
    with transaction.atomic(), measure("block"):
        Author.objects.update(name="b")
        Book.objects.filter(author__name="b").update(title="a")


def stored():
    with measure("block", save=True):
        list(Author.objects.all())


PROGRAMS = [request, streamed, evaluation, iteration, cursor, stored]

LOST = {
    "middleware._Visit.__call__": "Django drops what a closer raises before or after its statement",
}
"""Functions at whose entry and exit an exception is lost."""


@pytest.fixture
def quiet(settings, quick_census, monkeypatch):
    settings.MEMSIZE = WITH_EVALUATIONS
    # A thread writes in a program that serves, and no handler of a signal runs there. In a test the
    # transaction of Django would be left half-way.
    monkeypatch.setattr(immediate, "write", lambda report: True)
    for author in Author.objects.bulk_create(Author(name=name) for name in "abc"):
        Book.objects.create(title=author.name, author=author)
    logging.disable(logging.CRITICAL)
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)
    request_finished.disconnect(close_old_connections)
    request_finished.connect(close_old_connections)


def swallowed(program, kind=TimeLimit):
    """Return the places where an exception does not reach the caller of a program."""
    for _ in range(3):
        program()
    places, lost = places_of(program), []
    assert len(places) > 100
    for place in places:
        raised, caught = interrupted(program, place, kind)
        if raised is not None and raised is not caught:
            lost.append(place)
        process.reset()
    return lost


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_a_handler_raises_at_any_place_reaches_the_program(quiet, program):
    lost = swallowed(program)

    assert [place for place in lost if place[0] not in LOST] == []
    assert len(lost) <= 3


@pytest.mark.census
def test_so_does_it_where_a_census_measures(quiet):
    assert swallowed(evaluation) == []


@pytest.mark.parametrize("kind", [TimeoutError, KeyboardInterrupt])
def test_so_does_an_exception_of_any_other_class(quiet, kind):
    assert swallowed(iteration, kind) == []
