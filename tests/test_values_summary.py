import dataclasses

import pytest

from django_memsize.values import COUNTED, Amount, Diff, Evaluation, Summary, TypeTotal

NET = Diff.of([("dict", TypeTotal(1, 64))], 1, TypeTotal(1, 36))


def test_every_field_has_a_default_because_a_stored_document_may_lack_it():
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(Summary))
    assert Summary() == Summary()


@pytest.mark.parametrize(
    ("summary", "is_metered", "is_counted"),
    [
        (Summary(instrument="meter", peak=Amount(1, 1)), True, False),
        (Summary(instrument="census", net=NET), False, False),
        (Summary(instrument=COUNTED), False, True),
        (Summary(), False, False),
    ],
)
def test_the_instrument_tells_a_metered_from_a_counted_request(summary, is_metered, is_counted):
    assert (summary.is_metered, summary.is_counted) == (is_metered, is_counted)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [(100, 150, 50), (150, 100, -50), (None, 9, None), (9, None, None)],
)
def test_the_change_of_the_rss_is_known_if_both_ends_are(before, after, change):
    assert Summary(rss_before=before, rss_after=after).rss_change == change


def test_the_largest_evaluation_has_most_bytes_at_its_peak():
    small = Evaluation("a.A", "instances", rows=9, peak=Amount(1, 10), alive=Amount(1, 10))
    large = Evaluation("a.B", "instances", rows=1, peak=Amount(1, 99), alive=Amount(1, 5))
    unknown = Evaluation("a.C", "instances", rows=500)

    assert Summary(evaluations=(small, large, unknown)).largest_evaluation is large


def test_the_largest_evaluation_has_most_rows_where_none_was_measured():
    few, many = Evaluation("a.A", "instances", rows=9), Evaluation("a.B", "instances", rows=10)

    assert Summary(evaluations=(few, many)).largest_evaluation is many
    assert Summary().largest_evaluation is None
