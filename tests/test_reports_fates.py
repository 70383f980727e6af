import pytest

from django_memsize.reports import fates
from django_memsize.reports.fates import Fate, Followed
from django_memsize.reports.thresholds import (
    AS_MANY,
    ENOUGH_LATER,
    LATER_IN_A_RUN,
    LATER_TO_TELL,
    MOST,
    REPLACED_BLOCKS,
)
from django_memsize.values import LIVE, RUN, Amount, Summary, Survival

MB = 1024**2


def survival(alive, later=ENOUGH_LATER, within=0, retained=MB):
    return Survival(later, retained, alive, within)


def fate(*known, part=MB, whole=MB, is_run=False):
    return Followed.of(known, is_run).fate(part, whole)


@pytest.mark.parametrize(
    ("known", "found"),
    [
        ([], Fate.UNKNOWN),
        ([survival(MB, 0)], Fate.UNKNOWN),
        ([survival(MB, LATER_TO_TELL - 1)], Fate.OPEN),
        ([survival(MB, LATER_TO_TELL)], Fate.SURVIVES),
        ([survival(MB), survival(round(MOST * MB))], Fate.SURVIVES),
        ([survival(MB), survival(round(MOST * MB) - 1)], Fate.FREED_LATER),
        ([survival(0, 1, 1)], Fate.REPLACED),
        ([survival(round((1 - MOST) * MB), 1, 1)], Fate.REPLACED),
        ([survival(round((1 - MOST) * MB) + 1, 1, 1)], Fate.OPEN),
        ([survival(0, 1, 1), survival(MB)], Fate.FREED_LATER),
    ],
)
def test_enough_later_requests_tell_what_survives_and_one_tells_what_is_replaced(known, found):
    assert fate(*known) is found


def test_what_has_not_seen_as_many_requests_as_it_took_to_free_others_tells_nothing():
    others = [survival(0, 30, 30)] * 2

    assert fate(*others, survival(MB, 29)) is Fate.REPLACED
    assert fate(*others, survival(MB, 30)) is Fate.FREED_LATER
    assert fate(survival(0, 3, 3), survival(MB, 2), is_run=True) is Fate.REPLACED


def test_in_a_run_few_later_requests_are_enough():
    assert fate(survival(MB, LATER_IN_A_RUN), is_run=True) is Fate.SURVIVES
    assert fate(survival(MB, LATER_IN_A_RUN - 1), is_run=True) is Fate.OPEN


@pytest.mark.parametrize(
    ("alive", "part", "found"),
    [
        (1.0, 0.1, Fate.SURVIVES),
        (0.0, 0.1, Fate.REPLACED),
        (0.5, 0.5, Fate.FREED_LATER),
        (0.1, 0.9, Fate.REPLACED),
        (0.1, 0.1, Fate.FREED_LATER),  # what is alive may be this part, or none of it
        (0.98, 0.1, Fate.SURVIVES),
        (0.9, 0.1, Fate.FREED_LATER),
    ],
)
def test_of_a_part_it_is_known_what_of_the_whole_allows(alive, part, found):
    assert fate(survival(round(alive * MB)), part=round(part * MB)) is found


@pytest.mark.parametrize(("is_run", "enough"), [(True, LATER_IN_A_RUN), (False, ENOUGH_LATER)])
def test_some_are_followed_for_long(is_run, enough):
    known = [survival(MB, enough), survival(MB, enough - 1), survival(0, 1, 1), survival(9, enough)]
    assert Followed.of(known, is_run).told_for_long == (known[0], known[3])


@pytest.mark.parametrize(
    ("known", "does"),
    [
        (survival(MB, ENOUGH_LATER), True),
        (survival(MB, ENOUGH_LATER - 1), False),
        (survival(0, 1, 1), True),
    ],
)
def test_in_the_ranking_counts_what_has_seen_enough_or_is_freed(known, does):
    assert fates.counts(known) is does


def test_the_words_have_the_figures():
    followed = Followed.of([survival(1024, 3, 2), survival(0, 2, 1), survival(MB, 1)], False)

    assert followed.freed == (
        "2.0 MB of 2.0 MB freed within 2 later requests, in 2 of 2 requests followed"
    )
    assert followed.still_open == ("still alive after 1 later request, in 1 of 1 request followed")
    assert Followed.of([survival(MB, 25), survival(MB, 31)], False).alive == (
        "still alive after 25 later requests, in 2 of 2 requests followed"
    )


def test_the_latest_report_that_knows_something_counts():
    old, new = (survival(MB),), (survival(0),)

    assert fates.latest([(1.0, old), (3.0, ()), (2.0, new)]) == new
    assert fates.latest([(1.0, ())]) == ()


def test_a_run_is_told_by_its_source():
    assert fates.is_run(Summary(source=RUN))
    assert not fates.is_run(Summary(source=LIVE))


@pytest.mark.parametrize(
    ("retained", "freed", "is_balanced"),
    [
        (REPLACED_BLOCKS, REPLACED_BLOCKS, True),
        (REPLACED_BLOCKS, 10 * REPLACED_BLOCKS, True),
        (REPLACED_BLOCKS - 1, REPLACED_BLOCKS, False),
        (1000, round(AS_MANY * 1000), True),
        (1000, round(AS_MANY * 1000) - 1, False),
        (1000, None, False),
        (None, 1000, False),
    ],
)
def test_a_request_that_frees_as_many_older_blocks_replaces_them(retained, freed, is_balanced):
    amount = None if retained is None else Amount(retained, MB)

    assert fates.is_balanced(Summary(retained=amount, freed_older=freed)) is is_balanced
