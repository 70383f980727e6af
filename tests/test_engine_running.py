"""The program goes on as it would without us: its threads, its collector, its memory."""

import gc
import importlib.util
import os
import sys
import threading
import weakref
from pathlib import Path

import pytest

from django_memsize import engine
from django_memsize.engine.fallback import census as twin
from tests.heaps import totals
from tests.programs import ended_well, run

IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"

BUILDING_TUPLES = """
import gc, sys, threading, time
from django_memsize import engine

sys.setswitchinterval(1e-5)
errors, built, ended = [], 0, threading.Event()

def build():
    global built
    while not ended.is_set():
        try:
            assert len(tuple(number for number in range(3000))) == 3000
            built += 1
        except SystemError as error:
            errors.append(error)

def naive():
    for found in gc.get_objects():
        type(found)

thread = threading.Thread(target=build)
thread.start()
begun = time.monotonic()
while not errors and time.monotonic() < begun + (SECONDS if built > 100 else 60):
    WALK
ended.set()
thread.join()
sys.exit(3 if errors else 0 if built > 100 else 4)
"""


@pytest.mark.parametrize(
    "walk", ["engine.census()", "engine.instances([dict])", "engine.sizeof([sys.modules])"]
)
def test_a_thread_that_is_building_a_tuple_is_not_disturbed(walk):
    seconds = "4" if IS_LONG else "1.5"
    program = BUILDING_TUPLES.replace("WALK", walk).replace("SECONDS", seconds)

    assert run(program).returncode == 0


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="builds tuples in another way")
def test_a_walk_that_holds_the_list_of_all_objects_would_disturb_that_thread():
    program = BUILDING_TUPLES.replace("WALK", "naive()").replace("SECONDS", "4")

    assert run(program).returncode == 3


def test_an_object_whose_last_reference_goes_during_a_walk_in_python_is_finalised():
    class Dying:
        finalised_in = []

        def __del__(self):
            engine.sizeof([self.__class__])  # no lock of ours is held
            self.finalised_in.append(threading.get_ident())

    held = [Dying() for _ in range(50)]

    def drop(frame, event, arg):
        if held and event == "call" and frame.f_code.co_name == "take":  # all roots are listed
            dropper = threading.Thread(target=held.clear)
            dropper.start()
            dropper.join(timeout=5)

    def walk():
        sys.setprofile(drop)
        twin.census()
        sys.setprofile(None)

    walker = threading.Thread(target=walk, daemon=True)
    walker.start()
    walker.join(timeout=60)

    assert not walker.is_alive()
    assert held == []
    assert Dying.finalised_in == [walker.ident] * 50


def test_objects_do_not_outlive_a_walk():
    class Kept:
        pass

    kept = [Kept() for _ in range(10)]
    references = list(map(weakref.ref, kept))
    engine.census()
    engine.sizeof(kept)
    engine.sized(kept, 2)
    engine.instances([Kept])
    kept.clear()

    assert [reference() for reference in references] == [None] * 10


def test_five_thousand_new_classes_stay_collectable():
    kinds = [type(f"Kind{number}", (), {}) for number in range(5000)]
    kept = [kind() for kind in kinds]
    references = list(map(weakref.ref, kinds))

    rows = totals()
    engine.sizeof(kept)
    engine.instances(kinds[:3])
    assert sum(name.startswith(f"{__name__}.Kind") for name in rows) == 5000

    kinds.clear()
    kept.clear()
    gc.collect()
    assert sum(reference() is not None for reference in references) == 0


FREEZING = """
import gc, sys
from django_memsize import engine

class Reached: pass
class Unreached: pass

assert engine.census()[2:] == (0, 0), engine.census()[2:]
before = engine.census()[0]

reached = [Reached() for _ in range(100)]
loop = [Unreached() for _ in range(100)]
loop.append(loop)
del loop
gc.freeze()

rows, _, frozen, unreached = engine.census()
assert rows["__main__.Reached"] == 100, rows["__main__.Reached"]
assert engine.instances([Reached])[0][1] == 100
assert frozen > 5000, frozen
listed = any(type(found) is Unreached for found in gc.get_objects())
if listed or engine.name == "compiled" and sys.version_info >= (3, 14):  # there it visits them
    assert (rows["__main__.Unreached"], unreached) == (100, 0), unreached
else:
    assert "__main__.Unreached" not in rows
    assert 101 <= unreached < frozen / 10, unreached
for name in ("module", "type", "function", "code", "str", "builtin_function_or_method"):
    assert rows[name] > 0.95 * before[name], (name, before[name], rows[name])

gc.unfreeze()
rows, _, frozen, unreached = engine.census()
assert (frozen, unreached) == (0, 0), (frozen, unreached)
assert rows["__main__.Unreached"] == 100
"""


def test_frozen_objects_are_counted_where_reached_and_told_where_not():
    ended = run(FREEZING)

    assert (ended.returncode, ended.stderr) == (0, "")


LISTING_WHAT_IS_FROZEN = """
import gc
from django_memsize.engine.fallback import census as twin

class Unreached: pass

loop = [Unreached() for _ in range(100)]
loop.append(loop)
del loop
gc.disable()
before = twin.census()[0]
list_tracked, frozen = gc.get_objects, gc.get_objects()
gc.freeze()
gc.get_objects = lambda: frozen + list_tracked()

rows, _, number, unreached = twin.census()
assert (number > 5000, unreached) == (True, 0), (number, unreached)
for name in ("__main__.Unreached", "module", "type", "function"):
    assert rows[name] == before[name] + (name == "function"), (name, before[name], rows[name])
"""


def test_no_frozen_object_is_told_as_unreached_where_python_lists_them():
    ended_well(LISTING_WHAT_IS_FROZEN)


def test_the_collector_is_left_as_it_was():
    settings = gc.isenabled(), gc.get_threshold(), gc.get_debug()
    gc.set_threshold(123, 4, 5)
    gc.set_debug(gc.DEBUG_UNCOLLECTABLE)
    gc.disable()
    try:
        measure_once()
        assert (gc.isenabled(), gc.get_threshold(), gc.get_debug()) == (
            False,
            (123, 4, 5),
            gc.DEBUG_UNCOLLECTABLE,
        )
        gc.enable()
        measure_once()
        assert gc.isenabled()
    finally:
        gc.set_threshold(*settings[1])
        gc.set_debug(settings[2])
        if settings[0]:
            gc.enable()


def test_the_collector_is_on_again_after_an_error():
    with pytest.raises(TypeError):
        engine.sizeof(7)

    assert gc.isenabled()


def test_no_walk_sets_off_the_collector():
    ran_in = []

    def note(phase, info):
        ran_in.append(sys._getframe(1).f_code.co_filename)

    threshold = gc.get_threshold()
    gc.callbacks.append(note)
    gc.set_threshold(1)
    try:
        for _ in range(3):
            measure_once()
            assert [[] for _ in range(10_000)]
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(note)

    assert __file__ in ran_in
    assert not [name for name in ran_in if Path(name).parent.name == "engine"]


def measure_once():
    engine.census()
    engine.sizeof([sys.path])
    engine.sized(sys.path, 2)
    engine.instances([Path])


def test_thousands_of_measurements_leave_nothing_behind():
    structure = [{"a": [number, (number, str(number))]} for number in range(5)]

    def measure(times):
        for _ in range(times):
            engine.sizeof([structure])
            engine.sized(structure, 2)
        for _ in range(times // 200):
            engine.census([dict])
            engine.instances([Path])

    measure(200)
    gc.collect()
    tracked, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    measure(1000)
    gc.collect()

    assert len(gc.get_objects()) - tracked <= 5
    assert sys.getallocatedblocks() - blocks <= 50


WITHOUT_COMPILED = """
import sys
sys.modules["django_memsize.engine.compiled"] = None
from django_memsize import engine
from django_memsize import engine as again
print(engine.name, engine.sizeof([[]]) > 0)
"""


@pytest.mark.parametrize("wanted", ["", "compiled"])
def test_an_engine_that_is_not_there_is_replaced_with_one_warning(wanted):
    ended = run(WITHOUT_COMPILED, MEMSIZE_ENGINE=wanted)

    assert (ended.returncode, ended.stdout) == (0, "python True\n")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("django-memsize: no compiled engine (")


def test_the_twin_is_used_without_a_warning_where_it_is_asked_for():
    ended = run("from django_memsize import engine; print(engine.name)", MEMSIZE_ENGINE="python")

    assert (ended.stdout, ended.stderr) == ("python\n", "")


def test_the_engine_that_is_tested_is_the_one_that_is_there_or_was_asked_for():
    there = "compiled" if importlib.util.find_spec("django_memsize.engine.compiled") else "python"

    assert engine.name == (os.environ.get("MEMSIZE_ENGINE") or there)


AFTER_ASYNCIO = """
import asyncio, resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from django_memsize import engine

async def work():
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, int) for _ in range(50)))

asyncio.run(work())
asyncio.run(work())
print(len({engine.census()[0]["module"] for _ in range(5)}))
asyncio.run(work())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own memory, lest it take all")
def test_a_census_of_a_process_that_ran_asyncio_does_no_harm():
    ended = run(AFTER_ASYNCIO)

    assert (ended.returncode, ended.stderr, ended.stdout.strip()) == (0, "", "1")
