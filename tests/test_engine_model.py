"""Random programs, and a simple model of what they leave on the heap, for both engines."""

import gc
import os
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from django_memsize import engine
from django_memsize.engine.fallback import census as twin

IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"

engines = pytest.mark.parametrize(
    ("measuring", "flat"),
    [(engine, engine.Sizing().flat), (twin, twin.Sizing().flat)],
    ids=["face", "twin"],
)


class Attributed:
    pass


class Slotted:
    __slots__ = ("first", "second")


class Leaf:
    __slots__ = ()


class Items(list):
    """A list that only these programs make."""

    __slots__ = ()


class Pair(tuple):
    __slots__ = ()


class Table(dict):
    __slots__ = ()


class Group(set):
    __slots__ = ()


OWN = (Attributed, Slotted, Leaf, Items, Pair, Table, Group)
NAMES = [f"{__name__}.{kind.__name__}" for kind in OWN]
MADE = (*OWN, list, tuple, dict, set, frozenset)

# A step makes something of parts made before, or changes or drops one of them.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*(kind.__name__ for kind in MADE), "touch", "link", "drop"]),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    max_size=40,
)


def make(kind, first, second):
    if kind in (list, tuple, Items, Pair):
        return kind([first, second])
    if kind in (dict, Table):
        return kind({"first": first, "second": second})
    if kind in (set, frozenset, Group):
        return kind(part for part in (first, second) if type(part) in (Leaf, Slotted, Attributed))
    made = kind()
    if kind is not Leaf:
        made.first = first
        made.second = second
    return made


def run(steps):
    """Return what a program has left, and the dicts that its instances have by now."""
    kinds = {kind.__name__: kind for kind in MADE}
    made, touched = Items(), {}
    for step, one, other in steps:
        first = made[one % len(made)] if made else None
        second = made[other % len(made)] if made else None
        if step in kinds:
            made.append(make(kinds[step], first, second))
        elif step == "drop" and made:
            del made[one % len(made)]
        elif step == "touch" and type(first) is Attributed:
            touched[id(first)] = vars(first)
        elif step == "link" and type(first) in (list, Items):
            first.append(second)
        elif step == "link" and type(first) in (Attributed, Slotted):
            first.first = second
    return made, touched


def referents(part, touched):
    if type(part) is Attributed:
        # As the collector shows them: to ask for a dict would make one.
        shown = gc.get_referents(part)
        return [*shown, touched[id(part)]] if id(part) in touched else shown
    if type(part) is Slotted:
        return [getattr(part, name) for name in Slotted.__slots__ if hasattr(part, name)]
    if isinstance(part, dict):
        return [*part.keys(), *part.values()]
    return list(part) if isinstance(part, (list, tuple, set, frozenset)) else []


def distinct(made, touched):
    found, pending = {}, [made]
    while pending:
        part = pending.pop()
        if id(part) not in found and not isinstance(part, type):
            found[id(part)] = part
            pending.extend(referents(part, touched))
    return list(found.values())


@engines
@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_a_deep_size_is_the_sum_of_the_distinct_parts_of_any_program(measuring, flat, steps):
    made, touched = run(steps)
    if measuring is twin and sys.version_info >= (3, 13):
        touched = {}  # the collector, and so the twin, need not go from an instance to its dict

    assert measuring.sizeof([made]) == sum(map(flat, distinct(made, touched)))


def counted(measuring):
    """Return objects and bytes of the types that only these programs make."""
    counts, sizes, _, _ = measuring.census()
    return [(counts.get(name, 0), sizes.get(name, 0)) for name in NAMES]


@engines
@given(steps=STEPS)
@settings(max_examples=8 if IS_LONG else 2, deadline=None)
def test_two_censuses_differ_by_what_any_program_made_between_them(measuring, flat, steps):
    gc.collect()
    before = counted(measuring)
    made, touched = run(steps)
    gc.collect()  # dropped circles
    after = counted(measuring)

    parts = distinct(made, touched)
    for kind, (count, size), (new_count, new_size) in zip(OWN, before, after, strict=True):
        new = [part for part in parts if type(part) is kind]
        assert (new_count - count, new_size - size) == (len(new), sum(map(flat, new)))

    del made, parts, new
    touched.clear()
    gc.collect()
    assert counted(measuring) == before
