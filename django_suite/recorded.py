"""Settings of a run with a recording around every test."""

from test_sqlite import *  # noqa: F403 - from Django's own tests

TEST_RUNNER = "django_suite.recording.Runner"
