"""What waits in a process: bounded, whatever comes, and without losing a request."""

import random

import pytest

from django_memsize.reports import rollup_periods
from django_memsize.reports.rollup_periods import Period, RoutePeriods, SamplePeriods
from django_memsize.values import ProcessRollup, RouteKey, RouteRollup
from django_memsize.values.rollup import OTHERS, Level

NOON = 1_800_000_000 // 86_400 * 86_400 + 43_200


def key(route="/", release=""):
    return RouteKey("request", "GET", route, release)


def add(periods, route, moment, rows=1):
    rollup = periods.rollup(key(route), moment)
    rollup.requests += 1
    rollup.add("rows", rows)


def taken(periods):
    return periods.take(10**6, None)


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(rollup_periods, "MOST_ROWS", 20)
    monkeypatch.setattr(rollup_periods, "MOST_ROUTES", 7)
    monkeypatch.setattr(rollup_periods, "MOST_SAMPLES", 4)


def test_a_route_has_a_row_each_minute():
    periods = RoutePeriods()
    for second in range(150):
        add(periods, "/a/", NOON + second)
    add(periods, "/b/", NOON + 61)

    rows = {(row.start, row.key.route): row.rollup.requests for row in taken(periods)}

    assert rows == {
        (NOON, "/a/"): 60,
        (NOON + 60, "/a/"): 60,
        (NOON + 60, "/b/"): 1,
        (NOON + 120, "/a/"): 30,
    }
    assert not periods


def test_a_minute_that_is_not_over_is_left():
    periods = RoutePeriods()
    add(periods, "/a/", NOON)
    add(periods, "/a/", NOON + 60)

    assert [row.start for row in periods.take(100, NOON + 119)] == [NOON]
    assert [row.start for row in periods.take(100, NOON + 120)] == [NOON + 60]


def test_rows_are_taken_in_batches():
    periods = RoutePeriods()
    for number in range(5):
        add(periods, f"/{number}/", NOON)

    assert [len(periods.take(2, None)) for _ in range(4)] == [2, 2, 1, 0]


def test_routes_without_room_are_one_row(few_rows):
    periods = RoutePeriods()
    for number in range(100):
        add(periods, f"/{number}/", NOON)
        add(periods, "/0/", NOON)

    rows = {row.key.route: row.rollup.requests for row in taken(periods)}

    assert len(rows) == 7 + 1
    assert rows["/0/"] == 101
    assert rows[OTHERS] == 100 - 7


def test_while_nobody_takes_them_minutes_become_hours_and_hours_days(few_rows):
    periods = RoutePeriods()
    levels = []
    for minute in range(0, 3 * 24 * 60, 7):
        add(periods, f"/{minute % 3}/", NOON + 60 * minute)
        assert periods.make_room() == 0
        levels.append(max(level for level, _ in periods))
        assert sum(map(len, periods.values())) <= 20

    assert sorted(set(levels)) == [Level.PROCESS, Level.HOUR, Level.DAY]
    assert periods.requests == len(levels)
    assert all(row.start % row.level.seconds == 0 for row in taken(periods))


def test_what_was_merged_is_the_sum_of_its_requests(few_rows):
    source, periods, whole = random.Random(1), RoutePeriods(), RouteRollup()
    for minute in range(300):
        rows = source.randrange(1000)
        add(periods, "/a/", NOON + 60 * minute, rows)
        whole.requests += 1
        whole.add("rows", rows)
        periods.make_room()

    total = RouteRollup()
    for row in taken(periods):
        total.merge(row.rollup)

    assert total == whole


def test_what_has_no_room_even_by_day_is_counted_as_lost(few_rows):
    periods, lost = RoutePeriods(), 0
    for day in range(30):
        for number in range(5):
            add(periods, f"/{number}/", NOON + 86_400 * day)
        lost += periods.make_room()
        assert sum(map(len, periods.values())) <= 20

    assert lost > 0
    assert lost + periods.requests == 150
    assert max(row.start for row in taken(periods)) == NOON - 43_200 + 86_400 * 29


def test_samples_of_a_process_are_merged_while_nobody_takes_them(few_rows):
    samples = SamplePeriods()
    for minute in range(1000):
        samples.add(NOON + 60 * minute, ProcessRollup(samples=1, rss_max=minute))
        assert len(samples) <= 5

    assert sum(sample.samples for sample in samples.values()) == 1000
    assert max(sample.rss_max for sample in samples.values()) == 999


def test_days_that_wait_stay_days(few_rows):
    day = Period(Level.DAY, NOON - 43_200)
    periods, samples = RoutePeriods(), SamplePeriods()
    periods[day] = rollup_periods._Routes()
    periods[day].rollup(key("/a/")).requests += 1
    samples[day] = ProcessRollup(samples=1)
    for minute in range(21):
        add(periods, "/a/", NOON + 60 * minute)
    for minute in range(4):
        samples.add(NOON + 60 * minute, ProcessRollup(samples=1))
    periods.make_room()

    hour = Period(Level.HOUR, NOON)
    assert {period: routes.requests for period, routes in periods.items()} == {day: 1, hour: 21}
    assert {period: sample.samples for period, sample in samples.items()} == {day: 1, hour: 4}
