"""Rollups: what is added up, and that the order of merging makes no difference."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_memsize.values.histogram import Histogram
from django_memsize.values.rollup import (
    FIGURES,
    LARGEST,
    LARGEST_SUM,
    LEAST,
    OTHERS,
    SUMMED,
    Level,
    ProcessRollup,
    RouteKey,
    RouteRollup,
)

requests = st.fixed_dictionaries(
    {name: st.none() | st.integers(-(10**12), 10**12) for name in FIGURES}
)
samples = st.fixed_dictionaries(
    {name: st.integers(0, 10**12) for name in (*SUMMED, *LARGEST, *LEAST)}
)


def rollup(figures_of_requests):
    made = RouteRollup()
    for figures in figures_of_requests:
        made.requests += 1
        made.first_requests += figures["rows"] is None
        made.metered += figures["peak"] is not None
        for name, number in figures.items():
            made.add(name, number)
    return made


def stored(made):
    return RouteRollup.of(**made.counts(), document=made.document())


@given(st.lists(st.lists(requests, max_size=5), min_size=1, max_size=8), st.randoms())
def test_merging_in_any_order_gives_the_equal_rollup(parts, source):
    whole = rollup(figures for part in parts for figures in part)
    shuffled = [stored(rollup(part)) for part in parts]
    source.shuffle(shuffled)
    middle = source.randrange(len(parts) + 1)

    halves = [RouteRollup(), RouteRollup()]
    for number, part in enumerate(shuffled):
        halves[number < middle].merge(part)
    total = stored(halves[0])
    total.merge(stored(halves[1]))

    assert total == whole
    assert total.document() == whole.document()


@given(st.lists(samples, min_size=1), st.randoms())
def test_merging_processes_in_any_order_gives_the_equal_rollup(parts, source):
    totals = [ProcessRollup(), ProcessRollup()]
    shuffled = source.sample(parts, len(parts))
    for total, ordered in zip(totals, (parts, shuffled), strict=True):
        for figures in ordered:
            total.merge(ProcessRollup(**figures))

    assert totals[0] == totals[1]
    assert totals[0].rss_max == max(figures["rss_max"] for figures in parts)
    known = [figures["rss_min"] for figures in parts if figures["rss_min"]]
    assert totals[0].rss_min == min(known, default=0)
    assert totals[0].rss_sum == sum(figures["rss_sum"] for figures in parts)


def test_a_sum_that_no_column_holds_is_the_largest_one_that_a_column_holds():
    total = ProcessRollup(rss_sum=LARGEST_SUM)
    total.merge(ProcessRollup(rss_sum=5))

    assert total.rss_sum == LARGEST_SUM


def test_a_figure_that_is_not_known_is_not_counted():
    made = RouteRollup()
    made.add("peak", None)

    assert made["peak"] == Histogram()
    assert made.document() == "{}"


def test_a_figure_of_another_release_is_merged_and_stored():
    histogram = Histogram()
    histogram.add(5)
    theirs = RouteRollup.of(1, 0, 0, json.dumps({"news": histogram.document()}))

    ours = RouteRollup()
    ours.merge(theirs)
    ours.merge(stored(theirs))

    assert stored(ours)["news"].sum == 10


@pytest.mark.parametrize("document", ["", "[]", "{", '{"rows": 5}'])
def test_an_unreadable_document_leaves_the_numbers_of_requests(document):
    made = RouteRollup.of(7, 1, 2, document)

    assert made.counts() == {"requests": 7, "first_requests": 1, "metered": 2}
    assert made["rows"].count == 0


def test_rollups_of_other_requests_are_not_equal():
    one, other = RouteRollup(), RouteRollup()
    one.requests = 1

    assert one != other
    assert one != 1
    assert ProcessRollup(samples=1) != ProcessRollup()
    assert repr(one) == "<RouteRollup: 1 requests, 0 metered>"
    assert repr(ProcessRollup(samples=1)) == "<ProcessRollup: 1 samples>"


def test_a_level_begins_where_the_clock_does():
    moment = 1_800_000_000 + 12_345.6

    assert [level.seconds for level in Level] == [60, 60, 3600, 86_400]
    for level in Level:
        assert level.start(moment) % level.seconds == 0
        assert 0 <= moment - level.start(moment) < level.seconds


def test_a_key_without_release_and_one_of_others():
    key = RouteKey("request", "GET", "/accounts/", "1.0")

    assert key.without_release == ("request", "GET", "/accounts/", "")
    assert key.of_others == ("request", "", OTHERS, "1.0")
