"""The comparison of the two runs finds each difference."""

import json

import pytest

from .run import differences, summed


def test_runs_are_the_same_in_another_order():
    plain = [["a", "passed"], ["b", "failed"]]

    assert differences(plain, plain[::-1]) == []


@pytest.mark.parametrize(
    ("plain", "recorded", "differing"),
    [
        ([["a", "passed"]], [["a", "failed"]], [("a", "passed", "failed")]),
        ([["a", "failed"]], [["a", "passed"]], [("a", "failed", "passed")]),
        ([["a", "passed"]], [], [("a", "passed", "")]),
        ([], [["a", "passed"]], [("a", "", "passed")]),
        ([["a", "passed"]] * 2, [["a", "passed"]], [("a", "passed, passed", "passed")]),
        (
            [["a (1)", "failed"]],
            [["a (2)", "failed"]],
            [("a (1)", "failed", ""), ("a (2)", "", "failed")],
        ),
    ],
)
def test_a_test_with_another_outcome_differs(plain, recorded, differing):
    assert differences(plain, recorded) == differing


def test_faults_are_summed_over_processes(tmp_path):
    line = {"metered": True, "incomplete": False, "evaluations": 2, "rows": 3}
    lines = [
        {**line, "process": 1, "faults": 0},
        {**line, "process": 1, "faults": 2, "metered": False},
        {**line, "process": 2, "faults": 1, "incomplete": True},
    ]
    file = tmp_path / "lines"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    sums = summed(file)
    assert (sums["recordings"], sums["evaluations"], sums["rows"]) == (3, 6, 9)
    assert (sums["unmetered"], sums["incomplete"], sums["faults"]) == (1, 1, 3)
