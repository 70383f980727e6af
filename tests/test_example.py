"""The bank of the example project: the findings about its pages are what the pages do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_memsize import engine

PROJECT = Path(__file__).parent.parent / "example_project"

pytestmark = pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")

PAGES = {
    "all": ["bloat"],
    "list": ["bloat"],
    "async": ["bloat"],
    "ten": [],
    "iterator": [],
    "stream": [],
    "branches": ["n-plus-one"],
    "leak": ["leak-or-cache"],
    "leak again": ["leak"],
}
"""Page: the names of the findings about it. One report cannot tell a leak from a cache."""

REPEATED = {"leak again": 3}

MEASURE = """
import json, sys
import django

django.setup()
from django.db import reset_queries
from django.test import Client
from django_memsize.models import Report
from django_memsize.reports import recordings, writer
from django_memsize.workers.tally import State, tally
from django_memsize.reports.findings import findings


def visit(path):
    response = Client(SERVER_NAME="localhost").get(path)
    assert response.status_code == 200, path
    list(response.streaming_content if response.streaming else [response.content])
    response.close()


def names(page, repeat):
    with recordings.collecting() as reports:
        for _ in range(1 + repeat):
            visit(f"/accounts/{page.split()[0]}/")
            reset_queries()  # the log that DEBUG keeps
            recordings.analyse_now()
    for report in reports[1:]:  # the first request of a route fills caches
        tally.made(State.WAITING)
        assert writer.submit(report)
    assert writer.flush(30)
    reports[:] = Report.objects.filter(uid__in=[each.uid for each in reports]).order_by("pk")
    report = reports[-1]
    found = findings(report.summary(), report.retained_by_others())
    return [finding.name for each in (found.request, *found.evaluations) for finding in each]


pages, repeated = map(json.loads, sys.argv[1:])
print(json.dumps({page: names(page, repeated.get(page, 1)) for page in pages}))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return a function that runs Python in the example project, on a bank of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "EXAMPLE_SQLITE": str(tmp_path_factory.mktemp("bank") / "db.sqlite3"),
        "PYTHONPATH": str(PROJECT.parent),
    }

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            env=environment,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("manage.py", "migrate", "--verbosity", "0")
    run("manage.py", "load_bank")
    return run


@pytest.fixture(scope="module")
def found(python):
    """Return the names of the findings by page."""
    return json.loads(python("-c", MEASURE, json.dumps(list(PAGES)), json.dumps(REPEATED)))


@pytest.mark.parametrize("page", PAGES)
def test_the_findings_about_a_page_are_what_it_does(found, page):
    assert found[page] == PAGES[page]


def test_the_command_prints_the_finding_about_a_page_that_leaks(python):
    printed = python("manage.py", "memprofile", "run", "/accounts/leak/", "--repeat", "3")

    assert "leak?" in printed
