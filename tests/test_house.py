"""Who may import whom: what is not drawn here is forbidden."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import django_memsize as memsize

ROOT = Path(memsize.__file__).parent

LAYERS = [
    {"__init__", "apps"},
    {"management"},
    {"commands"},
    {"admin", "middleware", "checks"},
    {"screens"},
    {"models", "reports", "tools", "conf"},
    {"orm"},
    {"measuring"},
    {"values", "formatting", "engine", "migrations"},
]
"""Packages and modules, the uppermost first. Arrows go down, or stay in their layer."""


def _rooms():
    return {path.stem if path.is_file() else path.name for path in ROOT.iterdir() if _is_code(path)}


def _is_code(path):
    return path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))


def _imported_by(room):
    file = ROOT / f"{room}.py"
    files = [file] if file.exists() else sorted((ROOT / room).rglob("*.py"))
    return set().union(*(_imports_of(path) for path in files)) - {room}


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
    if module[0] == "django_memsize" and len(module) > 1:
        yield module[1]


def test_the_drawing_has_every_room():
    assert _rooms() == set().union(*LAYERS)


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_arrows_go_down(layer):
    above = set().union(*LAYERS[:layer])

    for room in LAYERS[layer]:
        assert not _imported_by(room) & above, room


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
