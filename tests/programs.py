"""Programs for what could end a process: each runs in a Python of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(source, *arguments, timeout=120, **environment):
    """Run a program, with warnings as errors, and return it when it has ended."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", source, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def ended_well(source, *arguments, **keywords):
    """Run a program, and return what it wrote; it fails where it did not end as it should."""
    ended = run(source, *arguments, **keywords)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout + ended.stderr
    return ended.stdout
