"""What is told to be retained or dead is what the collector then leaves or frees."""

import contextlib
import gc
import sys
import types
import weakref
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.windows import metered, no_collector, total  # noqa: E402


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        gc.freeze()  # or each collection goes through all that the tests have imported
        yield
        gc.unfreeze()


class Attributed:
    pass


class Touched:
    """Has its dict from the beginning."""

    def __init__(self):
        vars(self)["itself"] = None


class Slotted:
    __slots__ = ("__weakref__", "first", "second")


class Items(list):
    __slots__ = ()


class Pair(tuple):
    __slots__ = ()


class Table(dict):
    __slots__ = ()


class Probe(list):
    """Only tests make these."""

    __slots__ = ()


class Method:
    def __call__(self):
        return self


# Each makes something that refers to two others, and can be made to refer to more.


def a_dict(first, second):
    return {"first": first, "second": second}


def a_dict_of_others(first, second):
    return {1: first, (2, 3): second}


def an_ordered_dict(first, second):
    return Table(first=first, second=second)


def attributed(first, second):
    made = Attributed()
    made.first, made.second = first, second
    return made


def touched(first, second):
    made = Touched()
    vars(made).update(first=first, second=second)
    return made


def detached(first, second):
    made = Attributed()
    made.__dict__ = {"first": first, "second": second}
    return made


def slotted(first, second):
    made = Slotted()
    made.first, made.second = first, second
    return made


def a_closure(first, second):
    def inner():
        return first, second

    return inner


def a_generator(first, second):
    made = ((first, second, each) for each in (1, 2))
    next(made)
    return made


def a_method(first, second):
    return types.MethodType(Method(), [first, second])


def a_class(first, second):
    return type("Made", (), {"first": first, "second": [second]})


def an_instance_of_its_own_class(first, second):
    made = type("Made", (), {"__slots__": ("first",)})()
    made.first = [first, second]
    return made


def weakly(first, second):
    made = Slotted()
    made.first = weakref.ref(made, lambda gone: (first, second))
    return made


def an_iterator(first, second):
    return iter([first, second])


def an_error(first, second):
    try:
        raise ValueError(first, second)
    except ValueError as error:
        return error


MAKERS = {
    "list": lambda *parts: list(parts),
    "tuple": lambda *parts: tuple(parts),
    "set": lambda *parts: {Pair((id(part),)) for part in parts},
    "list of a subclass": lambda *parts: Items(parts),
    "tuple of a subclass": lambda *parts: Pair(parts),
    **{
        make.__name__: make
        for make in (
            a_dict, a_dict_of_others, an_ordered_dict, attributed, touched, detached, slotted,
            a_closure, a_generator, a_method, a_class, an_instance_of_its_own_class, weakly,
            an_iterator, an_error,
        )
    },
}  # fmt: skip

STEPS = st.lists(
    st.tuples(
        st.sampled_from([*MAKERS, "link", "keep", "circle"]), st.integers(0, 30), st.integers(0, 30)
    ),
    max_size=30,
)


def link(part, other):
    if isinstance(part, list):
        part.append(other)
    elif isinstance(part, dict):
        part["linked"] = other
    elif isinstance(part, (Attributed, Touched, types.FunctionType)):
        part.linked = other
    elif isinstance(part, Slotted):
        part.second = other


def run(steps, kept):
    made = []
    for step in steps:
        take(*step, made, kept)


def take(step, one, other, made, kept):
    first = made[one % len(made)] if made else None
    second = made[other % len(made)] if made else None
    if step in MAKERS:
        made.append(MAKERS[step](first, second))
    elif step == "link":
        link(first, second)
    elif step == "circle":
        circle = [first, second]
        circle.append(circle)
        made.append(circle)
    elif made:
        kept.append(first)


def named(kind):
    return f"{kind.__module__}.{kind.__qualname__}"


def of_ours(names):
    """Return name -> number, of classes made here."""
    return Counter(name for name in names if name.startswith(f"{__name__}."))


def there_are():
    return of_ours(named(type(each)) for each in gc.get_objects())


def told(table):
    return of_ours(name for name, number in table[0].items() for _ in range(number))


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_what_is_told_to_be_retained_is_what_the_collector_leaves(steps):
    warm()
    kept = []
    before = there_are()
    with metered() as window:
        run(steps, kept)
    made = there_are() - before
    retained, dead, _ = window.analyse()
    gc.collect()
    left = there_are() - before

    assert told(retained) == left
    assert told(dead) == made - left
    kept.clear()


def warm():
    for make in MAKERS.values():
        make(None, None)
    gc.collect()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "set"])
def test_a_circle_through_anything_is_dead_once_it_is_dropped(name):
    def circle():
        first = Probe()
        first.append(MAKERS[name](first, None))

    warm()
    circle()
    with metered() as window:
        for _ in range(100):
            circle()
    retained, dead, _ = window.analyse()

    assert dead[0][f"{__name__}.Probe"] == 100
    assert f"{__name__}.Probe" not in retained[0]
    assert total(dead) > 100 * 100


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "set"])
def test_what_anything_refers_to_is_retained_with_it(name):
    warm()
    with metered() as window:
        kept = [MAKERS[name](Probe(), Probe()) for _ in range(100)]
    retained, dead, _ = window.analyse()

    assert len(kept) == 100
    assert retained[0][f"{__name__}.Probe"] == 200
    assert f"{__name__}.Probe" not in dead[0]


def test_text_keys_are_dead_with_their_dict():
    def circle(number):
        made = {f"a rather long key {number} {each}": None for each in range(10)}
        made["itself"] = made

    circle(0)
    with metered() as window:
        for number in range(100):
            circle(number)
    retained, dead, _ = window.analyse()

    assert dead[0]["str"] == 1000
    assert dead[0]["dict"] == 100
    assert retained[0].get("str", 0) < 5


def test_a_class_of_the_window_is_dead_once_nobody_has_it():
    def drop():
        made = type("Made", (), {"method": lambda self: made})
        made().method()

    drop()
    gc.collect()
    with metered() as window:
        for _ in range(20):
            drop()
    retained, dead, _ = window.analyse()

    assert dead[0]["type"] == 20
    assert "type" not in retained[0]
    # What its base has of it, and what shows no references of its own.
    assert total(retained) < total(dead) / 5


def test_what_only_a_running_function_has_is_retained():
    def held():
        mine = [Slotted() for _ in range(100)]
        window.close()
        return window.analyse()[0][0][f"{__name__}.Slotted"], len(mine)

    with metered() as window:
        told = held()

    assert told == (100, 100)


def test_what_another_window_s_object_has_is_retained():
    older = []
    with metered() as window:
        older.append(Slotted())
        older[0].first = [Slotted() for _ in range(50)]
    retained, _, _ = window.analyse()

    assert retained[0][f"{__name__}.Slotted"] == 51


def test_a_retained_total_of_a_window_inside_is_of_what_was_born_in_it():
    kept = []
    with metered() as outer, contextlib.ExitStack() as stack:
        for number in range(5):
            inner = stack.enter_context(metered())
            kept.append([Slotted() for _ in range(100 * (number + 1))])
            loop = []
            loop.append(loop)
            del loop
            stack.callback(inner.close)
    retained, _, _ = outer.analyse()

    assert retained[0][f"{__name__}.Slotted"] == 1500
    assert outer.retained[1] == total(retained)


def test_telling_changes_no_count_of_references():
    with metered() as window:
        kept = [Slotted() for _ in range(10)]
        shared = object()
        for each in kept:
            each.first = shared
    before = [sys.getrefcount(each) for each in (shared, *kept)]
    window.alive_by_type()
    window.analyse()

    assert [sys.getrefcount(each) for each in (shared, *kept)] == before
