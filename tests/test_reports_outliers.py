import pytest

from django_memsize.reports import outliers
from django_memsize.reports.outliers import Outliers
from django_memsize.values import OwnTuple

ROUTE = OwnTuple(("GET", "/accounts/"))
OTHER = OwnTuple(("GET", "/branches/"))


def reported(known, rows=0, growth=0, now=0.0, route=ROUTE):
    """Offer a request, and return whether it is an outlier, which is then remembered."""
    is_outlier = known.is_outlier(route, rows, growth, now)
    if is_outlier:
        known.add_outlier(route, rows, growth, now)
    return is_outlier


def test_a_small_request_is_never_an_outlier():
    assert not reported(Outliers(), rows=outliers.ROWS - 1, growth=outliers.GROWTH - 1)


@pytest.mark.parametrize("large", [{"rows": outliers.ROWS}, {"growth": outliers.GROWTH}])
def test_a_large_request_of_a_route_is_an_outlier_once(large):
    known = Outliers()

    assert reported(known, **large)
    assert not reported(known, **large)
    assert reported(known, **large, route=OTHER)


@pytest.mark.parametrize("figure", ["rows", "growth"])
def test_a_much_larger_request_is_an_outlier_again(figure):
    known = Outliers()
    large = 4 * outliers.GROWTH
    reported(known, **{figure: large})

    assert not reported(known, **{figure: large * 5 // 4})
    assert reported(known, **{figure: large * 5 // 4 + 1})
    assert not reported(known, **{figure: large * 5 // 4 + 1})


def test_a_request_that_is_larger_in_the_other_figure_is_an_outlier():
    known = Outliers()
    reported(known, rows=4000)

    assert reported(known, rows=4000, growth=outliers.GROWTH)


def test_the_worst_request_of_a_route_is_forgotten_after_an_hour():
    known = Outliers()
    reported(known, rows=4000)

    assert not reported(known, rows=1000, now=outliers.MEMORY - 1)
    assert reported(known, rows=1000, now=outliers.MEMORY)
    assert not reported(known, rows=1200, now=outliers.MEMORY + 1)


def test_a_request_that_is_reported_anyway_is_remembered():
    known = Outliers()
    known.add(ROUTE, 4000, 0, 0.0)

    assert not reported(known, rows=4000)


def test_the_worst_of_a_route_is_the_largest_in_each_figure():
    known = Outliers()
    known.add(ROUTE, 4000, outliers.GROWTH, 0.0)
    known.add(ROUTE, 1000, 4 * outliers.GROWTH, 0.0)

    assert not reported(known, rows=5000, growth=5 * outliers.GROWTH)
    assert reported(known, rows=5001)


def test_only_a_few_outliers_are_reported_within_a_minute():
    known = Outliers()
    routes = [OwnTuple(("GET", f"/{number}/")) for number in range(2 * outliers.A_MINUTE)]

    assert sum(reported(known, rows=4000, route=route) for route in routes) == outliers.A_MINUTE
    assert not reported(known, rows=4000, route=routes[-1], now=59)
    assert reported(known, rows=4000, route=routes[-1], now=60)


def test_only_so_many_routes_are_remembered():
    known = Outliers()
    for number in range(outliers.ROUTES + 10):
        known.add(OwnTuple(("GET", f"/{number}/")), 4000, 0, 0.0)

    assert len(known._by_route) == outliers.ROUTES
    assert reported(known, rows=4000, route=OwnTuple(("GET", "/0/")))
    assert not reported(known, rows=4000, route=OwnTuple(("GET", f"/{outliers.ROUTES + 9}/")))


def test_a_child_process_knows_of_no_outlier():
    known = Outliers()
    for number in range(outliers.A_MINUTE):
        reported(known, rows=4000, route=OwnTuple(("GET", f"/{number}/")))

    known.reset()

    assert reported(known, rows=4000, route=OwnTuple(("GET", "/0/")))
