import datetime
import gc

import pytest
from django.db import connection
from django.db.models.base import ModelState
from django.db.models.query import QuerySet
from django.test.utils import CaptureQueriesContext

import django_memsize as memsize
from tests.app.models import Account, Book, Novel


class Thing:
    def __init__(self, content=None):
        self.content = content


@pytest.fixture(autouse=True)
def quiet():
    """Have the collector take nothing away in the middle of a test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class SpecialThing(Thing):
    pass


def test_a_snapshot_counts_what_was_made():
    before = memsize.snapshot()
    things = [Thing() for _ in range(123)]
    after = memsize.snapshot()

    diff = after - before

    assert diff[f"{__name__}.Thing"].count == len(things)
    assert diff[f"{__name__}.Thing"].size >= 123 * 16
    assert (
        after[f"{__name__}.Thing"].count
        == before.get(f"{__name__}.Thing", memsize.TypeTotal()).count + 123
    )


def test_two_snapshots_with_nothing_between_are_equal_to_the_byte():
    memsize.snapshot()
    before = memsize.snapshot()
    after = memsize.snapshot()

    assert after - before == memsize.Diff({}, {})


def test_the_values_of_memsize_are_not_in_the_next_snapshot():
    memsize.snapshot()
    before = memsize.snapshot()
    ours = [memsize.snapshot(), memsize.sized([1, "two"]), before - before]
    after = memsize.snapshot()

    assert set(after - before) <= {"list"}
    assert (after - before)["list"].count == 1
    assert ours


def test_a_deep_size_counts_what_is_shared_once():
    shared = "x" * 1000
    one, two = [shared], [shared]

    alone = memsize.sizeof(one)

    assert memsize.sizeof(one, two) == alone + memsize.sizeof(two) - memsize.sizeof(shared)
    assert memsize.sizeof(one, one) == alone


def test_a_deep_size_stops_at_classes_modules_and_functions():
    of_the_program = (Thing, pytest, test_a_deep_size_stops_at_classes_modules_and_functions)

    assert memsize.sizeof(of_the_program) == memsize.sizeof((1, 2, 3))


def test_the_tree_is_that_of_the_note():
    lines = memsize.sized([1, 2, (3, 4), "text"], depth=1).format().splitlines()

    assert [line.split(" size=")[0] for line in lines[:3]] == [
        "[1, 2, (3, 4), 'text']",
        "    (3, 4)",
        "    'text'",
    ]
    assert all(" flat=" in line for line in lines)


def test_a_tree_of_depth_two_shows_referents_of_referents():
    shallow, deep = memsize.sized([[["x" * 100]]], 1), memsize.sized([[["x" * 100]]], 3)

    assert shallow.refs[0].refs == ()
    assert deep.refs[0].refs[0].refs[0].name.startswith("'xxx")
    assert shallow.size == deep.size == memsize.sizeof([[["x" * 100]]])


def test_the_sizes_in_a_tree_add_up():
    tree = memsize.sized(Thing({"a": [1000, 2000], "b": datetime.datetime(2026, 1, 1)}), 10)

    def check(node):
        assert node.size == node.flat + sum(ref.size for ref in node.refs)
        for ref in node.refs:
            check(ref)

    check(tree)


def test_a_tracker_counts_instances_and_those_of_subclasses():
    tracker = memsize.Tracker(Thing, SpecialThing)
    tracker.snapshot("before")
    things = [Thing("x" * 1000) for _ in range(5)] + [SpecialThing() for _ in range(2)]
    tracker.snapshot("after")

    before, after = tracker.format_summary().split("\n\n")

    assert before.splitlines()[2].split() == f"{__name__}.Thing | 0 | 0 B | 0 B".split()
    name, number, size, _ = (cell.strip() for cell in after.splitlines()[2].split("|"))
    assert (name, number) == (f"{__name__}.Thing", "7")
    assert size.endswith("KB")
    assert after.splitlines()[3].split("|")[1].strip() == "2"
    assert things


def test_a_tracker_prints_its_summary(capsys):
    tracker = memsize.Tracker(Thing)
    tracker.snapshot("now")
    tracker.print_summary()

    assert capsys.readouterr().out == tracker.format_summary() + "\n"


def test_a_tracker_of_nothing_is_refused():
    with pytest.raises(TypeError, match="classes to track"):
        memsize.Tracker()


@pytest.mark.django_db
def test_nothing_that_is_asked_about_a_queryset_evaluates_it():
    Book.objects.create(title="one")
    books = Book.objects.select_related("author").filter(title__startswith="o")
    tracker = memsize.Tracker(QuerySet)

    with CaptureQueriesContext(connection) as queries:
        assert memsize.sizeof(books) > 0
        assert memsize.sized(books, 4).size > 0
        memsize.snapshot()
        tracker.snapshot("unevaluated")

    assert len(queries) == 0
    assert books._result_cache is None
    assert "django.db.models.query.QuerySet |" in tracker.format_summary()


@pytest.mark.django_db
def test_a_tracker_follows_the_instances_of_a_queryset():
    Account.objects.bulk_create(
        Account(name=str(number), created_at=_at(number), updated_at=_at(number))
        for number in range(50)
    )
    tracker = memsize.Tracker(Account, ModelState)
    tracker.snapshot("before")
    accounts = list(Account.objects.all())
    tracker.snapshot("loaded")
    accounts.clear()
    tracker.snapshot("gone")

    numbers = [
        [int(line.split("|")[1]) for line in table.splitlines()[2:]]
        for table in tracker.format_summary().split("\n\n")
    ]

    assert numbers[1][0] - numbers[0][0] == 50
    assert numbers[1][1] - numbers[0][1] == 50
    assert numbers[2] == numbers[0]


@pytest.mark.django_db
def test_instances_of_a_child_model_count_as_their_own_type():
    before = memsize.snapshot()
    novel = Novel.objects.create(title="long", pages=900)
    after = memsize.snapshot()

    assert (after - before)["tests.app.models.Novel"].count == 1
    assert novel


def _at(number):
    return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(number)
