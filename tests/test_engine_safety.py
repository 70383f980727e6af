"""Nothing ends the process: no hostile class or hook, no thread, no want of memory."""

import importlib.util
import os
import sys

import pytest

from django_memsize import engine
from tests.programs import ended_well, run

IS_COMPILED = engine.name == "compiled"
IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"

WITHOUT_HOOKS = importlib.util.find_spec("_testcapi") is None

compiled_only = pytest.mark.skipif(not IS_COMPILED, reason="no borrowed pointers in Python")

HOOKED = """
import builtins, gc, sys
from django_memsize import engine

kinds = [type(f"Kind{number}", (), {}) for number in range(2000)]
called = []

def drop(*event):
    if kinds and armed:
        called.append(event)
        kinds.clear()
        gc.collect()
        made.extend(type("Other" * 50, (), {}) for _ in range(200))

def hooked_import(*arguments, **keywords):
    drop("import", arguments[0])
    return real_import(*arguments, **keywords)

made = []
armed = False
real_import = builtins.__import__
builtins.__import__ = hooked_import
sys.addaudithook(lambda name, arguments: drop(name))
armed = True
WALK
armed = False
print(*sorted({name for name, *_ in called}))
"""

ON_LISTING = {"gc.get_objects"} if sys.version_info < (3, 12) or not IS_COMPILED else set()


@pytest.mark.parametrize("walk", ["engine.census(kinds)", "engine.instances(kinds)"])
def test_classes_that_a_hook_drops_while_the_heap_is_listed_do_no_harm(walk):
    events = set(ended_well(HOOKED.replace("WALK", walk)).split())

    assert events <= ON_LISTING  # and no import


KEYS = """
import gc
from django_memsize import engine

calls = []

class Key(str):
    __slots__ = ("alike",)
    def __hash__(self): return hash(self.alike)
    def __eq__(self, other): calls.append(self.alike); return False

def key(alike):
    made = Key("key")
    made.alike = alike
    return made

namespace = {key("__sizeof__"): 1, key("__module__"): 2, "a": 3, "__module__": "some.module"}
Hostile = type("Hostile", (list,), namespace)
kept = [Hostile([None] * 9) for _ in range(7)]
class Honest(list): pass
calls.clear()

assert engine.census()[0]["some.module.Hostile"] == 7
assert engine.instances([Hostile])[0][:2] == ("some.module.Hostile", 7)
assert engine.sizeof(kept[:1]) == engine.sizeof([Honest([None] * 9)])
assert calls == [], calls
"""


@compiled_only
def test_no_key_of_a_namespace_is_compared():
    ended_well(KEYS)


ENDING = """
import builtins, gc, os, sys, threading
from django_memsize import engine

class Last:
    # What it needs is in a default: the names of the module are gone by then.
    def __del__(self, parts=(engine.census, engine.sizeof, engine.instances, list, os.write)):
        census, sizeof, instances, kind, write = parts
        try:
            census()
            sizeof([self])
            instances([kind])
        finally:
            write(1, b"walked ")

loop = Last()
loop.itself = loop
held, builtins.held, sys.held, gc.held, sys.modules["held"] = (Last() for _ in range(5))
threading.current_thread().held = Last()
"""


@compiled_only
def test_a_walk_while_the_interpreter_ends_does_no_harm():
    ended = run(ENDING)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("walked") == 7


FAILING = """
import ctypes, gc, sys
import _testcapi
from django_memsize import engine
from django_memsize.engine.compiled import Sizing

class Kept:
    def __init__(self, number): self.number, self.other = number + 10**6, [str(number)]
class Excluded: __slots__ = ("part",)

kept = [Kept(number) for number in range(500)] + [Excluded() for _ in range(20)]
for excluded in kept[500:]: excluded.part = [object()]
many = [type(f"Kind{number}", (), {})() for number in range(200)]
structure = [{"kept": kept, "tuple": (many, {1.5, 2.5})}, [[str(n)] for n in range(3000)]]
asked, kinds = [structure], [Kept, Excluded]

def sizing():
    one = Sizing()
    met = one.meet(structure), one.meet(structure)
    return *met, one.flat(structure), len(one.referents(structure)), one.deep([structure[0]])

# No tree, whose code is Python: CPython itself ends where a call of a function in Python has no
# memory for its frame.
CALLS = {
    "census": lambda: engine.census(),
    "census without some": lambda: engine.census([Excluded]),
    "sizeof": lambda: engine.sizeof(asked),
    "instances": lambda: engine.instances(kinds),
    "sizing": sizing,
}

# What the interpreter and this program make of these comes and goes.
OWN = {"int", "str", "tuple", "dict", "list", "frame", "traceback", "MemoryError", "cell"}

def wrong(answer, right):
    if isinstance(answer, tuple) and answer and isinstance(answer[0], dict):
        counts, expected = answer[0], right[0]
        off = {
            name: (counts.get(name), expected.get(name))
            for name in counts.keys() | expected.keys()
            if abs(counts.get(name, 0) - expected.get(name, 0)) > (30 if name in OWN else 0)
        }
        return off or (counts.keys() != answer[1].keys() and "bytes")
    return answer != right and (answer, right)

try:
    usage = ctypes.CDLL(None).mallinfo2
except (AttributeError, OSError):
    in_use = lambda: 0
else:
    class Usage(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in (
            "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split())]
    usage.restype = Usage
    in_use = lambda: (lambda now: now.uordblks + now.hblkhd)(usage())

def fail_each(call, right, stop, step, most):
    # Until so many calls in a row succeed: one that swallows a failure does not end it.
    number = succeeded = failed = 0
    while succeeded < 10 and number < most:
        answer = None
        _testcapi.set_nomemory(number, number + 1 if stop else 0)
        try:
            answer = call()
        except MemoryError:
            pass
        finally:
            _testcapi.remove_mem_hooks()
        if answer is None:
            failed += 1
            succeeded = 0
        else:
            assert not wrong(answer, right), (number, wrong(answer, right))
            succeeded += 1
        assert gc.isenabled() and gc.get_threshold() == (1234, 5, 6), number
        number += step if number > 200 else 1
    assert succeeded == 10 or number >= most
    return failed

name, stop, step, most = sys.argv[1], sys.argv[2] == "one", int(sys.argv[3]), int(sys.argv[4])
call = CALLS[name]
gc.set_threshold(1234, 5, 6)
right = call()
gc.collect()
right = call()
fail_each(call, right, stop, 50, most)
gc.collect()
blocks, raw = sys.getallocatedblocks(), in_use()
failed = fail_each(call, right, stop, step, most)
gc.collect()
assert sys.getallocatedblocks() - blocks <= 100, sys.getallocatedblocks() - blocks
assert in_use() - raw <= 64 * 1024, in_use() - raw
assert not wrong(call(), right)
print(failed)
"""


@compiled_only
@pytest.mark.skipif(WITHOUT_HOOKS, reason="this Python has no _testcapi, which makes memory fail")
@pytest.mark.parametrize("fails", ["one", "all later"])
@pytest.mark.parametrize("call", ["census", "census without some", "sizeof", "instances", "sizing"])
def test_wherever_memory_fails_there_is_an_error_or_the_right_figure(call, fails):
    step = "1" if IS_LONG else "41"

    failed = int(ended_well(FAILING, call, fails, step, "20000", PYTHONMALLOC=""))

    assert failed > (200 if "census" in call or call == "instances" else 8)


BUSY = """
import asyncio, ctypes, gc, itertools, os, sys, threading, weakref
from django_memsize import engine

walks, ended = int(sys.argv[1]), threading.Event()
sys.setswitchinterval(1e-4)

class Attributed: pass
class Slotted: __slots__ = ("part", "__weakref__")

def tuples():
    yield tuple(number for number in range(500))
    yield tuple([number] for number in range(50))

def dicts():
    made = {}
    for number in range(300):
        made[str(number)] = [number]
    yield made
    while made:
        made.popitem()
    yield made

def instances():
    for number in range(30):
        made = Attributed()
        for each in range(number):
            setattr(made, f"attribute{each}", each)
        yield made
        vars(made)["more"] = number
        yield made
        made.__dict__ = {}

def classes():
    kind = type("Passing", (Attributed,), {"__slots__": ("one",)})
    yield kind()
    kind.two = kind
    yield kind

def tasks():
    async def work():
        await asyncio.sleep(0)
        return [task.get_name() for task in asyncio.all_tasks()]
    async def several():
        return await asyncio.gather(*(work() for _ in range(10)))
    yield asyncio.run(several())

def proxies():
    target = Slotted()
    target.part = weakref.proxy(target), weakref.ref(target, lambda gone: gone())
    yield target
    yield target.part
    del target

def sorting():
    made = [(-number, str(number)) for number in range(300)]
    made.sort(key=lambda pair: pair[0])
    yield made
    yield {frozenset(made), bytearray(300).decode(), 3.5}
    yield itertools.tee(made)

def keep_making(kinds):
    kept = []
    while not ended.wait(0.001):  # or the walks would wait for the threads most of the time
        try:
            for kind in kinds:
                kept.extend(kind())
                del kept[:-20]
        except BaseException as error:
            faults.append(error)
            raise

def settled():
    gc.collect()
    with open("/proc/self/statm") as memory:
        return sys.getallocatedblocks(), int(memory.read().split()[1]) * os.sysconf("SC_PAGESIZE")

def walk(number):
    held = [Attributed(), Slotted(), {"a": (number, [str(number)])}]
    held[1].part = held[0].itself = held
    for each in range(number):
        engine.census([Slotted] if each % 2 else ())
        engine.sizeof([held])
        if each % 10 == 0:
            engine.instances([Attributed, Slotted])
            engine.sized(held, 3)

def walk_among_threads(number):
    ended.clear()
    threads = [threading.Thread(target=keep_making, args=(kinds,)) for kinds in (
        (tuples, dicts, sorting), (instances, classes, proxies), (tasks,))]
    for thread in threads: thread.start()
    walk(number)
    ended.set()
    for thread in threads: thread.join()

faults = []
walk_among_threads(min(walks, 500) // 2)
blocks, memory = settled()
walk_among_threads(walks)
blocks_after, memory_after = settled()
assert not faults, faults
# Each walk that kept a block would add one. What asyncio keeps grows for a while without any walk.
assert blocks_after - blocks < walks, blocks_after - blocks
assert memory_after - memory <= 4 << 20, memory_after - memory
"""


@compiled_only
def test_walks_among_threads_that_make_and_drop_objects_leave_nothing_behind():
    ended_well(BUSY, "10000" if IS_LONG else "400", timeout=600)
