"""Rollups in the database: batches that are stored once, and reading them by route."""

import uuid

import pytest
from django.db import IntegrityError, connection
from django.db.models.signals import post_save, pre_save
from django.test.utils import CaptureQueriesContext

from django_memsize import models
from django_memsize.reports import rollup_merging, rollup_storage
from django_memsize.reports.rollup_storage import Batch
from django_memsize.values import ProcessRollup, RouteKey, RouteRollup
from django_memsize.values.rollup import OTHERS, Level
from tests import rolled
from tests.rolled import MIDNIGHT, insert, row, sample

pytestmark = pytest.mark.django_db


def read(since=MIDNIGHT, **options):
    return rollup_storage.read_routes("default", since, **options)


def test_what_is_read_is_the_sum_of_what_was_stored():
    source = rolled.made_up()
    rows = [one for minute in range(5) for one in rolled.process(source, MIDNIGHT + 60 * minute)]
    insert(*rows)

    assert read() == rolled.total(rows)


def test_rows_before_the_moment_are_left_out():
    insert(row(MIDNIGHT - 60, "/old/"), row(MIDNIGHT, "/new/"))

    assert [key.route for key in read()] == ["/new/"]


def test_releases_are_added_up_or_one_is_chosen():
    insert(row(MIDNIGHT, release="1.0"), row(MIDNIGHT, release="2.0"), row(MIDNIGHT, release="2.0"))

    assert {key: rollup.requests for key, rollup in read().items()} == {
        RouteKey("request", "GET", "/a/", ""): 3
    }
    (chosen,) = read(release="2.0").values()
    assert chosen.requests == 2
    assert read(release="3.0") == {}


def test_a_batch_is_two_statements_however_many_rows_it_has():
    def statements(rows):
        with CaptureQueriesContext(connection) as captured:
            insert(*rows, samples=[sample(MIDNIGHT)])
        return [query["sql"] for query in captured if query["sql"].startswith("INSERT")]

    assert len(statements([row(MIDNIGHT)])) == 2
    assert len(statements([row(MIDNIGHT, f"/{number}/") for number in range(50)])) == 2


def test_a_batch_is_stored_in_whole_or_not_at_all(monkeypatch):
    def fails(*_):
        raise RuntimeError

    monkeypatch.setattr(ProcessRollup, "columns", fails)
    with pytest.raises(RuntimeError):
        insert(row(MIDNIGHT))

    assert models.Rollup.objects.count() == 0


def test_a_batch_is_found_again():
    batch = insert(row(MIDNIGHT), samples=[sample(MIDNIGHT)])
    without_samples = insert(row(MIDNIGHT))
    other = Batch([row(MIDNIGHT)], [], MIDNIGHT)

    assert rollup_storage.is_stored(batch, "default")
    assert rollup_storage.is_stored(without_samples, "default")
    assert not rollup_storage.is_stored(other, "default")


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [sample(MIDNIGHT - 5 * 3600), sample(MIDNIGHT - 60), sample(MIDNIGHT)],
        [sample(MIDNIGHT - 5 * 3600)],
        [sample(MIDNIGHT, level=Level.DAY), sample(MIDNIGHT, level=Level.HOUR)],
    ],
    ids=["none", "old and new", "old", "coarse"],
)
def test_a_batch_is_found_again_after_another_process_has_merged_its_old_rows(samples, monkeypatch):
    batch = insert(row(MIDNIGHT), samples=samples)
    monkeypatch.setattr(rollup_merging, "now", lambda: MIDNIGHT + 3600)
    rollup_merging.merge_all("default")

    assert rollup_storage.is_stored(batch, "default")
    assert models.ProcessRollup.objects.exclude(batch=None).count() == 1


def test_a_batch_cannot_be_stored_twice():
    batch = insert(row(MIDNIGHT), samples=[sample(MIDNIGHT - 60), sample(MIDNIGHT)])
    for again in (batch, batch.escaped()):
        with pytest.raises(IntegrityError):
            rollup_storage.insert(again, "default")

    assert models.Rollup.objects.count() == 1
    assert models.ProcessRollup.objects.count() == 2


@pytest.mark.parametrize("model", [models.Rollup, models.ProcessRollup])
def test_each_table_of_rollups_may_be_missing(model, monkeypatch):
    assert rollup_storage.has_tables("default")
    monkeypatch.setattr(model._meta, "db_table", "nowhere")

    assert not rollup_storage.has_tables("default")


def test_an_escaped_batch_is_ascii_and_fits_the_columns():
    batch = Batch([row(MIDNIGHT, "/ü/", release="ü" * 100)], [sample(MIDNIGHT)], MIDNIGHT)
    escaped = batch.escaped()
    rollup_storage.insert(escaped, "default")

    found = models.Rollup.objects.get()
    assert (found.route, len(found.release)) == ("/\\xfc/", 100)
    assert found.release.isascii()
    assert rollup_storage.is_stored(batch, "default")


def test_the_samples_of_processes_are_added_up():
    insert(
        samples=[sample(MIDNIGHT, 1, rss_max=5, lost_requests=1), sample(MIDNIGHT, 2, rss_max=7)]
    )
    insert(samples=[sample(MIDNIGHT - 60, 1, rss_max=100)])

    total = rollup_storage.read_processes("default", MIDNIGHT)

    assert (total.samples, total.rss_max, total.lost_requests) == (2, 7, 1)


def test_no_receiver_of_signals_hears_of_rollups():
    heard = []

    def receive(sender, **_):
        heard.append(sender)

    for signal in (pre_save, post_save):
        signal.connect(receive)
    insert(row(MIDNIGHT))
    for signal in (pre_save, post_save):
        signal.disconnect(receive)

    assert heard == []


def test_a_row_of_any_number_of_requests_is_small():
    source = rolled.made_up()
    everything = RouteRollup()
    for _ in range(20_000):
        for figure in ("duration", "rows", "statements", "rss_change", "peak", "allocated"):
            everything.add(figure, source.randrange(-(2**70), 2**70) >> source.randrange(70))

    assert len(everything.document()) < 20_000


def test_the_columns_of_a_process_are_the_figures_of_its_rollup():
    fields = {field.name for field in models.ProcessRollup._meta.get_fields()}

    assert fields - {"id", "level", "start", "host", "pid", "release", "batch"} == set(
        ProcessRollup.__slots__
    )


def test_rows_have_names():
    assert str(models.Rollup(method="GET", route="/a/")) == "GET /a/"
    assert str(models.Rollup(route=OTHERS)) == OTHERS
    assert str(models.ProcessRollup(host="web-1", pid=7)) == "web-1 7"
    assert models.ProcessRollup(batch=uuid.uuid4()).samples == 0
