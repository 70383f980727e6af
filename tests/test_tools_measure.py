"""``measure`` as a block and as a decorator: the program goes on as it would without."""

import asyncio
import contextvars
import gc
import inspect
import signal
import threading
import time
from unittest.mock import Mock

import pytest
from django.apps import apps

import django_memsize as memsize
from django_memsize.measuring import spans
from django_memsize.measuring.recording import Options, Recording
from django_memsize.models import Report
from django_memsize.reports import recordings
from django_memsize.tools import measure
from tests.programs import ended_well
from tests.visits import EVERY_REQUEST

pytestmark = pytest.mark.usefixtures("instrument")


# Exceptions


def test_an_exception_passes_through_a_block_unchanged():
    error = ValueError("theirs")

    with pytest.raises(ValueError, match="theirs") as caught, memsize.measure("block") as recording:
        raise error

    assert caught.value is error
    assert recording.closed
    assert recording.analysed
    assert spans.open_span() is None


def test_an_exit_passes_through_a_block():
    with pytest.raises(SystemExit), memsize.measure("block") as recording:
        raise SystemExit(3)

    assert recording.closed


def test_a_time_limit_that_strikes_while_memsize_works_reaches_the_program():
    class TimeLimit(Exception):
        pass

    def strike(signum, frame):
        raise TimeLimit

    def is_struck_after(seconds):
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            with memsize.measure("task"):
                ballast = [[number] for number in range(10_000)]
            time.sleep(10)  # until it strikes
        except TimeLimit:
            return True
        return ballast is None

    # An exception in a callback of the collector, such as hypothesis's, reaches nobody. Nor does
    # one in a finaliser that an earlier test left.
    gc.collect()
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    ballast = [[number] for number in range(100_000)]
    before = signal.signal(signal.SIGALRM, strike)
    try:
        # In a context of their own: a block that is struck before it is left stays behind there.
        struck = [
            contextvars.copy_context().run(is_struck_after, 0.001 * number)
            for number in range(1, 40)
        ]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.callbacks[:] = callbacks

    assert struck == [True] * 39
    assert gc.isenabled()
    assert ballast
    with memsize.measure("afterwards") as recording:
        pass
    assert recording.analysed


def test_an_interrupt_while_a_block_is_entered_leaves_no_recording_behind(monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Recording, "open", interrupted)
    with pytest.raises(KeyboardInterrupt), memsize.measure("block"):
        raise AssertionError("the block ran")

    assert measure._blocks.get() is None
    assert spans.open_span() is None


@pytest.mark.parametrize("method", ["open", "close", "analyse"])
def test_a_fault_of_memsize_does_not_reach_the_block(monkeypatch, caplog, method):
    monkeypatch.setattr(measure, "_contained", measure.ErrorBoundary("measuring", only_ours=True))
    monkeypatch.setattr(Recording, method, Mock(side_effect=MemoryError("on purpose")))
    with memsize.measure("block"):
        ran = True

    assert ran
    assert "measuring failed: MemoryError: on purpose" in caplog.text
    assert spans.open_span() is None
    assert measure._blocks.get() is None


# Functions


def test_a_decorated_function_keeps_its_name_its_signature_and_its_value():
    @memsize.measure("function")
    def double(number: int) -> int:
        """Twice."""
        assert spans.open_span().name == "function"
        return number * 2

    assert double(21) == 42
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert str(inspect.signature(double)) == "(number: int) -> int"
    assert spans.open_span() is None


async def test_a_decorated_coroutine_function_stays_one():
    @memsize.measure("coroutine")
    async def double(number):
        await asyncio.sleep(0)
        assert spans.open_span().name == "coroutine"
        return number * 2

    assert inspect.iscoroutinefunction(double)
    assert await double(21) == 42
    assert spans.open_span() is None


def plain_generator():
    yield 1


async def async_generator():
    yield 1


@pytest.mark.parametrize("function", [plain_generator, async_generator])
def test_a_generator_function_cannot_be_decorated(function):
    with pytest.raises(TypeError, match="generator"):
        memsize.measure("generator")(function)


# Nesting and sharing


def test_one_measure_can_be_entered_again_within_itself():
    again = memsize.measure("again")

    with again as outer, again as inner:
        assert outer is not inner
        assert spans.open_span() is inner

    assert outer.closed
    assert inner.closed


def test_one_measure_serves_several_threads():
    shared, recorded = memsize.measure("shared"), {}
    first_in, second_done = threading.Event(), threading.Event()

    def first():
        with shared as recording:
            recorded["first"] = recording
            first_in.set()
            second_done.wait(30)

    def second():
        first_in.wait(30)
        with shared as recording:
            recorded["second"] = recording
        second_done.set()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert [recorded[name].closed for name in ("first", "second")] == [True, True]
    assert recorded["first"].duration > recorded["second"].duration > 0


# Saving


@pytest.mark.django_db
def test_a_block_is_stored_if_it_asks_for_that(settings):
    settings.MEMSIZE = EVERY_REQUEST
    with memsize.measure("stored", save=True), memsize.measure("not stored"):
        pass

    assert Report.objects.get().route == "stored"


@pytest.mark.django_db
def test_a_decorated_function_is_stored_at_each_call(settings):
    settings.MEMSIZE = EVERY_REQUEST

    @memsize.measure("function", save=True)
    def work():
        return 42

    assert [work(), work()] == [42, 42]
    assert [report.route for report in Report.objects.all()] == ["function"] * 2


@pytest.mark.django_db
@pytest.mark.parametrize("memsize_setting", [None, {"ENABLED": False}])
def test_a_block_is_not_stored_under_a_test_runner_or_where_memsize_is_switched_off(
    settings, django_assert_num_queries, memsize_setting
):
    if memsize_setting is not None:
        settings.MEMSIZE = memsize_setting
    with django_assert_num_queries(0), memsize.measure("import", save=True):
        pass


# Without Django


def test_a_block_measures_as_the_settings_say(monkeypatch):
    monkeypatch.setattr(recordings, "_options", lambda _: Options(max_overhead=0.25))
    with memsize.measure("block") as recording:
        pass

    assert recording.log.max_overhead == 0.25


@pytest.mark.parametrize("missing", ["ready", "installed"])
def test_a_block_is_measured_with_the_defaults_before_django_is_ready(monkeypatch, missing):
    if missing == "ready":
        monkeypatch.setattr(apps, "ready", False)
    else:
        monkeypatch.setattr(apps, "is_installed", lambda name: False)
    monkeypatch.setattr(recordings, "new_recording", None)
    with memsize.measure("block", save=True) as recording:
        things = [object() for _ in range(3)]

    assert recording.log.max_overhead == Options().max_overhead
    assert recording.analysed
    assert things


WITHOUT_DJANGO = """
import sys
import django_memsize as memsize

class Thing:
    pass

with memsize.measure("block", save=True) as recording:
    things = [Thing() for _ in range(77)]

@memsize.measure("function")
def work():
    return 42

assert recording.diff["__main__.Thing"].count == 77
assert work() == 42
assert not [name for name in sys.modules if name.split(".")[0] == "django"]
print(recording.name, recording.instrument == ("meter" if memsize.engine.Window else "census"))
"""


@pytest.mark.parametrize("instrument", ["census"], indirect=True)
def test_a_block_is_measured_without_django(instrument):
    assert ended_well(WITHOUT_DJANGO) == "block True\n"


NOT_CONFIGURED = """
import django.apps, django.conf
import django_memsize as memsize

with memsize.measure("block", save=True) as recording:
    pass

print(django.conf.settings.configured, recording.analysed)
"""


@pytest.mark.parametrize("instrument", ["census"], indirect=True)
def test_a_block_is_measured_where_django_has_no_settings(instrument):
    assert ended_well(NOT_CONFIGURED) == "False True\n"
