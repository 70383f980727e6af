"""The order of harm, of made-up figures: which route is first, and what a process grew by."""

import pytest

from django_memsize.reports import impact
from django_memsize.values.impact import Harm, Workers
from tests.impacts import MB, route, worker

LEAK = route("/leak/", 500, retained=[265_000] * 8, retained_later=[265_000] * 3, peak=[MB])
BLOAT = route("/bloat/", 50, peak=[MB, 83 * MB], rows=[50_000])
COUNTED = route("/counted/", 1, rows=[50_000])
OUTSIDE = route("/outside/", 13, rss_change=[8 * MB] * 12)
QUIET = route("/quiet/", 9000, peak=[2 * MB], retained=[9000] * 90, duration=[10**9] * 3)
WORKER = worker()
ONE = Workers.of([WORKER])


def paths(routes, sort="impact", workers=ONE):
    return [ranked.figures.key.route for ranked in impact.rank(routes, workers, sort)]


def test_unlike_harms_are_ordered_by_their_bytes_in_a_worker():
    routes = [QUIET, COUNTED, OUTSIDE, BLOAT, LEAK]

    assert paths(routes) == ["/leak/", "/outside/", "/bloat/", "/counted/", "/quiet/"]
    ranked = impact.rank(routes, ONE)
    harms = [(each.impacts[0].harm, each.bytes / MB) for each in ranked]
    assert harms == [
        (Harm.RETAINED, pytest.approx(500 * 265_000 / MB)),
        (Harm.RSS, 96),
        (Harm.PEAK, 83),
        (Harm.PEAK, pytest.approx(50_000 * 800 / MB, abs=1e-6)),
        (Harm.PEAK, 2),
    ]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("peak", "/bloat/"),
        ("retained", "/leak/"),
        ("rows", "/bloat/"),
        ("requests", "/quiet/"),
        ("duration", "/quiet/"),
        ("rss", "/outside/"),
    ],
)
def test_routes_are_sorted_by_what_is_asked_for(sort, first):
    assert paths([LEAK, BLOAT, OUTSIDE, QUIET], sort)[0] == first


def test_routes_that_are_equal_in_it_are_sorted_by_impact_and_then_by_name():
    same = [route("/b/"), route("/a/"), BLOAT]

    assert paths(same, "garbage") == ["/bloat/", "/a/", "/b/"]


def test_what_one_worker_serves_counts():
    (whole,) = impact.rank([LEAK], ONE)
    (half,) = impact.rank([LEAK], Workers.of([WORKER, worker(8)]))

    assert half.bytes == pytest.approx(whole.bytes / 2, abs=1)


def test_a_route_without_a_figure_in_bytes_has_no_impact():
    (ranked,) = impact.rank([route("/")], ONE)

    assert (ranked.bytes, ranked.impacts) == (0, ())


def test_the_growth_of_a_process_is_accounted_for_by_all_leaks_and_the_highest_peak():
    ranked = impact.rank([LEAK, BLOAT, QUIET, COUNTED], ONE)
    parts = impact.parts_of(WORKER, ranked, ONE)

    assert [(part.figures.key.route, part.harm) for part in parts] == [
        ("/leak/", Harm.RETAINED),
        ("/bloat/", Harm.PEAK),
    ]
    grows = impact.rank([OUTSIDE], ONE)
    assert [(each.harm, each.bytes) for each in impact.parts_of(WORKER, grows, ONE)] == [
        (Harm.RSS, 96 * MB)
    ]
    assert impact.parts_of(worker(rss_last=57 * MB), ranked, ONE) == []
    smaller = worker(requests=WORKER.requests // 2)
    assert impact.parts_of(smaller, ranked, ONE)[-1].bytes == pytest.approx(
        500 * 265_000 / 2, abs=1
    )
