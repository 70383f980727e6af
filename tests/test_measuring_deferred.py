"""Recordings that wait for their requests: who settles them, when, and with what in hand."""

import gc
import threading
import time
import weakref

import pytest

from django_memsize import engine, process
from django_memsize.measuring import deferred, overhead, referrers
from tests.windows import no_collector

PATIENCE = 10


class Node:
    pass


@pytest.fixture(autouse=True)
def _waiting_alone():
    process.reset()
    with no_collector():
        yield
    process.reset()
    gc.collect()


def in_a_circle():
    """Return a reference to what only a circle from outside refers to."""
    node, around = Node(), Node()
    node.circle, around.of = [around], {"node": node}
    return weakref.ref(node)


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_what_begins_to_wait_while_the_thread_is_about_to_end_is_settled(monkeypatch):
    analysed, about_to_end = [], []

    class Interleaved(deferred._Waiting):
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

    monkeypatch.setattr(deferred, "_waiting", Interleaved())
    deferred.wait((), lambda _: analysed.append("first"))
    deferred.start_thread(afterwards)

    assert wait_until(lambda: analysed == ["first", "later"])


def test_time_is_kept_again_after_the_thread_has_ended():
    analysed = []
    for number in range(3):
        deferred.wait((), lambda _, number=number: analysed.append(number))
        deferred.start_thread(lambda: True)
        assert wait_until(lambda: not deferred._ticking.locked())

    assert analysed == [0, 1, 2]


def test_time_is_kept_later_where_no_thread_can_be_started(monkeypatch):
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


def test_those_who_could_not_be_settled_wait_on():
    analysed = []

    def interrupted(_):
        raise KeyboardInterrupt

    deferred.wait((), interrupted)
    deferred.wait((), lambda _: analysed.append("analysed"))
    with pytest.raises(KeyboardInterrupt):
        deferred.analyse_now()
    deferred.analyse_now()

    assert analysed == ["analysed"]


compiled = pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")


@compiled
def test_what_leads_to_a_request_that_is_still_alive_is_looked_for_once_for_all():
    kinds, arounds = [], []

    def then(around):
        kinds.append(sorted(type(each).__name__ for each in around))
        arounds.append(around)

    requests = [in_a_circle(), in_a_circle()]
    for request in requests:
        deferred.wait((request,), then)
    deferred.analyse_now()

    assert kinds == [["Node", "Node", "dict", "dict"]] * 2  # what those lead to needs no search
    assert arounds[0] is arounds[1]
    assert not arounds[0]  # nothing is held on to
    gc.collect()
    assert [request() for request in requests] == [None, None]


@compiled
def test_nothing_is_looked_for_where_the_request_is_gone():
    analysed = []
    deferred.wait((weakref.ref(Node()),), analysed.append)
    deferred.analyse_now()

    assert analysed == [None]


@compiled
def test_a_search_is_on_our_account_and_ends_with_the_budget(monkeypatch):
    looks = []
    monkeypatch.setattr(engine, "find_referrers", lambda *_: looks.append("look") or True)
    monkeypatch.setattr(overhead, "is_within", lambda share: share == 0.5 and len(looks) < 3)
    spent = []
    monkeypatch.setattr(overhead, "spend", spent.append)
    request = in_a_circle()

    around = referrers.find_external_objects([request], 0.5)
    assert len(looks) == len(spent) == 3
    assert around.cost == pytest.approx(sum(spent))

    assert len(referrers.find_external_objects([request], 0.1)) == 1
    assert len(looks) == 3


@compiled
def test_a_search_that_fails_keeps_nobody_from_being_settled(monkeypatch):
    def fails(*_):
        raise MemoryError

    analysed = []
    monkeypatch.setattr(engine, "find_referrers", fails)
    deferred.wait((in_a_circle(),), analysed.append)
    deferred.analyse_now()

    assert analysed == [None]


@compiled
def test_a_thread_that_serves_leaves_the_search_to_the_one_that_keeps_time():
    settled_by = []
    request = in_a_circle()
    deferred.wait((request,), lambda _: settled_by.append(threading.current_thread().name))
    deferred.start_thread(lambda: True)
    deadline = time.monotonic() + PATIENCE
    while not settled_by and time.monotonic() < deadline:
        deferred.analyse_what_is_over()

    assert settled_by == ["memsize"]
