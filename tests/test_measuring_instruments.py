import gc

import pytest

from django_memsize import engine
from django_memsize.measuring.instruments import (
    FREE_LISTS,
    Census,
    Meter,
    NoInstrument,
    instrument_named,
)
from django_memsize.measuring.referrers import ExternalObjects
from django_memsize.values import Amount, Diff, TypeTotal
from tests.visits import AMOUNTS

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
    instrument.analyse(ExternalObjects())
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


# Meter


@needs_the_meter
def test_a_meter_that_was_not_opened_knows_nothing_and_is_incomplete():
    meter = Meter()
    meter.close()
    meter.read()
    meter.analyse()
    meter.discard()

    assert meter.incomplete
    assert {getattr(meter, name) for name in AMOUNTS} == {None}
    assert meter.alive_by_type() == Amount()


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
