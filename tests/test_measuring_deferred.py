"""Recordings that wait for their requests: which thread analyses them, when, and with what."""

import gc
import threading
import time
import weakref

import pytest

from django_memsize import engine, process
from django_memsize.measuring import deferred

PATIENCE = 10


class Node:
    pass


@pytest.fixture(autouse=True)
def _nothing_else_waits(no_collections):
    process.reset()
    yield
    process.reset()
    gc.collect()


def in_a_cycle():
    """Return a weak reference to what only a cycle from outside refers to."""
    node, outside = Node(), Node()
    node.cycle, outside.of = [outside], {"node": node}
    return weakref.ref(node)


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# When


def test_a_recording_is_due_soon_after_its_request_is_gone():
    analysed = []
    request = Node()
    deferred.wait(deferred.watch(request), lambda _: analysed.append("analysed"))
    deferred.analyse_what_is_over()
    assert analysed == []

    del request
    deferred.analyse_what_is_over()
    assert analysed == []  # the collector may still be freeing it
    time.sleep(deferred._PAUSE)
    deferred.analyse_what_is_over()

    assert analysed == ["analysed"]


def test_a_recording_is_due_after_a_while_though_its_request_is_alive(monkeypatch):
    analysed = []
    request = Node()
    deferred.wait(deferred.watch(request), lambda _: analysed.append("analysed"))
    monkeypatch.setattr(deferred, "_LONGEST_WAIT", 0.0)
    deferred.analyse_what_is_over()

    assert analysed == ["analysed"]
    assert request


@pytest.mark.parametrize("longest", [0.0, 60.0])
def test_nothing_is_analysed_while_the_collector_still_frees_the_request(monkeypatch, longest):
    monkeypatch.setattr(deferred, "_LONGEST_WAIT", longest)
    analysed, during = [], []

    class Request:
        def __del__(self):
            deferred.analyse_what_is_over()
            during.extend(analysed)

    request = Request()
    request.itself = request
    deferred.wait(deferred.watch(request), lambda _: analysed.append("analysed"))
    del request
    gc.collect()
    assert during == []

    time.sleep(0.05)
    deferred.analyse_what_is_over()

    assert analysed == ["analysed"]


def test_a_recording_may_be_analysed_without_waiting_any_longer():
    analysed = []
    request, group = Node(), Node()
    for name, its_group in (("mine", group), ("other", None)):
        deferred.wait(
            deferred.watch(request), lambda _, name=name: analysed.append(name), group=its_group
        )

    deferred.analyse_now(group)
    assert analysed == ["mine"]
    deferred.analyse_now()

    assert analysed == ["mine", "other"]


def test_a_hundred_recordings_may_wait():
    assert [deferred.wait((), lambda _: None) for _ in range(102)] == [True] * 100 + [False] * 2


def test_recordings_that_could_not_be_analysed_wait_on():
    analysed = []

    def interrupted(_):
        raise KeyboardInterrupt

    deferred.wait((), interrupted)
    deferred.wait((), lambda _: analysed.append("analysed"))
    with pytest.raises(KeyboardInterrupt):
        deferred.analyse_now()
    deferred.analyse_now()

    assert analysed == ["analysed"]


# The background thread


def test_a_recording_that_begins_to_wait_while_the_thread_is_about_to_end_is_analysed(monkeypatch):
    analysed, about_to_end = [], []

    class Interleaved(deferred._WaitingList):
        """Behaves as if another thread came in between the last look and what follows it."""

        __slots__ = ()

        def __len__(self):
            number = super().__len__()
            if about_to_end and number == 0:
                about_to_end.clear()
                deferred.wait((), lambda _: analysed.append("later"))
                deferred.start_thread(lambda: True)
            return number

    def afterwards():
        about_to_end.extend(["yes"] * (analysed == ["first"]))
        return True

    monkeypatch.setattr(deferred._deferred, "waiting", Interleaved())
    deferred.wait((), lambda _: analysed.append("first"))
    deferred.start_thread(afterwards)

    assert wait_until(lambda: analysed == ["first", "later"])


def test_a_thread_is_started_again_after_the_last_one_has_ended():
    analysed = []
    for number in range(3):
        deferred.wait((), lambda _, number=number: analysed.append(number))
        deferred.start_thread(lambda: True)
        assert wait_until(lambda: not deferred._deferred.thread_lock.locked())

    assert analysed == [0, 1, 2]


def test_the_thread_goes_on_until_what_comes_afterwards_is_done():
    calls = []
    deferred.start_thread(lambda: calls.append("call") or len(calls) == 3)

    assert wait_until(lambda: not deferred._deferred.thread_lock.locked())
    assert len(calls) == 3


def test_only_one_thread_runs_at_a_time():
    names, done = [], threading.Event()

    def afterwards():
        names.append(threading.current_thread())
        return done.is_set()

    for _ in range(3):
        deferred.start_thread(afterwards)
    assert wait_until(lambda: len(names) >= 3)
    done.set()

    assert wait_until(lambda: not deferred._deferred.thread_lock.locked())
    assert len(set(names)) == 1
    assert names[0].daemon


def test_a_thread_is_started_later_where_none_could_be_started(monkeypatch):
    def fails(self):
        raise RuntimeError("can't start new thread")

    analysed = []
    deferred.wait((), lambda _: analysed.append("analysed"))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError):
            deferred.start_thread(lambda: True)
    deferred.start_thread(lambda: True)

    assert wait_until(lambda: analysed == ["analysed"])


def test_a_child_process_waits_for_no_request_of_its_parent():
    deferred.wait((), lambda _: None)
    deferred._deferred.thread_lock.acquire()

    deferred._deferred.reset()

    assert not deferred._deferred.waiting
    assert not deferred._deferred.thread_lock.locked()


# External objects

needs_the_meter = pytest.mark.skipif(
    engine.Window is None, reason="the engine in Python has no meter"
)


@needs_the_meter
def test_what_refers_to_requests_that_are_still_alive_is_looked_for_once_for_all():
    kinds, lists = [], []

    def analyse(external):
        kinds.append(sorted(type(each).__name__ for each in external))
        lists.append(external)

    requests = [in_a_cycle(), in_a_cycle()]
    for request in requests:
        deferred.wait((request,), analyse)
    deferred.analyse_now()

    # The engine finds the lists inside the cycles from these.
    assert kinds == [["Node", "Node", "dict", "dict"]] * 2
    assert lists[0] is lists[1]
    assert not lists[0]  # nothing is referred to any longer
    gc.collect()
    assert [request() for request in requests] == [None, None]


@needs_the_meter
def test_recordings_share_the_cost_of_the_search(monkeypatch):
    def find(watched, max_overhead):
        shares.append(max_overhead)
        external = deferred.ExternalObjects()
        external.cost = 6.0
        return external

    shares, costs = [], []
    monkeypatch.setattr(deferred, "find_external_objects", find)
    requests = [in_a_cycle() for _ in range(3)]
    for share, request in zip((0.1, 0.5, 0.2), requests, strict=True):
        deferred.wait((request,), lambda found: costs.append(found.cost), max_overhead=share)
    deferred.analyse_now()

    assert shares == [0.5]
    assert costs == [2.0] * 3


@needs_the_meter
def test_nothing_is_looked_for_where_the_request_is_gone():
    analysed = []
    deferred.wait(deferred.watch(Node()), analysed.append)
    deferred.analyse_now()

    assert analysed == [None]


@needs_the_meter
def test_a_search_that_fails_keeps_no_recording_from_being_analysed(monkeypatch):
    def fails(*_):
        raise MemoryError

    analysed = []
    monkeypatch.setattr(engine, "find_referrers", fails)
    deferred.wait((in_a_cycle(),), analysed.append)
    deferred.analyse_now()

    assert analysed == [None]


@needs_the_meter
def test_a_thread_that_serves_leaves_the_search_to_the_background_thread():
    analysed_by = []
    request = in_a_cycle()
    deferred.wait((request,), lambda _: analysed_by.append(threading.current_thread().name))
    deferred.start_thread(lambda: True)
    deadline = time.monotonic() + PATIENCE
    while not analysed_by and time.monotonic() < deadline:
        deferred.analyse_what_is_over()

    assert analysed_by == ["memsize"]
