"""One measured span, with either instrument."""

import gc
import os
import threading
import time
import tracemalloc
from contextvars import ContextVar, copy_context

import pytest

import django_memsize as memsize
from django_memsize import engine
from django_memsize.measuring.in_flight import InFlight
from django_memsize.measuring.instruments import Census, Meter
from django_memsize.measuring.recording import Options, Recording
from django_memsize.measuring.spans import in_span, open_span
from django_memsize.middleware import MemsizeMiddleware
from tests.app.models import Account, Author
from tests.visits import AMOUNTS, WITH_EVALUATIONS, create_accounts, others_under_way

THING = f"{__name__}.Thing"
ACCOUNT = "tests.app.models.Account"

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)
both = pytest.mark.usefixtures("instrument", "no_collections")


class Thing:
    pass


# With either instrument


@both
def test_what_a_block_makes_and_does_not_free_is_in_its_diff():
    with memsize.measure("block") as recording:
        things = [Thing() for _ in range(77)]

    assert recording.diff[THING].count == 77
    assert recording.diff["list"].count == 1
    assert len(things) == 77


@both
def test_a_block_that_does_nothing_has_an_empty_diff():
    for _ in range(3):
        with memsize.measure("nothing") as recording:
            pass

    assert recording.diff == memsize.Diff({}, {})


@pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")
def test_a_block_is_credited_with_nothing_of_a_context_with_many_variables():
    # CPython keeps them in a tree (Python/hamt.c); setting one allocates some of its nodes.
    def diff():
        for number in range(60):
            ContextVar(f"variable {number}").set(number)
        with memsize.measure("nothing") as recording:
            pass
        return recording.diff

    diffs = [copy_context().run(diff) for _ in range(8)]

    assert [each for each in diffs[3:] if each] == []


@both
def test_what_a_block_frees_is_not_in_its_diff():
    with memsize.measure("block") as recording:
        things = [Thing() for _ in range(77)]
        del things

    assert THING not in recording.diff


def test_a_recording_knows_its_circumstances(instrument):
    with memsize.measure("import") as recording:
        text = "x" * 100

    assert (recording.name, recording.kind) == ("import", "block")
    assert (recording.engine, recording.instrument) == (memsize.engine.name, instrument)
    assert recording.rss_before > 0
    assert recording.rss_after > 0
    assert 0 < recording.overhead < 60
    assert 0 <= recording.duration < 60
    assert time.time() - 60 < recording.started_at <= time.time()
    assert recording.in_flight == 0
    assert not recording.incomplete
    assert recording.thread == threading.current_thread().name
    assert text
    assert repr(recording) == f"<Recording 'import': {recording.duration:.3f} s, 0 evaluations>"


@pytest.mark.census
def test_the_duration_of_a_block_is_without_its_overhead():
    with memsize.measure("block") as recording:
        pass

    assert 0 <= recording.duration < recording.overhead


@both
def test_recordings_nest_and_the_outer_one_has_what_the_inner_has():
    with memsize.measure("outer") as outer:
        things = [Thing()]
        with memsize.measure("inner") as inner:
            things.append(Thing())
        things.append(Thing())

    assert inner.diff[THING].count == 1
    assert outer.diff[THING].count == 3
    assert outer.overhead > inner.overhead
    assert outer.in_flight == inner.in_flight == 0


@both
@pytest.mark.parametrize("call", ["close", "analyse", "discard"])
def test_a_second_call_changes_nothing(call):
    with memsize.measure("block") as recording:
        things = [Thing()]
    figures = ("diff", "duration", "overhead", "incomplete", "in_flight", *AMOUNTS)
    before = [getattr(recording, name) for name in figures]

    getattr(recording, call)()

    assert [getattr(recording, name) for name in figures] == before
    assert things


@both
def test_analysing_closes_a_recording():
    recording = Recording("work")
    recording.open()

    recording.analyse()

    assert recording.closed
    assert not recording.incomplete
    assert others_under_way() == 0


@both
def test_a_recording_that_is_discarded_is_incomplete_and_no_longer_in_flight():
    recording = Recording("work")
    recording.open()
    with in_span(recording):
        recording.discard()
        assert open_span() is None

    assert recording.closed
    assert recording.incomplete
    assert recording.diff == memsize.Diff({}, {})
    assert others_under_way() == 0


def test_a_recording_that_was_not_opened_has_no_figures(instrument):
    recording = Recording("work")
    recording.close()
    recording.analyse()

    assert recording.incomplete
    assert recording.diff == memsize.Diff({}, {})
    assert {getattr(recording, name) for name in AMOUNTS} == {None}


@both
def test_an_instance_of_ours_that_is_freed_meanwhile_is_in_no_diff():
    older = [MemsizeMiddleware(lambda request: None)]
    with memsize.measure("request") as recording:
        older.clear()

    assert not [name for name in recording.diff if name.startswith("django_memsize")]


@pytest.mark.usefixtures("instrument")
def test_objects_that_the_collector_frees_meanwhile_are_counted():
    with memsize.measure("block") as recording:
        for _ in range(50):
            cycle = Thing()
            cycle.itself = cycle
        del cycle
        gc.collect()

    assert recording.collected_objects >= 50


@pytest.mark.usefixtures("instrument")
@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled):
    thresholds = gc.get_threshold()
    if not enabled:
        gc.disable()
    try:
        with memsize.measure("block"):
            assert gc.isenabled() is enabled
        assert gc.isenabled() is enabled
        assert gc.get_threshold() == thresholds
    finally:
        gc.enable()


@pytest.mark.usefixtures("instrument")
def test_recordings_of_two_threads_are_in_flight_at_the_same_time():
    inside, done = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)
    found = []

    def work():
        with memsize.measure("thread") as recording:
            inside.wait()
            done.wait()
        found.append(recording.in_flight)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [1, 1]


def test_a_recording_may_go_on_with_the_flight_of_its_request():
    in_flight = InFlight()
    recording = Recording("request", "request", in_flight=in_flight, counted=True)
    recording.open()
    assert others_under_way() == 1

    recording.close()

    assert others_under_way() == 0


def test_a_counted_recording_measures_nothing():
    recording = Recording("request", counted=True)
    recording.open()
    with in_span(recording):
        things = [Thing() for _ in range(77)]
    recording.analyse()

    assert recording.is_counted
    assert recording.instrument == "counted"
    assert (recording.window, recording.net, recording.near_peak) == (None, None, None)
    assert {getattr(recording, name) for name in AMOUNTS} == {None}
    assert recording.diff == memsize.Diff({}, {})
    assert recording.rss_after > 0
    assert things


@pytest.mark.django_db
@both
def test_the_rows_of_an_evaluation_are_counted_exactly():
    create_accounts(3090)
    for _ in range(3):
        rows = None
        with memsize.measure("block") as recording:
            rows = list(Account.objects.all())

    counts = {name: total.count for name, total in recording.diff.items()}
    assert counts[ACCOUNT] == 3090
    assert counts["django.db.models.base.ModelState"] == 3090
    assert counts["datetime.datetime"] == 6180
    assert counts["datetime.date"] == 3084
    assert counts["list"] == 1
    assert not [name for name in counts if "memsize" in name]
    assert rows
    (evaluation,) = recording.evaluations
    assert (evaluation.rows, evaluation.diff[ACCOUNT].count) == (3090, 3090)
    assert recording.rows == 3090


@pytest.mark.django_db
@pytest.mark.usefixtures("instrument")
def test_statements_and_rows_of_cursors_are_counted_beside_evaluations():
    with memsize.measure("block") as recording:
        Author.objects.create(name="one")
        assert Author.objects.count() == 1

    assert (recording.rows, recording.evaluations) == (0, ())
    assert recording.statements >= 2
    assert recording.cursor_rows == 0


# The census alone


@pytest.mark.census
def test_a_census_cannot_know_the_figures_of_a_meter():
    with memsize.measure("block") as recording:
        things = [Thing()]

    assert {getattr(recording, name) for name in AMOUNTS} == {None}
    assert (recording.window, recording.overhead_bytes) == (None, None)
    assert recording.net == recording.diff
    assert things


def test_measuring_never_sets_off_the_collector():
    runs = []

    def count(phase, info):
        runs.append(phase)

    gc.callbacks.append(count)
    try:
        memsize.snapshot()
    finally:
        gc.callbacks.remove(count)

    assert runs == []


@pytest.mark.django_db
@pytest.mark.census
def test_older_garbage_that_is_freed_during_an_evaluation_does_not_hide_its_rows(settings):
    settings.MEMSIZE = WITH_EVALUATIONS
    create_accounts(300)

    def leave_garbage():
        rows = list(Account.objects.all())
        rows.append(rows)

    gc.disable()
    leave_garbage()
    gc.enable()
    with memsize.measure("block") as recording:
        rows = list(Account.objects.all())

    (evaluation,) = recording.evaluations
    assert evaluation.diff[ACCOUNT].count == 300
    assert len(rows) == 300


# The meter alone


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
def test_a_metered_block_knows_its_retained_bytes_by_type():
    with memsize.measure("block") as recording:
        things = [Thing() for _ in range(3000)]

    assert recording.instrument == "meter"
    assert recording.diff == recording.retained.types
    assert recording.retained.types[THING].count == 3000
    assert THING not in recording.garbage.types
    assert recording.net is None
    assert recording.allocated.bytes >= recording.peak.bytes >= recording.alive.bytes
    assert recording.alive.bytes >= recording.retained.bytes > 100_000
    assert things


@needs_the_meter
@pytest.mark.django_db
def test_retained_objects_garbage_and_free_lists_are_all_that_is_alive():
    create_accounts(300)
    with memsize.measure("block") as recording:
        rows = list(Account.objects.all())

    parts = recording.retained + recording.garbage + recording.free_lists
    assert (parts.blocks, parts.bytes) == (recording.alive.blocks, recording.alive.bytes)
    assert rows


@needs_the_meter
@pytest.mark.django_db
def test_a_block_that_frees_its_rows_retains_nothing():
    create_accounts(1000)
    retained = []
    for _ in range(7):
        with memsize.measure("block") as recording:
            list(Account.objects.all())
        retained.append(recording.retained.bytes)

    assert min(retained) < 1024
    assert recording.allocated.bytes > recording.peak.bytes > 300_000


@needs_the_meter
def test_rows_in_a_cycle_are_garbage():
    gc.disable()
    try:
        with memsize.measure("block") as recording:
            cycle = [Thing() for _ in range(3000)]
            cycle.append(cycle)
            del cycle
    finally:
        gc.enable()

    assert recording.garbage.types[THING].count == 3000
    assert THING not in recording.retained.types


@needs_the_meter
def test_the_memory_of_the_meter_is_an_overhead_of_its_own():
    with memsize.measure("block") as recording:
        things = [Thing() for _ in range(3000)]

    assert 0 < recording.overhead_bytes < 60 * recording.alive.blocks
    assert things


@needs_the_meter
def test_objects_that_another_recording_takes_off_the_free_lists_are_in_the_free_lists():
    first = Recording("first")
    first.open()
    with in_span(first):
        dropped = [(object(),) * size for size in range(1, 20) for _ in range(500)]
        del dropped
    first.close()
    second = Recording("second")
    second.open()
    first.analyse()
    second.discard()

    assert first.retained.bytes < 1024
    assert first.free_lists.types["tuple"].count > 1000


@needs_the_meter
def test_tracemalloc_stopped_inside_makes_a_recording_incomplete():
    tracemalloc.start()
    try:
        with memsize.measure("block") as recording:
            tracemalloc.stop()
            things = [bytes(1000) for _ in range(1000)]
    finally:
        tracemalloc.stop()

    assert recording.incomplete
    assert things
    with memsize.measure("block") as recording:
        things = [bytes(1000) for _ in range(1000)]
    assert not recording.incomplete
    assert recording.retained.types["bytes"].count == 1000


@needs_the_meter
def test_the_hooks_are_off_once_nothing_is_measured():
    from django_memsize.engine.compiled import hooks_installed

    for end in (Recording.analyse, Recording.discard):
        recording = Recording("work")
        recording.open()
        assert hooks_installed()
        end(recording)
        assert not hooks_installed()


@needs_the_meter
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_recording_that_a_child_process_inherits_ends_there_without_harm():
    with memsize.measure("block") as recording:
        child = os.fork()
        if child == 0:
            try:
                recording.analyse()
                os._exit(0 if recording.incomplete or recording.closed else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


# Options


@needs_the_meter
@pytest.mark.parametrize(("name", "kind"), [("auto", Meter), ("meter", Meter), ("census", Census)])
def test_the_instrument_is_that_of_the_options(name, kind):
    assert type(Recording("work", options=Options(instrument=name))._instrument) is kind


@pytest.mark.parametrize(
    ("options", "counted", "measures"),
    [
        (Options(), False, True),
        (Options(evaluations=False), False, False),
        (Options(), True, False),
    ],
)
def test_evaluations_are_measured_unless_the_options_or_a_counted_request_say_no(
    options, counted, measures
):
    assert Recording("work", options=options, counted=counted).log.measures is measures


def test_the_share_of_the_options_bounds_the_overhead_of_a_recording():
    assert Recording("work", options=Options(max_overhead=0.25)).log.max_overhead == 0.25
