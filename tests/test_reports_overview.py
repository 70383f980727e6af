"""What the database knows of a period: all requests by route, their reports, and processes."""

import datetime
import time

import pytest

from django_memsize import models
from django_memsize.reports import overview
from django_memsize.reports.overview import Question
from django_memsize.values import Amount
from django_memsize.values.rollup import Level
from tests.commands import create_first_counted, create_report
from tests.rolled import insert, row, sample

pytestmark = pytest.mark.django_db(databases=["default", "other"])

MB = 1024**2
METERED = {"instrument": "meter", "engine": "compiled", "net": None}


def ago(seconds):
    """Return the start of the minute so many seconds ago."""
    return int(time.time() - seconds) // 60 * 60


def metered(route="/a/", peak=MB, retained=0, **figures):
    figures = METERED | {"started_at": time.time() - 30} | figures
    return create_report(
        route, peak=Amount(1, peak), retained=Amount(1, retained), garbage=Amount(0, 0), **figures
    )


def read(since=3600, alias="default", **options):
    now = time.time()
    return overview.read(alias, Question(now - since, **options), now)


def by_route(found):
    return {figures.key.route: figures for figures in found.routes}


def test_requests_and_reports_of_a_route_are_joined():
    insert(row(ago(300), "/a/", 1, 2, 3, peak=5 * MB))
    low, high = metered(peak=2 * MB, rows=7), metered(peak=9 * MB, retained=MB, rows=5)

    figures = by_route(read())["/a/"]

    assert (figures.rollup.requests, figures.rollup["peak"].maximum) == (3, 5 * MB)
    known = figures.known
    assert (known.peak, known.peak_report, known.latest) == (9 * MB, high.pk, high.pk)
    assert (known.retained_report, known.garbage_report) == (high.pk, None)
    assert (known.metered_rows, known.metered_peak, known.rows_report) == (7, 2 * MB, low.pk)


def test_where_rollups_are_not_written_yet_the_reports_stand_for_them():
    metered(peak=3 * MB, first_request=True, rows=5)
    metered(peak=2 * MB, retained=MB, rows=6)

    rollup = by_route(read())["/a/"].rollup

    assert (rollup.requests, rollup.first_requests, rollup.metered) == (2, 1, 2)
    assert (rollup["peak"].maximum, rollup["retained"].sum) == (2 * MB, MB)
    assert (rollup["rows"].sum, rollup["duration"].count) == (11, 2)


def test_of_a_first_request_only_an_evaluation_counts_in_bytes():
    report = metered(peak=30 * MB, first_request=True)
    models.Report.objects.update(largest_evaluation_bytes=2 * MB)

    known = by_route(read())["/a/"].known

    assert (known.peak, known.peak_report) == (0, None)
    assert (known.evaluation, known.evaluation_report) == (2 * MB, report.pk)


def test_a_counted_report_has_rows():
    report = create_first_counted("/rare/", 50_000)
    figures = by_route(read())["/rare/"]

    assert (figures.rollup["rows"].maximum, figures.known.rows_report) == (50_000, report.pk)
    assert (figures.known.evaluation, figures.known.metered_rows) == (0, 0)


def test_the_net_of_a_census_is_an_average():
    for net in (100, 300):
        create_report(net_bytes=net, started_at=time.time())
    create_report(net_bytes=9000, first_request=True, started_at=time.time())

    assert by_route(read())["/accounts/"].known.net == 200


def test_what_memprofile_run_measured_and_code_are_no_traffic():
    metered("/run/", source="run")
    metered("code", kind="code")
    metered("block", kind="block")

    found = read()

    assert list(by_route(found)) == ["block"]
    assert found.reports == 1


def test_a_period_a_release_and_routes_may_be_chosen():
    insert(row(ago(600), "/a/", release="1"), row(ago(600), "/b/", release="2"))
    insert(row(ago(3 * 86_400), "/old/"))
    metered("/c/", release="1")
    metered("/older/", started_at=time.time() - 3 * 86_400)

    assert set(by_route(read())) == {"/a/", "/b/", "/c/"}
    assert set(by_route(read(release="1"))) == {"/a/", "/c/"}
    assert set(by_route(read(route="/[ab]/"))) == {"/a/", "/b/"}
    assert set(by_route(read(since=5 * 86_400))) == {"/a/", "/b/", "/c/", "/old/", "/older/"}


def test_the_releases_of_a_route_are_told_apart_only_if_one_is_chosen():
    metered(release="1")
    metered(release="2")

    (both,) = read().routes
    (one,) = read(release="2").routes

    assert (both.rollup.requests, both.key.release) == (2, "")
    assert (one.rollup.requests, one.key.release) == (1, "2")


def test_only_the_newest_reports_are_read(monkeypatch):
    monkeypatch.setattr(models, "NEWEST", 2)
    for number in (1, 2):
        metered(f"/{number}/", started_at=time.time() - 100 + number)
    assert not read().only_newest

    metered("/3/", started_at=time.time() - 90, dropped=5)
    found = read()

    assert found.only_newest
    assert (set(by_route(found)), found.dropped) == ({"/2/", "/3/"}, 5)


def test_without_time_zones_the_period_is_the_same(settings):
    settings.USE_TZ = False
    now = datetime.datetime.now()
    models.Report.objects.create(
        kind="request", route="/naive/", started_at=now, duration=0.1, engine="", instrument="meter"
    )

    assert set(by_route(read(since=120))) == {"/naive/"}


def test_a_process_has_the_rss_of_its_first_and_last_rows():
    rss = [(50, 60), (70, 70), (90, 80)]
    insert(
        samples=[
            sample(
                ago(600 - 60 * n),
                7,
                rss_min=low,
                rss_sum=high,
                rss_max=high,
                requests=10,
                python_blocks_sum=1000 + n,
            )
            for n, (low, high) in enumerate(rss)
        ]
    )
    insert(samples=[sample(ago(600), 8, rss_min=50, rss_sum=55, rss_max=55, lost_requests=3)])

    found = read()
    grown, other = found.workers

    assert (grown.key.pid, grown.rss_first, grown.rss_last, grown.rss_max) == (7, 50, 80, 80)
    assert (grown.requests, grown.growth, grown.samples) == (30, 30, 3)
    assert (grown.blocks_first, grown.blocks_last) == (1000, 1002)
    assert (grown.start, grown.end) == (ago(600), ago(480) + 60)
    assert (other.key.pid, other.growth, found.lost_requests) == (8, 5, 3)


def test_an_hour_of_a_process_ends_after_an_hour():
    start = ago(5 * 3600) // 3600 * 3600
    insert(
        samples=[sample(start, 7, Level.HOUR, samples=60, rss_sum=6000, rss_min=80, rss_max=120)]
    )
    (found,) = read(since=86_400).workers

    assert (found.start, found.end) == (start, start + 3600)
    assert (found.rss_first, found.rss_last, found.rss_max) == (80, 100, 120)


def test_rows_without_a_sample_are_no_process():
    insert(row(ago(300), "/a/"))  # its batch has a row of the process, of no figures

    assert read().workers == ()


def test_the_figures_of_reports_are_read_by_primary_key():
    report = metered(peak=3 * MB)

    found = overview.summaries("default", [report.pk, None, 10**6])

    assert {pk: summary.peak.bytes for pk, summary in found.items()} == {report.pk: 3 * MB}
