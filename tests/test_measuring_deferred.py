"""Recordings that wait for their requests: which thread analyses them, when, and with what."""

import contextvars
import gc
import threading
import time

import pytest

from django_memsize import process
from django_memsize.measuring import deferred

PATIENCE = 20

HELD = contextvars.ContextVar("held", default=None)


class Node:
    pass


@pytest.fixture(autouse=True)
def _nothing_else_waits(no_collections, monkeypatch):
    monkeypatch.setattr(deferred, "_IDLE", 0.2)
    assert wait_until(lambda: "memsize" not in [thread.name for thread in threading.enumerate()])
    process.reset()
    yield
    process.reset()
    gc.collect()


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# When


def test_a_recording_is_due_soon_after_its_request_is_gone():
    analysed = []
    request = Node()
    deferred.wait(deferred.watch(request), lambda: analysed.append("analysed"))
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
    deferred.wait(deferred.watch(request), lambda: analysed.append("analysed"))
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
    deferred.wait(deferred.watch(request), lambda: analysed.append("analysed"))
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
            deferred.watch(request), lambda name=name: analysed.append(name), group=its_group
        )

    deferred.analyse_now(group)
    assert analysed == ["mine"]
    deferred.analyse_now()

    assert analysed == ["mine", "other"]


def test_a_hundred_recordings_may_wait():
    assert [deferred.wait((), lambda: None) for _ in range(102)] == [True] * 100 + [False] * 2


def test_recordings_that_could_not_be_analysed_wait_on():
    analysed = []

    def interrupted():
        raise KeyboardInterrupt

    deferred.wait((), interrupted)
    deferred.wait((), lambda: analysed.append("analysed"))
    with pytest.raises(KeyboardInterrupt):
        deferred.analyse_now()
    deferred.analyse_now()

    assert analysed == ["analysed"]


# The background thread


def test_a_recording_that_begins_to_wait_while_the_thread_is_about_to_end_is_analysed(monkeypatch):
    analysed = []

    class Interleaved(deferred._WaitingList):
        """Behaves as if another thread came in between the last look and what follows it."""

        __slots__ = ()

        def __len__(self):
            number = super().__len__()
            if analysed == ["first"] and number == 0:
                analysed.append("then")
                deferred.wait((), lambda: analysed.append("later"))
                deferred.start_thread()
            return number

    monkeypatch.setattr(deferred._deferred, "waiting", Interleaved())
    deferred.wait((), lambda: analysed.append("first"))
    deferred.start_thread()

    assert wait_until(lambda: analysed == ["first", "then", "later"])


def test_the_thread_waits_for_the_next_recordings():
    analysed = []
    for number in range(3):
        assert wait_until(lambda: not analysed or deferred._deferred.is_idle)
        deferred.wait((), lambda: analysed.append(threading.current_thread()))
        deferred.start_thread()
        assert wait_until(lambda number=number: len(analysed) == number + 1)

    assert len(set(analysed)) == 1


def test_a_thread_is_started_again_after_the_last_one_has_ended(monkeypatch):
    monkeypatch.setattr(deferred, "_IDLE", 0.01)
    analysed = []
    for number in range(3):
        deferred.wait((), lambda number=number: analysed.append(number))
        deferred.start_thread()
        assert wait_until(lambda: not deferred._deferred.thread_lock.locked())

    assert analysed == [0, 1, 2]


def test_only_one_thread_runs_at_a_time():
    names, done = [], threading.Event()

    def analyse():
        names.append(threading.current_thread())
        done.wait(PATIENCE)

    for _ in range(3):
        deferred.wait((), analyse)
        deferred.start_thread()
    assert wait_until(lambda: names)
    assert [thread.name for thread in threading.enumerate()].count("memsize") == 1
    done.set()

    assert wait_until(lambda: len(names) == 3)
    assert len(set(names)) == 1
    assert names[0].daemon


def test_at_the_end_of_the_process_nothing_waits_for_its_request_any_longer():
    analysed, request = [], Node()
    deferred.wait(deferred.watch(request), lambda: analysed.append("analysed"))
    deferred.analyse_what_is_over()
    assert analysed == []

    deferred.hurry()
    deferred.analyse_what_is_over()

    assert analysed == ["analysed"]
    assert request


def test_at_the_end_of_the_process_what_no_thread_was_told_of_is_analysed():
    analysed = []
    for number in range(2):  # without a thread, and with an idle one
        deferred.wait((), lambda: analysed.append("analysed"))
        deferred.hurry()
        assert wait_until(lambda number=number: len(analysed) == number + 1)
        assert wait_until(lambda: deferred._deferred.is_idle)


def test_the_thread_has_nothing_of_the_context_of_a_request():
    """Such as a request: a thread that goes on would keep it."""
    seen = []
    token = HELD.set("request")
    try:
        deferred.wait((), lambda: seen.append(HELD.get()))
        deferred.start_thread()
        assert wait_until(lambda: seen)
    finally:
        HELD.reset(token)

    assert seen == [None]


def test_what_waits_with_a_group_can_be_taken_back():
    analysed, group = [], Node()
    deferred.wait((), lambda: analysed.append("of the group"), group)
    deferred.wait((), lambda: analysed.append("of none"))

    (callback,) = deferred.take_all()
    callback()
    assert analysed == ["of none"]

    deferred.analyse_now()
    assert analysed == ["of none", "of the group"]


def test_a_thread_is_started_later_where_none_could_be_started(monkeypatch):
    def fails(self):
        raise RuntimeError("can't start new thread")

    analysed = []
    deferred.wait((), lambda: analysed.append("analysed"))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fails)
        with pytest.raises(RuntimeError):
            deferred.start_thread()
    deferred.start_thread()

    assert wait_until(lambda: analysed == ["analysed"])


def test_a_child_process_waits_for_no_request_of_its_parent():
    deferred.wait((), lambda: None)
    deferred._deferred.thread_lock.acquire()

    deferred._deferred.reset()

    assert not deferred._deferred.waiting
    assert not deferred._deferred.thread_lock.locked()
