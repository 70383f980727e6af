"""N+1: a loop that loads by one statement each what one statement more could load for all."""

import dataclasses

import pytest

from django_memsize.reports.n_plus_one import loops
from django_memsize.reports.thresholds import N_PLUS_ONE, ROWS_OF_A_LOOP
from django_memsize.values import CallSite, Evaluation, FollowedRelation

PRODUCT = FollowedRelation("shop.Order", "product", to_one=True)
SELLER = FollowedRelation("shop.Order", "seller", to_one=True)
LINES = FollowedRelation("shop.Order", "lines")
LOOP = Evaluation(
    "shop.Product",
    "lazy",
    rows=400,
    times=400,
    site=CallSite("shop/views.py", 24, "orders"),
    sql="SELECT ...",
    relations=(PRODUCT,),
)
TOGETHER = "loads them together."


def loop(**changes):
    return dataclasses.replace(LOOP, **changes)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, f"select_related('product') on shop.Order {TOGETHER}"),
        (
            {"relations": (PRODUCT, SELLER)},
            f"select_related('product', 'seller') on shop.Order {TOGETHER}",
        ),
        (
            {"kind": "instances", "relations": (LINES,)},
            f"prefetch_related('lines') on shop.Order {TOGETHER}",
        ),
        (
            {"relations": (PRODUCT, LINES)},
            (
                "select_related('product') on shop.Order and prefetch_related('lines') on "
                f"shop.Order {TOGETHER}"
            ),
        ),
        ({"relations": ()}, f"select_related() or prefetch_related() {TOGETHER}"),
        (
            {"kind": "prefetch", "relations": ()},
            f"select_related() or prefetch_related() {TOGETHER}",
        ),
        (
            {"kind": "deferred", "relations": ()},
            "They are of fields that only() or defer() left out: load these with the others.",
        ),
        (
            {"kind": "instances", "relations": ()},
            (
                "If a loop runs it, one queryset can load them together: select_related(), "
                "prefetch_related(), in_bulk() or filter(pk__in=...)."
            ),
        ),
    ],
)
def test_the_sentence_names_the_relation_as_far_as_it_is_known(changes, advice):
    assert loops([loop(**changes)]) == [f"400 statements, one for each shop.Product. {advice}"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [(1200, "for 1,200 shop.Product"), (0, "which found no shop.Product")],
)
def test_the_sentence_has_the_rows_unless_there_is_one_for_each_statement(rows, said):
    (sentence,) = loops([loop(rows=rows)])

    assert sentence.startswith(f"400 statements, {said}. ")


@pytest.mark.parametrize(
    ("changes", "is_loop"),
    [
        ({"times": N_PLUS_ONE, "rows": N_PLUS_ONE}, True),
        ({"times": N_PLUS_ONE - 1, "rows": 9}, False),
        ({"kind": "delete"}, False),
        ({"kind": "update"}, False),
        ({"kind": "refresh"}, False),
        ({"rows": 400_000}, True),
        ({"kind": "instances", "relations": (), "rows": ROWS_OF_A_LOOP * 400}, True),
        # Batches of a loop that loads all rows in the end.
        ({"kind": "instances", "relations": (), "rows": ROWS_OF_A_LOOP * 400 + 1}, False),
    ],
)
def test_a_loop_is_what_runs_often_for_a_relation_or_for_few_rows(changes, is_loop):
    (sentence,) = loops([loop(**changes)])

    assert (sentence is not None) is is_loop


def test_one_loop_may_be_several_evaluations():
    outer = Evaluation("shop.Order", "instances", rows=30)
    one = loop(times=1, rows=1)
    found = loops([outer, *[one] * 30])

    assert found[0] is None
    assert found[1] == (
        "30 statements, one for each shop.Product. "
        f"select_related('product') on shop.Order {TOGETHER}"
    )
    assert found[2:] == [""] * 29


@pytest.mark.parametrize(
    "difference",
    [
        {"sql": "SELECT 2"},
        {"database": "other"},
        {"site": None},
        {"model": "shop.Seller"},
        {"kind": "values"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_evaluations_of_other_statements_are_not_of_the_loop(difference):
    few = loop(times=N_PLUS_ONE - 1)

    assert loops([few, dataclasses.replace(few, **difference)]) == [None, None]
