"""External objects that refer to a window's objects: garbage holds nothing, a held one retains."""

import asyncio
import ctypes
import functools
import gc
import sys
import threading
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

from tests import graphs  # noqa: E402
from tests.windows import inside, metered, no_collector  # noqa: E402

HELD = []
NODE = f"{__name__}.Node"


@pytest.fixture(autouse=True)
def _without_collector():
    with no_collector():
        yield
        HELD.clear()


class Node:
    pass


def analyse(window, external):
    """Analyse with some external objects; the list is empty afterwards."""
    try:
        return window.analyse(external)
    finally:
        external.clear()


def nodes_in(tables):
    """Return how many nodes are retained, and how many are garbage."""
    retained, garbage, _ = tables
    return retained[0].get(NODE, 0), garbage[0].get(NODE, 0)


def much():
    """Return the first of a hundred nodes."""
    first = Node()
    first.others = [Node() for _ in range(99)]
    return first


# Each makes, outside of a window, a circle of things that refer to something given later, and
# returns a function that gives it.


def through_a_dict():
    node = Node()
    vars(node)["of"] = {"node": node}
    return functools.partial(setattr, node, "held")


def through_a_tuple():
    node = Node()
    node.of = (([node],),)

    def give(response):
        node.held = (("nested", (response,)),)

    return give


def through_a_cell():
    node = None

    def give(response):
        nonlocal node
        node = [give, response]

    return give


def through_a_dict_of_its_own():
    node = Node()
    own = node.__dict__
    own["itself"] = own
    return functools.partial(own.__setitem__, "held")


def through_a_generator():
    def rows():
        mine = itself[:]
        itself.clear()
        response = yield
        yield mine, response

    itself = []
    generator = rows()
    itself.append(generator)
    next(generator)
    return generator.send


def through_a_coroutine():
    @types.coroutine
    def pause():
        return (yield)

    async def handle():
        mine = itself[:]
        itself.clear()
        response = await pause()
        await pause()
        return mine, response

    itself = []
    coroutine = handle()
    itself.append(coroutine)
    coroutine.send(None)
    return coroutine.send


def through_a_traceback():
    """As Django's handler of asynchronous requests does."""

    def give(response):
        try:
            raise ExceptionGroup("two", [ValueError(), KeyError()])
        except ExceptionGroup as raised:
            group = raised  # noqa: F841 - it has the traceback, and that this frame

    return give


def through_a_future():
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    node = Node()
    future.add_done_callback(functools.partial(isinstance, node))

    def give(response):
        node.held = [future, response]

    return give


def through_a_method():
    node = types.SimpleNamespace()
    node.method = types.MethodType(isinstance, node)
    return functools.partial(setattr, node, "held")


def through_a_slot():
    node = graphs.Slotted()
    node.first = node
    return functools.partial(setattr, node, "second")


def through_a_weak_reference_s_callback():
    node = Node()
    node.itself = node

    def give(response):
        node.reference = weakref.ref(Node, functools.partial(isinstance, response))

    return give


CIRCLES = {
    make.__name__: make
    for make in (
        through_a_dict, through_a_tuple, through_a_cell, through_a_dict_of_its_own,
        through_a_generator, through_a_coroutine, through_a_traceback, through_a_future,
        through_a_method, through_a_slot, through_a_weak_reference_s_callback,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", CIRCLES)
def test_what_a_garbage_cycle_from_outside_holds_is_told_as_a_whole(name):
    give = CIRCLES[name]()
    with metered() as window:
        response = much()
    give(response)
    del give, response

    assert nodes_in(window.analyse()) in [(100, 0), (0, 100)]


@pytest.mark.parametrize("name", CIRCLES)
def test_what_a_held_circle_holds_is_retained(name):
    give = CIRCLES[name]()
    with metered() as window:
        response = much()
    give(response)
    HELD.append({"here": [response]} if name == "through_a_traceback" else give)
    external = [response]
    del give, response

    assert nodes_in(analyse(window, external)) == (100, 0)


# Ways to hold something. Each calls a function while that is held.


def by_a_global(held, then):
    HELD.append(held)
    del held
    return then()


def by_a_dict_of_a_module(held, then):
    module = types.ModuleType("made")
    module.held = held
    del held
    sys.modules["made"] = module
    try:
        return then()
    finally:
        del sys.modules["made"]


def by_a_class(held, then):
    Node.held = {"held": [held]}
    del held
    try:
        return then()
    finally:
        del Node.held


def by_a_class_made_at_run_time(held, then):
    HELD.append(type("Made", (), {"held": [held]}))
    del held
    return then()


def by_a_running_frame(held, then):
    return then(), held


def by_an_argument_of_c(held, then):
    return sorted([held, held], key=lambda _: then() or 0)


def by_a_running_generator(held, then):
    def rows(mine):
        yield then()
        yield mine

    generator = rows([held])
    del held
    return next(generator)


def by_a_generator_that_another_runs(held, then):
    def rows(mine):
        yield then()
        yield mine

    def outer(mine):
        yield from rows(mine)

    generator = outer([held])
    del held
    return next(generator)


def by_a_running_coroutine(held, then):
    async def handle(mine):
        await asyncio.sleep(0)
        return then(), mine

    async def start(mine):
        return await asyncio.create_task(handle(mine))

    loop = asyncio.new_event_loop()
    mine = [held]
    del held
    task = loop.create_task(start(mine))
    del mine
    try:
        return loop.run_until_complete(task)[0]
    finally:
        loop.close()


def by_a_waiting_task(held, then):
    async def hold(mine):
        await asyncio.sleep(1000)
        return mine

    async def start():
        nonlocal held
        task = asyncio.create_task(hold([held]))
        del held
        await asyncio.sleep(0)
        try:
            return then()
        finally:
            task.cancel()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(start())
    finally:
        loop.close()


def by_a_suspended_generator(held, then):
    def rows(mine):
        yield
        yield mine

    generator = rows([held])
    next(generator)
    HELD.append(generator)
    del held
    return then()


def by_a_reference_of_c(held, then):
    address = id(held)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))
    del held
    try:
        return then()
    finally:
        ctypes.pythonapi.Py_DecRef(ctypes.cast(address, ctypes.py_object))


def by_a_tuple(held, then):
    mine = (((held,),),)
    del held
    return then(), mine


def by_another_thread(held, then):
    held_there, told_here = threading.Event(), threading.Event()

    def hold(mine):
        held_there.set()
        told_here.wait()
        return mine

    thread = threading.Thread(target=hold, args=(held,))
    del held
    thread.start()
    held_there.wait()
    try:
        return then()
    finally:
        told_here.set()
        thread.join()


WAYS = {
    make.__name__: make
    for make in (
        by_a_global, by_a_dict_of_a_module, by_a_class, by_a_class_made_at_run_time,
        by_a_running_frame, by_an_argument_of_c, by_a_running_generator,
        by_a_generator_that_another_runs, by_a_running_coroutine, by_a_waiting_task,
        by_a_suspended_generator, by_a_reference_of_c, by_a_tuple, by_another_thread,
    )
}  # fmt: skip


class Hand:
    """Hands on what it has, and then has it no more."""

    def __init__(self, *held):
        self.held = held

    def take(self):
        held, self.held = self.held, ()
        return held[0]


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("between", ["directly", "through a circle"])
def test_what_anything_holds_is_retained(name, between):
    with metered() as window:
        response = much()
    external, held = [response], Hand(response)
    if between == "through a circle":
        circle = Node()
        circle.itself = [circle, response]
        held = Hand(circle)
        del circle
    del response
    found = []

    def tell():
        if not found:
            found.append(nodes_in(analyse(window, external)))

    WAYS[name](held.take(), tell)

    assert found == [(100, 0)]


def test_the_list_that_is_given_holds_nothing():
    with metered() as window:
        response = much()
        response.itself = response
    external = [response, response, None, Node, sys, 1]
    del response

    assert nodes_in(window.analyse(external)) == (0, 100)


@pytest.mark.parametrize("held_by", ["nothing", "a name", "a garbage cycle"])
def test_a_window_tells_whether_something_else_refers_to_an_external_object(held_by):
    request = Node()
    request.cycle = [request]
    with metered() as window:
        request.held = much()
        request.cycle.append([request])  # refers to it from the window
    external = [request]
    if held_by == "a garbage cycle":
        cycle = [request]
        cycle.append(cycle)
        del cycle
    if held_by != "a name":
        del request
    retained, garbage = nodes_in(analyse(window, external))

    assert window.external_is_held is (held_by != "nothing")
    assert (retained, garbage) == ((100, 0) if window.external_is_held else (0, 100))


def test_an_object_of_the_window_is_held_where_it_is_on_the_list():
    with metered() as window:
        HELD.append(Node())
    assert not window.external_is_held
    window.analyse([None, HELD[-1]])

    assert window.external_is_held


def steps_of(*names):
    step = st.sampled_from([*names, "link", "link", "keep", "circle"])
    return st.lists(
        st.tuples(st.booleans(), step, st.integers(0, 30), st.integers(0, 30)), max_size=30
    )


def ours():
    """Return address -> type name of the objects of the classes of graphs."""
    return {
        id(each): graphs.named(type(each))
        for each in gc.get_objects()
        if type(each).__module__ == graphs.__name__
    }


@given(steps=steps_of(*graphs.MAKERS))
@settings(max_examples=100, deadline=None)
def test_among_cycles_of_both_kinds_and_classes_nothing_that_is_held_is_garbage(steps):
    retained, garbage, left, freed = run(steps)

    assert garbage <= freed
    assert left <= retained


def run(steps):
    """Return what is retained and garbage, by the analysis and then by the collector."""
    kept, made, external, in_it = [], [], [], {}
    for make in graphs.MAKERS.values():
        make(None, None)
    window = compiled.Window()
    window.open()
    for is_inside, step, *which in steps:
        before, number = ours(), len(made)
        with inside(window if is_inside else None):
            graphs.run_step(step, *which, made, kept)
        if is_inside:
            external += made[number:]
            in_it |= {id: name for id, name in ours().items() if id not in before}
    window.close()
    made.clear()
    retained, garbage, _ = analyse(window, external)
    gc.collect()
    alive = ours()
    left = Counter(in_it[id] for id in in_it if id in alive)
    return (
        graphs.objects_of_graphs(retained),
        graphs.objects_of_graphs(garbage),
        left,
        Counter(in_it.values()) - left,
    )
