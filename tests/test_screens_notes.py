import dataclasses

import pytest

from django_memsize.screens import notes
from django_memsize.values import Amount, Diff, NearPeak
from tests.summaries import (
    ACCOUNTS,
    CENSUS,
    METERED,
    amount,
    census,
    counted,
    diff,
    metered,
    retaining,
)


def test_a_census_of_a_block_that_ran_alone_has_no_notes():
    assert notes.notes(census(kind="block")) == []


def test_a_metered_report_has_no_notes_on_what_does_not_blur_it():
    quiet = retaining(100, in_flight=3, collected_objects=9000)

    assert notes.notes(quiet) == notes.explanations(quiet) == []


def test_a_note_says_that_no_table_is_of_a_moment_near_the_peak():
    summary = retaining(100, near_peak=NearPeak(diff(30_000), "bank.Session", 1))

    assert notes.notes(summary) == [
        (
            "No table by type is of a moment near the peak: the largest is of 29.3 KB, 0 % of the "
            "4.1 MB."
        )
    ]


def test_a_note_names_the_log_of_statements():
    assert notes.notes(retaining(100, query_log_bytes=45_000)) == [
        (
            "DEBUG: Django's log of statements got 43.9 KB. The next request empties it, and it is "
            "in no figure of this report."
        )
    ]


INCOMPARABLE = Diff({}, {}, comparable=False)
STREAMED = dataclasses.replace(ACCOUNTS, streamed=True, diff=None)


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Incomplete: ", census(incomplete=True)),
        ("2 other requests ran at the same time. A census", census(in_flight=2)),
        ("1 other request ran at the same time. A census", census(in_flight=1)),
        ("gc.freeze()", census(net=INCOMPARABLE)),
        ("The first request of its route", census(first_request=True)),
        ("after the last byte", CENSUS),
        ("No table by type for 3 evaluations", census(evaluations_without_types=3)),
        ("freed 5,000 objects", census(collected_objects=5000)),
        ("value of the last expression", census(kind="code")),
        ("iterator()", census(evaluations=(STREAMED,))),
        ("as tracemalloc and memray do", metered(incomplete=True)),
        (
            "The peak is at least 4.1 MB and at most 8.1 MB.",
            metered(not_remembered=Amount(2000, 4 * 1024**2)),
        ),
        ("3.1 MB in 50,015 blocks were alive at the end.", metered(not_analysed="size")),
        ("so many blocks, or references, that the other", metered(not_analysed="size")),
        ("A larger METER_MEMORY", metered(not_remembered=Amount(2000, 4 * 1024**2))),
        ("than METER_MEMORY allows", metered(not_analysed="memory")),
        ("other threads freed some", metered(not_analysed="changes")),
        ("not known to this release", metered(not_analysed="later")),
        ("The first request of its route", metered(first_request=True)),
        ("value of the last expression", metered(kind="code")),
        ("No table by type for 2 evaluations", metered(evaluations_without_types=2)),
        ("counted, not metered", counted()),
        ("1 other request ran at the same time, and", counted(in_flight=1)),
        ("The first request of its route", counted(first_request=True)),
    ],
)
def test_each_limit_of_a_figure_has_a_note(text, summary):
    assert [note for note in notes.notes(summary) if text in note]


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("Retained: an object outside this request", retaining(20_000)),
        ("Garbage: objects that refer to each other", METERED),
        ("(buffers): ", metered(retained=amount(100, diff(100, "(buffers)", 1)))),
        ("(free lists): ", metered(free_lists=amount(100, diff(100, "(free lists)", 1)))),
    ],
)
def test_a_word_is_explained_where_the_report_has_it(text, summary):
    assert [each for each in notes.explanations(summary) if each.startswith(text)]


def test_the_words_of_the_meter_are_not_explained_in_other_reports():
    assert notes.explanations(CENSUS) == notes.explanations(counted()) == []


@pytest.mark.parametrize(("engine", "advice"), [("python", "INSTRUMENT"), ("compiled", "SAMPLE_R")])
def test_a_counted_report_says_how_to_have_its_bytes_measured(engine, advice):
    (note, *_) = notes.notes(counted(engine=engine))

    assert advice in note


def test_a_request_whose_remains_are_not_known_says_so():
    told = notes.notes(metered(request_held=True, retained=None, garbage=None))

    assert [note for note in told if note.startswith("The retained bytes are not known")]
    assert not [note for note in notes.notes(metered()) if "not known" in note]
