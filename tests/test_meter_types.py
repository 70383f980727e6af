"""What a window holds by type, to the object and byte; nothing is taken for what it is not."""

import array
import ctypes
import datetime
import decimal
import gc
import io
import struct
import sys
import types
from collections import OrderedDict, deque

import pytest

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.app.models import Account  # noqa: E402
from tests.programs import ended_well  # noqa: E402
from tests.windows import forget_names, inside, metered, no_collector, total  # noqa: E402

NUMBER = 3090
NOON = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
ACCOUNT = f"{Account.__module__}.Account"


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        yield


class Plain:
    def __init__(self, number=0):
        self.first = number
        self.second = self.first


class Slotted:
    __slots__ = ("first", "second")


class Text(str):
    pass


class Decimal(decimal.Decimal):
    pass


def busy(n):
    a, b, c, d, e, f, g, h = i, j, k, l, m, o, p, q = [n] * 8  # noqa: E741
    r, s, t, u, v, w, x, y = a, b, c, d, e, f, g, h
    yield i, j, k, l, m, o, p, q, (r, s, t, u, v, w, x, y)


async def sleep(n):
    return n


def sleeping(n):
    """Return a coroutine that nobody awaits."""
    coroutine = sleep(n)
    coroutine.close()  # nor misses
    return coroutine


async def streaming(n):
    yield n


def framed(n):
    try:
        raise ValueError(n)
    except ValueError as error:
        return error.__traceback__


def named(kind):
    return f"{kind.__module__}.{kind.__qualname__}"


def typename(instance):
    """Return the name of an object's type as a row of a table has it."""
    return named(type(instance)).removeprefix("builtins.")


@pytest.fixture
def accounts(db):
    Account.objects.bulk_create(
        Account(
            name=f"account {number}",
            created_at=NOON + datetime.timedelta(seconds=number),
            updated_at=NOON + datetime.timedelta(hours=number),
            born_on=NOON.date() - datetime.timedelta(days=number),
        )
        for number in range(NUMBER)
    )


def load():
    return list(Account.objects.all())


def analysed(window):
    """Return the three tables, once they were found to sum to what was alive."""
    forget_names()
    alive = window.alive
    assert not window.incomplete
    (in_use, free_lists), tables = window.alive_by_type(), window.analyse()
    assert total(in_use, free_lists) == total(*tables) == alive[1]
    assert window.alive == alive
    for counts, sizes in (in_use, free_lists, *tables):
        assert counts.keys() == sizes.keys()
    return tables


def buffers(table):
    return table[1].get("(buffers)", 0)


@pytest.mark.parametrize("are_filled", [False, True], ids=["fresh", "free lists are filled"])
def test_each_instance_of_a_loading_is_told_with_its_parts(accounts, are_filled):
    load()
    if are_filled:
        filler = load()
        filler.append([(float(n), [n], {"n": n}) for n in range(5000)])
        del filler
    with metered() as window:
        kept = load()
    retained, garbage, free_lists = analysed(window)

    assert len(kept) == NUMBER
    for table in (garbage, free_lists):
        assert ACCOUNT not in table[0]
    counts, sizes = retained
    assert counts[ACCOUNT] == counts["django.db.models.base.ModelState"] == NUMBER
    assert counts["datetime.datetime"] == 2 * NUMBER
    assert counts["datetime.date"] == NUMBER
    assert sizes["datetime.date"] == NUMBER * datetime.date.__basicsize__
    assert counts["str"] >= NUMBER
    assert buffers(retained) < 0.02 * total(retained)
    assert total(retained) == window.retained[1]


def test_a_loading_that_is_dropped_retains_none_of_it(accounts):
    load()
    with metered() as window:
        load()
    retained, garbage, _ = analysed(window)

    assert ACCOUNT not in retained[0]
    assert ACCOUNT not in garbage[0]
    assert buffers(retained) < 16 * 1024


def test_dropped_cycles_are_garbage_and_not_retained(accounts):
    def load_circles():
        for each in load():
            each.itself = each

    load_circles()
    with metered() as window:
        load_circles()
    retained, garbage, _ = analysed(window)

    assert garbage[0][ACCOUNT] == NUMBER
    assert ACCOUNT not in retained[0]
    assert garbage[0]["datetime.datetime"] == 2 * NUMBER
    gc.collect()


MAKERS = {
    "instances": lambda n: Plain(n),
    "instances with slots": lambda n: Slotted(),
    "lists": lambda n: [n],
    "dicts": lambda n: {n: n},
    "ordered dicts": lambda n: OrderedDict.fromkeys(range(n, n + 5)),
    "queues": lambda n: deque(range(n, n + 300)),
    "sets": lambda n: {n},
    "tuples": lambda n: (n,),
    "floats": lambda n: n / 7,
    "ints": lambda n: n + 10**12,
    "short texts": lambda n: f"number {n}",
    "texts of other alphabets": lambda n: f"число {n}",
    "texts of a subclass": lambda n: Text(n),
    "bytes": lambda n: b"number %d" % n,
    "arrays of bytes": lambda n: bytearray(n),
    "arrays of no bytes": lambda n: bytearray(23),
    "arrays": lambda n: array.array("q", [0, 0x303]),
    "files in memory": lambda n: io.BytesIO(b"%d" % n),
    "moments": lambda n: datetime.datetime.fromordinal(n + 1),
    "functions": lambda n: lambda: n,
    "methods": lambda n: Plain(n).__init__,
    "generators": lambda n: (each for each in (n, n)),
    "generators with much to keep": lambda n: busy(n),
    "coroutines": lambda n: sleeping(n),
    "asynchronous generators": lambda n: streaming(n),
    "frames": lambda n: sys._getframe(),
    "frames with others behind": lambda n: framed(n).tb_frame,
    "slices": lambda n: slice(n, n),
    "errors": lambda n: ValueError(n),
}


@pytest.mark.parametrize("name", MAKERS)
def test_every_object_that_is_kept_is_told(name):
    make = MAKERS[name]
    kind = type(make(1))
    kept = [make(n) for n in range(3)]
    with metered() as window:
        kept = [make(n) for n in range(1000)]
    retained, _, free_lists = analysed(window)

    objects = retained[0][kind.__name__ if kind.__module__ == "builtins" else named(kind)]
    # One more is the list that keeps them; each frame but its own has one behind.
    more = 1001 if kind is types.FrameType else kind in (list, int)
    assert len(kept) == 1000 <= objects <= 1000 + more
    assert buffers(retained) < 16 * 1024
    assert total(free_lists) < 1024


def test_each_queue_has_its_own_blocks_in_memory_with_old_pointers_to_other_blocks():
    # A new block is not cleared: where a queue has no item yet, there may be a pointer of before.
    for number in range(20):
        others = [bytearray(500) for _ in range(37 * number)]
        with metered() as window:
            kept = [deque(range(n, n + 300)) for n in range(300)]
        retained, _, _ = window.analyse()
        window.discard()

        assert len(kept) == 300
        assert len(others) == 37 * number
        assert buffers(retained) == 0
        kept = None


def test_what_an_array_of_bytes_has_is_its_own_whatever_it_looks_like():
    with metered() as window:
        kept = [bytearray(23) for _ in range(1000)]
    retained, _, free_lists = analysed(window)

    assert retained[1]["bytearray"] >= sum(map(len, kept)) + 1000 * bytearray.__basicsize__
    assert "(free lists)" not in free_lists[0]


def immortal(number):
    """Return a text that CPython never frees, from 3.12 on with other flags than other objects."""
    made = ctypes.py_object(f"an immortal text, {number}")
    ctypes.pythonapi.PyUnicode_InternImmortal(ctypes.byref(made))
    return made.value


@pytest.mark.filterwarnings("ignore:PyUnicode_InternImmortal:DeprecationWarning")  # 3.11
def test_immortal_objects_are_retained():
    immortal(0)
    with metered() as window:
        kept = [immortal(number) for number in range(1, 1001)]
    retained, _, free_lists = analysed(window)

    assert retained[0]["str"] >= len(kept)
    assert "str" not in free_lists[0]


# What looks like an instance: a class where one stands in an object, behind what may be a count.


def memory_of(part, before=32, after=160):
    """Return the memory of an instance and so much of what is in front of it, then nothing."""
    before = min(before, 16 if isinstance(part, Slotted) else 32)
    memory = ctypes.string_at(id(part) - before, before + object.__sizeof__(part))
    return memory.ljust(before + after, b"\0")[: before + after]


def look_alikes():
    """Return name -> how to make something with a pretended instance in it."""
    model, instance, plain = id(Account), Account(name="original"), Plain(7)
    slotted = Slotted()
    slotted.first = slotted.second = None
    head = struct.pack("=qq", 1, model)
    sizes = [16 * n for n in range(1, 20)]
    now = NOON
    return {
        "lists": lambda: [None, now, None, Account, None],
        "lists, a class second": lambda: [None, Account],
        "tuples of classes": lambda: (Account, Plain, Slotted) * 3,
        "dicts by address": lambda: {model: 1, id(Plain): 2},
        "dicts by class": lambda: {Account: Plain, Plain: Account},
        "sets of classes": lambda: {Account, Plain, Slotted},
        "arrays": lambda: [array.array("q", [1, model] * (size // 16)) for size in sizes],
        "bytes": lambda: [head * (size // 16) for size in sizes],
        "arrays of bytes": lambda: [bytearray(head * (size // 16)) for size in sizes],
        "files in memory": lambda: io.BytesIO(head * 20),
        "memory of C": lambda: [
            ctypes.create_string_buffer(head * (size // 16), size) for size in sizes
        ],
        "copies of a model": lambda: [
            bytearray(memory_of(instance, before, size))
            for before in (0, 16, 32)
            for size in range(16, 160, 8)
        ],
        "copies of an instance": lambda: [
            bytearray(memory_of(plain, before, size)[:-1])
            for before in (0, 16, 32)
            for size in range(16, 160, 8)
        ],
        "copies of one with slots": lambda: [
            bytearray(memory_of(slotted, 16, size)[:-1]) for size in range(16, 64, 8)
        ],
        "texts with such letters": lambda: [
            Text(memory_of(each, before, size)[:-1].decode("latin-1"))
            for each in (slotted, plain, instance)
            for before in (16, 32)
            for size in range(16, 160, 8)
        ],
        "grown arrays of bytes": lambda: grown(memory_of(plain, 32, 160)),
    }


CONTENT_OF_AN_OLDER_BYTEARRAY = "bytes" if sys.version_info >= (3, 15) else "(buffers)"
"""The row of a window for the memory that a bytearray older than the window allocates in it."""


def grown(memory):
    return [
        array
        for size in range(40, len(memory))
        for array in [bytearray()]
        if not array.extend(memory[:size])
    ]


@pytest.mark.parametrize("name", look_alikes())
def test_what_looks_like_an_instance_is_not_told_as_one(name):
    make = look_alikes()[name]
    with metered() as window:
        kept = [make() for _ in range(3000 if "lists" in name else 100)]
        del make
    retained, garbage, free_lists = analysed(window)

    assert kept
    for kind in (Account, Plain, Slotted):
        for table in (retained, garbage, free_lists):
            assert named(kind) not in table[0]


@pytest.mark.parametrize("kind", [Plain, Slotted, Account])
def test_an_older_array_of_bytes_that_grows_is_not_told_as_an_instance(kind):
    instance = kind()
    older = [bytearray() for _ in range(400)]
    with metered() as window:
        for number, grown in enumerate(older):
            before = (0, 16, 32)[number % 3]
            grown.extend(memory_of(instance, before, 160)[: number // 3 + 16])
    retained, garbage, free_lists = analysed(window)

    for table in (retained, garbage, free_lists):
        assert named(kind) not in table[0]
    assert retained[0][CONTENT_OF_AN_OLDER_BYTEARRAY] >= 390


def test_garbage_that_looks_like_an_instance_is_not_followed():
    ended_well(
        """
import ctypes, struct
from tests.windows import metered
class Plain:
    def __init__(self): self.first = 1
instance = Plain()
older = [bytearray() for _ in range(300)]
with metered() as window:
    for size, grown in enumerate(older):
        # Its class stands where it should; everything else leads nowhere.
        nowhere = struct.pack("=q", 0x414141414140)
        front = nowhere * 4 + struct.pack("=qq", 1, id(Plain))
        grown.extend((front + nowhere * 100)[: size + 48])
    kept = [Plain() for _ in range(100)]
assert window.alive_by_type()[0][0]["__main__.Plain"] == 100
assert window.analyse()[0][0]["__main__.Plain"] == 100
"""
    )


# Pointers that are left over in memory that is not initialised: in Decimals.


def word_at(address):
    return ctypes.c_size_t.from_address(address).value


BYTES_BEFORE_POINTER = {list: 24, dict: 32, set: 40}


def buffer_of(owner):
    """Return the address of a list's items, a dict's keys, a set's entries, or other attributes.

    Before Python 3.13 the attributes of an instance are in a block of their own. A pointer in front
    of the instance leads behind a byte that has the distance to the start of the block.
    """
    if type(owner) in BYTES_BEFORE_POINTER:
        return word_at(id(owner) + BYTES_BEFORE_POINTER[type(owner)])
    values = word_at(id(owner) - 32) if sys.version_info < (3, 12) else word_at(id(owner) - 24) + 1
    return values - ctypes.c_uint8.from_address(values - 1).value


BYTES_OF_A_DECIMAL = sys.getsizeof(decimal.Decimal(1))
"""With the words in front of it: the collector tracks Decimals since Python 3.13."""


def decimals_over(addresses):
    """Return Decimals in the memory of freed objects that were full of the addresses."""
    size = BYTES_OF_A_DECIMAL - bytes.__basicsize__
    freed = [(struct.pack("=q", address) * (size // 8 + 1))[:size] for address in addresses]
    number = len(freed)
    del freed
    return [decimal.Decimal(n) for n in range(number)]


BUFFER_OWNERS = {
    "lists": lambda: [None],
    "dicts": lambda: {1: None},
    "sets": lambda: set(range(10)),
}
if sys.version_info < (3, 13):
    BUFFER_OWNERS["instances"] = Plain


def bytes_of_each(make):
    """Return the bytes of an object with its buffer, as a window has them where nothing is left."""
    with metered() as window:
        kept = make()
    return analysed(window)[0][1][typename(kept)]


@pytest.mark.parametrize("are_owners_older", [True, False], ids=["owners first", "decimals first"])
@pytest.mark.parametrize("name", BUFFER_OWNERS)
def test_a_buffer_belongs_to_its_owner_wherever_else_its_address_is_left(name, are_owners_older):
    make = BUFFER_OWNERS[name]
    with metered() as window:
        owners = [make() for _ in range(NUMBER)]
        addresses = [buffer_of(owner) for owner in owners]
        if not are_owners_older:
            del owners[::2]  # the next owners have their buffers where these had them
        decimals = decimals_over(addresses)
        while len(owners) < NUMBER:
            owners.append(make())
        reused = set(addresses).intersection(map(buffer_of, owners))
        del addresses
    retained, _, _ = analysed(window)

    counts, sizes = retained
    assert len(reused) > 0.9 * NUMBER
    assert counts["decimal.Decimal"] == len(decimals)
    assert sizes["decimal.Decimal"] == len(decimals) * BYTES_OF_A_DECIMAL
    assert sizes[typename(owners[0])] >= NUMBER * bytes_of_each(make)


def test_a_buffer_of_an_older_object_belongs_to_none_of_the_window():
    older = [[] for _ in range(NUMBER)]
    with metered() as window:
        for grown in older:
            grown.append(None)
        decimals = decimals_over(map(buffer_of, older))
    retained, _, _ = analysed(window)

    assert retained[1]["decimal.Decimal"] == len(decimals) * BYTES_OF_A_DECIMAL
    assert retained[0]["(buffers)"] >= NUMBER


def test_the_digits_of_a_long_decimal_are_its_own():
    with metered() as window:
        kept = [decimal.Decimal("7" * 400) for _ in range(100)]
        kept.extend(Decimal("7" * 400) for _ in range(100))
    retained, _, _ = analysed(window)

    digits = sum(sys.getsizeof(number) - BYTES_OF_A_DECIMAL for number in kept[:100])
    assert digits > 100 * 100
    assert retained[1]["decimal.Decimal"] == 100 * BYTES_OF_A_DECIMAL + digits
    assert retained[1][named(Decimal)] > digits
    assert buffers(retained) < 16 * 1024


def test_the_keys_that_instances_share_belong_to_their_class():
    with metered() as window:
        made = type("Made", (), {"__module__": "some.module"})
        kept = [made() for _ in range(100)]
        for number, instance in enumerate(kept):
            instance.first = number
        attributes = [instance.__dict__ for instance in kept]
    retained, _, _ = analysed(window)

    assert len(set(map(buffer_of, attributes))) == 1
    assert retained[1]["type"] >= sys.getsizeof(made)


# Classes.


def test_instances_of_a_class_made_in_the_window_are_named():
    with metered() as window:
        made = type("Made", (), {"__module__": "some.module"})
        kept = [made() for _ in range(500)]
    retained, _, _ = analysed(window)

    assert retained[0]["some.module.Made"] == len(kept)
    assert retained[0]["type"] == 1


def test_instances_of_a_class_made_between_windows_are_named():
    for number in range(20):
        made = type(f"Made{number}", (), {"__module__": "some.module"})
        with metered() as window:
            kept = [made() for _ in range(100)]
        retained, _, _ = analysed(window)

        assert retained[0][f"some.module.Made{number}"] == len(kept)


def test_a_class_where_there_was_none_before_is_named():
    reused = 0
    for _ in range(12):
        made = type("Passing", (), {"__slots__": ("first",)})
        address = id(made)
        del made
        gc.collect()
        # Whatever has the class's address where a class would stand, there is none now.
        older = [bytearray() for _ in range(20)]
        with metered() as window:
            for grown in older:
                grown.extend(struct.pack("=qq", 1, address) * 2)
        assert window.analyse()[0][0][CONTENT_OF_AN_OLDER_BYTEARRAY] >= 20
        made = type("Passing", (), {"__slots__": ("first",), "__module__": "some.module"})
        reused += id(made) == address
        with metered() as window:
            kept = [made() for _ in range(50)]
        assert window.analyse()[0][0]["some.module.Passing"] == len(kept)

    assert reused


def test_classes_and_their_instances_stay_collectable():
    class Meta(type):
        pass

    freed = []

    class Last:
        def __del__(self):
            freed.append(self)

    for _ in range(5):
        with metered() as window:
            made = Meta("Made", (), {"last": Last(), "__module__": "some.module"})
            kept = [made() for _ in range(10)]
            assert window.alive_by_type()[0][0]["some.module.Made"] == 10
        window.analyse()
        del made, kept
        gc.collect()

    assert len(freed) == 5
    assert type.__subclasses__(Meta) == []


def test_what_a_window_inside_holds_is_told_by_itself():
    with metered() as outer:
        first = [Plain(n) for n in range(30)]
        with metered() as inner:
            second = [Slotted() for _ in range(50)]
        inner_held = inner.alive_by_type()[0][0]
        outer_held = outer.alive_by_type()[0][0]
    outer.analyse()

    assert inner_held[named(Slotted)] == outer_held[named(Slotted)] == len(second)
    assert outer_held[named(Plain)] == len(first)
    assert named(Plain) not in inner_held


def test_of_a_window_inside_it_is_known_how_much_is_retained():
    with metered() as outer:
        with metered() as keeping:
            kept = [Slotted() for _ in range(100)]
        with metered() as dropping:
            for _ in range(100):
                circle = Plain()
                circle.first = circle
        del circle
    outer.analyse()

    assert len(kept) * Slotted.__basicsize__ < keeping.retained[1] <= outer.retained[1]
    assert dropping.retained[1] < 1024
    gc.collect()


def test_a_window_reads_what_another_context_has_freed_meanwhile():
    with metered() as window:
        kept = [Plain(n) for n in range(100)]
        with inside(None):
            del kept[50:]
        assert window.alive_by_type()[0][0][named(Plain)] == 50
    window.analyse()
