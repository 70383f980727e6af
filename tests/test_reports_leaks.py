import pytest

from django_memsize.reports import leaks
from django_memsize.reports.fates import Fate, Followed
from django_memsize.values import Diff, Survival

MB = 1024**2
SURVIVING = Followed((Survival(20, MB, MB),) * 2)
REPLACED = Followed((Survival(1, MB, 0, 1),) * 2)
OPEN = Followed((), (Survival(4, MB, MB),))
ALL = [(2, True), (1, True)]


@pytest.mark.parametrize(
    ("fate", "followed", "name", "end"),
    [
        (
            Fate.UNKNOWN,
            Followed(),
            "leak",
            (
                "A cache that is still filling, or whose entries are replaced each time, looks the "
                "same."
            ),
        ),
        (
            Fate.OPEN,
            OPEN,
            "leak-or-cache",
            (
                "Still alive after 4 later requests, in 1 of 1 request followed: more requests "
                "will tell whether later ones replace it."
            ),
        ),
        (
            Fate.SURVIVES,
            SURVIVING,
            "leak",
            (
                "Still alive after 20 later requests, in 2 of 2 requests followed. A cache that is "
                "still filling, or has room for more, looks the same."
            ),
        ),
        (
            Fate.FREED_LATER,
            REPLACED,
            "leak-or-cache",
            (
                "2.0 MB of 2.0 MB freed within 1 later request, in 2 of 2 requests followed: a "
                "cache that fills, or drops its entries later, and a leak beside it look the same."
            ),
        ),
    ],
)
def test_where_all_requests_retain_something_what_became_of_it_decides(fate, followed, name, end):
    assert leaks.judge("1.0 MB retained", ": 1 list", ALL, fate, followed) == (
        name,
        f"1.0 MB retained, as in all 3 requests compared (this and #1, #2): 1 list. {end}",
    )


@pytest.mark.parametrize("others", [[], ALL, [(1, False), (2, False)]])
def test_what_is_replaced_is_no_leak_however_many_requests_retain_it(others):
    assert leaks.judge("1.0 MB retained", "", others, Fate.REPLACED, REPLACED) == (
        "replaced",
        (
            "1.0 MB retained. It takes the place of what earlier requests retained: 2.0 MB of "
            "2.0 MB freed within 1 later request, in 2 of 2 requests followed. Bounded, and no "
            "leak."
        ),
    )


@pytest.mark.parametrize("fate", [Fate.OPEN, Fate.SURVIVES, Fate.FREED_LATER])
def test_where_some_requests_retain_nothing_it_is_no_leak(fate):
    assert leaks.judge("", "", [(1, False), (2, False)], fate, SURVIVING)[0] == "cache"
    assert leaks.judge("", "", [(1, True), (2, False)], fate, SURVIVING)[0] == "leak-or-cache"
    assert leaks.judge("", "", [(1, True)], fate, SURVIVING)[0] == "leak-or-cache"


def test_a_small_part_that_survives_is_said_with_its_types():
    assert leaks.remainder([Survival(20, MB, MB), Survival(21, 2 * MB, 10240)], ": 9 str") == (
        "10.0 KB of 2.0 MB retained, still alive after 20 later requests, in 2 of 2 requests "
        "followed: 9 str. A cache that is still filling looks the same."
    )


def test_the_largest_types_that_are_objects_are_named():
    types = Diff(
        {"list": 1, "str": 3000, "(buffers)": 9}, {"list": 1000, "str": 9000, "(buffers)": 9}
    )
    assert leaks.largest_types(types) == ": 3,000 str, 1 list"
    assert leaks.largest_types(Diff({}, {})) == ""
