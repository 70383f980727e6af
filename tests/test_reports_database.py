"""Which database has the reports, and their own file beside a SQLite database."""

import threading

import pytest
from django.db import connection, connections
from django.test import override_settings

from django_memsize import conf
from django_memsize.models import Report
from django_memsize.reports import database


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Have the default database be a file of SQLite, and no test run; return the path."""
    path = tmp_path / "db.sqlite3"
    monkeypatch.setattr(conf, "is_under_test", lambda: False)
    before = connections.settings
    settings = before["default"] | {"ENGINE": "django.db.backends.sqlite3", "NAME": path}
    connections.settings = before | {"default": settings}
    yield path
    if hasattr(connections._connections, "memsize"):
        connections["memsize"].close()
        del connections["memsize"]
    connections.settings = before


def test_under_a_test_runner_the_reports_are_in_the_default_database():
    assert database.alias() == "default"
    assert "memsize" not in connections.settings


def test_the_database_that_the_settings_name_has_the_reports(file):
    for named in ("other", "default"):
        with override_settings(MEMSIZE={"DATABASE": named}):
            assert database.alias() == named
    assert "memsize" not in connections.settings


def test_invalid_settings_leave_the_default(file):
    with override_settings(MEMSIZE={"DATABASE": "nowhere"}):
        assert database.alias() == "memsize"


def test_beside_a_file_of_sqlite_the_reports_have_a_file_of_their_own(file):
    known = connections.settings

    assert database.alias() == "memsize"

    assert list(known) == ["default", "other"]  # another thread may be iterating over it
    own = connections.settings["memsize"]
    assert own["NAME"] == str(file.with_name("db.memsize.sqlite3"))
    assert own["ATOMIC_REQUESTS"] is False
    assert database.is_own_file("memsize")
    assert not database.is_own_file("default")
    assert Report.objects.all().db == "memsize"
    assert Report.objects.using("other").db == "other"
    assert not file.with_name("db.memsize.sqlite3").exists()


def test_the_size_of_their_own_file_includes_what_is_not_yet_copied_into_it(file):
    alias = database.alias()
    assert database.size(alias) == 0
    assert database.own_file(alias) == file.with_name("db.memsize.sqlite3")
    assert database.own_file("default") is None

    file.with_name("db.memsize.sqlite3").write_bytes(b"file")
    file.with_name("db.memsize.sqlite3-wal").write_bytes(b"its log")

    assert database.size(alias) == len(b"file") + len(b"its log")


def test_databases_that_the_program_adds_and_removes_later_are_known(file):
    programs = connections.settings
    assert database.alias() == "memsize"

    programs["tenant"] = programs["default"]
    connections.databases["another"] = programs["default"]

    assert connections["tenant"].alias == "tenant"
    assert connections["another"].alias == "another"
    assert list(programs) == list(connections) == ["default", "other", "tenant", "another"]
    del connections["tenant"], connections["another"], connections.databases["another"]
    assert "another" not in programs
    assert "another" not in connections.databases


def test_only_a_thread_that_reads_reports_has_the_own_file_among_its_databases(file):
    assert database.alias() == "memsize"
    seen = []

    def look():
        seen.append([each.alias for each in connections.all()])
        assert connections["memsize"].alias == "memsize"
        seen.append([each.alias for each in connections.all()])
        seen.append(len(connections.databases))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(60)

    programs = ["default", "other"]
    assert seen == [programs, [*programs, "memsize"], 3]
    assert list(connections) == list(connections.databases) == programs


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"NAME": "db.sqlite3", "ENGINE": "django.db.backends.sqlite3"}, "folder"),
        ({"OPTIONS": {"service": "one"}}, {"OPTIONS": {"service": "two"}}),
        ({"OPTIONS": {"read_default_file": "a"}}, {"OPTIONS": {"read_default_file": "b"}}),
    ],
)
def test_two_projects_are_told_apart_by_their_databases(monkeypatch, tmp_path, before, after):
    settings = connections.settings["default"]
    with monkeypatch.context() as patched:
        for key, value in before.items():
            patched.setitem(settings, key, value)
        one = database.identity()
        assert database.identity() == one
        if after == "folder":
            patched.chdir(tmp_path)
        else:
            for key, value in after.items():
                patched.setitem(settings, key, value)

        assert database.identity() != one


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/srv/db.sqlite3", "/srv/db.sqlite3"),
        ("file:/srv/db.sqlite3?mode=rwc", "/srv/db.sqlite3"),
        ("file::memory:?cache=shared", None),
        ("file:memorydb_default?mode=memory&cache=shared", None),
        (":memory:", None),
        ("", None),
    ],
)
def test_a_database_in_memory_has_no_file(name, expected):
    settings = {"ENGINE": "django.db.backends.sqlite3", "NAME": name}

    assert (str(database.file_of(settings)) if expected else database.file_of(settings)) == expected
    assert database.file_of(settings | {"ENGINE": "django.db.backends.postgresql"}) is None


@pytest.mark.django_db
def test_no_table_is_made_in_a_database_of_the_program():
    before = connection.introspection.table_names()

    database.prepare("default")

    assert connection.introspection.table_names() == before
    assert database.has_table("default")
    assert database.is_in_memory("default") is (connection.vendor == "sqlite")
