import gc
import weakref

import pytest

from django_memsize import engine
from django_memsize.measuring.instruments import (
    MOST_FOLLOWED,
    Census,
    Meter,
    NoInstrument,
    instrument_named,
    is_sampled,
)
from django_memsize.measuring.near_peak import FREE_LISTS
from django_memsize.values import Amount, Diff, TypeTotal
from tests.visits import AMOUNTS

if engine.Window is not None:
    from django_memsize.engine.compiled import hooks_installed

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)
THING = f"{__name__}.Thing"


class Thing:
    pass


@pytest.mark.parametrize(
    ("name", "kind"), [("census", Census), ("meter", Meter), ("auto", Meter), ("other", Meter)]
)
@needs_the_meter
def test_an_instrument_is_named_by_the_settings(name, kind):
    assert type(instrument_named(name)) is kind


@pytest.mark.parametrize("name", ["census", "meter", "auto"])
def test_without_a_meter_the_census_measures_in_any_case(monkeypatch, name):
    monkeypatch.setattr(engine, "Window", None)

    assert type(instrument_named(name)) is Census


@pytest.mark.parametrize("make", [Census, Meter, NoInstrument])
def test_every_instrument_has_the_same_life_and_the_same_figures(make):
    if make is Meter and engine.Window is None:
        pytest.skip("the engine in Python has no meter")
    instrument = make()
    assert instrument.name in ("census", "meter", "counted")
    instrument.open(None)
    instrument.close()
    instrument.read(by_type=False)
    instrument.analyse()
    instrument.analyse((weakref.ref(Thing()),))
    assert not instrument.is_doubtful
    instrument.discard()
    instrument.discard()

    for name in AMOUNTS:
        assert type(getattr(instrument, name)) is (Amount if make is Meter else type(None)), name
    assert not instrument.incomplete


# Census


@pytest.mark.usefixtures("no_collections")
def test_a_census_counts_what_is_on_the_heap_at_the_end_and_was_not_before():
    older = [Thing() for _ in range(5)]
    census = Census()
    census.open(None)
    things = [Thing() for _ in range(77)]
    older.clear()
    census.read()

    assert census.diff[THING].count == 72
    assert things


def test_a_census_that_was_not_opened_is_incomplete():
    census = Census()
    census.read()

    assert census.incomplete
    assert census.diff is None


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("pauses", [True, False])
def test_a_census_pauses_the_collector_until_it_is_discarded_if_asked_to(
    quick_census, enabled, pauses
):
    (gc.enable if enabled else gc.disable)()
    try:
        census = Census(pauses_collector=pauses)
        census.open(None)
        assert gc.isenabled() is (enabled and not pauses)
        census.read()
        assert gc.isenabled() is (enabled and not pauses)
        census.discard()
        assert gc.isenabled() is enabled
        gc.disable()
        census.discard()  # a second call switches nothing on
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize("walks", ["open", "read"])
def test_a_census_leaves_out_a_walk_while_another_one_is_under_way(monkeypatch, walks):
    inner, outer = Census(), Census()
    real, started = engine.census, []

    def during(exclude):
        if started:
            raise AssertionError("two walks at once")
        started.append("walk")
        inner.open(None)
        inner.read()
        started.clear()
        return real(exclude)

    if walks == "open":
        monkeypatch.setattr(engine, "census", during)
        outer.open(None)
    else:
        outer.open(None)
        monkeypatch.setattr(engine, "census", during)
    outer.read()

    assert (inner.incomplete, inner.diff) == (True, None)
    assert (outer.incomplete, outer.diff is None) == (False, False)


def test_a_walk_that_fails_keeps_no_later_one_from_walking(monkeypatch, quick_census):
    def fails(exclude):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(engine, "census", fails)
        with pytest.raises(MemoryError):
            Census().open(None)
    census = Census()
    census.open(None)
    census.read()

    assert not census.incomplete


@pytest.mark.parametrize(
    ("name", "window", "expected"),
    [
        ("auto", object, True),
        ("meter", object, True),
        ("census", object, True),
        ("auto", None, False),
        ("meter", None, False),
        ("census", None, True),
    ],
)
def test_no_request_is_walked_for_unless_the_settings_name_the_census(
    monkeypatch, name, window, expected
):
    monkeypatch.setattr(engine, "Window", window)

    assert is_sampled(name) is expected


# Meter


@needs_the_meter
def test_an_outermost_window_limits_the_memory_of_the_meter(monkeypatch):
    limits = []
    monkeypatch.setattr(engine, "limit_meter", limits.append)
    outer, inner = Meter(limit=5_000_000), Meter(limit=7)
    outer.open(None)
    inner.open(outer.window)
    outer.discard()

    assert limits == [5_000_000]


@needs_the_meter
def test_beyond_its_memory_a_meter_does_not_know_what_is_retained():
    meter = Meter(limit=2_000_000)
    meter.open(None)
    engine.switch_window(meter.window)
    kept = [object() for _ in range(200_000)]
    del kept[100:]  # so that there is memory for the analysis
    engine.switch_window(None)
    meter.close()
    meter.read()
    meter.analyse()
    meter.discard()
    engine.limit_meter(0)

    assert meter.not_remembered.blocks > 0
    assert meter.not_analysed is None
    assert (meter.retained, meter.garbage, meter.free_lists) == (None, None, None)
    assert kept


def kept_in(meter, number):
    """Return so many objects that a meter finds retained, and the window that follows them."""
    kept = [None] * number
    meter.open(None)
    engine.switch_window(meter.window)
    for at in range(number):
        kept[at] = object()
    engine.switch_window(None)
    meter.close()
    meter.read()
    return kept, meter.analyse(follows=True)


@needs_the_meter
@pytest.mark.parametrize(
    ("number", "limit", "followed"),
    [(10, 0, 0), (1000, 0, 1000), (2 * MOST_FOLLOWED - 100, 0, 19_950), (29_900, 10**7, 9_967)],
)
@pytest.mark.usefixtures("no_collections")
def test_what_is_retained_is_followed_within_the_memory_of_the_meter(number, limit, followed):
    meter = Meter(limit)
    kept, survivors = kept_in(meter, number)

    assert (survivors is not None) is (followed > 0)
    assert meter.retained.blocks - number in range(3)
    if survivors is not None:
        assert survivors.alive[0] - followed in range(-10, 3)  # frames, and every nth of them
        assert survivors.retained == (meter.retained.blocks, meter.retained.bytes)
        kept.clear()
        assert survivors.alive[0] in range(3)
        survivors.discard()
    engine.limit_meter(0)
    assert not hooks_installed()


@needs_the_meter
def test_nothing_is_followed_where_it_is_not_known_what_is_retained(monkeypatch):
    monkeypatch.setattr(Meter, "is_doubtful", True)
    _, survivors = kept_in(Meter(), 1000)

    assert survivors is None
    assert not hooks_installed()


@needs_the_meter
def test_a_meter_that_was_not_opened_knows_nothing_and_is_incomplete():
    meter = Meter()
    meter.close()
    meter.read()
    meter.analyse()
    meter.discard()

    assert meter.incomplete
    assert {getattr(meter, name) for name in AMOUNTS} == {None}
    assert meter.alive_by_type() == Diff({}, {})


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
def test_a_meter_divides_what_is_alive():
    meter = Meter()
    meter.open(None)
    engine.switch_window(meter.window)
    things = [Thing() for _ in range(30)]
    cycle = [Thing() for _ in range(20)]
    cycle.append(cycle)
    del cycle
    dropped = [(object(),) * size for size in range(1, 20) for _ in range(500)]
    del dropped
    engine.switch_window(None)
    meter.close()
    meter.read()

    assert meter.alive.types[THING].count == 50
    assert meter.alive.types[FREE_LISTS].count > 0
    assert meter.diff == meter.alive.types

    meter.analyse()

    assert meter.retained.types[THING].count == 30
    assert meter.garbage.types[THING].count == 20
    assert meter.free_lists.types["tuple"].count > 1000
    assert meter.retained + meter.garbage + meter.free_lists == Amount(
        meter.alive.blocks, meter.alive.bytes
    )
    assert meter.diff == meter.retained.types
    assert meter.allocated.bytes >= meter.peak.bytes >= meter.alive.bytes
    assert things
    meter.discard()


@needs_the_meter
def test_a_meter_reads_its_figures_without_types_if_not_asked_for_them():
    meter = Meter()
    meter.open(None)
    engine.switch_window(meter.window)
    things = [Thing() for _ in range(30)]
    engine.switch_window(None)
    meter.close()
    meter.read(by_type=False)

    assert meter.alive.bytes > 30 * 16
    assert meter.alive.types == Diff({}, {})
    assert meter.diff is None
    assert things
    meter.discard()


@needs_the_meter
def test_an_inner_window_is_a_part_of_the_outer_one():
    outer, inner = Meter(), Meter()
    outer.open(None)
    inner.open(outer.window)
    engine.switch_window(inner.window)
    things = [Thing() for _ in range(30)]
    engine.switch_window(None)
    for meter in (inner, outer):
        meter.close()
        meter.read()

    assert (
        inner.alive.types[THING]
        == outer.alive.types[THING]
        == TypeTotal(30, outer.alive.types[THING].size)
    )
    assert things
    outer.discard()


# A request from before the window


def analysed(request, made):
    """Return a meter of a window in which a hundred things were given to ``made``."""
    meter = Meter()
    meter.open(None)
    engine.switch_window(meter.window)
    made.extend(Thing() for _ in range(100))
    engine.switch_window(None)
    meter.close()
    made.append(None)
    del made
    meter.read()
    return meter


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
def test_a_request_that_only_its_own_objects_refer_to_is_garbage_with_them():
    request = Thing()
    request.things = things = []
    request.cycle = {"request": request}
    meter = analysed(request, things)
    reference = weakref.ref(request)
    del request, things
    meter.analyse((reference,))

    assert meter.garbage.types[THING].count == 100
    assert not meter.is_doubtful
    meter.discard()


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
@pytest.mark.parametrize("is_garbage", [True, False])
def test_a_request_that_something_else_refers_to_may_be_garbage_or_not(is_garbage):
    request, other = Thing(), Thing()
    request.things = things = []
    other.itself = [other, request]
    meter = analysed(request, things)
    reference = weakref.ref(request)
    del request, things
    if is_garbage:
        del other
    meter.analyse((reference,))

    assert meter.is_doubtful
    meter.discard()


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
def test_what_is_in_the_window_itself_is_known_to_be_held():
    meter = Meter()
    meter.open(None)
    engine.switch_window(meter.window)
    request = Thing()
    request.things = [Thing() for _ in range(99)]
    engine.switch_window(None)
    meter.close()
    meter.read()
    meter.analyse()

    assert meter.retained.types[THING].count == 100
    assert not meter.is_doubtful
    meter.discard()


@needs_the_meter
@pytest.mark.parametrize("by_type", [True, False])
def test_what_the_meter_drops_only_at_the_analysis_is_no_smaller_truth(by_type):
    full, small = Meter(1024 * 1024), Meter(1024 * 1024)
    kept = []
    try:
        for instrument, number in ((full, 100_000), (small, 3)):
            instrument.open(None)
            before = engine.switch_window(instrument.window)
            kept.append([object() for _ in range(number)])
            engine.switch_window(before)
            instrument.close()
        small.read(by_type)
        read = small.not_remembered.blocks
        small.analyse()
    finally:
        full.discard()
        small.discard()
        engine.limit_meter(0)

    assert read > 0 or not by_type
    assert small.not_remembered.blocks > 0
    assert small.retained is None
