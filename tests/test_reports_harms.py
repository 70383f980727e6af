"""The bytes of each harm, of made-up figures: what counts, and within which range."""

import pytest

from django_memsize.reports.harms import BYTES_OF_A_ROW, PROMOTING, harms_of
from django_memsize.values.impact import Basis, Harm, Known, Workers
from tests.impacts import MB, route, worker

KB = 1024
ONE = Workers.of([worker()])


def impact(harm, figures, workers=ONE):
    return next((found for found in harms_of(figures, workers) if found.harm is harm), None)


# Peaks


def test_the_highest_peak_is_that_of_any_request():
    found = impact(Harm.PEAK, route(peak=[MB, 83 * MB, 2 * MB], known=Known(peak=MB)))

    assert (found.bytes, found.low, found.high) == (83 * MB, 83 * MB, 83 * MB)
    assert (found.basis, found.sample) == (Basis.METERED, 3)


def test_the_report_of_a_higher_peak_counts_as_well():
    found = impact(Harm.PEAK, route(peak=[MB], known=Known(peak=90 * MB, peak_report=5)))

    assert (found.bytes, found.report) == (90 * MB, 5)


def test_the_bytes_of_a_first_request_are_those_of_its_evaluation_alone():
    known = Known(evaluation=40 * MB, evaluation_report=3)
    found = impact(Harm.PEAK, route(requests=1, first=1, known=known))

    assert (found.bytes, found.basis, found.report) == (40 * MB, Basis.EVALUATION, 3)


def test_rows_that_were_only_counted_are_worth_an_estimate():
    found = impact(Harm.PEAK, route(requests=1, first=1, rows=[50_000], known=Known(rows_report=4)))

    assert (found.bytes, found.basis, found.report) == (50_000 * BYTES_OF_A_ROW, Basis.ROWS, 4)
    assert impact(Harm.PEAK, route(rows=[0])) is None


def test_a_counted_request_with_many_more_rows_is_estimated_from_the_metered_one():
    known = Known(peak=3 * MB, metered_rows=3000, metered_peak=3 * MB)
    more = impact(Harm.PEAK, route(rows=[3000, 60_000], peak=[3 * MB], known=known))
    same = impact(Harm.PEAK, route(rows=[3000, 3100], peak=[3 * MB], known=known))

    assert (more.bytes, more.basis) == (60 * MB, Basis.ROWS)
    assert (same.bytes, same.basis) == (3 * MB, Basis.METERED)


def test_rows_of_a_stream_do_not_count_once_it_was_metered():
    known = Known(peak=MB, metered_rows=10**6, metered_peak=MB)
    found = impact(Harm.PEAK, route(rows=[10**6], peak=[MB], known=known))

    assert (found.bytes, found.basis) == (MB, Basis.METERED)


# Retained


def test_where_all_requests_were_metered_their_sum_counts():
    found = impact(Harm.RETAINED, route(requests=4, retained=[0, 300 * KB, 0, 0]))

    assert (found.bytes, found.low, found.high) == (300 * KB, 300 * KB, 300 * KB)


def test_a_leak_counts_in_each_request_of_a_worker():
    leak = [265 * KB] * 8
    figures = route(requests=1000, first=1, retained=leak, retained_later=leak[:3])
    found = impact(Harm.RETAINED, figures)

    assert found.bytes == found.low == found.high == 999 * 265 * KB
    assert (found.each, found.requests, found.sample) == (265 * KB, 999, 8)


def test_a_cache_that_the_first_few_fill_counts_with_what_it_holds():
    fills = [80 * KB] * 5
    found = impact(Harm.RETAINED, route(retained=[*fills, 0, 0], retained_later=[0, 0]))

    assert (found.bytes, found.each) == (5 * 80 * KB, 0)


def test_where_only_the_first_few_were_metered_all_of_them_tell_a_leak():
    found = impact(Harm.RETAINED, route(requests=100, retained=[265 * KB] * 5))

    assert (found.low, found.bytes, found.high) == (5 * 265 * KB, 100 * 265 * KB, 100 * 265 * KB)


@pytest.mark.parametrize("few", [[265 * KB, 265 * KB], [265 * KB, 0, 265 * KB]])
def test_fewer_or_others_that_retain_nothing_do_not(few):
    found = impact(Harm.RETAINED, route(requests=100, retained=few))

    assert found.bytes == found.low == sum(few)
    assert found.high == pytest.approx(sum(few) / len(few) * 100, rel=0.01)


def test_the_range_is_that_of_the_mean():
    retained = [100 * KB, 200 * KB] * 50
    found = impact(
        Harm.RETAINED,
        route(requests=10_000, retained=retained, retained_later=retained),
        Workers.of([worker(rss_max=0)]),
    )
    mean, margin = 150 * KB, 1.98 * 50.25 * KB / 10

    assert found.bytes == 10_000 * mean
    assert found.low == pytest.approx(10_000 * (mean - margin), rel=0.01)
    assert found.high == pytest.approx(10_000 * (mean + margin), rel=0.01)


def test_a_mean_that_may_be_nothing_counts_as_nothing():
    later = [0, 0, 0, 0, 0, 0, 150 * KB]
    found = impact(Harm.RETAINED, route(requests=10_000, retained=later, retained_later=later))

    assert (found.bytes, found.low, found.each) == (150 * KB, 150 * KB, 0)
    assert found.high == 300 * MB  # the RSS


def test_the_range_of_two_is_from_the_least_to_the_most():
    figures = route(requests=12, retained=[100 * KB, 300 * KB], retained_later=[100 * KB, 300 * KB])
    found = impact(Harm.RETAINED, figures)

    assert found.low == pytest.approx(400 * KB + 10 * 100 * KB, rel=0.05)
    assert found.bytes == 400 * KB + 10 * 200 * KB
    assert found.high == 400 * KB + 10 * 300 * KB


@pytest.mark.parametrize(
    ("survived", "share"), [([], 1), ([MB, MB], 1), ([MB, 0], 0.5), ([0, 0], 0), ([99, 99], 0)]
)
def test_only_the_share_that_outlives_later_requests_grows(survived, share):
    """The rest takes the place of what earlier requests retained."""
    figures = {"retained": [MB] * 10, "retained_later": [MB] * 5}
    known = {"followed": [MB] * len(survived), "survived": survived}
    whole = impact(Harm.RETAINED, route(**figures))
    found = impact(Harm.RETAINED, route(**figures, **known))

    assert (found is None) is (share == 0)
    assert found is None or found.bytes == round(share * whole.bytes)


def test_what_counts_as_nothing_is_no_leak_however_many_requests_there_are():
    retained = [12 * KB] * 20

    assert impact(Harm.RETAINED, route(requests=10**6, retained=retained)) is None
    noise = route(requests=10**6, retained=retained, retained_later=retained)
    assert impact(Harm.RETAINED, noise) is None


def test_a_worker_holds_no_more_than_its_rss():
    found = impact(Harm.RETAINED, route(requests=10**6, retained=[MB] * 5))

    assert found.bytes == found.high == 300 * MB


def test_it_is_no_more_than_what_the_process_accumulated():
    same = [110 * KB] * 20
    rotates = route(requests=10**5, retained=same, retained_later=same)
    flat = {"samples": 60, "blocks_first": 500_000, "rss_first": 300 * MB, "rss_last": 300 * MB}

    def in_worker(**figures):
        return impact(Harm.RETAINED, rotates, Workers.of([worker(**flat | figures)])).bytes

    assert in_worker(blocks_last=490_000) == 8 * MB
    assert in_worker(blocks_last=550_000) == 8 * MB + 50_000 * 512
    assert in_worker(blocks_last=500_000, rss_last=330 * MB, rss_max=330 * MB) == 38 * MB
    assert in_worker(blocks_last=500_000, samples=9) == 300 * MB  # too early to tell
    assert in_worker(blocks_first=0) == 300 * MB


# Garbage


def test_garbage_piles_up_until_the_next_full_collection():
    figures = route(requests=100, garbage=[3 * MB] * 4)
    never = impact(Harm.GARBAGE, figures, Workers.of([worker(rss_max=0)]))
    often = impact(Harm.GARBAGE, figures, Workers.of([worker(full_collections=9)]))

    assert (never.bytes, never.requests) == (300 * MB, 100)
    assert (often.bytes, often.requests) == (30 * MB, 10)


def test_of_little_garbage_most_is_freed_by_younger_collections():
    small = PROMOTING // 10
    found = impact(Harm.GARBAGE, route(requests=100, garbage=[small]))

    assert found.bytes == pytest.approx(10 * small, rel=0.01)
    assert (found.low, found.high) == (small, 100 * small)
    assert impact(Harm.GARBAGE, route(requests=100, garbage=[10 * KB])) is None


# RSS


def test_rss_that_nearly_every_request_raises_counts():
    found = impact(Harm.RSS, route(requests=14, rss_change=[8 * MB] * 13 + [0]))

    assert (found.bytes, found.sample) == (13 * 8 * MB, 14)


def test_little_rss_that_many_requests_raise_counts():
    assert impact(Harm.RSS, route(rss_change=[380 * KB] * 10)).bytes == 3800 * KB


@pytest.mark.parametrize(
    "changes",
    [
        [80 * MB, 0, 0, 0],
        [80 * MB, 40 * MB, 10 * MB, 2 * MB],  # the peaks of an export
        [8 * MB, -8 * MB] * 4,
        [8 * MB, 8 * MB],
        [4 * KB] * 200,
        [380 * KB, 350 * KB, 600 * KB, 400 * KB, 200 * KB],  # a process that began to serve
    ],
)
def test_rss_that_rises_now_and_then_or_seldom_or_little_does_not(changes):
    assert impact(Harm.RSS, route(rss_change=changes)) is None


def test_with_others_in_flight_the_rss_may_be_theirs():
    workers = Workers.of([worker(in_flight_max=4)])
    found = impact(Harm.RSS, route(rss_change=[8 * MB] * 12), workers)

    assert (found.low, found.bytes, found.high) == (24 * MB, 24 * MB, 96 * MB)


def test_rss_that_peaks_at_once_explain_is_none():
    workers = Workers.of([worker(in_flight_max=4, rss_max=900 * MB)])
    exports = {"rss_change": [68 * MB] * 9, "peak": [82 * MB]}

    assert impact(Harm.RSS, route(**exports), workers) is None
    assert impact(Harm.RSS, route(**exports), ONE).bytes == 300 * MB


# A census, and workers


def test_the_net_of_a_census_counts_once():
    found = impact(Harm.NET, route(known=Known(net=3.5 * KB, latest=9)))

    assert (found.bytes, found.basis, found.report) == (3584, Basis.CENSUS, 9)
    assert impact(Harm.NET, route(known=Known(net=-5.0))) is None


def test_the_busiest_process_is_the_worker():
    workers = Workers.of([worker(1, 100), worker(2, 300, in_flight_max=3)])

    assert (workers.busiest.key.pid, workers.share, workers.in_flight_max) == (2, 0.75, 3)
    assert workers.hours == 2
    assert (Workers.of([]).share, Workers.of([]).within(5.6)) == (1.0, 6)
    assert Workers.of([worker(requests=0)]).rss_max == 300 * MB
