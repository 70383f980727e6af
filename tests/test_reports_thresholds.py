import pytest

from django_memsize.reports import thresholds
from django_memsize.reports.thresholds import nothing_for, nothing_retained
from django_memsize.values import Evaluation, Summary


@pytest.mark.parametrize(
    ("kind", "size"), [("request", 16 * 1024), ("block", 1024), ("code", 1024), ("", 1024)]
)
def test_a_request_may_retain_more_than_a_block_because_it_is_still_there(kind, size):
    assert nothing_for(kind) == size


def test_what_statements_retain_by_themselves_counts_as_nothing_up_to_as_many_as_caches_keep():
    each, most = thresholds.RETAINED_BY_A_STATEMENT, thresholds.STATEMENTS_RETAINED
    loop = Evaluation("bank.Account", "lazy", times=30, sql="x" * 300)
    summary = Summary(kind="request", statements=15, evaluations=(loop,), evaluations_omitted=5)
    many = Summary(kind="request", statements=10 * most)

    assert nothing_retained(Summary(kind="request")) == thresholds.NOTHING_FOR_A_REQUEST
    assert nothing_retained(summary) == thresholds.NOTHING_FOR_A_REQUEST + 50 * each + 300
    assert nothing_retained(many) == thresholds.NOTHING_FOR_A_REQUEST + most * each


@pytest.mark.parametrize(
    ("retained", "statements", "beside"),
    [
        (10 * 1024, 50, 10 * 1024),
        (40 * 1024, 50, 40 * 1024 - 50 * thresholds.RETAINED_BY_A_STATEMENT),
        (20 * 1024, 50, 0),
        (60 * 1024, 50, 60 * 1024),
        (20 * 1024, 0, 20 * 1024),
    ],
)
def test_what_statements_may_retain_is_left_out_where_that_may_be_all(retained, statements, beside):
    assert thresholds.beside_statements(retained, statements) == beside


def test_each_threshold_is_in_the_range_that_its_reason_names():
    assert thresholds.NOTHING_FOR_A_BLOCK < thresholds.NOTHING_FOR_A_REQUEST < thresholds.MUCH
    assert thresholds.RETAINED_BY_A_STATEMENT < thresholds.NOTHING_FOR_A_BLOCK
    assert thresholds.REPORTS_TO_COMPARE >= 3
    assert 0.5 < thresholds.MOST < 1
    assert thresholds.COLLECTED > 0
