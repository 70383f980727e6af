"""Exceptions around rows that come one after another, in the engine in C and in its twin."""

import contextvars
import ctypes
import sys

import pytest

from django_memsize import engine
from django_memsize.engine.fallback import meter

variable = contextvars.ContextVar("variable", default=None)


class Span:
    window = None


class TimeLimit(Exception):
    pass


class Fault(Exception):
    pass


@pytest.fixture(params=["this engine", "the twin"])
def stream(request):
    """Return what makes a stream whose callbacks drop a Fault, and let all else pass."""
    cls = engine.Stream if request.param == "this engine" else meter.Stream

    def make(rows, begin=lambda: None, end=lambda *_: None, span=None):
        return cls(rows, variable, span or Span(), begin, end, swallows)

    return make


def swallows(error):
    """Swallow a fault; and an interrupt, as a boundary would that were asked about it."""
    return isinstance(error, Fault) or not isinstance(error, Exception)


@pytest.fixture
def unraisable(monkeypatch):
    events = []
    monkeypatch.setattr(sys, "unraisablehook", lambda event: events.append(event.exc_value))
    return events


def raising(error):
    def callback(*_):
        raise error

    return callback


def rows_and(error):
    yield 1
    raise error


def test_a_fault_of_a_callback_is_dropped(stream):
    assert list(stream(iter([1, 2]), raising(Fault()), raising(Fault()))) == [1, 2]


@pytest.mark.parametrize("kind", [TimeLimit, KeyboardInterrupt])
def test_any_other_exception_of_begin_passes(stream, kind):
    error = kind()
    rows = stream(iter([1, 2]), begin=raising(error))
    with pytest.raises(kind) as caught:
        next(rows)

    assert caught.value is error


@pytest.mark.parametrize("kind", [TimeLimit, KeyboardInterrupt])
def test_any_other_exception_of_end_passes_after_the_last_row(stream, kind):
    error, got = kind(), []
    with pytest.raises(kind) as caught:
        got.extend(stream(iter([1, 2]), end=raising(error)))

    assert caught.value is error


@pytest.mark.parametrize("kind", [TimeLimit, KeyboardInterrupt])
def test_any_other_exception_of_end_passes_when_the_rows_are_closed(stream, kind):
    error = kind()
    rows = stream(iter([1, 2]), end=raising(error))
    next(rows)
    with pytest.raises(kind) as caught:
        rows.close()

    assert caught.value is error
    assert caught.value.__context__ is None


@pytest.mark.parametrize("end", [lambda *_: None, raising(Fault())], ids=["no fault", "a fault"])
def test_an_exception_of_the_rows_passes_while_they_are_ended(stream, end):
    error = TimeLimit()
    with pytest.raises(TimeLimit) as caught:
        list(stream(rows_and(error), end=end))

    assert caught.value is error
    assert caught.value.__traceback__.tb_next is not None


def test_an_exception_of_end_has_that_of_the_rows_as_its_context(stream):
    first, second = TimeLimit("first"), TimeLimit("second")
    with pytest.raises(TimeLimit) as caught:
        list(stream(rows_and(first), end=raising(second)))

    assert caught.value is second
    assert caught.value.__context__ is first


def test_an_exception_of_the_consumer_passes_while_the_rows_are_finalised(stream, unraisable):
    # While the "for" is left, CPython drops the iterator with the exception set (Python/ceval.c).
    heard, error = [], TimeLimit()

    def consume():
        for _ in stream(iter([1, 2]), end=lambda *said: heard.append(said)):
            raise error

    with pytest.raises(TimeLimit) as caught:
        consume()

    assert caught.value is error
    assert heard == [(1, {int: 1})]
    assert unraisable == []


def test_an_exception_of_end_cannot_pass_where_the_rows_are_finalised(stream, unraisable):
    error = KeyboardInterrupt()
    rows = stream(iter([1, 2]), end=raising(error))
    next(rows)
    del rows

    assert unraisable == [error]


def test_an_exception_passes_that_is_raised_while_the_window_is_read():
    class Interrupted:
        def __init__(self):
            self.error = TimeLimit()

        @property
        def window(self):
            raise self.error

    if engine.Stream is meter.Stream:
        pytest.skip("the twin has no windows")
    span = Interrupted()
    rows = engine.Stream(iter([1]), variable, span, lambda: None, lambda *_: None, lambda _: False)
    with pytest.raises(TimeLimit) as caught:
        next(rows)

    assert caught.value is span.error


def test_an_exception_of_a_row_passes_although_its_context_cannot_be_left():
    if engine.Stream is meter.Stream:
        pytest.skip("Python saves the exception itself")
    error, other = TimeLimit(), ctypes.py_object(contextvars.Context())

    def rows():
        ctypes.pythonapi.PyContext_Enter(other)  # now the variable cannot be reset
        raise error
        yield

    stream = engine.Stream(rows(), variable, Span(), lambda: None, lambda *_: None)
    try:
        with pytest.raises(TimeLimit) as caught:
            next(stream)
    finally:
        ctypes.pythonapi.PyContext_Exit(other)
    assert caught.value is error


def test_without_a_boundary_every_exception_of_a_callback_is_dropped():
    if engine.Stream is meter.Stream:
        pytest.skip("the twin has none without a boundary")
    rows = engine.Stream(iter([1]), variable, Span(), raising(TimeLimit()), raising(TimeLimit()))
    assert list(rows) == [1]


def test_an_exception_that_both_the_rows_and_the_end_raise_is_not_its_own_context(stream):
    error = TimeLimit()

    def rows():
        yield 1
        raise error

    with pytest.raises(TimeLimit) as caught:
        list(stream(rows(), end=raising(error)))

    assert caught.value is error
    assert error.__context__ is not error
