"""Graphs of objects of many kinds, for tests of what is retained."""

import gc
import types
import weakref
from collections import Counter

from hypothesis import strategies as st


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


class Method:
    def __call__(self):
        return self


# Each makes an object that refers to two others. Most can be linked to more.


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
    made.first = weakref.ref(made, lambda _: (first, second))
    return made


def an_iterator(first, second):
    return iter([first, second])


def an_error(first, second):
    try:
        raise ValueError(first, second)
    except ValueError as error:
        return error


MAKERS = {
    "list": lambda *items: list(items),
    "tuple": lambda *items: tuple(items),
    "set": lambda *items: {Pair((id(item),)) for item in items},
    "list of a subclass": lambda *items: Items(items),
    "tuple of a subclass": lambda *items: Pair(items),
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
        st.sampled_from([*MAKERS, "link", "keep", "cycle"]), st.integers(0, 30), st.integers(0, 30)
    ),
    max_size=30,
)


def link(linked, other):
    if isinstance(linked, list):
        linked.append(other)
    elif isinstance(linked, dict):
        linked["linked"] = other
    elif isinstance(linked, (Attributed, Touched, types.FunctionType)):
        linked.linked = other
    elif isinstance(linked, Slotted):
        linked.second = other


def run(steps, kept):
    """Make objects, link them, and append some to a list."""
    made = []
    for step in steps:
        run_step(*step, made, kept)


def run_step(step, one, other, made, kept):
    first = made[one % len(made)] if made else None
    second = made[other % len(made)] if made else None
    if step in MAKERS:
        made.append(MAKERS[step](first, second))
    elif step == "link":
        link(first, second)
    elif step == "cycle":
        cycle = [first, second]
        cycle.append(cycle)
        made.append(cycle)
    elif made:
        kept.append(first)


def named(kind):
    return f"{kind.__module__}.{kind.__qualname__}"


def count_own(names):
    """Count the names of classes of this module."""
    return Counter(name for name in names if name.startswith(f"{__name__}."))


def alive():
    """Return name -> objects of the classes of this module that the collector tracks."""
    return count_own(named(type(each)) for each in gc.get_objects())


def objects_of_graphs(table):
    """Return name -> objects of the classes of this module, in a table."""
    return count_own(name for name, number in table[0].items() for _ in range(number))


def warm_up():
    """Make one object of each kind, so that free lists and caches are filled."""
    for make in MAKERS.values():
        make(None, None)
    gc.collect()
