"""Exceptions that the handler of a signal raises at each place of the package, one after another.

A trace function sends the process a signal when a place is reached, as a timer might at any moment.
"""

import contextvars
import signal
import sys
from contextlib import contextmanager
from pathlib import Path

import django_memsize

ROOT = str(Path(django_memsize.__file__).parent)
SIGNAL = signal.SIGUSR1


class TimeLimit(Exception):
    """What the program's handler raises."""


class Limits:
    """A program's handler of a signal, which raises another exception each time."""

    def __init__(self, kind=TimeLimit):
        self.kind = kind
        self.raised = []

    def handle(self, number, frame):
        self.raised.append(self.kind("time is over"))
        raise self.raised[-1]

    @contextmanager
    def installed(self):
        previous = signal.signal(SIGNAL, self.handle)
        try:
            yield self
        finally:
            signal.signal(SIGNAL, previous)


def place_of(frame, event):
    """Return module, function, event and line, counted from the first line of the function."""
    code = frame.f_code
    module = code.co_filename.removeprefix(ROOT).strip("/").removesuffix(".py").replace("/", ".")
    return f"{module}.{code.co_qualname}", event, frame.f_lineno - code.co_firstlineno


@contextmanager
def traced(reached):
    """Call ``reached(place)`` at each call, line and return of the package's own code."""

    def note(frame, event, argument):
        if not frame.f_code.co_filename.startswith(ROOT):
            return None
        if event != "exception":
            reached(place_of(frame, event))
        return note

    before = sys.gettrace()
    sys.settrace(note)
    try:
        yield
    finally:
        sys.settrace(before)


def places_of(program):
    """Return the places that a program reaches, in their order."""
    places = {}
    with traced(lambda place: places.setdefault(place)):
        contextvars.copy_context().run(program)
    return list(places)


def interrupted(program, place, kind=TimeLimit):
    """Run a program with a signal at the first time that it reaches a place.

    Returns what the handler raised, None if the place was not reached; and what reached the caller.
    """
    pending = [place]

    def reached(at):
        if at in pending:
            pending.clear()
            signal.raise_signal(SIGNAL)

    caught = None
    with Limits(kind).installed() as limits:
        try:
            with traced(reached):
                contextvars.copy_context().run(program)
        except kind as error:
            caught = error
    return limits.raised[0] if limits.raised else None, caught
