"""Beyond the limit of the meter's memory, blocks are counted, and the window says how many."""

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.windows import metered  # noqa: E402

MB = 1024 * 1024
IN_NURSERY = 256 + 16  # blocks that are not in the table yet: meter/crediting.h


@pytest.fixture(autouse=True)
def limit():
    compiled.limit_meter(MB)
    yield MB
    compiled.limit_meter(0)


def keep(number):
    return [object() for _ in range(number)]


def test_below_the_limit_every_block_is_remembered():
    with metered() as window:
        kept = keep(20_000)

    assert window.not_remembered == (0, 0)
    assert window.alive[0] >= len(kept)
    window.discard()


def test_the_blocks_of_all_windows_never_take_more_than_the_limit(limit):
    others, most, windows = [], 0, compiled.meter_bytes()
    for _ in range(4):
        with metered() as window:
            for _ in range(20):
                others.append(keep(2_000))
                most = max(most, compiled.meter_bytes())
        others.append(window)

    assert limit * 0.6 < most - windows <= limit + 16 * 1024, most  # these are not blocks


@pytest.mark.parametrize("number", [100_000, 300_000])
def test_beyond_the_limit_what_is_allocated_stays_exact_and_the_rest_is_between_bounds(number):
    one = object.__sizeof__(object())
    with metered() as window:
        kept = [None] * number
        before = window.allocated
        for at in range(number):
            kept[at] = object()
        allocated = window.allocated
        blocks, size = window.not_remembered

    # And an int for each turn of the loop, which dies in the nursery, or collides there and is not
    # remembered either: that depends on addresses.
    assert allocated[0] - before[0] >= number
    assert number - 65_536 <= blocks < allocated[0]
    assert blocks * one <= size < blocks * 2 * one
    for low in (window.alive, window.peak):
        assert low[0] < number <= low[0] + blocks
        assert low[1] < number * one + 8 * number <= low[1] + size
    window.discard()


def test_allocated_is_the_same_with_and_without_a_limit():
    def allocated(limit):
        compiled.limit_meter(limit)
        with metered() as window:
            kept = keep(100_000)
            found = window.allocated
        window.discard()
        return found, window.not_remembered[0], len(kept)

    limited, unlimited = allocated(MB), allocated(0)

    assert limited[0] == unlimited[0]
    assert limited[1] > 0 == unlimited[1]


def test_the_windows_around_one_that_reached_the_limit_say_so_and_those_beside_it_do_not():
    with metered() as outer:
        with metered() as before:
            kept = keep(100)
        with metered() as full:
            kept = [kept, keep(100_000)]
        with metered() as after:
            brief = object()
            del brief

    assert full.not_remembered[0] > 0
    assert outer.not_remembered >= full.not_remembered
    assert before.not_remembered == after.not_remembered == (0, 0)
    outer.discard()


def test_what_is_freed_makes_room_again():
    with metered() as outer:
        kept = keep(100_000)
        del kept
        # The free of a block that is not remembered is not seen: it counted as freed before.
        assert 0 <= outer.alive[0] <= IN_NURSERY
        forgotten = outer.not_remembered
        kept = keep(10_000)

    assert forgotten[0] > 0
    assert outer.not_remembered == forgotten
    assert outer.alive[0] >= len(kept)
    outer.discard()


def test_a_window_after_the_one_that_reached_the_limit_remembers_again():
    with metered() as full:
        kept = keep(100_000)
    full.discard()
    with metered() as following:
        more = keep(1_000)

    assert full.not_remembered[0] > 0
    assert following.not_remembered == (0, 0)
    assert len(kept) + len(more) == 101_000
    assert following.analyse()[0][0]["object"] == 1_000


@pytest.mark.parametrize("wrong", [-1, 2**70, "1", None, 1.5])
def test_a_limit_is_a_number_of_bytes(wrong):
    with pytest.raises((TypeError, OverflowError)):
        compiled.limit_meter(wrong)


def test_a_limit_below_what_is_remembered_keeps_it():
    compiled.limit_meter(0)
    with metered() as window:
        kept = keep(50_000)
        assert window.not_remembered == (0, 0)
        compiled.limit_meter(4096)
        more = keep(80_000)

    assert window.alive[0] >= len(kept)
    assert 0 < window.not_remembered[0] <= len(more) + IN_NURSERY
    assert window.incomplete is False
    window.discard()


@pytest.mark.parametrize("call", ["alive_by_type", "analyse"])
def test_what_is_dropped_at_the_analysis_is_on_the_window_afterwards(call):
    with metered() as full:
        others = keep(100_000)
    with metered() as window:
        kept = keep(50)  # in the nursery
    counts = getattr(window, call)()[0][0]

    missing = len(kept) - counts.get("object", 0)
    assert 0 < missing <= window.not_remembered[0]
    assert len(others) == 100_000
    full.discard()
    window.discard()
