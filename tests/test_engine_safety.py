"""Nothing ends the process: no hostile class, hook, thread, interpreter, or lack of memory."""

import os
import sys

import pytest

from django_memsize import engine
from tests.programs import ended_well, run

IS_COMPILED = engine.name == "compiled"
IS_LONG = os.environ.get("MEMSIZE_LONG") == "1"

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

namespace = {key("__sizeof__"): 1, key("__module__"): 2, "__module__": "some.module"}
namespace["__slots__"] = ()
Hostile = type("Hostile", (list,), namespace)
kept = [Hostile([None] * 9) for _ in range(7)]
class Honest(list): __slots__ = ()
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
