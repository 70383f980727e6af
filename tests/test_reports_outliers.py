import pytest

from django_memsize.reports import outliers
from django_memsize.reports.outliers import Outliers
from django_memsize.values import OwnTuple

ROUTE = OwnTuple(("GET", "/accounts/"))
OTHER = OwnTuple(("GET", "/branches/"))


def told(known, rows=0, growth=0, now=0.0, route=ROUTE):
    """Offer a request, and say whether it was told."""
    is_one = known.is_outlier(route, rows, growth, now)
    if is_one:
        known.tell(route, rows, growth, now)
    return is_one


def test_what_is_small_is_never_told():
    assert not told(Outliers(), rows=outliers.ROWS - 1, growth=outliers.GROWTH - 1)


@pytest.mark.parametrize("big", [{"rows": outliers.ROWS}, {"growth": outliers.GROWTH}])
def test_what_is_big_is_told_once(big):
    known = Outliers()

    assert told(known, **big)
    assert not told(known, **big)
    assert told(known, **big, route=OTHER)


def test_what_is_much_worse_is_told_again():
    known = Outliers()
    told(known, rows=4000)

    assert not told(known, rows=5000)
    assert told(known, rows=5001)
    assert not told(known, rows=5001)


def test_what_is_worse_in_the_other_way_is_told():
    known = Outliers()
    told(known, rows=4000)

    assert told(known, rows=4000, growth=outliers.GROWTH)


def test_after_a_while_the_worst_is_forgotten():
    known = Outliers()
    told(known, rows=4000)

    assert not told(known, rows=1000, now=outliers.MEMORY - 1)
    assert told(known, rows=1000, now=outliers.MEMORY)
    assert not told(known, rows=1200, now=outliers.MEMORY + 1)


def test_what_is_told_anyway_is_remembered():
    known = Outliers()
    known.remember(ROUTE, 4000, 0, 0.0)

    assert not told(known, rows=4000)


def test_only_a_few_are_told_within_a_minute():
    known = Outliers()
    routes = [OwnTuple(("GET", f"/{number}/")) for number in range(2 * outliers.A_MINUTE)]

    assert sum(told(known, rows=4000, route=route) for route in routes) == outliers.A_MINUTE
    assert not told(known, rows=4000, route=routes[-1], now=59)
    assert told(known, rows=4000, route=routes[-1], now=60)


def test_only_so_many_routes_are_remembered():
    known = Outliers()
    for number in range(outliers.ROUTES + 10):
        known.remember(OwnTuple(("GET", f"/{number}/")), 4000, 0, 0.0)

    assert len(known._routes) == outliers.ROUTES
    assert told(known, rows=4000, route=OwnTuple(("GET", "/0/")))
    assert not told(known, rows=4000, route=OwnTuple(("GET", f"/{outliers.ROUTES + 9}/")))
