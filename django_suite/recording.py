"""Run tests with Django's ORM patched, and a metered recording around each test."""

import functools
import json
import os
import sys
import unittest

import django_memsize as memsize
from django_memsize.measuring.errors import ErrorBoundary
from django_memsize.orm import patches

from .outcomes import Runner

__all__ = ["Runner"]


def recorded(run):
    """Return ``TestCase.run`` with a recording around it, whose figures are written to a file."""

    @functools.wraps(run)
    def patched(test, result=None):
        with memsize.measure(test.id()) as recording:
            # Each evaluation is broken down by type, whatever that costs.
            recording.log.max_overhead = float("inf")
            returned = run(test, result)
        # One write: several processes append to the file.
        os.write(_lines, (json.dumps(line_of(recording)) + "\n").encode())
        return returned

    return patched


def line_of(recording):
    """Return the figures of one recording that the sums are made of."""
    return {
        "process": os.getpid(),
        "metered": recording.instrument == "meter" and recording.retained is not None,
        "incomplete": recording.incomplete,
        "evaluations": len(recording.evaluations) + recording.evaluations_omitted,
        "rows": recording.rows,
        "faults": faults(),
    }


def faults():
    """Return how many faults of django-memsize this process has swallowed."""
    modules = [each for name, each in sys.modules.items() if name.startswith("django_memsize.")]
    boundaries = {
        id(value): value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, ErrorBoundary)
    }
    return sum(boundary.number for boundary in boundaries.values())


assert memsize.engine.name == "compiled", memsize.engine.name
_lines = os.open(
    os.environ["DJANGO_SUITE_RECORDINGS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC
)
patches.install()
unittest.TestCase.run = recorded(unittest.TestCase.run)
