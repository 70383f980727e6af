import pytest

from django_memsize.values import Amount, CallSite, Diff, Evaluation, Instances, TypeTotal

SITE = CallSite("bank/views.py", 41, "accounts")
TYPES = Diff.of([("bank.models.Account", TypeTotal(3, 432))])


@pytest.mark.parametrize(
    ("site", "text"),
    [
        (SITE, "bank/views.py:41"),
        (
            CallSite("bank/views.py", 41, "accounts", "bank/list.html", 12),
            "bank/list.html:12, rendered by bank/views.py:41",
        ),
        (CallSite("", 0, "", "bank/list.html", 12), "bank/list.html:12"),
        (CallSite(), ""),
        (CallSite(view="bank.views.History"), ""),
        (
            CallSite("lib/fields.py", 9, "get", is_library=True, view="bank.views.History"),
            "lib/fields.py:9 for bank.views.History",
        ),
        (
            CallSite("", 0, "", "bank/list.html", 12, True, "bank.views.History"),
            "bank/list.html:12 for bank.views.History",
        ),
    ],
)
def test_a_call_site_is_named_by_its_file_and_line_and_by_its_template(site, text):
    assert str(site) == text


@pytest.mark.parametrize(
    ("figures", "at_end", "at_peak"),
    [
        ({}, None, None),
        ({"diff": Diff({}, {})}, 0, 0),
        ({"diff": TYPES}, 432, 432),
        ({"diff": TYPES, "alive": Amount(9, 500)}, 500, 500),
        ({"alive": Amount(9, 500), "peak": Amount(20, 900)}, 500, 900),
    ],
)
def test_the_bytes_of_an_evaluation_are_those_of_its_amounts_or_of_its_diff(
    figures, at_end, at_peak
):
    evaluation = Evaluation("bank.Account", "instances", 3, 0.1, **figures)

    assert (evaluation.size_at_end, evaluation.size_at_peak) == (at_end, at_peak)


def test_an_evaluation_is_shown_with_its_rows_call_site_and_times():
    evaluation = Evaluation("bank.Account", "instances", 3090, site=SITE)

    assert repr(evaluation) == ("<Evaluation: 3,090 bank.Account as instances at bank/views.py:41>")
    assert repr(Evaluation("a.B", "lazy", 9, times=1200, site=None)) == (
        "<Evaluation: 9 a.B as lazy at None, 1,200 times>"
    )


def test_instances_are_a_mapping_that_can_be_compared_and_hashed():
    instances = Instances({"bank.Account": 9, "bank.Branch": 7})

    assert dict(instances) == {"bank.Account": 9, "bank.Branch": 7}
    assert len(instances) == 2
    assert instances == Instances({"bank.Branch": 7, "bank.Account": 9})
    assert hash(instances) == hash(Instances({"bank.Branch": 7, "bank.Account": 9}))
    assert repr(instances) == "Instances({'bank.Account': 9, 'bank.Branch': 7})"


def test_later_changes_of_the_counts_do_not_change_the_instances():
    counts = {"bank.Account": 9}
    instances = Instances(counts)
    counts["bank.Account"] = 10

    assert instances["bank.Account"] == 9
