"""A walk, a size and a tree run none of the code that belongs to what they measure."""

import asyncio
import sys
import types
import weakref
from unittest.mock import MagicMock

import pytest
from django.core.files.storage import Storage
from django.db import connection, models
from django.utils.functional import SimpleLazyObject, lazy

from django_memsize import engine
from django_memsize.engine.tree import label
from tests.heaps import totals


class Document(models.Model):
    file = models.FileField()

    class Meta:
        app_label = "engine_tests"


def measure_in_every_way(*objects):
    engine.census()
    engine.sizeof(objects)
    engine.instances(list({id(type(measured)): type(measured) for measured in objects}.values()))
    for measured in objects:
        label(measured)
        label([measured])
        for depth in (0, 1, 3):
            engine.sized(measured, depth)


@pytest.fixture
def statements():
    """Record what goes to the database, and send nothing there."""
    recorded = []

    def record(execute, sql, params, many, context):
        recorded.append(sql)

    with connection.execute_wrapper(record):
        yield recorded


@pytest.mark.django_db
def test_no_query_is_run_by_an_unevaluated_queryset(statements):
    queryset = Document.objects.filter(pk__gt=1)
    lazy_object = SimpleLazyObject(lambda: Document.objects.get(pk=1))

    measure_in_every_way(queryset, lazy_object, {"context": [queryset, lazy_object]})

    assert statements == []
    assert queryset._result_cache is None


@pytest.mark.django_db
def test_the_query_of_that_queryset_would_have_been_seen(statements):
    assert not Document.objects.filter(pk__gt=1)

    assert len(statements) == 1


def test_a_lazy_object_stays_unevaluated():
    calls = []
    lazy_object = SimpleLazyObject(lambda: calls.append("set up"))
    text = lazy(lambda: calls.append("translated") or "text", str)()

    measure_in_every_way(lazy_object, text, {"a": lazy_object}, (lazy_object, text))

    assert calls == []
    str(text)
    assert calls == ["translated"]


def test_a_file_of_a_model_is_not_opened():
    calls = []

    class Recording(Storage):
        def __getattribute__(self, name):
            calls.append(name)
            return super().__getattribute__(name)

    document = Document(file="name.txt")
    document.file.storage = Recording()
    calls.clear()
    measure_in_every_way(document, document.file)

    assert calls == []


OVERRIDES = [
    *("__getattribute__", "__getattr__", "__len__", "__iter__", "__next__", "__contains__"),
    *("__hash__", "__eq__", "__ne__", "__lt__", "__bool__", "__repr__", "__str__", "__format__"),
    *("__call__", "__get__", "__set__", "__index__", "__int__", "__float__", "__sizeof__"),
    *("__reduce__", "__reduce_ex__", "__getstate__", "__dir__", "__enter__", "__exit__"),
    *("__getitem__", "__setitem__", "__missing__", "__length_hint__", "__instancecheck__"),
]


def hostile(base, calls):
    """Return a class that notes each call of a method of its instances, and raises."""

    def override(name):
        def method(self, *args):
            calls.append(name)
            raise SystemExit(name)

        return method

    methods = {name: override(name) for name in OVERRIDES}
    for name in ("__class__", "__dict__"):
        methods[name] = property(override(name))
    return type("Hostile", (base,), methods)


@pytest.mark.parametrize("base", [object, dict, list, tuple, set, frozenset, str, int, bytes])
def test_no_method_of_an_instance_is_called(base):
    calls = []
    kind = hostile(base, calls)
    kept = [base.__new__(kind) for _ in range(50)]

    measure_in_every_way(kept[0], kept, (kept[1], {"key": kept[2]}))

    assert calls == []
    assert totals()[f"{__name__}.Hostile"][0] == 50
    assert engine.instances([kind])[0][1] == 50
    with pytest.raises(SystemExit):
        repr(kept[0])


def test_a_mock_notes_no_call():
    mock = MagicMock()
    children = len(mock._mock_children)

    measure_in_every_way(mock, [mock], {"mock": mock})

    assert mock.mock_calls == []
    assert len(mock._mock_children) == children


@pytest.mark.parametrize("answer", [-1, 10**30, "text", None])
def test_a_size_told_by_python_code_is_not_asked_for(answer):
    calls = []

    class Lying:
        __slots__ = ()

        def __sizeof__(self):
            calls.append(answer)
            return answer

    class LyingList(list):
        __sizeof__ = Lying.__sizeof__

    class Honest:
        __slots__ = ()

    class HonestList(list):
        pass

    assert engine.sizeof([Lying()]) == engine.sizeof([Honest()]) == sys.getsizeof(Honest())
    assert engine.sizeof([LyingList([None] * 9)]) == engine.sizeof([HonestList([None] * 9)])
    measure_in_every_way(Lying(), LyingList())
    assert calls == []


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_size_that_python_code_refuses_is_counted_all_the_same(error):
    class Refusing(dict):
        def __sizeof__(self):
            raise error

    class Willing(dict):
        pass

    assert engine.sizeof([Refusing(a=None)]) == engine.sizeof([Willing(a=None)])


class Name(str):
    """A text that lets nobody look at it."""

    __slots__ = ()

    def _refuse(self, *args):
        raise SystemExit

    __eq__ = __ne__ = __str__ = __repr__ = __format__ = __len__ = __getattribute__ = _refuse
    __hash__ = _refuse


class Meta(type):
    calls = []

    def _refuse(cls, *args):
        Meta.calls.append(args)
        raise SystemExit

    __eq__ = __ne__ = __bool__ = __repr__ = __str__ = __len__ = __iter__ = _refuse
    __getattribute__ = __sizeof__ = __subclasscheck__ = __instancecheck__ = _refuse
    __hash__ = _refuse
    __name__ = __module__ = __mro__ = __bases__ = property(_refuse)
    __subclasses__ = mro_entries = _refuse


def refusing_class(namespace):
    return Meta("Refusing", (), namespace)


def test_a_class_whose_metaclass_refuses_everything_is_named_and_counted():
    kind = refusing_class({"__module__": "some.module", "__qualname__": "Refusing"})
    Meta.calls.clear()
    kept = [object.__new__(kind) for _ in range(7)]

    assert totals()["some.module.Refusing"][0] == len(kept)
    assert engine.instances([kind])[0][:2] == ("some.module.Refusing", 7)
    assert engine.sized(kept[0], 1)[0] == "<some.module.Refusing>"
    assert engine.sizeof([kind]) > 0
    assert Meta.calls == []


def test_a_class_whose_name_is_a_hostile_text_is_named_safely():
    kind = refusing_class({"__module__": Name("some.module")})
    type.__dict__["__qualname__"].__set__(kind, Name("Hostile"))
    kept = [object.__new__(kind) for _ in range(3)]

    rows = totals()

    assert rows["some.module.Hostile"][0] == len(kept)
    assert all(type(name) is str for name in rows)


@pytest.mark.parametrize("module", [property(lambda self: 1 / 0), None, 7, b"bytes", object()])
def test_a_module_that_is_no_text_is_shown_as_a_question_mark(module):
    kind = type("Odd", (), {"__module__": module})
    kept = [kind(), kind()]

    assert totals()["?.Odd"][0] == len(kept)


def test_types_of_the_same_name_are_one_row():
    first, second = (type("Twin", (), {"__module__": "some.module"}) for _ in range(2))
    kept = [first(), second(), second()]

    assert totals()["some.module.Twin"][0] == len(kept)


def test_dead_proxies_running_generators_frames_and_coroutines_do_no_harm():
    class Target:
        pass

    def generator():
        yield sys._getframe()
        measure_in_every_way(running, running.gi_frame)
        yield

    async def coroutine():
        await asyncio.sleep(0)

    target = Target()
    proxy, reference = weakref.proxy(target), weakref.ref(target)
    del target
    running = generator()
    frame = next(running)
    suspended = coroutine()
    ended = generator()
    ended.close()

    measure_in_every_way(proxy, reference, running, ended, frame, suspended)
    next(running)

    rows = totals()
    assert rows["generator"][0] >= 2
    assert rows["coroutine"][0] >= 1
    assert engine.sizeof([proxy]) == sys.getsizeof(reference)
    with pytest.raises(ReferenceError):
        bool(proxy)
    suspended.close()


def test_what_a_generator_keeps_in_its_variables_is_counted():
    class Kept:
        pass

    def generator():
        variable = Kept()
        yield
        assert variable

    running = generator()
    next(running)

    assert engine.instances([Kept])[0][1] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text", "'text'"),
        (b"bytes", "b'bytes'"),
        (10**200, "<int of 665 bits>"),
        (-1.5, "-1.5"),
        (None, "None"),
        ((1,), "(1,)"),
        ([], "[]"),
        ({"a": [1, (2, {3})]}, "{'a': [1, (2, <set>)]}"),
        (frozenset({1}), "frozenset({1})"),
        (list(range(20)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ...]"),
        ([SimpleLazyObject(lambda: 1 / 0)], "[<django.utils.functional.SimpleLazyObject>]"),
        (types.SimpleNamespace(a=1), "<types.SimpleNamespace>"),
    ],
    ids=str,
)
def test_only_built_in_values_are_shown_as_they_are(value, expected):
    assert label(value) == expected


@pytest.mark.parametrize("value", ["x" * 1000, [["y" * 50] * 50] * 50, {"k" * 99: "v" * 99}])
def test_a_label_has_at_most_sixty_characters(value):
    assert len(label(value)) == 60
    assert label(value).endswith("...")


def test_a_list_in_itself_has_a_label():
    looped = [1]
    looped.append(looped)

    assert label(looped) == "[1, [1, [1, <list>]]]"
