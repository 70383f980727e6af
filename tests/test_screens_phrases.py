import dataclasses

import pytest

from django_memsize.orm import methods
from django_memsize.screens import phrases
from django_memsize.values import CallSite, Diff
from tests.summaries import (
    ACCOUNTS,
    LOOP,
    METERED,
    METERED_ACCOUNTS,
    amount,
    census,
    counted,
    diff,
    metered,
    retaining,
)

LOADING = "Loading 3,090 bank.Account at bank/views.py:41 added 2.9 MB to the heap"
LOADED = "Loaded 3,090 bank.Account at bank/views.py:41"


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (census(), f"{LOADING}; the heap did not grow during the request (net +100 B)."),
        (
            census(net=diff(3_000_000)),
            f"{LOADING}; the heap grew by 2.9 MB during the request.",
        ),
        (
            census(net=diff(-3_000_000), kind="block"),
            f"{LOADING}; the heap shrank by 2.9 MB during the block.",
        ),
        (census(net=None), f"{LOADING}; the change of the heap is not known."),
        (
            census(rows=3091),
            (
                f"{LOADING} (1 more row was loaded by other evaluations); "
                "the heap did not grow during the request (net +100 B)."
            ),
        ),
        (
            census(evaluations=(), rows=0, kind="code", net=Diff({}, {})),
            "No rows were loaded; the heap did not grow during the run (net 0 B).",
        ),
    ],
)
def test_the_sentence_of_a_census_names_rows_and_the_change_of_the_heap(summary, text):
    assert phrases.sentence(summary) == text


PEAK = "Peak 4.1 MB loading 3,090 bank.Account at bank/views.py:41"


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (
            metered(),
            f"{PEAK}; 3.0 MB of garbage, waiting for Python's collector; nothing retained.",
        ),
        (retaining(2_500_000), f"{PEAK}; 2.4 MB retained."),
        (
            retaining(0, evaluations=(), rows=0),
            "Peak 4.1 MB, no rows loaded; nothing retained.",
        ),
        (
            retaining(
                0, evaluations=(dataclasses.replace(METERED_ACCOUNTS, peak=amount(2 * 10**6)),)
            ),
            (
                "Peak 4.1 MB; loading 3,090 bank.Account at bank/views.py:41 had a peak of 1.9 MB; "
                "nothing retained."
            ),
        ),
        # What the evaluations had at their peaks is all that they can have had of the peak.
        (
            retaining(0, evaluations=(dataclasses.replace(METERED_ACCOUNTS, peak=LOOP.peak),)),
            "Peak 4.1 MB, at least 99 % of it not loaded by the ORM; nothing retained.",
        ),
        (
            retaining(0, evaluations=(LOOP,) * 100),
            (
                "Peak 4.1 MB; loading 300 bank.Branch by a relation not loaded before "
                "\N{MULTIPLICATION SIGN}300 at bank/list.html:12, rendered by bank/views.py:24 "
                "(2,790 more rows were loaded by other evaluations) had a peak of 19.5 KB; nothing "
                "retained."
            ),
        ),
    ],
)
def test_the_sentence_of_a_meter_names_peak_garbage_and_retained_bytes(summary, text):
    assert phrases.sentence(summary) == text


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (counted(), f"{LOADED}; bytes were not measured, and the process grew by 3.0 MB."),
        (
            counted(rss_after=0, cursor_rows=5),
            (
                f"{LOADED}, 5 rows fetched by cursors; "
                "bytes were not measured, and the process did not grow."
            ),
        ),
        (counted(rss_after=None), f"{LOADED}; bytes were not measured."),
        (
            counted(evaluations=(), rows=0, cursor_rows=1, rss_after=None),
            "1 row fetched by cursors; bytes were not measured.",
        ),
        (
            counted(evaluations=(), rows=0, rss_after=None),
            "No rows were loaded; bytes were not measured.",
        ),
    ],
)
def test_the_sentence_of_a_counted_request_names_rows_and_the_process(summary, text):
    assert phrases.sentence(summary) == text


@pytest.mark.parametrize(("kind", "nothing"), [("request", 16), ("block", 1), ("code", 1)])
def test_retained_bytes_below_a_limit_count_as_nothing(kind, nothing):
    values = {"kind": kind, "evaluations": ()}
    at, below = (retaining(nothing * 1024 - less, **values) for less in (0, 1))

    assert phrases.sentence(at).endswith(f"; {nothing}.0 KB retained.") or nothing == 1
    assert not phrases.sentence(at).endswith("; nothing retained.")
    assert phrases.sentence(below).endswith("; nothing retained.")


def test_the_largest_evaluation_has_most_bytes_or_without_bytes_most_rows():
    unmeasured = dataclasses.replace(ACCOUNTS, diff=None, rows=9999, model="bank.Branch")
    few = dataclasses.replace(ACCOUNTS, diff=None, rows=1, model="bank.Teller")

    assert "Loading 3,090 bank.Account" in phrases.sentence(
        census(evaluations=(unmeasured, ACCOUNTS))
    )
    assert "Loading 9,999 bank.Branch at bank/views.py:41 (1 more row was loaded" in (
        phrases.sentence(census(evaluations=(few, unmeasured), rows=10_000))
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "3,090 bank.Account at bank/views.py:41"),
        ({"kind": "values", "site": None}, "3,090 bank.Account as values"),
        ({"streamed": True, "site": None}, "3,090 bank.Account by iterator()"),
        ({"kind": "prefetch", "site": None}, "3,090 bank.Account by prefetch_related()"),
        ({"site": CallSite(template="a.html", template_line=3)}, "3,090 bank.Account at a.html:3"),
    ],
)
def test_an_evaluation_is_named_by_rows_model_kind_and_call_site(changes, text):
    assert phrases.evaluation_phrase(dataclasses.replace(ACCOUNTS, **changes)) == text


def test_a_loop_is_named_with_its_number_of_times_and_its_line_of_the_template():
    text = phrases.evaluation_phrase(LOOP)

    how = methods.phrase("lazy")
    assert text.startswith(f"300 bank.Branch{how} \N{MULTIPLICATION SIGN}300 at ")
    assert text.endswith(" at bank/list.html:12, rendered by bank/views.py:24")


def test_instances_built_beyond_one_for_each_row_are_named():
    assert phrases.related_phrase(LOOP) == "with 290 bank.City"
    assert phrases.related_phrase(ACCOUNTS) == ""


def test_the_span_is_called_by_its_kind_where_that_is_a_noun():
    kinds = ("request", "block", "code", "task", "")
    nouns = [phrases.thing(dataclasses.replace(METERED, kind=kind)) for kind in kinds]

    assert nouns == ["request", "block", "run", "run", "run"]


@pytest.mark.parametrize("reason", [{"not_analysed": "size"}, {"request_held": True}])
def test_what_is_alive_is_told_where_it_was_not_divided_into_retained_and_garbage(reason):
    summary = metered(retained=None, garbage=None, free_lists=None, **reason)

    assert phrases.sentence(summary) == (
        f"{PEAK}; 3.1 MB alive at the end: how much of it is retained is not known."
    )
