import ast
import os
import socket
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest

import django_memsize
from django_memsize import measure, process
from django_memsize.engine import Window
from django_memsize.measuring import deferred, evaluation_totals, in_flight, overhead, spans
from django_memsize.measuring.recording import Recording
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import recordings, writer
from django_memsize.reports.queue import Queued
from django_memsize.values import OwnTuple
from django_memsize.workers import tally as tallies
from tests.visits import others_under_way

# From Python 3.12 on, with other threads than the one that forks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

PACKAGE = Path(django_memsize.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


class State:
    """Something that changes while a process runs."""

    def __init__(self, log):
        self.log = log

    def reset(self):
        self.log.append(self)


def test_the_system_is_asked_once_for_the_name_of_the_host(monkeypatch):
    name = process.host()
    monkeypatch.setattr(socket, "gethostname", Mock(side_effect=OSError("on purpose")))

    assert process.host() == name


@pytest.fixture
def registered():
    """Return the list of registered objects, restored at the end."""
    before = list(process._registered)
    yield process._registered
    process._registered[:] = before


def in_a_child(question):
    """Return the exit code of a child process: 0 if ``question()`` is true there."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if question() else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_registered_objects_are_returned_and_reset_in_their_order(registered):
    log = []
    first, second = State(log), State(log)
    registered.clear()

    assert process.register(first) is first
    assert process.register(second) is second
    process.reset()

    assert log == [first, second]


def test_a_child_process_resets_what_is_registered_and_its_parent_does_not(registered):
    log = []
    state = process.register(State(log))

    assert in_a_child(lambda: log == [state]) == 0
    assert log == []


def test_all_state_of_the_process_is_registered():
    assert MemsizeMiddleware  # its module imports the last of them
    registered = process._registered
    modules = {type(state).__module__.partition("django_memsize.")[2] for state in registered}

    assert modules == {
        "measuring.arrivals",
        "measuring.deferred",
        "measuring.evaluation_totals",
        "measuring.in_flight",
        "measuring.walks",
        "measuring.overhead",
        "measuring.rss",
        "measuring.sampling",
        "measuring.spans",
        "measuring.survivors",
        "orm.patches",
        "reports.recordings",
        "reports.drops",
        "reports.retention",
        "reports.rollup_merging",
        "reports.rollups",
        "reports.route_names",
        "reports.sql_names",
        "reports.writer_thread",
        "workers.tally",
        "workers.worker",
    }


def nodes_of(kind):
    """Return (module, node) of every node of a kind in the package's source."""
    return [
        (str(path.relative_to(PACKAGE)), node)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, kind)
    ]


def test_no_other_module_asks_to_be_called_after_a_fork():
    callers = [
        module for module, node in nodes_of(ast.Attribute) if node.attr == "register_at_fork"
    ]

    assert callers == ["process.py"]


def test_no_module_has_a_global_that_changes():
    assert [(module, node.names) for module, node in nodes_of(ast.Global)] == []


def test_a_child_process_begins_with_nothing_of_its_parent():
    """Everything is in use in the parent, and the locks are held by another thread."""
    held, release = threading.Event(), threading.Event()

    def hold():
        with (
            evaluation_totals.adding.lock,
            in_flight._now.lock,
            tallies.tally._lock,
            writer._writer._thread_lock,
            deferred._deferred.thread_lock,
        ):
            held.set()
            release.wait(60)

    overhead.add(0.5)
    deferred.wait((), lambda _: None)
    tallies.tally.made(tallies.State.QUEUED)
    tallies.tally.made(tallies.Cause.REFUSED, 3)
    writer._writer.put(Queued(Report()))
    recordings._seen.routes[OwnTuple(("GET", "/"))] = 0.0
    recordings._seen.outliers.add(OwnTuple(("GET", "/")), 4000, 0, 0.0)
    with measure("block"):
        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(60)
        code = in_a_child(is_empty)
        in_the_parent = (len(deferred._deferred.waiting), len(writer._writer.queue))
        release.set()
        thread.join(60)

    assert code == 0
    assert in_the_parent == (1, 1)


def is_empty():
    assert spans.open_span() is None
    assert others_under_way() == 0
    assert overhead._process.cpu == 0.0
    assert not deferred._deferred.waiting
    assert not deferred._deferred.thread_lock.locked()
    assert not writer._writer.queue
    assert not writer._writer.is_running
    assert not any(tallies.tally.numbers().values())
    assert not recordings._seen.routes
    assert not recordings._seen.outliers._by_route
    recording = Recording("in the child")
    recording.open()
    recording.log.count_statement()
    recording.close()
    assert recording.in_flight == 0
    return not recording.incomplete


def test_a_span_that_was_in_flight_at_a_fork_is_not_counted_in_the_child():
    span = in_flight.InFlight()
    process.reset()
    assert others_under_way() == 0

    span.close()

    assert others_under_way() == 0


@pytest.mark.skipif(Window is None, reason="the engine in Python has no meter")
def test_a_child_process_meters_nothing_for_its_parent():
    from django_memsize.engine.compiled import hooks_installed

    with measure("block"):
        assert hooks_installed()
        assert in_a_child(lambda: not hooks_installed()) == 0
