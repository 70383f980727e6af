import dataclasses

import pytest

from django_memsize.reports import findings
from django_memsize.reports.findings import Finding
from django_memsize.values import SQL_STORED, Amount, CallSite, Diff, Evaluation, Summary

KB, MB = 1024, 1024**2
SITE = CallSite("bank/views.py", 41, "accounts")
PLACE = ("bank.Account", "instances", "bank/views.py:41")

BLOAT = Finding("bloat?", "2.0 MB at its end, not kept: bloat, if fewer rows or fields would do.")
ONE_REPORT = Finding(
    "leak or cache?",
    "2.0 MB kept: a leak if each request keeps as much, a cache if only one does. To tell, see two "
    "more of the same process (memprofile run --repeat 3).",
)


def loading(alive, retained, **values):
    values = {"sql": "x" * 256, "site": SITE} | values
    return Evaluation(
        "bank.Account", "instances", 3090, 0.1, alive=alive, retained=retained, **values
    )


def request(*loadings, **values):
    known = {
        "kind": "request",
        "name": "/accounts/",
        "method": "GET",
        "status": 200,
        "duration": 0.1,
        "rows": 3090,
        "types": Diff.of(),
        "loadings": loadings,
        "evaluations_omitted": 0,
        "evaluations_without_types": 0,
        "rss_before": None,
        "rss_after": None,
        "collected_objects": 0,
        "in_flight": 0,
        "incomplete": False,
        "first_request": False,
        "overhead": 0.0,
        "engine": "compiled",
        "instrument": "meter",
        "peak": Amount(1, 1),
    }
    return Summary(**known | values)


def words(*loadings, others=(), **values):
    found = findings.verdicts(request(*loadings, **values), others)
    return [[verdict.word for verdict in one] for one in found]


@pytest.mark.parametrize(
    ("alive", "retained", "found"),
    [
        (0, 0, []),
        (MB - 1, 0, []),
        (MB, 0, ["bloat?"]),
        (MB, 1, []),
        (2 * MB, 17 * KB - 1, ["bloat?"]),
        (2 * MB, 17 * KB, ["bloat?", "leak or cache?"]),
        (17 * KB, 17 * KB, ["leak or cache?"]),
        (10 * MB, 4 * MB, ["bloat?", "leak or cache?"]),
        (10 * MB, 8 * MB, ["leak or cache?"]),
        (2 * MB, 3 * MB, ["leak or cache?"]),
        (2 * MB, None, []),
        (None, None, []),
    ],
)
def test_much_that_is_gone_is_bloat_and_what_is_kept_a_leak_or_a_cache(alive, retained, found):
    assert words(loading(alive, retained)) == [found]


def test_a_verdict_says_how_much_and_what_it_depends_on():
    assert findings.verdicts(request(loading(2 * MB, 0), loading(2 * MB, 2 * MB))) == [
        (BLOAT,),
        (ONE_REPORT,),
    ]


def test_what_statements_leave_by_themselves_is_not_kept():
    noise = loading(100 * KB, 56 * KB - 1, times=40)
    more = loading(100 * KB, 56 * KB, times=40)

    assert words(noise, more) == [[], ["leak or cache?"]]


def test_a_statement_that_was_cut_may_be_what_is_kept():
    cut = {"sql": "x" * SQL_STORED}

    assert words(loading(MB, MB - 1, **cut), loading(MB, MB, **cut)) == [[], ["leak or cache?"]]


def test_what_those_inside_have_is_not_said_of_the_one_around_them():
    outer = loading(5 * MB, 2 * MB)
    inner = loading(3 * MB, 20 * KB, depth=1)
    innermost = loading(3 * MB, 0, depth=2)
    beside = loading(MB // 2, 2 * MB, depth=1)

    found = words(outer, inner, innermost, beside, loading(MB, 0))

    assert found == [["bloat?"], ["leak or cache?"], ["bloat?"], ["leak or cache?"], ["bloat?"]]


def test_only_a_metered_request_is_judged():
    kept = loading(2 * MB, 2 * MB)

    for values in ({"kind": "block"}, {"kind": "code"}, {"peak": None}):
        assert words(kept, **values) == [[]]
        assert not findings.keeps(request(kept, **values))


KEPT, NOT_KEPT = frozenset({PLACE}), frozenset()
UNLESS = "a leak, unless a cache still fills, or the new takes the place of the old."
COMPARED = "reports compared (same route and process)"


@pytest.mark.parametrize(
    ("others", "word", "meaning"),
    [
        (
            [KEPT] * 5,
            "leak?",
            f"2.0 MB kept, as in all 6 {COMPARED}: {UNLESS}",
        ),
        (
            [NOT_KEPT] * 2,
            "cache?",
            f"2.0 MB kept, in 1 of 3 {COMPARED}: a cache that was filled, if it stays at that.",
        ),
        (
            [KEPT, NOT_KEPT],
            "leak or cache?",
            f"2.0 MB kept, in 2 of 3 {COMPARED}: a leak if that goes on, a cache if it ends.",
        ),
        (
            [KEPT],
            "leak or cache?",
            f"2.0 MB kept, in 2 of 2 {COMPARED}: a leak if that goes on, a cache if it ends.",
        ),
        (
            [NOT_KEPT],
            "leak or cache?",
            f"2.0 MB kept, in 1 of 2 {COMPARED}: a leak if that goes on, a cache if it ends.",
        ),
    ],
)
def test_other_requests_tell_a_leak_from_a_cache(others, word, meaning):
    found = findings.verdicts(request(loading(2 * MB, 2 * MB)), others)

    assert found == [(Finding(word, meaning),)]


def test_other_requests_say_nothing_of_what_is_not_kept():
    assert words(loading(2 * MB, 0), loading(1, 0), others=[KEPT] * 5) == [["bloat?"], []]


def test_what_is_kept_is_known_by_where_it_was_loaded():
    kept, elsewhere = loading(2 * MB, 2 * MB), CallSite("bank/views.py", 42, "accounts")
    at = {
        "where": dataclasses.replace(kept, site=elsewhere),
        "model": dataclasses.replace(kept, model="bank.Branch"),
        "kind": dataclasses.replace(kept, kind="lazy"),
    }

    assert findings.kept_by((kept, loading(2 * MB, 0))) == KEPT
    assert findings.kept_by((dataclasses.replace(kept, site=None),)) == {(*PLACE[:2], "")}
    for other in at.values():
        assert words(kept, others=[findings.kept_by((other,))] * 2) == [["cache?"]]


def test_a_word_has_a_name_for_its_style():
    names = [Finding(word, "").name for word in ("bloat?", "leak?", "cache?", "leak or cache?")]

    assert names == ["bloat", "leak", "cache", "leak-or-cache"]
