"""Libraries that change querysets run the same statements, whichever app comes first."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module", params=["memsize", "others"])
def found(request):
    done = subprocess.run(
        [sys.executable, "-m", "tests.third_party.program", request.param],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("way", "statements", "rows"),
    [
        ("inheritance", 1, 2),
        ("polymorphic", 4, 6),
        ("tree", 2, 4),
        ("cache", 2, 2),  # of which one asks what tables there are
    ],
)
def test_a_recording_changes_no_statement_of_a_library(found, way, statements, rows):
    unrecorded, recorded, recorded_rows = found[way]

    assert recorded == unrecorded
    assert len(recorded) == statements
    assert recorded_rows == rows
