"""The histogram: exact sums, quantiles within its error, and merging in any order."""

import json
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_memsize.values.histogram import (
    MAX_ERROR,
    MOST_BUCKETS,
    SCALE,
    Histogram,
    index_of,
)

SHARES = (0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1)
numbers = st.integers(-(10**13), 10**13) | st.integers(-20, 20)


def histogram(values):
    made = Histogram()
    for value in values:
        made.add(value)
    return made


def merged(histograms):
    total = Histogram()
    for one in histograms:
        total.merge(one)
    return total


def true_quantile(values, share):
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


def assert_is_near(estimate, truth, largest):
    assert abs(estimate - truth) <= max(MAX_ERROR * abs(truth) * (1 + 1e-12), largest / 2**19)


def test_the_error_is_below_five_percent():
    assert MAX_ERROR < 0.05


@pytest.mark.parametrize("exponent", range(63))
def test_the_upper_bound_of_a_bucket_is_in_it_and_the_next_number_is_not(exponent):
    index = index_of(2**exponent)

    assert 2 ** ((index + 1) / 2**SCALE) == 2**exponent
    assert exponent > 52 or index_of(2**exponent + 1) > index


@given(st.integers(1, 2**53))
def test_a_number_is_within_the_bounds_of_its_bucket(number):
    index = index_of(number)

    assert 2 ** (index / 2**SCALE) < number * (1 + 1e-12)
    assert number <= 2 ** ((index + 1) / 2**SCALE) * (1 + 1e-12)


@pytest.mark.parametrize(
    "draw",
    [
        lambda source: int(source.lognormvariate(17, 1.5)),
        lambda source: int(source.paretovariate(1.1)),
        lambda source: source.randrange(-(10**9), 10**9),
        lambda source: source.choice((0, 0, 0, 4096, -4096, 1024**2)),
        lambda source: source.randrange(7),
    ],
)
def test_a_hundred_thousand_numbers_have_exact_sums_and_quantiles_within_five_percent(draw):
    source = random.Random(1)
    values = [draw(source) for _ in range(100_000)]

    made = histogram(values)

    assert (made.count, made.sum, made.maximum) == (len(values), sum(values), max(values))
    for share in SHARES:
        truth = true_quantile(values, share)
        assert abs(made.quantile(share) - truth) <= 0.05 * abs(truth)


@given(st.lists(numbers, min_size=1))
def test_quantiles_of_any_numbers_are_near_the_truth(values):
    made = Histogram.of(histogram(values).document())

    for share in SHARES:
        assert_is_near(made.quantile(share), true_quantile(values, share), max(map(abs, values)))
    assert made.quantile(1) == max(values)


@given(st.lists(st.lists(numbers), min_size=1), st.randoms())
def test_merging_in_any_order_gives_the_equal_histogram(parts, source):
    whole = histogram(value for part in parts for value in part)
    stored = [Histogram.of(json.loads(json.dumps(histogram(part).document()))) for part in parts]
    source.shuffle(stored)
    middle = source.randrange(len(stored) + 1)

    halves = [Histogram.of(merged(half).document()) for half in (stored[:middle], stored[middle:])]

    assert merged(stored) == merged(halves) == whole
    assert merged(halves).document() == whole.document()


def test_without_any_number_there_is_no_quantile():
    made = Histogram()

    assert (made.count, made.maximum, made.mean, made.quantile(0.5)) == (0, None, None, None)
    assert Histogram.of(json.loads(json.dumps(made.document()))) == made


def test_numbers_of_all_sizes_take_a_limited_number_of_buckets():
    made = histogram(sign * 2**power for power in range(80) for sign in (-1, 1))

    *_, positive, negative = made.document()

    assert len(positive) == len(negative) <= 2 * MOST_BUCKETS
    assert made.maximum == 2**63 - 1
    assert Histogram.of(made.document()).count == made.count


@pytest.mark.parametrize(
    "document",
    [
        None,
        1,
        [],
        "text",
        [1, 2, 3, 4, 5],
        [1, None, 0, [1], []],
        [1.5, 2, 0, [], []],
        [1, 2, 0, [1, "1"], []],
        [1, 2, 0, [1, 1.0], []],
        [1, "2", 0, [], []],
        [1, 2, 0, 7, []],
    ],
)
def test_a_document_of_another_form_is_read_as_an_empty_histogram(document):
    assert Histogram.of(document) == Histogram()


def test_histograms_of_other_numbers_are_not_equal():
    assert histogram([1]) != histogram([1000])
    assert histogram([1]) != 1
    assert repr(histogram([1, 2])) == "<Histogram: 2 numbers>"


@given(st.lists(st.lists(st.integers(-(10**9), 10**9), max_size=20), min_size=1, max_size=5))
def test_merging_documents_is_merging_histograms(parts):
    whole, merged = Histogram(), Histogram()
    for part in parts:
        histogram = Histogram()
        for number in part:
            histogram.add(number)
        whole.merge(histogram)
        merged.merge_document(json.loads(json.dumps(histogram.document())))

    assert merged == whole


def test_the_deviation_is_that_of_the_numbers():
    numbers, histogram = [1000, 2000, 4000, 4000, 9000], Histogram()
    assert histogram.deviation == 0
    for number in numbers:
        histogram.add(number)

    assert histogram.deviation == pytest.approx(statistics.stdev(numbers), rel=0.05)
