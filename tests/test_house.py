"""The house: arrows between modules, the homes of facts, the lengths and the words of files."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import django_memsize as memsize
from tests import house

ROOT = Path(memsize.__file__).parent
TESTS = Path(__file__).parent
C_SOURCES = ROOT / "engine" / "src"
ARCHITECTURE = ROOT.parent / "docs" / "architecture.md"

TOP_LEVEL_MODULES = 9
LONGEST_PYTHON = 350
LONGEST_C = 400

LONGER = {
    "engine/fallback/census.py": "one walk of the heap, whose steps share their lists",
    "engine/src/cpython.h": "every fact that CPython does not publish, in one place",
}
"""Files that are longer than the limit, each with the reason."""

TESTED_ELSEWHERE = {
    "__init__": ("test_tools_heap", "re-exports the tools"),
    "apps": ("test_checks", "registers the checks"),
    "engine": ("test_engine_counts", "selects one of two engines with the same functions"),
    "engine.collector": ("test_engine_running", "pauses Python's collector during a walk"),
    "engine.fallback.census": ("test_engine_parity", "is to count as the compiled engine does"),
    "engine.fallback.meter": ("test_meter_streams", "is to iterate as the compiled engine does"),
    "engine.fallback.roots": ("test_engine_running", "lists the heap while other threads run"),
    "engine.fallback.sizes": ("test_engine_sizes", "is to size as the compiled engine does"),
    "engine.tree": ("test_tools_heap", "makes the trees of sized()"),
    "engine.types": ("test_engine_counts", "names the types of a census"),
    "management.commands.memprofile": ("test_memprofile", "is the command"),
    "measuring.evaluation_totals": ("test_measuring_evaluation_log", "are summed up in the log"),
    "measuring.streams": ("test_middleware", "has the streams of responses in their requests"),
    "reports.immediate": ("test_reports_writer", "is the writer where no thread may write"),
    "reports.requests": ("test_middleware", "are the facts of a request that it measures"),
    "reports.writer_thread": ("test_writing", "is the writer of a process that serves"),
    "measuring.walks": ("test_measuring_instruments", "are how a census counts"),
    "reports.own_sizes": ("test_reports_findings", "are what findings judge"),
    "reports.compared": ("test_reports_findings", "is what findings compare"),
    "reports.chunks": ("test_reports_retention", "is how retention and rollups delete rows"),
    "reports.exemplars": ("test_reports_retention", "are what retention keeps longer"),
    "screens.filters": ("test_admin", "are filters of its list"),
    "values.impact": ("test_reports_harms", "are what the harms of a route are made of"),
    "values.setting": ("test_conf", "is how the settings are declared"),
    "values": ("test_values_summary", "re-exports the values"),
    "migrations.0001_initial": ("test_models", "makes the table of the model"),
}
"""Modules without a test file of their own name: the file that has their tests, and the reason."""

OLD_WORDS = frozenset(
    "abandon abandoned cold dead gauge gauges guest guests ledger parked presence "
    "settle settled stretch stretches upstream verdict verdicts".split()
)
"""Words that the glossary replaces. An identifier of the package has none of them."""


# The modules


@functools.cache
def modules():
    """Return every module of the package by its name, with its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(package) or "__init__"] = path
    return found


@functools.cache
def syntax_tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def nodes_that_run(tree):
    """Yield the nodes of a module, without those for type checkers only."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def imported_by(name):
    """Return the modules of the package that a module imports, inside functions as well."""
    path = modules()[name]
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in nodes_that_run(syntax_tree(path)):
        if isinstance(node, ast.Import):
            found.update(_below(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                start = ["django_memsize", *package[: len(package) - node.level + 1]]
            else:
                start = []
            start += node.module.split(".") if node.module else []
            members = [_below([*start, alias.name]) for alias in node.names]
            found.update(member if member in modules() else _below(start) for member in members)
    return found - {None, name, "engine.compiled"}


def _below(parts):
    """Return the name of a module below the package, or None for a module of others."""
    if parts[:1] != ["django_memsize"]:
        return None
    return ".".join(parts[1:]) or "__init__"


def test_the_table_has_every_module():
    assert sorted(house.ARROWS) == sorted(modules())


@pytest.mark.parametrize("name", sorted(house.ARROWS))
def test_a_module_imports_what_is_drawn_and_nothing_else(name):
    assert sorted(imported_by(name)) == sorted(house.allowed()[name])


def test_arrows_between_packages_go_down():
    layers = {room: number for number, layer in enumerate(house.LAYERS) for room in layer}
    up = [
        (module, imported)
        for module, all_imported in house.allowed().items()
        for imported in all_imported
        if layers[_room(module)] > layers[_room(imported)]
    ]

    assert up == []
    assert sum(map(len, house.LAYERS)) == len(layers) == len({_room(name) for name in modules()})


def _room(name):
    return name.split(".")[0]


def test_no_module_imports_itself_by_way_of_others():
    graphlib.TopologicalSorter(house.allowed()).prepare()


def test_the_drawing_of_the_documentation_is_that_of_the_table():
    text = ARCHITECTURE.read_text(encoding="utf-8")
    drawn = text.partition("<!-- begin: house -->\n")[2].partition("<!-- end: house -->")[0]

    assert drawn == house.draw() + "\n"


def test_the_engine_works_where_django_is_not_imported():
    program = (
        "import sys, django_memsize as memsize;"
        "memsize.snapshot(); memsize.sizeof([1]);"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'django'], 'django';"
        "print(memsize.engine.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT.parent, timeout=60
    )

    assert (done.returncode, done.stdout.strip()) == (0, memsize.engine.name), done.stderr


# The C sources


def c_sources():
    return sorted(path for path in C_SOURCES.rglob("*.[ch]"))


def included_by(path):
    """Return the headers of the engine that a C file includes, as paths below its sources."""
    return set(re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(), re.MULTILINE))


def test_every_header_that_is_included_exists():
    missing = [
        (path.name, header)
        for path in c_sources()
        for header in included_by(path)
        if not (C_SOURCES / header).is_file()
    ]

    assert missing == []


def test_no_header_includes_itself_by_way_of_others():
    headers = {
        path.relative_to(C_SOURCES).as_posix(): included_by(path)
        for path in c_sources()
        if path.suffix == ".h"
    }

    graphlib.TopologicalSorter(headers).prepare()


@pytest.mark.parametrize(
    ("folder", "above"), [("census", ("meter/", "analysis/")), ("meter", ("analysis/",))]
)
def test_the_c_sources_include_what_is_below_them(folder, above):
    files = [path for path in c_sources() if path.parent.name == folder]
    assert files

    up = [
        (path.name, header)
        for path in files
        for header in included_by(path)
        if header.startswith(above)
    ]

    assert up == []


# One home for each fact


def test_few_modules_are_at_the_top_level():
    assert len(list(ROOT.glob("*.py"))) <= TOP_LEVEL_MODULES


def test_no_function_assigns_a_global_variable():
    found = [
        name
        for name, path in modules().items()
        if any(isinstance(node, ast.Global) for node in ast.walk(syntax_tree(path)))
    ]

    assert found == []


def test_one_module_alone_is_called_after_a_fork():
    found = [
        name
        for name, path in modules().items()
        if any(
            isinstance(node, ast.Attribute) and node.attr == "register_at_fork"
            for node in ast.walk(syntax_tree(path))
        )
    ]

    assert found == ["process"]


# The files


def test_every_module_has_its_test_file():
    missing = [
        name
        for name, path in modules().items()
        if has_code(path) and not (TESTS / f"{file_of_tests(name)}.py").is_file()
    ]

    assert missing == []


def test_every_exception_is_a_module_without_a_test_file_of_its_own():
    assert set(TESTED_ELSEWHERE) <= set(modules())
    own = [name for name in TESTED_ELSEWHERE if (TESTS / f"{own_test_file(name)}.py").is_file()]
    assert own == []


def has_code(path):
    """Return whether a module has more than a docstring."""
    body = syntax_tree(path).body
    return bool(body) and not (len(body) == 1 and ast.get_docstring(syntax_tree(path)) is not None)


def own_test_file(name):
    return f"test_{name.replace('.', '_')}"


def file_of_tests(name):
    return TESTED_ELSEWHERE[name][0] if name in TESTED_ELSEWHERE else own_test_file(name)


def test_files_are_short_or_have_a_reason():
    longer = set()
    for path in [*modules().values(), *c_sources()]:
        limit = LONGEST_PYTHON if path.suffix == ".py" else LONGEST_C
        if len(path.read_text(encoding="utf-8").splitlines()) > limit:
            longer.add(path.relative_to(ROOT).as_posix())

    assert longer == set(LONGER)


def test_no_test_imports_another():
    found = [
        (path.name, line)
        for path in sorted(TESTS.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from tests\.test_|import tests\.test_|from tests import test_)", line)
    ]

    assert found == []


# The words


def identifiers(tree):
    """Yield every name that a module defines or uses."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_identifier_has_a_word_that_the_glossary_replaces(name):
    found = {
        identifier
        for identifier in identifiers(syntax_tree(modules()[name]))
        if OLD_WORDS & set(re.findall("[a-z]+", re.sub("([A-Z])", r"_\1", identifier).lower()))
    }

    assert found == set()
