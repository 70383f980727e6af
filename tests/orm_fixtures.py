"""Fixtures of the tests of the ORM: books of two authors, and recordings to load them in."""

import pytest
from asgiref.sync import sync_to_async
from django.db import connections

from django_memsize.orm import patches
from django_memsize.reports.recordings import new_recording
from tests.app.models import Author, Book
from tests.books import in_place


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
    """A recording, not open, that takes no census of its evaluations."""
    return new_recording("a test")


@pytest.fixture
def originals(recording):
    """Django's own methods, without the patches; afterwards these are installed again."""
    patches.uninstall()
    try:
        yield in_place()
    finally:
        patches.uninstall()
        patches.install()


@pytest.fixture
def lent_connection(books):
    """The connection of the test, shared with other threads."""
    lent = connections["default"]
    lent.inc_thread_sharing()
    yield lent
    lent.dec_thread_sharing()


@pytest.fixture
async def _thread_of_async_code(lent_connection):
    """Lend the connection of the test to the thread in which async code queries."""

    def borrow():
        connections["default"] = lent_connection

    def give_back():
        del connections["default"]

    await sync_to_async(borrow)()
    yield
    await sync_to_async(give_back)()
