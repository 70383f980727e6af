"""When the next request of a route is to be metered."""

import dataclasses
import math
import time

import pytest

from django_memsize.measuring import routes
from django_memsize.measuring.routes import Route
from django_memsize.values import Reason


@dataclasses.dataclass(frozen=True)
class Rules:
    sample_rate: float = 0.0
    sample_first: int = 2
    sample_interval: int | None = 300
    sample_rates: dict = dataclasses.field(default_factory=dict)
    sample: str = ""
    max_overhead: float = 0.05


@pytest.fixture
def clock(monkeypatch):
    """Return the present, as a list of one number that a test changes."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def visit(clock):
    """Return a function that has a route serve one request, and returns why it was metered."""

    def serve(route, rows=0, growth=0):
        reason = None
        if route.due_at <= clock[0]:
            reason = route.reserve(clock[0])
            route.hit()
        route.note(rows, growth, clock[0])
        return reason

    return serve


def route_of(rate=0.01, **rules):
    return Route("GET", "/a/", rate, Rules(**rules))


def satisfied(visit, **rules):
    """Return a route that is owed nothing, and was metered just now."""
    route = route_of(**rules)
    while route.owed:
        visit(route)
    return route


def test_the_first_requests_are_metered_and_then_one_in_each_interval(visit, clock):
    route, reasons = route_of(), []
    for _ in range(700):
        reasons.append(visit(route))
        clock[0] += 1

    metered = {number: reason for number, reason in enumerate(reasons) if reason}
    assert metered == {0: "first", 1: "first", 301: "interval", 601: "interval"}


@pytest.mark.parametrize(
    ("rules", "reasons"),
    [
        ({"sample_first": 0}, {"interval"}),
        ({"sample_interval": None}, {"first"}),
        ({"sample_interval": 0}, {"first"}),
        ({"sample_first": 0, "sample_interval": None}, set()),
        ({"rate": 0}, set()),
    ],
)
def test_the_settings_switch_each_off(visit, clock, rules, reasons):
    route, found = route_of(**rules), set()
    for _ in range(700):
        found.add(visit(route))
        clock[0] += 1

    assert found - {None} == reasons
    if "interval" not in reasons:
        visit(route, rows=10**6, growth=10**9)
        clock[0] += 10**6
        assert visit(route) is None


@pytest.mark.parametrize(
    ("figures", "reason"),
    [({"rows": routes.MANY_ROWS}, "rows"), ({"growth": routes.MUCH_GROWTH}, "rss")],
)
def test_a_suspicious_route_is_metered_five_times_as_often(visit, clock, figures, reason):
    route = satisfied(visit)
    found = []
    for _ in range(600):
        clock[0] += 1
        found.append(visit(route, **figures))

    assert found.count(reason) == 10
    assert set(found) == {None, reason}


def test_retained_bytes_are_suspicious_for_an_interval(visit, clock):
    route = satisfied(visit)
    route.suspect(Reason.RETAINED, clock[0])
    found = []
    for _ in range(1200):
        clock[0] += 1
        found.append(visit(route))

    assert [reason for reason in found if reason] == ["retained"] * 4 + ["interval"] * 4


def test_the_growth_of_several_requests_adds_up_and_that_of_the_first_is_no_sign(visit, clock):
    route = satisfied(visit, sample_first=0)
    clock[0] += 61
    visit(route, growth=10**9)
    assert visit(route) is None
    for _ in range(7):
        visit(route, growth=routes.MUCH_GROWTH // 8)
        visit(route, growth=0)
        assert visit(route) is None
    visit(route, growth=routes.MUCH_GROWTH // 4)

    assert visit(route) == "rss"


def test_the_first_request_that_ended_is_told_from_later_ones(clock):
    route = route_of()

    assert [route.note(0, 0, clock[0]) for _ in range(3)] == [True, False, False]


def test_an_rss_that_goes_up_and_down_is_no_sign(visit, clock):
    route = satisfied(visit)
    clock[0] += 61
    for _ in range(100):
        visit(route, growth=routes.MUCH_GROWTH // 2)
        assert visit(route, growth=-routes.MUCH_GROWTH // 2) is None


def test_without_an_interval_no_sign_has_a_route_metered(visit, clock):
    route = satisfied(visit, sample_interval=None)
    route.suspect(Reason.RETAINED, clock[0])

    assert route.due_at == math.inf


def test_a_wrong_guess_is_made_good_until_there_were_too_many(clock):
    route, wrong = route_of(), 0
    for _ in range(1000):
        clock[0] += 1
        if route.due_at <= clock[0]:
            route.miss(route.reserve(clock[0]), clock[0])
            wrong += 1

    assert wrong == 8 + 3  # one in each interval then
    assert route.owed == 2
    clock[0] += 300
    assert route.reserve(clock[0]) == "first"
    route.hit()
    assert route.due_at <= clock[0]


@pytest.mark.parametrize("change", ["reserve", "meter", "note", "suspect"])
def test_a_route_of_which_two_requests_were_taken_at_once_is_owed_nothing(clock, change):
    route = route_of()
    route.owed, route.due_at = -1, 1300
    if change == "reserve":
        assert route.reserve(clock[0]) == "interval"
    elif change == "meter":
        route.note(0, 0, clock[0])
        route.meter(clock[0])
    elif change == "note":
        route._misses = routes._MOST_MISSES
        route.note(0, 0, clock[0])
    else:
        route._metered_at = clock[0]
        route.suspect(Reason.ROWS, clock[0])

    assert route.owed == -1
    assert route.due_at == (1060 if change == "suspect" else 1300)
    route.miss(Reason.FIRST, clock[0])
    assert route.owed == 1


def test_a_request_that_was_metered_anyway_counts_but_the_very_first_fills_caches(visit, clock):
    route = route_of()
    route.meter(clock[0])
    route.note(0, 0, clock[0])
    assert route.owed == 2
    route.meter(clock[0])
    assert route.owed == 1
    route.meter(clock[0])

    assert (route.owed, route.due_at) == (0, clock[0] + 300)
