import dataclasses
import gc

import pytest

import django_memsize as memsize
from django_memsize import values
from django_memsize.values import OURS, CallSite, Counts, Diff, Evaluation, OwnTuple, Summary, ours
from django_memsize.values.ownership import shortened

# The members of an enumeration are there from the import on.
LEFT_OUT = (Counts, values.Reason)
VALUES = [cls for cls in vars(values).values() if isinstance(cls, type) and cls not in LEFT_OUT]


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_the_instances_of_every_value_are_left_out_of_a_census(cls):
    assert cls in OURS


def test_no_instance_of_ours_has_a_dict_of_its_own():
    with_a_dict = [cls for cls in OURS if cls.__dictoffset__]

    # asgiref's markcoroutinefunction() sets an attribute; a connection has those of Django's class,
    # and a generator of random numbers those of Python's.
    others = {"MemsizeMiddleware", "DatabaseWrapper", "_Chance"}
    assert [cls for cls in with_a_dict if cls.__name__ not in others] == []


@pytest.mark.parametrize(
    "cls", [cls for cls in VALUES if dataclasses.is_dataclass(cls)], ids=lambda cls: cls.__name__
)
def test_a_value_is_frozen(cls):
    assert cls.__dataclass_params__.frozen


def test_a_census_leaves_out_our_objects_and_what_only_they_refer_to():
    gc.collect()
    gc.disable()
    try:
        memsize.snapshot()
        before = memsize.snapshot()
        counts = Counts({f"name {number}": 2**40 + number for number in range(100)})
        evaluation = Evaluation("a", "b", rows=2**41, site=CallSite())
        summary = Summary(name="x" * 100, evaluations=OwnTuple([evaluation]))
        diff = Diff.of([("dict", values.TypeTotal(1, 2**50))])
        after = memsize.snapshot()
    finally:
        gc.enable()

    assert after - before == Diff({}, {})
    assert counts
    assert summary
    assert diff


def test_a_class_that_is_marked_is_returned():
    class Marked:
        __slots__ = ()

    try:
        assert ours(Marked) is Marked
        assert OURS[-1] is Marked
    finally:
        OURS.remove(Marked)


def test_counts_are_added_name_by_name():
    counts = Counts({"a": 1, "b": 2})

    counts.add({"b": 3, "c": 4})

    assert counts == {"a": 1, "b": 5, "c": 4}


def test_the_repr_of_a_container_of_ours_says_how_many_items_it_has():
    assert repr(Counts(a=1)) == "<Counts: 1 items>"
    assert repr(OwnTuple((1, 2))) == "<OwnTuple: 2 items>"


def test_a_repr_with_long_names_is_shortened():
    assert shortened("<short>") == "<short>"
    assert len(shortened("x" * 9999)) < 200
