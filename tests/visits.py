"""Requests as tests make them, beside the same ones without our middleware."""

import datetime

from django.test import override_settings

from django_memsize import engine
from django_memsize.measuring import in_flight, spans
from django_memsize.reports import recordings
from tests.app.models import Account, Author, Book

MEMSIZE = "django_memsize.middleware.MemsizeMiddleware"
EVERY_REQUEST = {
    "SAMPLE_RATE": 1.0,
    "MAX_OVERHEAD": 1.0,
    "EVALUATIONS": False,
    "INSTRUMENT": "census" if engine.Window is None else "auto",
}
WITH_EVALUATIONS = EVERY_REQUEST | {"EVALUATIONS": True}


AMOUNTS = ("allocated", "peak", "alive", "retained", "garbage", "free_lists")


def create_accounts(number):
    noon = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    return Account.objects.bulk_create(
        Account(
            name=f"account {place}",
            created_at=noon + datetime.timedelta(seconds=place),
            updated_at=noon + datetime.timedelta(hours=place),
            born_on=None if place < 6 else noon.date() - datetime.timedelta(days=place),
        )
        for place in range(number)
    )


def create_library():
    """Create sixty books of twenty authors, each with a long text."""
    authors = Author.objects.bulk_create(Author(name=f"author {n}") for n in range(20))
    Book.objects.bulk_create(
        Book(title=f"book {n}", author=authors[n % 20], blurb="b" * 1000) for n in range(60)
    )


def without_memsize(list_of_middleware):
    return [one for one in list_of_middleware if one != MEMSIZE]


def without_and_with_memsize(settings, outcome):
    """Return what ``outcome()`` is without our middleware and with it, and the reports then made.

    Asserts that no span is left open or in flight.
    """
    with override_settings(MIDDLEWARE=without_memsize(settings.MIDDLEWARE)):
        expected = outcome()

    with recordings.collecting() as reports:
        got = outcome()

    assert spans.open_span() is None
    assert others_under_way() == 0
    return expected, got, reports


def others_under_way():
    """Return how many spans are in flight at this moment."""
    return in_flight.InFlight().close()


def headers_of(response):
    """Return the headers but the one that tells the time: the second may end between two."""
    return sorted(pair for pair in response.headers.items() if pair[0] != "Expires")


def type_names(report):
    """Return the names of all types in all tables of the report."""
    summary = report.summary()
    amounts = [getattr(summary, name) for name in AMOUNTS]
    diffs = [amount.types for amount in amounts if amount is not None]
    diffs += [each.diff for each in (summary.near_peak, *summary.evaluations) if each is not None]
    return {name for diff in [summary.net, *diffs] if diff is not None for name in diff}
