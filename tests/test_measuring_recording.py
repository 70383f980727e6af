import asyncio
import datetime
import gc
import inspect
import sys
import threading
from unittest.mock import Mock

import psutil
import pytest

import django_memsize as memsize
from django_memsize.measuring import evaluation_log, overhead, recording, rss, spans
from django_memsize.measuring.recording import Options, Recording
from django_memsize.middleware import MemsizeMiddleware
from tests.app.models import Account, Book
from tests.programs import ended_well

pytestmark = pytest.mark.census


class Thing:
    pass


@pytest.fixture
def quiet():
    """Have the collector take nothing away in the middle of a test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def defaults():
    """Let a test say what the settings would."""
    before = recording._options
    before()  # what the app says has queries followed, once it is asked

    def say(**values):
        recording.configure(lambda: Options(**values))

    yield say
    recording.configure(before)


def test_what_a_block_leaves_on_the_heap_is_in_its_diff(quiet):
    with memsize.measure("block") as measured:
        things = [Thing() for _ in range(77)]

    assert measured.diff[f"{__name__}.Thing"].count == 77
    assert measured.diff["list"].count == 1
    assert len(things) == 77


def test_a_block_that_does_nothing_has_an_empty_diff(quiet):
    for _ in range(3):
        with memsize.measure("nothing") as measured:
            pass

    assert measured.diff == memsize.Diff({}, {})


def test_what_a_block_lets_go_of_is_not_in_its_diff(quiet):
    with memsize.measure("block") as measured:
        things = [Thing() for _ in range(77)]
        del things

    assert f"{__name__}.Thing" not in measured.diff


def test_a_recording_knows_its_circumstances():
    with memsize.measure("import") as measured:
        text = "x" * 100

    assert measured.name == "import"
    assert measured.kind == "block"
    assert (measured.engine, measured.instrument) == (memsize.engine.name, "census")
    assert measured.rss_before > 0
    assert measured.rss_after > 0
    assert 0 < measured.overhead < 60
    assert 0 <= measured.duration < measured.overhead
    assert measured.in_flight == 0
    assert not measured.incomplete
    assert measured.thread == threading.current_thread().name
    assert text


WITHOUT_PROC = """
import psutil
psutil.PROCFS_PATH = "/nowhere"
import django_memsize as memsize

class Thing:
    pass

with memsize.measure("block") as measured:
    kept = [Thing() for _ in range(77)]
assert measured.diff["__main__.Thing"].count == 77
print(measured.rss_before, measured.rss_after, measured.incomplete)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there psutil reads /proc")
def test_the_memory_of_the_process_is_none_where_no_proc_is_mounted():
    assert ended_well(WITHOUT_PROC) == "None None False\n"


@pytest.mark.parametrize("error", [FileNotFoundError, psutil.NoSuchProcess(1)])
@pytest.mark.parametrize("reads_proc", [True, False])
def test_the_memory_of_the_process_is_none_from_when_it_can_no_more_be_read(
    monkeypatch, error, reads_proc
):
    monkeypatch.setattr(rss, "_STATM", "/nowhere/statm" if reads_proc else "")
    monkeypatch.setattr(psutil.Process, "memory_info", Mock(side_effect=error))
    with memsize.measure("block") as measured:
        pass

    assert (measured.rss_before, measured.rss_after, measured.incomplete) == (None, None, False)


def test_the_memory_of_the_process_is_what_psutil_says(monkeypatch):
    size, expected = rss.size(), psutil.Process().memory_info().rss
    assert abs(size - expected) < 16 * 1024**2

    monkeypatch.setattr(rss, "_STATM", "")
    assert abs(rss.size() - expected) < 16 * 1024**2


def test_what_a_census_cannot_know_is_none():
    with memsize.measure("block") as measured:
        pass

    for figure in ("allocated", "peak", "alive", "retained", "garbage", "free_lists"):
        assert getattr(measured, figure) is None


def test_an_exception_passes_through_a_block_unchanged():
    error = ValueError("theirs")

    with pytest.raises(ValueError, match="theirs") as caught, memsize.measure("block") as measured:
        raise error

    assert caught.value is error
    assert measured.closed
    assert spans.open_span() is None


def test_an_exit_passes_through_a_block():
    with pytest.raises(SystemExit), memsize.measure("block"):
        raise SystemExit(3)


def test_a_decorated_function_keeps_its_face_and_its_value():
    @memsize.measure("function")
    def double(number: int) -> int:
        """Twice."""
        assert spans.open_span().name == "function"
        return number * 2

    assert double(21) == 42
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert str(inspect.signature(double)) == "(number: int) -> int"


async def test_a_decorated_coroutine_function_stays_one():
    @memsize.measure("coroutine")
    async def double(number):
        await asyncio.sleep(0)
        assert spans.open_span().name == "coroutine"
        return number * 2

    assert inspect.iscoroutinefunction(double)
    assert await double(21) == 42
    assert spans.open_span() is None


def test_a_generator_function_cannot_be_decorated():
    with pytest.raises(TypeError, match="generator"):

        @memsize.measure("generator")
        def numbers():
            yield 1


def test_blocks_nest_and_the_outer_one_has_what_the_inner_has(quiet):
    with memsize.measure("outer") as outer:
        kept = [Thing()]
        with memsize.measure("inner") as inner:
            kept.append(Thing())
        kept.append(Thing())

    assert inner.diff[f"{__name__}.Thing"].count == 1
    assert outer.diff[f"{__name__}.Thing"].count == 3
    assert outer.overhead > inner.overhead
    assert outer.in_flight == inner.in_flight == 0


def test_one_measure_can_be_entered_again_within_itself():
    again = memsize.measure("again")

    with again as outer, again as inner:
        assert outer is not inner

    assert outer.closed
    assert inner.closed


def test_a_second_close_changes_nothing():
    with memsize.measure("block") as measured:
        pass
    before = (measured.diff, measured.duration, measured.overhead)

    measured.close()

    assert (measured.diff, measured.duration, measured.overhead) == before


def test_blocks_of_two_threads_at_the_same_time_overlap():
    inside, done = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)
    found = []

    def work():
        with memsize.measure("thread") as measured:
            inside.wait()
            done.wait()
        found.append(measured.in_flight)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [1, 1]


def test_tasks_are_measured_each_for_itself():
    async def work(name):
        with memsize.measure(name) as measured:
            await asyncio.sleep(0.01)
            assert spans.open_span() is measured
        return measured

    async def both():
        return await asyncio.gather(work("one"), work("two"))

    one, two = asyncio.run(both())

    assert (one.name, two.name) == ("one", "two")
    assert (one.in_flight, two.in_flight) == (1, 1)


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


def load(measured, statement="SELECT 1", rows=0, place="instances"):
    """Have rows loaded as the patch on Django has it."""
    one = measured.new_evaluation(measured, 0, Book._meta, place, None)
    with one:
        if statement:
            one.ran(statement, "default")
        one.close(rows)


def test_an_evaluation_without_a_statement_is_none():
    measured = Recording("x")
    load(measured, statement=None)

    assert measured.evaluations == ()


def test_evaluations_count_for_every_recording_around():
    with memsize.measure("outer") as outer, memsize.measure("inner") as inner:
        load(inner, rows=7)

    assert inner.rows == outer.rows == 7
    assert inner.evaluations == outer.evaluations
    assert [one.rows for one in inner.evaluations] == [7]


def test_evaluations_beyond_those_kept_are_counted():
    measured = Recording("x")
    for number in range(evaluation_log.EVALUATIONS_LOGGED + 5):
        load(measured, f"SELECT {number}", rows=2, place=f"place {number}")

    assert len(measured.evaluations) == evaluation_log.EVALUATIONS_LOGGED
    assert measured.evaluations_omitted == 5
    assert measured.rows == 2 * (evaluation_log.EVALUATIONS_LOGGED + 5)


def test_the_same_statement_at_the_same_place_is_one_evaluation():
    measured = Recording("x")
    for statement in ("SELECT 1", "SELECT 2", "SELECT 1", "SELECT 1"):
        load(measured, statement, rows=2)

    found = [(one.sql, one.times, one.rows) for one in measured.evaluations]
    assert found == [("SELECT 1", 3, 6), ("SELECT 2", 1, 2)]


class Naming(type):
    """A class of classes that wants to be asked nothing."""

    @property
    def __name__(cls):
        raise AssertionError("asked for a name")

    def __subclasscheck__(cls, other):
        raise AssertionError("asked about classes")


def refuse(*_):
    raise AssertionError("asked something")


HOSTILE = dict.fromkeys(("__str__", "__repr__", "__eq__", "__ne__", "__len__", "encode"), refuse)


def test_a_statement_that_is_no_plain_text_is_copied_or_named_without_being_asked():
    measured = Recording("x")
    text = Naming("Text", (str,), HOSTILE | {"__hash__": refuse})("SELECT 1")
    composed = Naming("Composed", (), HOSTILE | {"__hash__": refuse})()
    for statement in (text, "SELECT 1", text, composed, composed, b"SELECT 1"):
        with measured.new_evaluation(measured, 0, Book._meta, "raw", None) as one:
            one.ran(statement, "default")
            one.close(1)

    found = [(type(one.sql), one.sql, one.times) for one in measured.evaluations]
    assert found == [(str, "SELECT 1", 3), (str, "(Composed)", 2), (str, "(bytes)", 1)]


@pytest.mark.django_db
def test_the_statement_of_a_raw_query_may_be_of_a_class_of_text(accounts):
    class Text(str):
        __slots__ = ()

    with memsize.measure("block") as measured:
        list(Account.objects.raw(Text("SELECT * FROM app_account")))

    (evaluation,) = measured.evaluations
    assert (type(evaluation.sql), evaluation.sql) == (str, "SELECT * FROM app_account")


@pytest.mark.django_db
def test_only_the_first_evaluation_is_measured_when_the_budget_is_spent(defaults, accounts):
    defaults(max_overhead=0.0)

    with memsize.measure("block") as measured:
        kept = [
            list(Account.objects.all()),
            list(Account.objects.all()),
            list(Account.objects.all()),
        ]

    assert [evaluation.diff is not None for evaluation in measured.evaluations] == [
        True,
        False,
        False,
    ]
    assert [evaluation.over_budget for evaluation in measured.evaluations] == [False, True, True]
    assert measured.evaluations_without_types == 2
    assert [evaluation.rows for evaluation in measured.evaluations] == [3090] * 3
    assert kept


@pytest.mark.django_db
def test_every_evaluation_is_measured_while_there_is_budget(defaults, accounts):
    defaults(max_overhead=1.0)

    with memsize.measure("block") as measured:
        kept = [
            list(Account.objects.all()),
            list(Account.objects.all()),
            list(Account.objects.all()),
        ]

    assert [
        evaluation.diff["tests.app.models.Account"].count for evaluation in measured.evaluations
    ] == [3090] * 3
    assert measured.evaluations_without_types == 0
    assert kept


@pytest.mark.django_db
def test_evaluations_are_only_listed_where_the_settings_say_so(defaults, accounts):
    defaults(evaluations=False)

    with memsize.measure("block") as measured:
        list(Account.objects.all())

    (evaluation,) = measured.evaluations
    assert evaluation.diff is None
    assert evaluation.rows == 3090
    assert measured.evaluations_without_types == 0


@pytest.mark.django_db
def test_a_loading_of_rows_is_counted_exactly(accounts, quiet):
    for _ in range(3):
        loaded = None
        with memsize.measure("block") as measured:
            loaded = list(Account.objects.all())

    counts = {name: total.count for name, total in measured.diff.items()}
    assert counts["tests.app.models.Account"] == 3090
    assert counts["django.db.models.base.ModelState"] == 3090
    assert counts["datetime.datetime"] == 6180
    assert counts["datetime.date"] == 3084
    assert counts["list"] == 1
    assert not [name for name in counts if "memsize" in name]
    assert loaded


@pytest.mark.django_db
def test_dead_rows_collected_during_a_loading_do_not_hide_the_new_ones(accounts):
    def cycle():
        rows = list(Account.objects.all())
        rows.append(rows)

    gc.disable()
    cycle()
    gc.enable()
    with memsize.measure("block") as measured:
        loaded = list(Account.objects.all())

    (evaluation,) = measured.evaluations
    assert evaluation.diff["tests.app.models.Account"].count == 3090
    assert len(loaded) == 3090


def test_saving_is_up_to_whoever_configured_it(defaults):
    saved = []
    defaults(save=saved.append)

    with memsize.measure("kept", save=True) as kept, memsize.measure("not kept"):
        pass

    assert saved == [kept]


def test_the_budget_is_a_share_of_the_time_of_the_process():
    overhead.add(0.001)

    assert overhead.is_within(1.0)
    assert not overhead.is_within(0.0)


@pytest.fixture
def accounts():
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    Account.objects.bulk_create(
        Account(
            name=f"account {number}",
            created_at=start + datetime.timedelta(minutes=number),
            updated_at=start + datetime.timedelta(hours=number),
            born_on=None if number < 6 else start.date() + datetime.timedelta(number),
        )
        for number in range(3090)
    )


def test_a_middleware_that_is_let_go_of_meanwhile_is_in_no_diff(quiet):
    older = [MemsizeMiddleware(lambda request: None)]
    with memsize.measure("request") as measured:
        older.clear()

    assert not [name for name in measured.diff if name.startswith("django_memsize")]
