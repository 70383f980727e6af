"""The analysis of a window against CPython's collector: what is retained, and what is garbage."""

import contextlib
import gc
import sys
import weakref

import pytest
from hypothesis import given, settings

compiled = pytest.importorskip(
    "django_memsize.engine.compiled",
    reason="the engine in C is not built: its twin has no meter",
    exc_type=ImportError,
)

from tests.graphs import (  # noqa: E402
    MAKERS,
    STEPS,
    Slotted,
    alive,
    named,
    objects_of_graphs,
    run,
    warm_up,
)
from tests.windows import metered, names, no_collector, total  # noqa: E402


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        gc.freeze()  # or each collection goes through all that the tests have imported
        yield
        while gc.collect():  # of a chain of finalisers it runs the first
            pass


class Probe(list):
    """Only tests make these."""

    __slots__ = ()


@given(steps=STEPS)
@settings(max_examples=150, deadline=None)
def test_what_is_retained_is_what_the_collector_leaves(steps):
    warm_up()
    kept = []
    before = alive()
    with metered() as window:
        run(steps, kept)
    made = alive() - before
    retained, garbage, _ = window.analyse()
    gc.collect()
    left = alive() - before

    assert objects_of_graphs(retained) == left
    assert objects_of_graphs(garbage) == made - left
    kept.clear()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "set"])
def test_a_cycle_through_anything_is_garbage_once_it_is_dropped(name):
    def cycle():
        first = Probe()
        first.append(MAKERS[name](first, None))

    warm_up()
    cycle()
    with metered() as window:
        for _ in range(100):
            cycle()
    retained, garbage, _ = window.analyse()

    assert garbage[0][named(Probe)] == 100
    assert named(Probe) not in retained[0]
    assert total(garbage) > 100 * 100


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "set"])
def test_what_anything_refers_to_is_retained_with_it(name):
    warm_up()
    with metered() as window:
        kept = [MAKERS[name](Probe(), Probe()) for _ in range(100)]
    retained, garbage, _ = window.analyse()

    assert len(kept) == 100
    assert retained[0][named(Probe)] == 200
    assert named(Probe) not in garbage[0]


def test_text_keys_are_garbage_with_their_dict():
    def cycle(number):
        made = {f"a rather long key {number} {each}": None for each in range(10)}
        made["itself"] = made

    cycle(0)
    with metered() as window:
        for number in range(100):
            cycle(number)
    retained, garbage, _ = window.analyse()

    assert garbage[0]["str"] == 1000
    assert garbage[0]["dict"] == 100
    assert retained[0].get("str", 0) < 5


def test_a_class_of_the_window_is_garbage_once_nothing_refers_to_it():
    def drop():
        made = type("Made", (), {"method": lambda self: made})
        made().method()

    drop()
    gc.collect()
    with metered() as window:
        for _ in range(20):
            drop()
    retained, garbage, _ = window.analyse()

    assert garbage[0]["type"] == 20
    assert "type" not in retained[0]
    # The weak references of its base, and objects that show no references of their own.
    assert total(retained) < total(garbage) / 5


def test_what_only_a_running_function_has_is_retained():
    def run_inside():
        mine = [Slotted() for _ in range(100)]
        window.close()
        return window.analyse()[0][0][named(Slotted)], len(mine)

    with metered() as window:
        retained_and_made = run_inside()

    assert retained_and_made == (100, 100)


def test_what_another_window_s_object_has_is_retained():
    older = []
    with metered() as window:
        older.append(Slotted())
        older[0].first = [Slotted() for _ in range(50)]
    retained, _, _ = window.analyse()

    assert retained[0][named(Slotted)] == 51


def test_a_retained_total_of_a_window_inside_is_of_what_was_allocated_in_it():
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

    assert retained[0][named(Slotted)] == 1500
    assert outer.retained[1] == total(retained)


def test_an_analysis_changes_no_count_of_references():
    with metered() as window:
        kept = [Slotted() for _ in range(10)]
        shared = object()
        for each in kept:
            each.first = shared
    before = [sys.getrefcount(each) for each in (shared, *kept)]
    window.alive_by_type()
    window.analyse()

    assert [sys.getrefcount(each) for each in (shared, *kept)] == before


@pytest.mark.parametrize("is_older", [True, False], ids=["in an older list", "in a list taken too"])
@pytest.mark.parametrize(("is_shared", "retained"), [(False, 400), (True, 0)])
def test_tuples_that_another_thread_took_from_a_free_list_are_not_retained(
    is_shared, retained, is_older
):
    taken = [None] if is_older else None
    with metered() as window:
        made = [tuple(range(number, number + 7)) for number in range(500)]
        del made
    # What is made now takes the place of these tuples, and of their list, and is of no window.
    if taken is None:
        taken = []
    for number in range(400):
        taken.append((str(number),) * 7)
    found, _, free_lists = window.analyse(None, 0, is_shared)

    assert retained <= names(found).get("tuple", 0) <= retained + 5
    assert names(free_lists)["tuple"] >= 490 - retained
    assert taken


@pytest.mark.parametrize(("is_shared", "retained"), [(False, 60), (True, 0)])
def test_dicts_that_another_thread_took_from_a_free_list_are_not_retained(is_shared, retained):
    taken = [None] * 60
    with metered() as window:
        made = [{"key": number} for number in range(70)]
        del made
    for number in range(60):
        taken[number] = {"name": (str(number), [str(number)]), "other": {"key": str(number)}}
        taken[number]["other"] = None
    found, _, _ = window.analyse(None, 0, is_shared)

    assert retained <= names(found).get("dict", 0) <= 1.2 * retained
    assert taken


@pytest.mark.parametrize(("is_shared", "retained"), [(False, 60), (True, 0)])
def test_tables_of_keys_that_another_thread_took_are_not_retained(is_shared, retained):
    taken = [{} for _ in range(60)]
    with metered() as window:
        made = [{"key": number} for number in range(70)]
        del made
    for each in taken:
        each["name"] = str(id(each))
    found, _, _ = window.analyse(None, 0, is_shared)

    assert retained <= names(found).get("(buffers)", 0) <= 1.2 * retained
    assert taken


def test_many_empty_containers_are_retained_whoever_runs_meanwhile():
    kept = []
    with metered() as window:
        for _ in range(600):
            kept.extend(([], {}, {"key": None}))
    retained, _, _ = window.analyse(None, 0, True)

    assert (names(retained)["list"], names(retained)["dict"]) == (600, 1200)
    assert kept


def test_a_dict_with_something_of_the_window_is_retained_whoever_runs_meanwhile():
    kept = []
    with metered() as window:
        for number in range(100):
            kept.append({"name": f"name {number}"})
            kept.append([{"constant": None}])
    retained, _, _ = window.analyse(None, 0, True)

    assert (names(retained)["list"], names(retained)["dict"]) == (100, 200)
    assert kept


def test_a_list_of_constant_tuples_is_retained_whoever_runs_meanwhile():
    with metered() as window:
        kept = [[(number, None) for number in range(100)]]
    retained, _, _ = window.analyse(None, 0, True)

    assert (names(retained)["tuple"], names(retained)["list"]) == (100, 2)
    assert kept


def test_tuples_with_something_of_the_window_are_retained_whoever_runs_meanwhile():
    with metered() as window:
        kept = [(Slotted(), *range(6)) for _ in range(300)]
        long = [tuple(range(21)) for _ in range(300)]  # CPython keeps tuples of up to 20 items
    retained, _, _ = window.analyse(None, 0, True)

    assert names(retained)["tuple"] == len(kept) + len(long)
    assert names(retained)[named(Slotted)] == 300


class Watched:
    """Only tests make these. Each is in a cycle."""

    def __init__(self):
        self.me = self


REGISTRIES = {
    "weakref.finalize": lambda watched: weakref.finalize(watched, id, ["an argument"]),
    "finalize, referred to": lambda watched: setattr(
        watched, "end", weakref.finalize(watched, id, ["an argument"])
    ),
    "WeakSet": weakref.WeakSet().add,
    "WeakValueDictionary": lambda watched, names=weakref.WeakValueDictionary(): names.__setitem__(
        id(watched), watched
    ),
    "WeakKeyDictionary": lambda watched, names=weakref.WeakKeyDictionary(): names.__setitem__(
        watched, None
    ),
}


WAITING = (
    *("weakref.finalize", "weakref.finalize._Info", "weakref.ReferenceType", "weakref.KeyedRef"),
    "list",
)
"""The types of what is registered; the lists are the arguments of finalisers."""


@pytest.mark.parametrize("keeps", [False, True], ids=["garbage", "retained"])
@pytest.mark.parametrize("register", REGISTRIES.values(), ids=REGISTRIES)
def test_what_waits_for_an_object_is_retained_with_it(register, keeps):
    kept = []

    def make():
        for _ in range(50):
            watched = Watched()
            register(watched)
            if keeps:
                kept.append(watched)

    make()
    gc.collect()
    with metered() as window:
        make()
    retained, garbage, _ = window.analyse()

    assert names(retained).get(named(Watched), 0) == (50 if keeps else 0)
    assert names(garbage).get(named(Watched), 0) == (0 if keeps else 50)
    others = names(garbage if keeps else retained)
    assert {name: others[name] for name in WAITING if name in others} == {}


class Connection:
    """Only tests make these."""

    def close(self):
        pass


def finalize_itself(number):
    for _ in range(number):
        connection = Connection()
        weakref.finalize(connection, connection.close)


def finalize_each_other(number):
    for _ in range(number // 2):
        one, other = Connection(), Connection()
        weakref.finalize(one, other.close)
        weakref.finalize(other, one.close)


@pytest.mark.parametrize("make", [finalize_itself, finalize_each_other])
def test_a_finaliser_that_has_its_own_object_retains_it_for_ever(make):
    with metered() as window:
        make(100)
    retained, garbage, _ = window.analyse()
    gc.collect()

    assert sum(type(each) is Connection for each in gc.get_objects()) == 100
    assert names(retained)[named(Connection)] == 100
    assert named(Connection) not in names(garbage)
    for finaliser in list(weakref.finalize._registry):
        _, function, *_ = finaliser.peek() or (None, None)
        if getattr(function, "__func__", None) is Connection.close:
            finaliser.detach()


def test_a_chain_of_finalisers_ends_with_its_first_object():
    with metered() as window:
        following = None
        for _ in range(30):
            watched = Watched()
            weakref.finalize(watched, id, following)
            following = watched
        del watched, following
    retained, garbage, _ = window.analyse()

    assert named(Watched) not in names(retained)
    assert names(garbage)[named(Watched)] == 30


class Subclass(weakref.finalize):
    """Has attributes."""


def test_a_subclass_of_finalize_is_garbage_with_its_object():
    with metered() as window:
        for _ in range(50):
            Subclass(Watched(), id, 1).text = Probe()
    retained, garbage, _ = window.analyse()

    assert named(Probe) not in names(retained)
    assert (names(garbage)[named(Probe)], names(garbage)[named(Subclass)]) == (50, 50)


def test_what_waits_for_an_external_object_that_is_garbage_is_garbage():
    older = Watched()
    external = [older]
    with metered() as window:
        older.text = Probe()
        weakref.finalize(older, id, Probe())
    del older
    retained, garbage, _ = window.analyse(external)
    external.clear()
    gc.collect()

    assert named(Probe) not in names(retained)
    assert names(garbage)[named(Probe)] == 2


def test_what_waits_for_an_older_object_is_retained():
    older, kept = Watched(), []
    with metered() as window:
        for _ in range(20):
            weakref.finalize(older, id, Probe())
        chain = Watched()
        weakref.finalize(chain, id, Probe())
        kept.append(chain)
        del chain
    retained, _, _ = window.analyse()

    assert names(retained)["weakref.finalize._Info"] == 21
    assert names(retained)[named(Probe)] == 21


def test_what_waits_for_what_a_finaliser_has_is_retained_with_it():
    older = Watched()
    with metered() as window:
        first = Watched()
        weakref.finalize(first, id, Probe())
        weakref.finalize(older, id, first)
        del first
    retained, _, _ = window.analyse()

    assert names(retained)[named(Watched)] == 1
    assert names(retained)[named(Probe)] == 1


def test_a_finaliser_that_has_run_is_retained_by_who_has_it():
    kept = []
    with metered() as window:
        for _ in range(30):
            kept.append(weakref.finalize(Watched(), len, ()))
            kept[-1].detach()
    retained, _, _ = window.analyse()

    assert names(retained)["weakref.finalize"] == 30


def test_names_in_the_cache_of_attributes_are_not_retained():
    with metered() as window:
        made = [f"made at run time {number}" for number in range(3000)]
        for name in made:
            getattr(Probe, name, None)
        del made
    kept_by_the_cache = window.alive[0]
    retained, _, _ = window.analyse()

    assert kept_by_the_cache > 100
    assert names(retained).get("str", 0) < 10
