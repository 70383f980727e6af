"""Counting the instructions of a process, which are the same whatever else the machine does."""

import os
import re
import shutil
import subprocess
import sys

VALGRIND = shutil.which("valgrind")


def instructions(*words):
    """Return how many instructions Python takes, run with these words."""
    if VALGRIND is None:
        sys.exit("valgrind is not installed.")
    found = subprocess.run(  # noqa: S603 - our own program
        [
            VALGRIND,
            *"--tool=callgrind --callgrind-out-file=/dev/null".split(),
            *(sys.executable, *words),
        ],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        check=True,
        text=True,
    )
    return int(re.search(r"Collected : (\d+)", found.stderr)[1])
