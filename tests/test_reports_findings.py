import dataclasses

import pytest

from django_memsize.reports import findings
from django_memsize.reports.compared import Compared
from django_memsize.reports.findings import Finding
from django_memsize.reports.thresholds import (
    MUCH,
    N_PLUS_ONE,
    NOTHING_FOR_A_REQUEST,
    NOTHING_SURVIVES,
    RETAINED_BY_A_STATEMENT,
    ROWS_AT_ONCE,
)
from django_memsize.values import (
    SQL_STORED,
    Amount,
    CallSite,
    Diff,
    Evaluation,
    OwnTuple,
    Summary,
    Survival,
)

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
    found = findings.findings(request(*evaluations, **values), others).evaluations
    return [[finding.name for finding in each] for each in found]


def compared(*evaluations):
    """Return other requests, each with these evaluations that retain something."""
    return [Compared(key, each, False) for key, each in enumerate(evaluations, start=12)]


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

    assert findings.findings(judged).evaluations == ((BLOAT,), (ONE_REPORT,))


def test_what_statements_retain_by_themselves_counts_as_nothing():
    limit = NOTHING_FOR_A_REQUEST + N_PLUS_ONE * RETAINED_BY_A_STATEMENT + len(SQL)
    noise = evaluation(100 * KB, limit - 1, times=N_PLUS_ONE)
    more = evaluation(100 * KB, limit, times=N_PLUS_ONE)

    assert names(noise) == [[]]
    assert names(more) == [["leak-or-cache"]]


def test_beyond_some_statements_others_take_their_place_in_the_caches():
    retaining = evaluation(MB // 2, 200 * KB, times=3000)

    assert "leak-or-cache" in names(retaining)[0]


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
REPORTS = ", ".join(f"#{key}" for key in range(12, 17))
GOES_ON = "A leak goes on, a cache ends."


@pytest.mark.parametrize(
    ("others", "name", "sentence"),
    [
        (
            [RETAINING] * 5,
            "leak",
            (
                f"2.0 MB retained, as in all 6 requests compared (this and {REPORTS}). A cache "
                "that is still filling, or whose entries are replaced each time, looks the same."
            ),
        ),
        (
            [RETAINING_NOTHING] * 2,
            "cache",
            (
                "2.0 MB retained, in 1 of 3 requests compared (this and #12, #13). Probably a "
                "cache that was filled."
            ),
        ),
        (
            [RETAINING, RETAINING_NOTHING],
            "leak-or-cache",
            f"2.0 MB retained, in 2 of 3 requests compared (this and #12, #13). {GOES_ON}",
        ),
        (
            [RETAINING],
            "leak-or-cache",
            f"2.0 MB retained, in 2 of 2 requests compared (this and #12). {GOES_ON}",
        ),
        (
            [RETAINING_NOTHING],
            "leak-or-cache",
            f"2.0 MB retained, in 1 of 2 requests compared (this and #12). {GOES_ON}",
        ),
    ],
)
def test_other_requests_tell_a_leak_from_a_cache(others, name, sentence):
    others = compared(*others)
    (found,) = findings.findings(request(evaluation(2 * MB, 2 * MB)), others).evaluations

    assert found == (Finding(name, sentence, tuple(each.key for each in others)),)


def test_other_requests_say_nothing_of_an_evaluation_that_retains_nothing():
    assert names(evaluation(2 * MB, 0), evaluation(1, 0), others=compared(*[RETAINING] * 5)) == [
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
    another = findings.compared(1, request(dataclasses.replace(retaining, **difference)))

    assert names(retaining, others=[another] * 2) == [["cache"]]


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
    [
        ("bloat", "bloat?"),
        ("leak", "leak?"),
        ("leak-or-cache", "leak or cache?"),
        ("n-plus-one", "N+1:"),
        ("replaced", "replaced:"),
    ],
)
def test_the_label_of_a_finding_has_a_question_mark_unless_figures_prove_it(name, label):
    assert Finding(name, "").label == label


# The request as a whole

TYPES = Diff(
    {"list": 1, "str": 3000, "int": 1, "(buffers)": 9},
    {"list": 24_056, "str": 240_000, "int": 28, "(buffers)": 7000},
)
SIZE = 265 * KB


def keeping(size, *evaluations, **values):
    """Return a request that retains so many bytes, whoever made them."""
    return request(*evaluations, **{"retained": Amount(3002, size, TYPES)} | values)


def of_request(summary, *others):
    return findings.findings(summary, others).request


def others_of(*summaries):
    return [findings.compared(key, each) for key, each in enumerate(summaries, start=12)]


def test_what_a_request_retains_without_any_evaluation_is_judged_with_its_types():
    (found,) = of_request(keeping(SIZE), *others_of(*[keeping(SIZE)] * 3))

    assert found == Finding(
        "leak",
        "265.0 KB retained, as in all 4 requests compared (this and #12, #13, #14): 3,000 str, "
        "1 list. A cache that is still filling, or whose entries are replaced each time, looks the "
        "same.",
        (12, 13, 14),
    )


@pytest.mark.parametrize(
    ("others", "name"),
    [
        ([], "leak-or-cache"),
        ([0, 0], "cache"),
        ([SIZE, 0], "leak-or-cache"),
        ([SIZE], "leak-or-cache"),
    ],
)
def test_other_requests_tell_a_leak_from_a_cache_whoever_made_it(others, name):
    (found,) = of_request(keeping(SIZE), *others_of(*map(keeping, others)))

    assert found.name == name
    assert "3,000 str, 1 list" in found.sentence


def test_what_an_evaluation_retains_is_not_said_again():
    retaining = evaluation(2 * MB, 2 * MB)

    assert of_request(keeping(2 * MB + 100 * KB, retaining)) == ()
    assert names(retaining, retained=Amount(1, 2 * MB)) == [["leak-or-cache"]]


def test_what_a_request_retains_beside_its_evaluations_is_said_as_well():
    summary = keeping(4 * MB, evaluation(2 * MB, 2 * MB))
    others = others_of(*[summary] * 2)

    (found,) = of_request(summary, *others)

    assert found.sentence.startswith(
        "2.0 MB retained beside what its evaluations retain, as in all"
    )
    assert [each.name for each in findings.findings(summary, others).evaluations[0]] == ["leak"]
    # In the others the same evaluation retains as much, but nothing else does.
    without = others_of(*[keeping(2 * MB, evaluation(2 * MB, 2 * MB))] * 2)
    assert [each.name for each in of_request(summary, *without)] == ["cache"]


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "block"},
        {"peak": None},
        {"first_request": True},
        {"retained": None},
        {"retained": Amount(1, NOTHING_FOR_A_REQUEST - 1)},
        {"retained": Amount(1, 60 * KB), "statements": 60},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_request_that_retains_nothing_or_is_not_judged_has_no_finding(values):
    assert of_request(keeping(SIZE, **values)) == ()
    assert not findings.needs_comparison(keeping(SIZE, **values)) or values == {
        "first_request": True
    }


REPLACED = OwnTuple((Survival(1, 2 * MB, 0, 1),))
SURVIVING = OwnTuple(Survival(20, 2 * MB, 2 * MB) for _ in range(3))
LITTLE = OwnTuple(
    Survival(later, 2 * MB, 10 * KB, 1, Diff({"str": 9}, {"str": 10 * KB}))
    for later in (22, 21, 20)
)


def test_what_became_of_retained_bytes_decides_for_the_request_and_its_evaluations():
    for known, name in ((REPLACED, "replaced"), (SURVIVING, "leak")):
        retaining = keeping(2 * MB, evaluation(2 * MB, 2 * MB), survival=known)
        assert names(
            evaluation(2 * MB, 2 * MB),
            others=others_of(*[retaining] * 2),
            retained=Amount(1, 2 * MB),
        ) == [[name]]
        (found,) = of_request(keeping(2 * MB), *others_of(*[keeping(2 * MB, survival=known)] * 2))
        assert found.name == name


def test_requests_that_free_as_many_older_blocks_as_they_retain_replace_them():
    balanced, retaining = keeping(SIZE, freed_older=3002), keeping(SIZE)
    (found,) = of_request(balanced, *others_of(*[balanced] * 3))

    assert found.name == "replaced"
    assert found.sentence.endswith(
        "compared (this and #12, #13, #14): 3,000 str, 1 list. Each of them frees as many older "
        "blocks of memory as it retains: what is new takes the place of what earlier requests "
        "retained. Bounded, and no leak."
    )
    assert [each.name for each in of_request(balanced, *others_of(balanced, retaining))] == ["leak"]
    assert [each.name for each in of_request(retaining, *others_of(*[balanced] * 3))] == ["leak"]


def test_what_is_followed_and_freed_says_more_than_the_number_of_older_blocks():
    balanced = keeping(2 * MB, freed_older=3002, survival=REPLACED)
    (found,) = of_request(balanced, *others_of(*[balanced] * 3))

    assert "freed within 1 later request" in found.sentence


def test_evaluations_whose_request_replaces_what_it_retains_are_no_leak():
    values = {"retained": Amount(3002, 2 * MB), "freed_older": 3002}
    retaining = keeping(2 * MB, evaluation(2 * MB, 2 * MB), **values)

    assert names(evaluation(2 * MB, 2 * MB), others=others_of(*[retaining] * 2), **values) == [
        ["replaced"]
    ]


def test_the_report_of_the_latest_request_knows_most():
    first = keeping(2 * MB, survival=SURVIVING, started_at=1.0)
    latest = keeping(2 * MB, survival=REPLACED, started_at=2.0)
    unknown = keeping(2 * MB, started_at=3.0)

    for summary, *others in ((first, latest, unknown), (latest, first, unknown)):
        (found,) = of_request(summary, *others_of(*others))
        assert found.name == "replaced"


def test_a_part_that_survives_is_a_leak_beside_what_is_replaced():
    summary = keeping(2 * MB, survival=LITTLE)
    found = of_request(summary, *others_of(summary, summary))

    assert [each.name for each in found] == ["replaced", "leak"]
    assert found[1].compared == (12, 13)
    assert found[1].sentence == (
        "10.0 KB of 2.0 MB retained, still alive after 20 later requests, in 3 of 3 requests "
        "followed: 9 str. A cache that is still filling looks the same."
    )


@pytest.mark.parametrize(
    ("values", "survival", "is_told"),
    [
        ({}, LITTLE, True),
        ({}, LITTLE[:2], False),
        ({}, [*LITTLE[:2], Survival(30, 2 * MB, NOTHING_SURVIVES, 1)], True),
        ({}, [*LITTLE[:2], Survival(30, 2 * MB, NOTHING_SURVIVES - 1, 1)], False),
        ({}, [*LITTLE, Survival(20, 2 * MB, 0, 1)], False),
        ({"first_request": True}, LITTLE, False),
        ({"kind": "block"}, LITTLE, False),
        ({"statements": 20}, LITTLE, False),
        ({"retained": Amount(1, 10 * KB)}, LITTLE, True),
    ],
)
def test_a_small_leak_needs_three_requests_that_all_agree(values, survival, is_told):
    summary = keeping(2 * MB, survival=OwnTuple(survival), **values)
    others = others_of(*[keeping(2 * MB)] * 2)

    assert ("leak" in [each.name for each in of_request(summary, *others)]) is is_told
    assert "leak" not in [each.name for each in of_request(summary, *others[:1])]


def test_what_some_requests_do_not_retain_is_a_cache_whatever_survives():
    filled = keeping(10 * KB, survival=LITTLE)
    assert of_request(filled, *others_of(filled, keeping(0))) == ()
    assert of_request(keeping(0, survival=LITTLE), *others_of(filled, filled)) == ()


def test_a_request_is_compared_whoever_retains_something():
    assert findings.needs_comparison(keeping(SIZE))


def test_a_report_without_all_its_evaluations_says_nothing_of_an_evaluation():
    partial = findings.compared(1, keeping(SIZE, evaluations_omitted=1))

    assert (partial.evaluations, partial.is_retaining) == (None, True)
    assert names(evaluation(2 * MB, 2 * MB), others=[partial] * 2) == [["leak-or-cache"]]


# Rows


def test_a_loop_is_n_plus_one_and_no_bloat():
    loop = evaluation(2 * MB, 0, rows=400, times=400, kind="lazy")

    assert names(loop) == [["n-plus-one"]]
    assert names(loop, kind="code", peak=None) == [["n-plus-one"]]


def test_a_loop_may_leak_too():
    assert names(evaluation(2 * MB, 2 * MB, times=400)) == [["n-plus-one", "leak-or-cache"]]


@pytest.mark.parametrize(
    ("rows", "values", "found"),
    [
        (ROWS_AT_ONCE - 1, {}, []),
        (ROWS_AT_ONCE, {}, ["bloat"]),
        (50_000, {"streamed": True}, []),
        (50_000, {"times": 50_000}, ["n-plus-one"]),
    ],
)
def test_many_rows_of_a_counted_request_are_bloat(rows, values, found):
    counted = {"instrument": "counted", "peak": None}

    assert names(evaluation(None, None, rows=rows, **values), **counted) == [found]


def test_the_finding_of_a_counted_request_says_that_no_bytes_were_measured():
    summary = request(evaluation(None, None, rows=50_000), instrument="counted", peak=None)
    ((found,),) = findings.findings(summary).evaluations

    assert found.sentence == (
        "50,000 rows at once; their bytes were not measured. Load fewer rows, or use iterator(), "
        "if the request does not need all of them together."
    )


@pytest.fixture
def _fetching_all_rows(monkeypatch):
    def why(database):
        return "its driver fetches all rows at once" if database == "at the client" else ""

    monkeypatch.setattr(findings, "why_all_at_once", why)


@pytest.mark.usefixtures("_fetching_all_rows")
def test_an_iterator_whose_driver_fetches_all_rows_is_bloat():
    stream = {"streamed": True, "database": "at the client", "rows": 24_000}
    large = evaluation(128 * KB, 0, **stream, peak=Amount(1, 4 * MB))
    small = evaluation(128 * KB, 0, **stream, peak=Amount(1, MB - 1))
    ((found,),) = findings.findings(request(large)).evaluations

    assert found.name == "bloat"
    assert found.sentence == (
        "4.0 MB at its peak: its driver fetches all rows at once, iterator() or not. "
        "Load them in batches, or fewer rows or fields."
    )
    others = (
        dataclasses.replace(large, **other) for other in ({"database": ""}, {"streamed": False})
    )
    assert names(small, *others) == [
        [],
        [],
        [],
    ]


@pytest.mark.usefixtures("_fetching_all_rows")
def test_an_iterator_of_a_counted_request_is_bloat_by_its_rows_as_well():
    counted = {"instrument": "counted", "peak": None}
    stream = {"streamed": True, "database": "at the client"}
    found = [
        names(evaluation(None, None, rows=rows, **stream), **counted)
        for rows in (ROWS_AT_ONCE - 1, ROWS_AT_ONCE)
    ]

    assert found == [[[]], [["bloat"]]]


QUERY = "django.db.models.sql.query.Query"


@pytest.mark.parametrize(
    ("querysets", "inside", "said"),
    [
        (3514, ["prefetch"], "most of it 3,514 querysets of prefetch_related()"),
        (100, ["prefetch"], "Load fewer rows, fields or prefetched relations"),
        (0, ["prefetch"], "Load fewer rows, fields or prefetched relations"),
        (3514, ["lazy"], "Load fewer rows or fields"),
        (3514, [], "Load fewer rows or fields"),
    ],
)
def test_querysets_of_prefetched_relations_are_not_called_rows(querysets, inside, said):
    diff = Diff({QUERY: querysets}, {QUERY: 56 * querysets}) if querysets else None
    rows = evaluation(6 * MB, 0, rows=200, diff=diff)
    prefetched = [evaluation(0, 0, kind=kind, depth=1, rows=0) for kind in inside]
    beside = evaluation(0, 0, kind="prefetch")

    (found,), *_ = findings.findings(request(rows, *prefetched, beside)).evaluations

    assert said in found.sentence
