"""The table of the ORM's methods, held against the Django that is installed."""

import ast
import re
from collections import Counter
from pathlib import Path

import django
import pytest
from django.db.models import query
from django.utils.module_loading import import_string

from django_memsize import orm
from django_memsize.orm import evaluations, methods
from tests.programs import ended_well

DJANGO = Path(django.__file__).parent
ALL = [pytest.param(method, id=method.kind) for method in methods.METHODS]
CALLERS = [
    pytest.param(caller, id=f"{method.kind}-{caller.file}-{caller.function}")
    for method in methods.METHODS
    for caller in method.callers
    if django.VERSION >= (6, 1) or caller.function != "fetch_many"
]


def names_defined_in(file):
    """Return the functions and classes that a file of Django defines, and the names it uses."""
    nodes = list(ast.walk(ast.parse((DJANGO / file).read_text())))
    defined = {node.name for node in nodes if hasattr(node, "name")}
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {node.id for node in nodes if isinstance(node, ast.Name)}
    return defined, used


def test_each_kind_has_one_row():
    counts = Counter(method.kind for method in methods.METHODS)

    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("kind", "phrase"),
    [
        ("instances", ""),
        ("prefetch", " by prefetch_related()"),
        ("values", " as values"),
        ("raw", " as raw"),
        ("TreeIterable", " as TreeIterable"),
    ],
)
def test_a_phrase_follows_the_name_of_the_model(kind, phrase):
    assert methods.phrase(kind) == phrase


def test_the_table_is_read_without_the_orm():
    program = (
        "import sys; from django_memsize.orm import methods; methods.phrase('lazy');"
        "print([name for name in sys.modules if name.startswith('django.')])"
    )

    assert ended_well(program) == "[]\n"


def test_every_iterable_of_django_is_in_the_table():
    iterables = {
        name
        for name, cls in vars(query).items()
        if isinstance(cls, type) and issubclass(cls, query.BaseIterable)
    }
    in_table = {name for method in methods.METHODS for name in method.iterables}

    # Raw querysets have no iterable class that can be changed.
    assert iterables - {"BaseIterable", "RawModelIterable"} == in_table


@pytest.mark.parametrize("caller", CALLERS)
def test_every_caller_is_a_function_of_django(caller):
    defined, _ = names_defined_in(caller.file.removeprefix("/django/"))

    assert caller.function in defined


def test_functions_of_one_file_have_a_kind_each():
    file = "/django/db/models/fields/related_descriptors.py"

    assert methods.callers_by_file()[file] == {"__get__": "lazy", "fetch_many": "lazy"}


@pytest.mark.parametrize("method", ALL)
def test_every_entry_point_is_a_method_with_a_wrapper(method):
    for entry_point in method.entry_points:
        assert entry_point.name in vars(import_string(entry_point.cls))
        assert entry_point.wrapper in evaluations.WRAPPERS


PRIVATE_NAMES = re.findall(r"^(\S+) +(\S+\.py) ", orm.__doc__, re.MULTILINE)


def test_the_private_names_are_found():
    assert ("QuerySet._fetch_all", "db/models/query.py") in PRIVATE_NAMES
    assert len(PRIVATE_NAMES) > 30


@pytest.mark.parametrize(("name", "file"), PRIVATE_NAMES)
def test_every_private_name_is_in_its_file_of_django(name, file):
    defined, used = names_defined_in(file)

    assert name.rpartition(".")[2] in defined | used


def test_every_name_of_the_table_is_listed_as_private():
    listed = {name.rpartition(".")[2] for name, _ in PRIVATE_NAMES}
    names = {name for method in methods.METHODS for name in method.iterables}
    names |= {each.name for method in methods.METHODS for each in method.entry_points}

    assert {name for name in names if name[0] == "_" or name[0].isupper()} <= listed
