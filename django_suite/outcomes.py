"""Run tests, and write the outcome of each to a file. Imports nothing of django-memsize."""

import json
import os
import unittest
from pathlib import Path

from django.test.runner import DiscoverRunner


class Outcomes(unittest.TextTestResult):
    """The outcome of each test, and of each subtest that did not pass."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outcomes = []

    def addSuccess(self, test):
        super().addSuccess(test)
        self._add(test, "passed")

    def addError(self, test, error):
        super().addError(test, error)
        self._add(test, "error")

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._add(test, "failed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._add(test, "skipped")

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self._add(test, "failed as expected")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._add(test, "passed unexpectedly")

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error is not None:
            self._add(part, "failed" if issubclass(error[0], test.failureException) else "error")

    def _add(self, test, outcome):
        self.outcomes.append([test.id(), outcome])


class Runner(DiscoverRunner):
    """Runs as Django does, and writes the outcomes to the file that the environment names."""

    def get_resultclass(self):
        return Outcomes

    def suite_result(self, suite, result, **kwargs):
        found = {"run": result.testsRun, "outcomes": result.outcomes}
        Path(os.environ["DJANGO_SUITE_OUTCOMES"]).write_text(json.dumps(found))
        return super().suite_result(suite, result, **kwargs)
