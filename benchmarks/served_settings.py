"""The tests' project with the accounts of the example project, for `servers.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "example_project"))

from tests.served.settings import *  # noqa: F403
from tests.served.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "bank"]
ROOT_URLCONF = "benchmarks.served_urls"
