import dataclasses

import pytest

from django_memsize.reports import findings
from django_memsize.reports.findings import Finding
from django_memsize.reports.thresholds import MUCH, NOTHING_FOR_A_REQUEST, RETAINED_BY_A_STATEMENT
from django_memsize.values import SQL_STORED, Amount, CallSite, Evaluation, Summary

KB, MB = 1024, 1024**2
SITE = CallSite("bank/views.py", 41, "accounts")
KEY = ("bank.Account", "instances", "bank/views.py:41")
SQL = "x" * 256

BLOAT = Finding(
    "bloat",
    "2.0 MB alive at its end and not retained. Load fewer rows or fields, if the request does not "
    "need them.",
)
ONE_REPORT = Finding(
    "leak-or-cache",
    "2.0 MB retained. A leak retains as much in each request, a cache in one. Compare two more "
    "requests of the same process: memprofile run --repeat 3.",
)


def amount(size):
    return None if size is None else Amount(1, size)


def evaluation(alive, retained, **values):
    known = {"model": "bank.Account", "kind": "instances", "rows": 3090, "sql": SQL, "site": SITE}
    return Evaluation(**known | values, alive=amount(alive), retained=amount(retained))


def request(*evaluations, **values):
    known = {"kind": "request", "instrument": "meter", "peak": Amount(1, 1)}
    return Summary(**known | values, evaluations=evaluations)


def names(*evaluations, others=(), **values):
    found = findings.findings(request(*evaluations, **values), others)
    return [[finding.name for finding in each] for each in found]


@pytest.mark.parametrize(
    ("alive", "retained", "found"),
    [
        (0, 0, []),
        (MB - 1, 0, []),
        (MB, 0, ["bloat"]),
        (MB, 1, []),
        (2 * MB, 17 * KB - 1, ["bloat"]),
        (2 * MB, 17 * KB, ["bloat", "leak-or-cache"]),
        (17 * KB, 17 * KB, ["leak-or-cache"]),
        (10 * MB, 4 * MB, ["bloat", "leak-or-cache"]),
        (10 * MB, 8 * MB, ["leak-or-cache"]),
        (2 * MB, 3 * MB, ["leak-or-cache"]),
        (2 * MB, None, []),
        (None, 2 * MB, []),
        (None, None, []),
    ],
)
def test_much_that_is_freed_is_bloat_and_retained_bytes_are_a_leak_or_a_cache(
    alive, retained, found
):
    assert names(evaluation(alive, retained)) == [found]


def test_the_limits_are_those_of_the_thresholds():
    assert NOTHING_FOR_A_REQUEST + RETAINED_BY_A_STATEMENT + len(SQL) == 17 * KB
    assert MUCH == MB


def test_a_finding_has_the_figures_and_what_they_depend_on():
    judged = request(evaluation(2 * MB, 0), evaluation(2 * MB, 2 * MB))

    assert findings.findings(judged) == [(BLOAT,), (ONE_REPORT,)]


def test_what_statements_retain_by_themselves_counts_as_nothing():
    noise = evaluation(100 * KB, 56 * KB - 1, times=40)
    more = evaluation(100 * KB, 56 * KB, times=40)

    assert names(noise, more) == [[], ["leak-or-cache"]]


def test_the_text_of_a_statement_that_was_cut_may_be_what_is_retained():
    cut = {"sql": "x" * SQL_STORED}

    assert names(evaluation(MB, MB - 1, **cut), evaluation(MB, MB, **cut)) == [
        [],
        ["leak-or-cache"],
    ]


def test_the_bytes_of_inner_evaluations_do_not_count_for_the_outer_one():
    outer = evaluation(5 * MB, 2 * MB)
    inner = evaluation(3 * MB, 20 * KB, depth=1)
    innermost = evaluation(3 * MB, 0, depth=2)
    beside = evaluation(MB // 2, 2 * MB, depth=1)

    found = names(outer, inner, innermost, beside, evaluation(MB, 0))

    assert found == [["bloat"], ["leak-or-cache"], ["bloat"], ["leak-or-cache"], ["bloat"]]


@pytest.mark.parametrize("values", [{"kind": "block"}, {"kind": "code"}, {"peak": None}])
def test_only_a_metered_request_is_judged(values):
    retaining = evaluation(2 * MB, 2 * MB)

    assert names(retaining, **values) == [[]]
    assert not findings.needs_comparison(request(retaining, **values))


def test_a_request_is_compared_if_one_of_its_evaluations_retains_something():
    assert findings.needs_comparison(request(evaluation(2 * MB, 2 * MB)))
    assert not findings.needs_comparison(request(evaluation(2 * MB, 0)))
    assert not findings.needs_comparison(request())


RETAINING, RETAINING_NOTHING = frozenset({KEY}), frozenset()
COMPARED = "requests compared (same route and process)"
GOES_ON = "A leak goes on, a cache ends."


@pytest.mark.parametrize(
    ("others", "name", "sentence"),
    [
        (
            [RETAINING] * 5,
            "leak",
            (
                f"2.0 MB retained, as in all 6 {COMPARED}. A cache that is still filling, or "
                "whose entries are replaced each time, looks the same."
            ),
        ),
        (
            [RETAINING_NOTHING] * 2,
            "cache",
            f"2.0 MB retained, in 1 of 3 {COMPARED}. Probably a cache that was filled.",
        ),
        (
            [RETAINING, RETAINING_NOTHING],
            "leak-or-cache",
            f"2.0 MB retained, in 2 of 3 {COMPARED}. {GOES_ON}",
        ),
        ([RETAINING], "leak-or-cache", f"2.0 MB retained, in 2 of 2 {COMPARED}. {GOES_ON}"),
        ([RETAINING_NOTHING], "leak-or-cache", f"2.0 MB retained, in 1 of 2 {COMPARED}. {GOES_ON}"),
    ],
)
def test_other_requests_tell_a_leak_from_a_cache(others, name, sentence):
    found = findings.findings(request(evaluation(2 * MB, 2 * MB)), others)

    assert found == [(Finding(name, sentence),)]


def test_other_requests_say_nothing_of_an_evaluation_that_retains_nothing():
    assert names(evaluation(2 * MB, 0), evaluation(1, 0), others=[RETAINING] * 5) == [
        ["bloat"],
        [],
    ]


def test_an_evaluation_is_recognised_by_its_model_kind_and_call_site():
    retaining = evaluation(2 * MB, 2 * MB)

    assert findings.retained_at(request(retaining, evaluation(2 * MB, 0))) == RETAINING
    without_site = dataclasses.replace(retaining, site=None)
    assert findings.retained_at(request(without_site)) == {(*KEY[:2], "")}


@pytest.mark.parametrize(
    "difference",
    [
        {"site": CallSite("bank/views.py", 42, "accounts")},
        {"model": "bank.Branch"},
        {"kind": "lazy"},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_another_evaluation_of_another_request_says_nothing_of_this_one(difference):
    retaining = evaluation(2 * MB, 2 * MB)
    another = request(dataclasses.replace(retaining, **difference))

    assert names(retaining, others=[findings.retained_at(another)] * 2) == [["cache"]]


@pytest.mark.parametrize(
    ("summary", "tells"),
    [
        (request(evaluation(2, 1)), True),
        (request(evaluation(2, 1), evaluation(2, None)), False),
        (request(evaluation(2, 1), evaluations_omitted=1), False),
        (request(), True),
    ],
)
def test_a_request_tells_all_it_retains_if_no_evaluation_is_missing(summary, tells):
    assert findings.tells_all_retained(summary) is tells


@pytest.mark.parametrize(
    ("name", "label"),
    [("bloat", "bloat?"), ("leak", "leak?"), ("leak-or-cache", "leak or cache?")],
)
def test_the_label_of_a_finding_has_a_question_mark(name, label):
    assert Finding(name, "").label == label
