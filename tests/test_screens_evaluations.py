import dataclasses

import pytest

from django_memsize.reports.compared import Compared
from django_memsize.screens import evaluations
from django_memsize.screens.figure import Instrument
from django_memsize.values import Instances
from tests.summaries import (
    ACCOUNTS,
    LOOP,
    METERED_ACCOUNTS,
    amount,
    census,
    counted,
    metered,
)

WHERE = "bank.Account at bank/views.py:41 in accounts"


def lines(summary, *others):
    return evaluations.evaluation_lines(summary, others)


def test_a_line_has_the_figures_that_the_instrument_measures():
    assert lines(census()) == [f"3,090 {WHERE}: 2.9 MB alive at the end, 30.0 ms"]
    assert lines(counted()) == [f"3,090 {WHERE}: 30.0 ms"]
    assert lines(metered(kind="block")) == [
        (
            f"3,090 {WHERE}: 19.1 MB allocated, 4.0 MB peak, 2.9 MB alive at the end, "
            "120 B retained, 30.0 ms"
        )
    ]


def test_nested_evaluations_are_indented_and_omitted_ones_counted():
    inner = dataclasses.replace(ACCOUNTS, depth=1, diff=None, model="bank.Branch", rows=1)

    assert lines(census(evaluations=(inner,), evaluations_omitted=2)) == [
        "  1 bank.Branch at bank/views.py:41 in accounts: not measured, 30.0 ms",
        "and 2 smaller evaluations",
    ]


def test_the_instances_of_omitted_evaluations_are_named():
    built = Instances({"bank.City": 7, "bank.Branch": 1300})

    assert lines(census(evaluations=(), evaluations_omitted=2, omitted_instances=built)) == [
        "and 2 smaller evaluations, with 1,300 bank.Branch, 7 bank.City",
    ]


def test_a_loop_names_the_instances_that_were_built_as_well():
    line, _ = lines(metered(evaluations=(LOOP,)))

    assert line.endswith(
        " in accounts, with 290 bank.City: 2.9 MB allocated, 19.5 KB peak, "
        "9.8 KB alive at the end, 0 B retained, 300.0 ms"
    )


def test_a_loop_has_the_hint_to_load_its_rows_together_unless_that_is_a_finding():
    few = dataclasses.replace(LOOP, times=3)

    assert lines(metered(evaluations=(few,)))[1:] == [
        (
            "  The same statement ran 3 times in succession. If a loop loads one row at a time, "
            "select_related() or prefetch_related() loads them together."
        )
    ]
    assert lines(metered(evaluations=(LOOP,)))[1:] == [
        (
            "  N+1: 300 statements, one for each bank.Branch. select_related() or "
            "prefetch_related() loads them together."
        )
    ]


def test_a_finding_is_below_its_evaluation():
    inside = {"model": "bank.Branch", "kind": "prefetch", "rows": 7, "depth": 1}
    sizes = {"allocated": 10**6, "peak": 10**5, "alive": 10**5, "retained": 10**5}
    prefetched = dataclasses.replace(
        ACCOUNTS, **inside | {name: amount(size) for name, size in sizes.items()}
    )
    retaining = frozenset({("bank.Branch", "prefetch", "bank/views.py:41")})
    others = [Compared(key, retaining, False) for key in (12, 14)]

    found = lines(metered(evaluations=(METERED_ACCOUNTS, prefetched)), *others)

    assert [line.split()[0] for line in found] == ["3,090", "bloat?", "7", "leak?"]
    assert [len(line) - len(line.lstrip()) for line in found] == [0, 2, 2, 4]


def cells(instrument, *same):
    figures = evaluations.shown_figures(instrument)
    return {figure.name: figure.cell(same) for figure in figures}


def test_several_evaluations_of_a_statement_have_sums_and_one_peak():
    assert cells(Instrument.METER, LOOP, METERED_ACCOUNTS) == {
        "allocated": "21.9 MB",
        "peak": "4.0 MB",
        "alive at the end": "2.9 MB",
        "retained": "120 B",
        "duration": "330.0 ms",
    }


def test_a_cell_says_of_how_many_evaluations_it_is():
    unmeasured = dataclasses.replace(ACCOUNTS, diff=None)

    assert cells(Instrument.CENSUS, ACCOUNTS, unmeasured)["alive at the end"] == (
        "2.9 MB (1 of 2 measured)"
    )
    assert cells(Instrument.CENSUS, unmeasured)["alive at the end"] == "not measured"
    assert cells(Instrument.METER, unmeasured)["peak"] == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("instrument", "headings"),
    [
        (
            Instrument.METER,
            ["Allocated", "Peak", "Alive at the end", "Retained", "Duration"],
        ),
        (Instrument.CENSUS, ["Alive at the end", "Duration"]),
        (Instrument.COUNTED, ["Duration"]),
    ],
)
def test_columns_follow_the_instrument(instrument, headings):
    assert [figure.heading for figure in evaluations.shown_figures(instrument)] == headings
