"""Whether the rows of an iterator are in memory all at once."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from django.db import connections

from django_memsize.reports import drivers

MYSQL = "as_mysql"


@pytest.fixture
def alias(monkeypatch):
    """Return a function that makes an alias with these settings."""
    backend = ModuleType(f"{MYSQL}.base")
    backend.DatabaseWrapper = SimpleNamespace(vendor="mysql")
    monkeypatch.setitem(sys.modules, MYSQL, ModuleType(MYSQL))
    monkeypatch.setitem(sys.modules, f"{MYSQL}.base", backend)

    def make(engine=MYSQL, **settings):
        monkeypatch.setitem(connections.settings, "another", {"ENGINE": engine} | settings)
        return "another"

    return make


def test_the_driver_of_mysql_fetches_all_rows_unless_another_cursor_is_named(alias):
    assert "MariaDB" in drivers.why_all_at_once(alias())
    assert "MariaDB" in drivers.why_all_at_once(alias(OPTIONS={"charset": "utf8mb4"}))
    assert drivers.why_all_at_once(alias(OPTIONS={"cursorclass": "SSCursor"})) == ""


def test_without_server_side_cursors_all_rows_are_fetched(alias):
    sqlite = "django.db.backends.sqlite3"

    assert drivers.why_all_at_once(alias(sqlite, DISABLE_SERVER_SIDE_CURSORS=False)) == ""
    assert drivers.why_all_at_once(alias(sqlite, DISABLE_SERVER_SIDE_CURSORS=True)) == (
        "DISABLE_SERVER_SIDE_CURSORS has all rows fetched at once"
    )


def test_nothing_is_known_of_an_alias_that_there_is_no_more():
    assert drivers.why_all_at_once("gone") == ""


def test_the_database_of_the_tests_is_judged_by_its_vendor():
    is_said = bool(drivers.why_all_at_once("default"))

    assert is_said is (connections["default"].vendor == "mysql")
