"""Inserting reports: all of a batch, or each that can be."""

import pytest
from django.db import DataError, OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_memsize.models import Report
from django_memsize.reports import storage
from django_memsize.reports.build import report_of
from django_memsize.reports.queue import Queued
from django_memsize.values import Summary
from django_memsize.workers.tally import Cause, Tally

pytestmark = pytest.mark.django_db


class Outcome:
    def __init__(self):
        self.taken = []

    def stored(self, items):
        self.taken += [("stored", item.report().route) for item in items]

    def refused(self, item, error):
        self.taken.append((type(error).__name__, item.report().route))


def queued(name, **figures):
    report = report_of(Summary(name=name, kind="block", started_at=1.0e9))
    for figure, value in figures.items():
        setattr(report, figure, value)
    return Queued(report)


def write(items, tally=None, **options):
    outcome = Outcome()
    options = {"may_be_stored": False} | options
    storage.write(items, "default", tally or Tally(), outcome, **options)
    return outcome.taken


def routes():
    return list(Report.objects.order_by("pk").values_list("route", flat=True))


@pytest.fixture
def insertions(monkeypatch):
    """Return the routes of each insertion, which fails by what ``insertions.error`` returns."""

    class Insertions(list):
        def error(self, names):
            return None

    insert, insertions = storage._insert, Insertions()

    def noting(reports, *rest):
        names = [report.route for report in reports]
        insertions.append(names)
        if error := insertions.error(names):
            raise error
        insert(reports, *rest)

    monkeypatch.setattr(storage, "_insert", noting)
    return insertions


def test_a_batch_is_inserted_at_once(django_assert_num_queries, insertions):
    assert write([queued("a"), queued("b")]) == [("stored", "a"), ("stored", "b")]

    assert insertions == [["a", "b"]]
    assert routes() == ["a", "b"]


def test_the_newest_primary_key_is_returned_where_the_database_tells_it():
    newest = storage.write(
        [queued("a"), queued("b")], "default", Tally(), Outcome(), may_be_stored=False
    )

    tells = connection.features.can_return_rows_from_bulk_insert
    assert newest == (Report.objects.latest("pk").pk if tells else None)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only there Django uses arrays")
def test_a_batch_is_not_inserted_as_arrays():
    with CaptureQueriesContext(connection) as captured:
        write([queued("a"), queued("b")])

    (insertion,) = [each["sql"] for each in captured if each["sql"].startswith("INSERT")]
    assert "UNNEST" not in insertion


@pytest.mark.parametrize("error", [DataError("bad"), OperationalError(1366, "bad"), ValueError()])
def test_of_a_batch_that_is_refused_only_the_bad_reports_are_lost(insertions, error):
    insertions.error = lambda names: error if "bad" in names else None

    taken = write([queued("a"), queued("bad"), queued("b")])

    assert taken == [("stored", "a"), (type(error).__name__, "bad"), ("stored", "b")]
    assert insertions == [["a", "bad", "b"], ["a"], ["bad"], ["bad"], ["b"]]
    assert routes() == ["a", "b"]


def test_what_a_column_refuses_is_tried_again_in_ascii(insertions):
    insertions.error = lambda names: DataError("charset") if not "".join(names).isascii() else None

    taken = write([queued("/\N{SNAKE}/" + "\N{SNAKE}" * 250), queued("a")])

    assert [word for word, _ in taken] == ["stored", "stored"]
    escaped, _ = routes()
    assert escaped.startswith("/\\U0001f40d/\\U0001f40d")
    assert len(escaped) == 255


def test_what_is_known_when_the_database_fails_in_the_middle_is_taken(insertions):
    def error(names):
        if names == ["b"]:
            return OperationalError("gone")
        return DataError("bad") if "bad" in names else None

    insertions.error = error
    outcome = Outcome()
    items = [queued("a"), queued("bad"), queued("b"), queued("c")]
    with pytest.raises(OperationalError):
        storage.write(items, "default", Tally(), outcome, may_be_stored=False)

    assert outcome.taken == [("stored", "a"), ("DataError", "bad")]


def test_what_is_stored_already_is_not_stored_again(insertions):
    items = [queued("a"), queued("b")]
    write(items[:1])

    taken = write(items, may_be_stored=True)

    assert taken == [("stored", "a"), ("stored", "b")]
    assert routes() == ["a", "b"]
    assert write(items, may_be_stored=True) == taken
    assert insertions == [["a"], ["b"]]


def test_a_report_whose_insertion_was_not_answered_counts_as_stored():
    item = queued("a")
    write([item])

    assert write([item]) == [("stored", "a")]
    assert routes() == ["a"]


def test_the_first_report_tells_the_drops_before_it_by_cause():
    tally = Tally()
    tally.made(Cause.QUEUE_FULL, 2)
    tally.made(Cause.REFUSED)

    write([queued("a"), queued("b")], tally)
    write([queued("c")], tally)

    stored = Report.objects.order_by("pk")
    assert [report.dropped for report in stored] == [3, 0, 0]
    assert stored[0].document["dropped"] == {"queue full": 2, "refused by the database": 1}
    assert "dropped" not in stored[1].document
    assert stored[0].summary().name == "a"


def test_drops_that_a_stored_report_tells_are_told_although_nobody_answered(insertions):
    tally, item = Tally(), queued("a")
    tally.made(Cause.QUEUE_FULL, 2)
    write([item], tally)
    again = Tally()
    again.made(Cause.QUEUE_FULL, 2)

    write([item], again, may_be_stored=True)

    assert again.untold() == {}
