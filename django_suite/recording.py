"""Run tests with the patch on Django installed, and a metered recording around each."""

import functools
import json
import os
import sys
import unittest

import django_memsize as memsize
from django_memsize.measuring.recording import Options, configure
from django_memsize.orm import patches

from .outcomes import Runner

__all__ = ["Runner"]


def recorded(run):
    """Return ``TestCase.run`` with a recording around it, of which a line is written down."""

    @functools.wraps(run)
    def patched(test, result=None):
        with memsize.measure(test.id()) as recording:
            returned = run(test, result)
        # One write: several processes append to the file.
        os.write(_lines, (json.dumps(line_of(recording)) + "\n").encode())
        return returned

    return patched


def line_of(recording):
    """Return of a recording what the sums are made of."""
    return {
        "process": os.getpid(),
        "metered": recording.instrument == "meter" and recording.retained is not None,
        "incomplete": recording.incomplete,
        "evaluations": len(recording.evaluations) + recording.evaluations_omitted,
        "rows": recording.rows,
        "faults": faults(),
    }


def faults():
    """Return how many faults of ours this process has swallowed."""
    ours = [module for name, module in sys.modules.items() if name.startswith("django_memsize.")]
    return sum(module._contained.number for module in ours if hasattr(module, "_contained"))


assert memsize.engine.name == "compiled", memsize.engine.name
_lines = os.open(
    os.environ["DJANGO_SUITE_RECORDINGS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC
)
# Every evaluation by type, whatever it costs.
configure(lambda: Options(max_overhead=float("inf")))
patches.install()
unittest.TestCase.run = recorded(unittest.TestCase.run)
