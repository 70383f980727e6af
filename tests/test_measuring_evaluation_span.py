"""One time that the rows of an evaluation are loaded."""

import gc
from itertools import count
from unittest.mock import Mock

import pytest
from django.db import connection

import django_memsize as memsize
from django_memsize import engine
from django_memsize.measuring import instruments, recording, spans
from django_memsize.measuring.evaluation_span import new_evaluation
from django_memsize.measuring.recording import Options, Recording
from django_memsize.measuring.spans import in_span, open_span
from django_memsize.values import CallSite
from tests.app.models import Account, Author, Book
from tests.visits import create_accounts

SITE = CallSite("bank/views.py", 41, "accounts")

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


@pytest.fixture
def measured(instrument):
    """Return an open recording, inside whose span the test runs."""
    opened = Recording("work")
    opened.open()
    with in_span(opened):
        yield opened
    opened.discard()


def begin(outer, kind="instances", source_id=0, site=SITE, streamed=False):
    return new_evaluation(outer, source_id, Book._meta, kind, site, streamed)


def test_an_evaluation_is_the_span_of_its_block(measured):
    with begin(measured) as evaluation:
        assert open_span() is evaluation
        assert evaluation.log is measured.log
        with begin(evaluation) as inner:
            assert open_span() is inner
            assert inner.totals.depth == 1
            assert inner.totals.parent is evaluation.totals
        assert open_span() is evaluation

    assert open_span() is measured


def test_an_evaluation_without_a_statement_read_a_cache_and_is_not_logged(measured):
    with begin(measured) as evaluation:
        evaluation.close(3)

    assert measured.evaluations == ()
    assert measured.rows == 0


def test_an_evaluation_has_its_rows_instances_and_statement(measured):
    with begin(measured) as evaluation:
        evaluation.statement_ran("SELECT 1", "other")
        evaluation.close(3, {"app.Book": 3, "app.Author": 2})

    (logged,) = measured.evaluations
    assert (logged.model, logged.kind, logged.rows, logged.times) == ("app.Book", "instances", 3, 1)
    assert (logged.sql, logged.database, logged.site) == ("SELECT 1", "other", SITE)
    assert dict(logged.instances) == {"app.Book": 3, "app.Author": 2}
    assert 0 <= logged.duration < 60
    assert (logged.depth, logged.streamed, logged.over_budget) == (0, False, False)
    assert logged.diff is not None


def test_the_second_statement_of_an_evaluation_is_counted_by_itself(measured):
    with begin(measured) as evaluation:
        evaluation.statement_ran("SELECT 1", "default")
        evaluation.statement_ran("SELECT 2", "default")
        evaluation.close(1)

    assert [each.sql for each in measured.evaluations] == ["SELECT 1"]
    assert measured.statements == 1


def test_an_evaluation_that_raises_is_left_and_not_logged(measured):
    def run_and_raise():
        with begin(measured) as evaluation:
            evaluation.statement_ran("SELECT 1", "default")
            raise ValueError("theirs")

    with pytest.raises(ValueError, match="theirs"):
        run_and_raise()

    assert open_span() is measured
    assert measured.evaluations == ()
    assert gc.isenabled()


def test_an_evaluation_that_ends_after_its_recording_is_not_logged(measured):
    with begin(measured) as evaluation:
        evaluation.statement_ran("SELECT 1", "default")
        measured.close()
        evaluation.close(3)

    assert measured.evaluations == ()


def test_an_update_counts_the_rows_of_cursors_and_no_other_evaluation_does(measured):
    update, other = begin(measured, "update"), begin(measured)
    update.count_cursor_rows(2)
    update.count_cursor_rows(3)

    assert (update.counts_cursor_rows, other.counts_cursor_rows) == (True, False)
    assert update.cursor_rows == 5


def test_instances_that_were_counted_row_by_row_are_added(measured):
    with begin(measured) as evaluation:
        evaluation.statement_ran("SELECT 1", "default")
        evaluation.instances = {"app.Author": 4}
        evaluation.close(3, {"app.Book": 3})

    (logged,) = measured.evaluations
    assert dict(logged.instances) == {"app.Book": 3, "app.Author": 4}


def test_a_stream_is_an_evaluation_that_ends_with_its_last_row(measured):
    evaluation = begin(measured, streamed=True)

    def rows():
        evaluation.statement_ran("SELECT 1", "default")
        for number in range(3):
            assert open_span() is evaluation
            yield number

    stream = evaluation.stream(rows(), lambda types: {"app.Book": types[int]})
    for _ in stream:
        assert open_span() is measured
        assert measured.evaluations == ()

    (logged,) = measured.evaluations
    assert (logged.rows, logged.streamed, dict(logged.instances)) == (3, True, {"app.Book": 3})


@needs_the_meter
@pytest.mark.usefixtures("no_collections")
def test_an_evaluation_is_credited_with_what_is_allocated_inside_its_block_only():
    with memsize.measure("block") as measured:
        objects = [bytes(50_000)]
        with begin(measured) as evaluation:
            evaluation.statement_ran("SELECT 1", "default")
            objects.append(bytes(100_000))
            evaluation.stop_crediting()
            objects.append(bytes(70_000))
            evaluation.close_uncredited(1, None)
        objects.append(bytes(30_000))

    (logged,) = measured.evaluations
    for amount in (logged.allocated, logged.alive, logged.retained):
        assert 100_000 < amount.bytes < 110_000
    assert logged.diff["bytes"].count == 1
    assert measured.retained.types["bytes"].count == 3
    assert objects


# Statements that are no plain text


class Naming(type):
    """A class of classes that refuses every question."""

    @property
    def __name__(cls):
        raise AssertionError("asked for a name")

    def __subclasscheck__(cls, other):
        raise AssertionError("asked about classes")


def refuse(*_):
    raise AssertionError("asked something")


HOSTILE = dict.fromkeys(
    ("__str__", "__repr__", "__eq__", "__ne__", "__len__", "__hash__", "encode"), refuse
)


def test_a_statement_that_is_no_plain_text_is_copied_or_named_without_running_its_code(measured):
    text = Naming("Text", (str,), HOSTILE)("SELECT 1")
    composed = Naming("Composed", (), HOSTILE)()
    for statement in (text, "SELECT 1", text, composed, composed, b"SELECT 1"):
        with begin(measured, "raw") as evaluation:
            evaluation.statement_ran(statement, "default")
            evaluation.close(1)

    found = [(type(one.sql), one.sql, one.times) for one in measured.evaluations]
    assert found == [(str, "SELECT 1", 3), (str, "(Composed)", 2), (str, "(bytes)", 1)]


def test_half_a_character_in_a_statement_does_no_harm(measured):
    with begin(measured, "raw") as evaluation:
        evaluation.statement_ran(type("Text", (str,), {})("SELECT '\ud800'"), "default")
        evaluation.close(1)

    assert measured.evaluations[0].sql == "SELECT '\ud800'"


@pytest.mark.django_db
@pytest.mark.usefixtures("instrument")
def test_the_statement_of_a_raw_query_may_be_of_a_subclass_of_text():
    class Text(str):
        __slots__ = ()

    create_accounts(3)
    with memsize.measure("block") as measured:
        list(Account.objects.raw(Text("SELECT * FROM app_account")))

    (evaluation,) = measured.evaluations
    assert (type(evaluation.sql), evaluation.sql) == (str, "SELECT * FROM app_account")


# The collector, and interrupts


@pytest.mark.django_db
@pytest.mark.census
@pytest.mark.parametrize("evaluations", [True, False])
def test_a_census_pauses_the_collector_only_while_an_evaluation_is_measured(settings, evaluations):
    settings.MEMSIZE = {"EVALUATIONS": evaluations}
    seen = []

    def watch(execute, *args):
        seen.append(gc.isenabled())
        return execute(*args)

    with memsize.measure("block"), connection.execute_wrapper(watch):
        list(Author.objects.all())

    assert seen == [not evaluations]
    assert gc.isenabled()


@pytest.mark.django_db
def test_an_interrupt_while_an_instrument_is_opened_leaves_the_evaluation(monkeypatch, instrument):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    kind = instruments.Census if instrument == "census" else instruments.Meter
    with memsize.measure("block"), monkeypatch.context() as patched:
        patched.setattr(kind, "open", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(Author.objects.all())
        assert gc.isenabled()
        assert isinstance(open_span(), recording.Recording)
    assert spans.open_span() is None


@pytest.mark.django_db
@pytest.mark.usefixtures("instrument")
def test_a_fault_of_an_instrument_does_not_reach_the_program(monkeypatch):
    fails = Mock(side_effect=MemoryError("on purpose"))
    Author.objects.create(name="one")
    with memsize.measure("block") as measured, monkeypatch.context() as patched:
        for kind in (instruments.Census, instruments.Meter):
            patched.setattr(kind, "open", fails)
        assert len(Author.objects.all()) == 1

    (evaluation,) = measured.evaluations
    assert evaluation.rows == 1


def test_evaluations_are_only_listed_where_the_options_say_so():
    numbers = count()
    measured = Recording("work", options=Options(evaluations=False))
    measured.open()
    with in_span(measured), begin(measured) as evaluation:
        evaluation.statement_ran("SELECT 1", "default")
        evaluation.close(next(numbers) + 3)
    measured.analyse()

    (logged,) = measured.evaluations
    assert (logged.rows, logged.diff, logged.peak, logged.retained) == (3, None, None, None)
    assert measured.evaluations_without_types == 0
