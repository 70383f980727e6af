"""Deep sizes, the tree of an object, and the bytes of one."""

import collections
import datetime
import gc
import sys
from decimal import Decimal

import pytest

from django_memsize import engine
from django_memsize.engine.fallback import sizes
from django_memsize.values import Sized

NOON = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)


def tree(value, depth=1):
    def named(name, size, flat, referents):
        return Sized(name, size, flat, tuple(named(*referent) for referent in referents))

    return named(*engine.sized(value, depth))


class Account:
    __slots__ = ("holder", "opened")

    def __init__(self, holder, opened):
        self.holder = holder
        self.opened = opened


def test_a_deep_size_is_the_sum_of_the_distinct_objects():
    text, moment = "holder " * 5, NOON
    account = Account(text, moment)
    parts = [account, text, moment]

    assert engine.sizeof([account]) == sum(map(sys.getsizeof, parts))


def test_what_two_objects_share_is_counted_once():
    shared = ["shared"]
    first, second = [shared], [shared]

    together = engine.sizeof([first, second])

    assert together == engine.sizeof([first]) + sys.getsizeof(second)
    assert engine.sizeof([first, first]) == engine.sizeof([first])


def test_an_object_that_refers_to_itself_has_a_size():
    looped = []
    looped.append(looped)

    assert engine.sizeof([looped]) == sys.getsizeof(looped)


def test_a_size_stops_at_classes_modules_functions_code_and_frames():
    stopped = [Account, sys, tree, tree.__code__, sys._getframe(), len, str.join, Account.__init__]

    assert engine.sizeof([stopped]) == sys.getsizeof(stopped)


def test_what_a_size_stops_at_counts_where_it_is_itself_asked_for():
    assert engine.sizeof([tree]) == sys.getsizeof(tree)
    assert engine.sizeof([[tree], tree]) == engine.sizeof([[tree]]) + sys.getsizeof(tree)


def test_no_object_at_all_has_no_size():
    assert engine.sizeof([]) == 0


@pytest.mark.parametrize(
    "value",
    [
        *("text", "täxt", b"bytes", 1.5, 2j, None, True, (), (1, 2), [1] * 9, {1, 2}, {"a": 1}),
        *(
            Decimal("1.5"),
            datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
            datetime.date(2024, 1, 1),
            range(9),
        ),
        *(collections.deque([1]), collections.OrderedDict(a=1), object(), bytearray(99), 10**50),
        Account("holder", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_bytes_of_an_object_are_those_its_own_code_counts(value):
    assert engine.sized(value, 0)[2] == sys.getsizeof(value)


GREATEST_CACHED_INT = 1024 if sys.version_info >= (3, 15) else 256


def test_an_int_of_one_digit_takes_32_bytes_unless_the_interpreter_caches_it():
    numbers = [-6, -5, 0, GREATEST_CACHED_INT, GREATEST_CACHED_INT + 1, 2**30 - 1]

    assert [engine.sizeof([number]) for number in numbers] == [32, 0, 0, 0, 32, 32]
    assert engine.sizeof([2**30]) == sys.getsizeof(2**30)


def test_an_int_that_equals_a_cached_one_but_was_allocated_takes_32_bytes():
    class Number(int):
        pass

    assert engine.sizeof([int(str(GREATEST_CACHED_INT))]) == 0
    assert engine.sizeof([Number(7)]) > 32


@pytest.mark.skipif(sys.version_info < (3, 15), reason="frozendict is new in Python 3.15")
def test_a_frozendict_has_the_size_of_its_table_and_of_what_is_in_it():
    keys, values = [f"engine key {n}" for n in range(9)], [n / 7 for n in range(9)]
    frozen = frozendict(zip(keys, values))  # noqa: F821, B905 - of 3.15

    assert engine.sized(frozen, 0)[2] == sys.getsizeof(frozen)
    assert engine.sizeof([frozen]) == sum(map(sys.getsizeof, [frozen, *keys, *values]))


@pytest.mark.skipif(sys.version_info < (3, 15), reason="frozendict is new in Python 3.15")
def test_a_frozendict_shows_its_keys_and_values():
    frozen = frozendict(key=["value"])  # noqa: F821 - of 3.15
    shown = tree(frozen)

    assert shown.name == "frozendict({'key': ['value']})"
    assert {referent.name for referent in shown.refs} == {"[K] 'key'", "[V] 'key': ['value']"}


def test_a_frozenset_of_untracked_items_has_the_size_of_what_is_in_it():
    items = ["text of a frozenset", 1.5, frozenset({"text of an inner frozenset"})]
    frozen = frozenset(items)

    parts = [frozen, *items, *items[2]]
    assert engine.sizeof([frozen]) == sum(map(sys.getsizeof, parts))


def test_a_class_counts_the_entry_behind_its_last_member():
    assert engine.sizeof([Account]) == sys.getsizeof(Account) + type.__itemsize__


def test_what_a_size_stops_at_counts_wherever_it_stands_among_others():
    instances = [Account("holder", None) for _ in range(1000)]

    for asked in ([Account, *instances], [*instances, Account]):
        assert engine.sizeof(asked) - engine.sizeof(instances) == engine.sizeof([Account]) > 500


def test_a_moment_without_a_zone_has_no_room_for_one():
    assert engine.sizeof([NOON]) - engine.sizeof([NOON.replace(tzinfo=None)]) == 8


def test_a_tree_shows_referents_largest_first():
    text = "text"
    value = [1, 2, (3, 4), text]

    assert tree(value).format() == "\n".join(
        [
            f"[1, 2, (3, 4), 'text'] size={engine.sizeof([value])} flat={sys.getsizeof(value)}",
            f"    (3, 4) size={sys.getsizeof((3, 4))} flat={sys.getsizeof((3, 4))}",
            f"    'text' size={sys.getsizeof(text)} flat={sys.getsizeof(text)}",
            "    2 size=0 flat=0",
            "    1 size=0 flat=0",
        ]
    )


def test_a_dict_shows_its_keys_and_values():
    shown = {referent.name for referent in tree({"key": ["value"], 7: None}).refs}

    assert shown == {"[K] 'key'", "[V] 'key': ['value']", "[K] 7", "[V] 7: None"}


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 10, 10**9])
def test_a_tree_has_the_deep_size_at_any_depth(depth):
    value = [{"a": ["x" * 100, {"b": (["y" * 50], 1000)}], "c": Account("z" * 30, [])}, [[[[]]]]]

    shown = tree(value, depth)

    assert shown.size == engine.sizeof([value])
    assert shown.size == shown.flat + sum(referent.size for referent in shown.refs) or not depth


def test_a_tree_without_depth_has_no_referents():
    assert tree([[1], [2]], depth=0).refs == ()


def test_a_referent_that_is_shown_counts_where_it_is_shown():
    inner = ["x" * 1000]
    outer = [inner, [inner]]

    around, shown = sorted(referent.size for referent in tree(outer).refs)

    assert around == sys.getsizeof([inner])
    assert shown == engine.sizeof([inner])


def test_a_very_deep_structure_has_a_tree():
    value = []
    for _ in range(5000):
        value = [value]

    assert tree(value, depth=10**9).size == engine.sizeof([value]) > 5000 * 56


def test_measuring_materialises_no_dict_of_an_instance():
    accounts = [Account(f"holder {number}", None) for number in range(1000)]
    gc.collect()
    before = len(gc.get_objects())

    engine.census()
    engine.sizeof(accounts)
    engine.instances([Account])
    tree(accounts[0], 3)

    assert len(gc.get_objects()) - before < 100


def test_only_what_code_in_python_raises_has_frames():
    def caught(function):
        try:
            function("no number")
        except Exception as error:
            return error

    assert not sizes.has_frames(caught(int))
    assert sizes.has_frames(caught(lambda text: int(text)))
