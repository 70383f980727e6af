"""Requests beside tools that watch them: same responses, and none of our statements in theirs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import served_databases
from tests.serving import PATIENCE, Server

ROOT = Path(__file__).parent.parent.parent
ROUTES = {
    "/accounts/": 10,
    "/accounts/<int:pk>/": 1,
    "/accounts/template/": 10,
    "/accounts/stream/": 10,
    "/nothing/": 0,
}
OTHER_ROUTES = {
    "silk": ROUTES | {"/accounts/": 11, "/accounts/<int:pk>/": 2, "/accounts/template/": 11},
    "debug_toolbar_with_locals": {"/accounts/": 10, "/nothing/": 0},
}
"""Where a tool loads rows of its own in a request, which are counted, too; or asks fewer pages."""

LOADING = 4
"""The pages that load rows, each with one statement."""

NOT_STREAMED = 3
"""Those whose statement comes before the response has left the middleware."""

SEES = {
    "none": 0,
    "coverage": 0,
    "memray": 0,
    "sentry": NOT_STREAMED,
    "opentelemetry": LOADING,
    "newrelic": LOADING,
    "ddtrace": LOADING,
    "silk": NOT_STREAMED,
    "debug_toolbar": NOT_STREAMED,
    "debug_toolbar_with_locals": 1,
}
"""Tools, and how many of the pages' statements they see."""


def served(tool, how, folder):
    """Return what the program prints that serves requests beside a tool."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.third_party.beside", tool, how, str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout[done.stdout.index('{"answers"') :]), done.stderr


def loading(statements):
    return [statement for statement in statements if 'FROM "app_account"' in statement]


@pytest.mark.parametrize("tool", SEES)
def test_a_request_beside_a_tool_is_the_same_to_both(tool, tmp_path):
    without, _ = served(tool, "without", tmp_path)
    measured, log = served(tool, "measured", tmp_path)

    assert {status for status, _ in without["answers"]} == {"200 OK"}
    routes = OTHER_ROUTES.get(tool, ROUTES)
    if tool == "debug_toolbar":  # its page has the time of each request
        assert [status for status, _ in measured["answers"]] == ["200 OK"] * len(routes)
    else:
        assert measured["answers"] == without["answers"]
    assert len(loading(without["statements"])) == SEES[tool]
    assert measured["statements"] == without["statements"]
    assert {route: rows for route, rows, _ in measured["reports"]} == routes
    assert len(measured["reports"]) == len(routes)
    assert not any(incomplete for *_, incomplete in measured["reports"])
    assert "django-memsize" not in log


def test_py_spy_sees_the_threads_of_a_server_that_goes_on(tmp_path):
    database = served_databases.SQLite(tmp_path)
    with Server("gthread", tmp_path, database) as server:
        serving = server.serving()
        server.wait_for(1)
        dumped = subprocess.run(
            [str(Path(sys.executable).parent / "py-spy"), "dump", "--pid", str(serving)],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert dumped.returncode == 0, dumped.stderr
        assert "_run (django_memsize/reports/writer_thread.py" in dumped.stdout
        server.get("/read/")
        assert len(server.wait_for(2)) == 2
