"""Whom code belongs to, by the name of its file or by the globals of a frame."""

import collections
import dataclasses
import gettext
import sys
import typing
from unittest import mock

import asgiref
import django
import pytest

import django_memsize
from django_memsize.measuring import source_files

FRAME = "import sys\ndef of_function(*_): return sys._getframe()\nof_text = sys._getframe()\n"


@pytest.mark.parametrize(
    "file",
    [
        django.__file__,
        asgiref.__file__ if hasattr(asgiref, "__file__") else asgiref.__path__[0] + "/sync.py",
        pytest.__file__,
        dataclasses.__file__,
        django_memsize.__file__,
        "/usr/lib/python3/dist-packages/yaml/__init__.py",
        "<frozen importlib._bootstrap>",
        "<string>",
        "<attrs generated init shop.models.Price>",
        "<attrs generated methods shop.models.Price>",
        "<cattrs generated structure shop.models.Price>",
        "<decorator-gen-12>",
        "<boltons.funcutils.FunctionBuilder-3>",
        "<makefun-gen-0>",
        "<__array_function__ internals>",
    ],
)
def test_code_of_a_library(file):
    assert source_files.is_library(file)


@pytest.mark.parametrize(
    "file",
    [
        __file__,
        "/srv/shop/models.py",
        "/tmp/ipykernel_123/456.py",
        "<stdin>",
        "<console>",
        "<input>",
        "<python-input-0>",
        "<ipython-input-1-0a1b2c3d>",
        "<doctest shop.models[0]>",
        "<timeit-src>",
        "<code>",
        "<command-3456>",
    ],
)
def test_code_of_the_program(file):
    assert not source_files.is_library(file)


def frames_of(names):
    """Return a frame of a text that is run as ``<string>``, and of a function that it defines."""
    exec(FRAME, names)
    return names["of_text"], names["of_function"]()


@pytest.mark.parametrize(
    "names",
    [
        {"__name__": "__main__"},
        {"__name__": __name__},
        {"__name__": "django.core.management.commands.shell"},
        {"__name__": "rules"},  # of no module
    ],
    ids=lambda names: names["__name__"],
)
def test_text_and_its_functions_belong_to_the_program(names):
    text, function = frames_of(names)

    assert source_files.is_program_text(text)
    assert source_files.is_program_text(function)


@pytest.mark.parametrize("names", [{}, {"__name__": "gettext"}, {"__name__": "django.utils.text"}])
def test_a_function_generated_by_a_library_belongs_to_the_library(names):
    assert gettext.__file__
    __import__("django.utils.text")
    text, function = frames_of(names)

    assert source_files.is_program_text(text)
    assert not source_files.is_program_text(function)


def test_a_function_of_text_without_a_module_belongs_to_the_program_while_the_text_runs():
    found = []
    text = "import sys\ndef function(): return belongs(sys._getframe())\nfound.append(function())"
    exec(text, {"found": found, "belongs": source_files.is_program_text})

    assert found == [True]


def first_frame(function, *arguments):
    """Call a function, and return the first frame of code named ``<string>``."""
    frames = []

    def note(frame, event, argument):
        if frame.f_code.co_filename == "<string>":
            frames.append(frame)

    before = sys.gettrace()
    sys.settrace(note)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return frames[0]


@dataclasses.dataclass
class Price:
    amount: int


@pytest.mark.parametrize(
    "generated",
    [
        Price,
        collections.namedtuple("Pair", "amount"),
        typing.NamedTuple("Pair", [("amount", int)]),
        mock.create_autospec(lambda amount: None),
    ],
    ids=["dataclass", "namedtuple", "NamedTuple", "mock"],
)
def test_functions_that_the_standard_library_generates_do_not_belong_to_the_program(generated):
    assert not source_files.is_program_text(first_frame(generated, 1))


@pytest.mark.parametrize(
    ("file", "is_called"),
    [
        (django_memsize.__file__, True),
        (django.__file__, True),
        (dataclasses.__file__, True),
        (pytest.__file__, False),
        (__file__, False),
    ],
)
def test_what_memsize_calls(file, is_called):
    assert source_files.is_called_by_memsize(file) is is_called


def test_a_path_begins_below_the_entry_it_is_imported_from(monkeypatch):
    monkeypatch.setattr(sys, "path", ["/srv", "/srv/shop"])

    assert source_files.imported_path("/srv/shop/models.py") == "models.py"
    assert source_files.imported_path("/srv/bank/models.py") == "bank/models.py"
    assert source_files.imported_path("/elsewhere/bank/models.py") == "models.py"
    assert source_files.imported_path("<string>") == "<string>"
