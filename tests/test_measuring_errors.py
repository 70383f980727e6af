import functools
import logging
import signal
import sys
import time

import pytest
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug

from django_memsize.measuring import errors
from django_memsize.measuring.errors import ErrorBoundary, RateLimitedWarning

STOPPING = [KeyboardInterrupt, SystemExit, GeneratorExit]


@pytest.fixture
def boundary():
    return ErrorBoundary("measuring")


def test_a_fault_is_swallowed_counted_and_logged(boundary, caplog):
    for _ in range(3):
        with boundary:
            raise ValueError("on purpose")

    assert boundary.number == 3
    (record,) = caplog.records
    assert record.getMessage() == "measuring failed: ValueError: on purpose"
    assert (record.name, record.levelname) == ("django_memsize", "WARNING")


def test_a_block_without_a_fault_is_left_as_it_was(boundary, caplog):
    with boundary as inside:
        assert inside is boundary

    assert (boundary.number, caplog.records) == (0, [])


@pytest.mark.parametrize("kind", STOPPING)
def test_what_ends_a_program_passes(boundary, kind):
    with pytest.raises(kind), boundary:
        raise kind

    assert boundary.number == 0


def test_a_warning_is_logged_at_most_once_a_minute(monkeypatch, caplog):
    now = [0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    warning = RateLimitedWarning()
    for now[0] in (1000, 1059, 1060, 1119, 1121):
        warning.log("at %s", now[0])

    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["at 1000", "at 1060", "at 1121"]


def test_a_handler_that_raises_does_not_reach_the_program(boundary):
    class Failing(logging.Handler):
        def emit(self, record):
            raise OSError("no space left")

    handler = Failing()
    errors.logger.addHandler(handler)
    try:
        with boundary:
            raise ValueError("on purpose")
    finally:
        errors.logger.removeHandler(handler)

    assert boundary.number == 1


@pytest.mark.parametrize(
    ("message", "logged"),
    [
        ("a\nb\x1b[1m\u202e", "a\ufffdb\ufffd[1m\ufffd"),
        ("x" * 9999, "x" * 499 + "\N{HORIZONTAL ELLIPSIS}"),
    ],
)
def test_the_message_of_a_fault_is_logged_as_one_short_line(boundary, caplog, message, logged):
    with boundary:
        raise ValueError(message)

    assert caplog.records[0].getMessage() == f"measuring failed: ValueError: {logged}"


def test_a_fault_whose_message_cannot_be_read_is_logged_without_it(boundary, caplog):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    with boundary:
        raise Mute

    assert caplog.records[0].getMessage() == "measuring failed: Mute: (its message cannot be read)"


# Faults of the program


def raised_by_the_program():
    raise TimeoutError("of the program")


def test_a_fault_that_the_program_raised_passes_if_only_ours_are_swallowed():
    boundary = ErrorBoundary("measuring", only_ours=True)
    with pytest.raises(TimeoutError), boundary:
        raised_by_the_program()

    assert boundary.number == 0


def test_a_fault_that_memsize_or_what_it_calls_raised_is_swallowed():
    boundary = ErrorBoundary("measuring", only_ours=True)
    with boundary:
        errors._Entering(None, None, None).__enter__()  # fails in a file of ours
    with boundary:
        validate_slug("no slug!")  # fails in a file of Django, which memsize calls

    assert boundary.number == 2


def test_a_fault_of_code_given_as_text_passes():
    # As the handler of a signal would raise it in ``python -c`` and ``manage.py shell -c``.
    boundary = ErrorBoundary("measuring", only_ours=True)
    names = {"__name__": "__main__"}
    exec(compile("def handler():\n    raise TimeoutError", "<string>", "exec"), names)

    with pytest.raises(TimeoutError), boundary:
        names["handler"]()

    assert boundary.number == 0


def test_a_fault_without_a_traceback_is_taken_for_one_of_ours():
    boundary = ErrorBoundary("measuring", only_ours=True)

    assert boundary.swallows(ValueError("never raised"))


def test_code_without_a_with_block_asks_whether_a_fault_is_swallowed():
    ours, any_fault = ErrorBoundary("a", only_ours=True), ErrorBoundary("b")
    with pytest.raises(TimeoutError) as caught:
        raised_by_the_program()

    assert not ours.swallows(caught.value)
    assert any_fault.swallows(caught.value)


# What the handler of a signal raises


class TimeLimit(Exception):
    """What the handler of a signal raises, as seen from code of ours."""


def by_a_handler(number, frame):
    raise TimeLimit


def by_what_a_handler_calls(number, frame):
    validate_slug("no slug!")


class Handler:
    def handle(self, number, frame):
        raise TimeLimit

    def __call__(self, *arguments):
        raise TimeLimit


HANDLERS = [
    by_a_handler,
    by_what_a_handler_calls,
    Handler().handle,
    Handler(),
    functools.partial(lambda text, *arguments: by_a_handler(*arguments), "text"),
    lambda *_: by_a_handler(1, None),
]


@pytest.fixture(params=HANDLERS)
def send(request):
    """Return what sends this process a signal, whose handler raises."""
    if not hasattr(signal, "SIGUSR1"):
        pytest.skip("this system has no signal to send")
    previous = signal.signal(signal.SIGUSR1, request.param)
    yield lambda *_: signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, previous)


@pytest.mark.parametrize("only_ours", [True, False])
def test_what_the_handler_of_a_signal_raises_passes(send, only_ours, caplog):
    boundary = ErrorBoundary("measuring", only_ours)
    with pytest.raises((TimeLimit, ValidationError)) as caught, boundary:
        send()

    assert errors.was_raised_by_signal_handler(caught.value)
    assert (boundary.number, caplog.records) == (0, [])


def test_it_passes_while_a_fault_is_logged(send, boundary, monkeypatch):
    monkeypatch.setattr(errors.logger, "warning", send)
    with pytest.raises((TimeLimit, ValidationError)), boundary:
        raise ValueError("on purpose")


@pytest.mark.parametrize("kind", STOPPING)
def test_what_ends_a_program_passes_while_a_fault_is_logged(boundary, monkeypatch, kind):
    def stop(*_):
        raise kind

    monkeypatch.setattr(errors.logger, "warning", stop)
    with pytest.raises(kind), boundary:
        raise ValueError("on purpose")


def test_it_passes_while_a_traceback_is_read(send, monkeypatch):
    monkeypatch.setattr(errors, "_was_raised_in_called_code", send)
    boundary = ErrorBoundary("measuring", only_ours=True)
    with pytest.raises((TimeLimit, ValidationError)), boundary:
        raise ValueError("on purpose")


def test_it_passes_while_a_message_is_made(send, boundary):
    class Slow(Exception):
        __str__ = send

    with pytest.raises((TimeLimit, ValidationError)), boundary:
        raise Slow


def test_a_function_that_is_given_its_callers_frame_is_no_handler(boundary):
    def reads(number, name, frame):
        raise ValueError

    with boundary:
        reads(1, "name", sys._getframe())

    assert boundary.number == 1


# Entering a context manager


class Manager:
    """A context manager that fails where it is told to."""

    def __init__(self, fails_at):
        self.fails_at = fails_at
        self.calls = []
        self.call("make")

    def call(self, name):
        self.calls.append(name)
        if self.fails_at == name:
            raise MemoryError(name)

    def __enter__(self):
        self.call("enter")

    def __exit__(self, *exception):
        self.call("exit")


@pytest.mark.parametrize(("fails_at", "number"), [("", 0), ("make", 1), ("enter", 1), ("exit", 1)])
def test_the_block_runs_whatever_fails_of_its_context_manager(boundary, fails_at, number):
    ran = False
    with boundary.entering(Manager, fails_at) as manager:
        ran = True

    assert ran
    assert boundary.number == number
    assert (manager is None) is (fails_at in ("make", "enter"))
    if manager is not None:
        assert manager.calls == ["make", "enter", "exit"]


def test_a_fault_of_the_block_passes_and_the_manager_is_left(boundary):
    with pytest.raises(ZeroDivisionError), boundary.entering(Manager, "") as manager:
        raise ZeroDivisionError

    assert manager.calls[-1] == "exit"
    assert boundary.number == 0


def test_the_block_runs_where_there_is_no_manager(boundary):
    with boundary.entering(lambda _: None, None) as manager:
        assert manager is None

    assert boundary.number == 0
