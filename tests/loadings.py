"""Things to be loaded, each in a process of its own, and what Python's allocators see of them."""

import os
import sys

PROGRAM = """
import array, collections, dataclasses, datetime, decimal, enum, gc, io, json, os, sys, tracemalloc
import typing, uuid, zoneinfo
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
os.environ.pop("DATABASE_URL", None)
import django
from django.conf import settings
settings.DATABASES["default"]["NAME"] = ":memory:"
django.setup()
from django.core.management import call_command
from django_memsize.engine import compiled
from tests.app.models import Account, Author, Book, Reader

NUMBER = 3000
call_command("migrate", verbosity=0)
noon = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
Account.objects.bulk_create(
    Account(
        name=f"account {number}",
        created_at=noon + datetime.timedelta(seconds=number),
        updated_at=noon + datetime.timedelta(hours=number),
        born_on=noon.date() - datetime.timedelta(days=number),
    )
    for number in range(NUMBER)
)
authors = Author.objects.bulk_create(Author(name=f"author {number}") for number in range(NUMBER))
books = Book.objects.bulk_create(
    Book(title=f"title {number}", blurb="blurb " * 100, author=authors[number])
    for number in range(NUMBER)
)
readers = Reader.objects.bulk_create(Reader(name=f"reader {number}") for number in range(NUMBER))
for_each = Book.readers.through
for_each.objects.bulk_create(
    for_each(book=book, reader=readers[number // 2]) for number, book in enumerate(books)
)
del books, authors, readers

DOCUMENT = json.dumps(
    [
        {
            "id": number,
            "name": f"customer {number}",
            "active": number % 3 == 0,
            "balance": number / 7,
            "tags": ["new", f"tag {number}", None],
            "address": {"street": f"Straße {number}", "zip": str(number), "geo": [0.5, 1.25]},
            "orders": [{"sku": f"sku-{number}-{order}", "quantity": order} for order in range(3)],
        }
        for number in range(NUMBER)
    ]
)

@dataclasses.dataclass
class Point:
    x: float
    y: float
    label: str

@dataclasses.dataclass(slots=True)
class Slotted:
    x: float
    y: float
    label: str

class Late:
    def __init__(self, number):
        self.first = number / 7
        if number % 2:
            self.second = str(number)

class Many:
    def __init__(self, number):
        for name in "abcdefghijklmnopqrstuvwxyz":
            setattr(self, name, None)
        self.number = float(number)

class Weakly:
    __slots__ = ("__weakref__", "value")
    def __init__(self, value):
        self.value = value

class Pair(typing.NamedTuple):
    first: float
    second: str

class Rows(list):
    pass

class Mapping(dict):
    pass

class Couple(tuple):
    pass

class Number(int):
    pass

class Text(str):
    pass

class Error(Exception):
    pass

def touched(instances):
    for instance in instances:
        vars(instance)
    return instances

def in_parts(queryset):  # SQLite takes so many parameters
    return [list(queryset[first : first + 900]) for first in range(0, NUMBER, 900)]

def linked(number):
    first = None
    for _ in range(number):
        first = [first, float(_)]
    return first

def numbers():
    return range(1000, 1000 + NUMBER)

ZONE = zoneinfo.ZoneInfo("Europe/Berlin")
CASES = {
    "instances": lambda: list(Account.objects.all()),
    "instances, __dict__ touched": lambda: touched(list(Account.objects.all())),
    "instances of only()": lambda: list(Account.objects.only("name")),
    "instances of defer()": lambda: list(Account.objects.defer("created_at")),
    "instances, more by annotate()": lambda: list(
        Account.objects.annotate(twice=django.db.models.F("id") * 2)
    ),
    "values()": lambda: list(Account.objects.values()),
    "values_list()": lambda: list(Account.objects.values_list()),
    "rows of an int and a text": lambda: list(Account.objects.values_list("id", "name")),
    "tuples of an int and a text": lambda: [(n, f"name {n}") for n in numbers()],
    "ints of one digit": lambda: [n * 3 for n in numbers()],
    "values_list(flat=True)": lambda: list(Account.objects.values_list("name", flat=True)),
    "values_list(named=True)": lambda: list(
        Account.objects.values_list("name", "born_on", named=True)
    ),
    "select_related": lambda: list(Book.objects.select_related("author")),
    "prefetch_related": lambda: in_parts(Book.objects.prefetch_related("author")),
    "prefetch_related of many": lambda: in_parts(Book.objects.prefetch_related("readers")),
    "a queryset": lambda: (lambda queryset: [len(queryset), queryset])(Account.objects.all()),
    "named tuples": lambda: [Pair(float(n), str(n)) for n in numbers()],
    "nested dicts": lambda: {str(n): {"a": {"b": {str(n): float(n)}}} for n in numbers()},
    "a large dict": lambda: {str(n): float(n) for n in range(100_000)},
    "dicts of a comprehension": lambda: [{f"key {n}": n / 7, "other": None} for n in numbers()],
    "sets": lambda: [{str(n), n / 7, None} for n in numbers()],
    "large sets": lambda: [set(map(str, range(n))) for n in range(0, 2000, 100)],
    "frozensets": lambda: [frozenset((str(n), n / 3, n / 7, None, f"text {n}")) for n in numbers()],
    "frozensets in frozensets": lambda: [
        frozenset((frozenset((str(n), n / 3)), f"text {n}", (n / 7, n / 9))) for n in numbers()
    ],
    **(
        {
            "frozendicts": lambda: [frozendict({f"key {n}": n / 7, "b": None}) for n in numbers()],
            "large frozendicts": lambda: [
                frozendict({str(key): float(key) for key in range(n)}) for n in range(0, 2000, 100)
            ],
        }
        if sys.version_info >= (3, 15)
        else {}
    ),
    "short texts": lambda: [f"text {n}" for n in numbers()],
    "texts of other alphabets": lambda: [f"текст {n}" for n in numbers()],
    "texts beyond": lambda: [f"text \\U0001F600 {n}" for n in numbers()],
    "texts that were encoded": lambda: [encoded(f"täxt {n}") for n in numbers()],
    "big texts": lambda: ["x" * 1_000_000 + str(n) for n in range(5)],
    "big bytes": lambda: [b"x" * 1_000_000 + bytes([n]) for n in range(5)],
    "short bytes": lambda: [b"%d" % n for n in numbers()],
    "JSON": lambda: json.loads(DOCUMENT),
    "dataclasses": lambda: [Point(float(n), n / 3, f"label {n}") for n in numbers()],
    "dataclasses with slots": lambda: [Slotted(float(n), n / 3, f"label {n}") for n in numbers()],
    "instances, __dict__ read": lambda: touched([Point(1.5 + n, n / 3, str(n)) for n in numbers()]),
    "instances with an optional attribute": lambda: [Late(n) for n in numbers()],
    "instances with many attributes": lambda: [Many(n) for n in numbers()],
    "instances with a list of weak references": lambda: [Weakly(float(n)) for n in numbers()],
    "exceptions": lambda: [Error(f"message {n}") for n in numbers()],
    "deques": lambda: [collections.deque(map(float, range(n % 200))) for n in numbers()],
    "a long deque": lambda: collections.deque(map(float, range(50_000))),
    "ordered dicts": lambda: [collections.OrderedDict(a=n / 7, b=str(n)) for n in numbers()],
    "default dicts": lambda: [collections.defaultdict(list, {str(n): [n / 7]}) for n in numbers()],
    "counters": lambda: [collections.Counter(str(n) * 3) for n in numbers()],
    "decimals": lambda: [decimal.Decimal(n) / 7 for n in numbers()],
    "long decimals": lambda: [decimal.Decimal("1" * 200 + str(n)) for n in numbers()],
    "dates": lambda: [datetime.date.fromordinal(n) for n in numbers()],
    "moments": lambda: [datetime.datetime.fromordinal(n) for n in numbers()],
    "moments in a zone": lambda: [datetime.datetime(n, 1, 1, tzinfo=ZONE) for n in numbers()],
    "times of day": lambda: [datetime.time(n % 24) for n in numbers()],
    "spans": lambda: [datetime.timedelta(n) for n in numbers()],
    "UUIDs": lambda: [uuid.UUID(int=n << 90) for n in numbers()],
    "big ints": lambda: [int.from_bytes(b"big" * 9 + b"%d" % n) for n in numbers()],
    "ints": lambda: [n**3 for n in numbers()],
    "floats": lambda: [float(n) for n in range(100_000)],
    "complex numbers": lambda: [complex(n, n) for n in numbers()],
    "bytearrays": lambda: [bytearray(n) for n in numbers()],
    "arrays": lambda: [array.array("d", range(n)) for n in range(1000)],
    "files in memory": lambda: [io.BytesIO(b"x" * n) for n in numbers()],
    "lists of a subclass": lambda: [Rows((n / 7, str(n))) for n in numbers()],
    "dicts of a subclass": lambda: [Mapping({n / 7: str(n)}) for n in numbers()],
    "tuples of a subclass": lambda: [Couple((n / 7, str(n))) for n in numbers()],
    "ints of a subclass": lambda: [Number(n) for n in numbers()],
    "texts of a subclass": lambda: [Text(f"text {n}") for n in numbers()],
    "objects": lambda: [object() for _ in numbers()],
    "slices": lambda: [slice(n / 7, n / 3) for n in numbers()],
    "a chain of lists": lambda: linked(20_000),
    "iterators": lambda: [iter([n / 7]) for n in numbers()],
}

def encoded(text):
    text.encode()
    return text

def measured(load):
    gc.collect()
    gc.disable()
    tracemalloc.start()
    kept = [load(), load()]
    gc.collect()  # what a load leaves as garbage, or on a free list, is no part of what it gives
    before = tracemalloc.get_traced_memory()[0]
    kept.append(load())
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    gc.enable()
    return taken, compiled.sizeof(kept) - compiled.sizeof(kept[:2])

names = sys.argv[1:] or CASES
print(json.dumps({name: measured(CASES[name]) for name in names}))
"""
NAMES = [
    line.split('"')[1]
    for line in PROGRAM.splitlines()
    if line.startswith(('    "', '            "'))
    and "lambda" in line
    and ("frozendicts" not in line or sys.version_info >= (3, 15))
]
IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"
if not IS_LONG:  # one case of each kind of thing
    SHORT = {
        *(
            "instances",
            "instances, __dict__ touched",
            "values()",
            "values_list()",
            "select_related",
        ),
        *("rows of an int and a text", "tuples of an int and a text", "ints of one digit"),
        *("a large dict", "large sets", "frozensets", "frozensets in frozensets", "frozendicts"),
        *("texts of other alphabets", "JSON", "dataclasses", "instances with many attributes"),
        *("exceptions", "deques", "decimals", "moments in a zone", "bytearrays", "big ints"),
    }
    NAMES = [name for name in NAMES if name in SHORT]
