"""What a window has alive by type, at the highest moment that the engine has looked at."""

import pytest

from django_memsize import engine
from django_memsize.measuring.near_peak import (
    FIRST,
    FREE_LISTS,
    follow_peak,
    types_alive,
    types_near_peak,
)
from django_memsize.values import Diff, OwnTuple

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


def looked_at(make):
    """Return what a window has near its peak, in which ``make()`` allocates."""
    window = engine.Window()
    window.open()
    follow_peak(window, 0)
    before = engine.switch_window(window)
    try:
        make()
    finally:
        engine.switch_window(before)
        window.close()
    return types_near_peak(window)


@needs_the_meter
def test_what_is_near_the_peak_is_a_diff():
    found = looked_at(lambda: [{"id": number} for number in range(10_000)])

    assert found["dict"].count >= 5000


@needs_the_meter
def test_little_is_not_looked_at():
    assert looked_at(lambda: [bytes(FIRST // 2)]) is None


@needs_the_meter
def test_objects_of_ours_that_are_at_work_are_left_out():
    found = looked_at(lambda: [OwnTuple((number,)) for number in range(10_000)])

    assert not [name for name in found if name.startswith("django_memsize")]


def test_free_lists_are_one_row():
    in_use, free = (
        ({"dict": 2}, {"dict": 128}),
        ({"tuple": 3, "list": 1}, {"tuple": 168, "list": 56}),
    )

    assert types_alive(in_use, free) == Diff(
        {"dict": 2, FREE_LISTS: 4}, {"dict": 128, FREE_LISTS: 224}
    )
    assert types_alive(in_use, ({}, {})) == Diff(*in_use)
