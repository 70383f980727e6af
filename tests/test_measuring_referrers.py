"""What refers to a request that is over and still alive."""

import gc
import weakref

import pytest

from django_memsize import engine
from django_memsize.measuring import overhead, referrers
from django_memsize.measuring.referrers import ExternalObjects, find_external_objects
from django_memsize.values import OURS

pytestmark = [
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
    pytest.mark.usefixtures("no_collections"),
]


class Node:
    pass


def in_a_cycle():
    """Return a weak reference to what only a cycle from outside refers to."""
    node, outside = Node(), Node()
    node.cycle, outside.of = [outside], {"node": node}
    return weakref.ref(node)


def test_the_objects_of_the_cycle_around_a_request_are_found():
    request = in_a_cycle()

    found = find_external_objects([request], 1.0)

    # The engine finds the rest of the cycle from these.
    assert sorted(type(each).__name__ for each in found) == ["Node", "dict"]
    assert found[0] is request()
    assert found.cost > 0
    found.clear()
    gc.collect()
    assert request() is None


def test_an_object_that_is_gone_meanwhile_does_no_harm():
    found = find_external_objects([weakref.ref(Node()), in_a_cycle()], 1.0)

    assert [type(each).__name__ for each in found if each is not None] == ["Node", "dict"]


def test_a_search_is_added_to_the_overhead_and_ends_with_the_budget(monkeypatch):
    steps, added = [], []
    monkeypatch.setattr(engine, "find_referrers", lambda *_: steps.append("step") or True)
    monkeypatch.setattr(overhead, "is_within", lambda share: share == 0.5 and len(steps) < 3)
    monkeypatch.setattr(overhead, "add", added.append)
    request = in_a_cycle()

    found = find_external_objects([request], 0.5)
    assert len(steps) == len(added) == 3
    assert found.cost == pytest.approx(sum(added))

    assert len(find_external_objects([request], 0.1)) == 1
    assert len(steps) == 3


def test_a_search_ends_after_a_number_of_steps_that_is_the_same_for_every_heap(monkeypatch):
    steps = []
    monkeypatch.setattr(engine, "find_referrers", lambda *_: steps.append("step") or True)

    find_external_objects([in_a_cycle()], 1.0)

    assert len(steps) == referrers._ROUNDS


def test_a_search_ends_where_nothing_more_is_found(monkeypatch):
    steps = []
    monkeypatch.setattr(engine, "find_referrers", lambda *_: steps.append("step") or False)

    find_external_objects([in_a_cycle()], 1.0)

    assert len(steps) == 1


def test_the_limit_grows_with_the_number_of_watched_objects(monkeypatch):
    limits = []
    monkeypatch.setattr(engine, "find_referrers", lambda _, limit: limits.append(limit))
    requests = [in_a_cycle() for _ in range(3)]

    find_external_objects(requests, 1.0)

    assert limits == [3 * referrers._LIMIT_EACH]


def test_a_census_leaves_out_the_list_of_external_objects():
    assert ExternalObjects in OURS
