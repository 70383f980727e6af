"""Who may import whom: what is not drawn here is forbidden."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import django_memsize as memsize

ROOT = Path(memsize.__file__).parent

ARROWS = {
    "__init__": {"engine", "heap", "ledger", "measuring", "recording", "values"},
    "admin": {"conf", "django", "layout", "models", "pages"},
    "alternatives": {"context", "django", "engine", "gauges", "layout", "values"},
    "apps": {"checks", "django", "orm", "recording", "storage"},
    "budget": {"values"},
    "checks": {"conf", "django"},
    "conf": {"django"},
    "context": {"engine", "values"},
    "documents": {"layout", "values"},
    "engine": set(),
    "extremes": {"values"},
    "faults": {"layout", "sites", "values"},
    "gauges": {"engine", "upstream", "values"},
    "heap": {"engine", "layout", "values"},
    "instances": {"django", "values"},
    "layout": set(),
    "ledger": {"budget", "context", "engine", "faults", "gauges", "values"},
    "management": {
        *("alternatives", "conf", "context", "layout", "models", "recording", "rendering", "sites"),
        *("checks", "django", "storage", "values"),
    },
    "measuring": {"context", "faults", "recording", "values"},
    "middleware": {
        *("budget", "conf", "context", "faults", "overlap", "recording", "settling", "storage"),
        *("asgiref", "django", "values"),
    },
    "migrations": {"django"},
    "models": {"django", "documents", "values", "verdicts"},
    "orm": {"context", "django", "engine", "faults", "instances", "ledger", "sites", "values"},
    "overlap": {"values"},
    "pages": {"documents", "layout", "models", "rendering", "values", "verdicts"},
    "recording": {
        *("budget", "context", "engine", "gauges", "ledger", "overlap", "upstream", "values"),
        "resident",
    },
    "rendering": {"layout", "values", "verdicts"},
    "resident": {"psutil"},
    "settling": {"context", "faults", "upstream", "values"},
    "sites": {"asgiref", "values"},
    "storage": {
        *("budget", "conf", "context", "documents", "extremes", "faults", "layout", "ledger"),
        *("django", "models", "overlap", "recording", "settling", "upstream", "values"),
    },
    "upstream": {"budget", "engine", "values"},
    "values": {"layout"},
    "verdicts": {"layout", "values"},
}
OTHERS = {"asgiref", "django", "psutil"}


def _rooms():
    return sorted(
        path.stem if path.is_file() else path.name for path in ROOT.iterdir() if _is_code(path)
    )


def _is_code(path):
    return path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))


def _imported_by(room):
    file = ROOT / f"{room}.py"
    files = [file] if file.exists() else sorted((ROOT / room).rglob("*.py"))
    return set().union(*(_imports_of(path) for path in files))


def _imports_of(path):
    inside = path.relative_to(ROOT.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _room_of(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = list(inside[: len(inside) - node.level + 1]) if node.level else []
            module = above + (node.module or "").split(".") if node.module else above
            if module == ["django_memsize"]:
                for alias in node.names:
                    yield alias.name
            else:
                yield from _room_of(module)


def _room_of(module):
    if module[0] == "django_memsize":
        yield module[1]
    elif module[0] in OTHERS:
        yield module[0]


def test_the_drawing_has_every_room():
    assert _rooms() == sorted(ARROWS)


@pytest.mark.parametrize("room", ARROWS)
def test_a_room_imports_only_what_is_drawn(room):
    assert _imported_by(room) - {room} <= ARROWS[room]


def test_nothing_is_drawn_that_is_not_imported():
    unused = {room: arrows - _imported_by(room) for room, arrows in ARROWS.items()}

    assert {room: arrows for room, arrows in unused.items() if arrows} == {}


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
