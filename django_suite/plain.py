"""Settings of a run without django-memsize."""

from test_sqlite import *  # noqa: F403 - from Django's own tests

TEST_RUNNER = "django_suite.outcomes.Runner"
