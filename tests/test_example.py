"""The bank of the example project: what is said of its pages is what they do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_memsize import engine

PROJECT = Path(__file__).parent.parent / "example_project"

pytestmark = pytest.mark.skipif(engine.Window is None, reason="there is no meter")


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    """Run a command of the project, on a bank of its own."""
    database = tmp_path_factory.mktemp("bank") / "db.sqlite3"
    ours = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "EXAMPLE_SQLITE": str(database),
        "PYTHONPATH": str(PROJECT.parent),
    }
    others = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}

    def run(*words):
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env=others | ours,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("migrate", "--verbosity", "0")
    run("load_bank")
    return run


@pytest.mark.parametrize(
    ("page", "repeat", "words"),
    [
        ("all", 1, ["bloat?"]),
        ("list", 1, ["bloat?"]),
        ("async", 1, ["bloat?"]),
        ("ten", 1, []),
        ("iterator", 1, []),
        ("stream", 1, []),
        ("branches", 1, []),
        ("leak", 1, ["leak or cache?"]),
        ("leak", 3, ["leak?"]),
    ],
)
def test_what_is_said_of_a_page_is_what_it_does(bank, page, repeat, words):
    told = bank("memprofile", "run", f"/accounts/{page}/", "--repeat", str(repeat))

    evaluations = told.partition("Evaluations:\n")[2].partition("\n\n")[0].splitlines()
    said = [line.strip() for line in evaluations if line.startswith("    ")]
    assert [line.partition("? ")[0] + "?" for line in said] == words
