import sysconfig
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.db import connections
from django.test import override_settings

from django_memsize import checks, engine


@pytest.mark.parametrize(
    ("middleware", "expected"),
    [
        (["{ours}", "{other}"], []),
        (["{other}", "{ours}"], ["memsize.W001"]),
        (["{ours}", "{other}", "{ours}"], ["memsize.W002"]),
        (["{other}"], ["memsize.I001"]),
    ],
)
def test_the_middleware_belongs_at_the_top_once(middleware, expected):
    names = {"ours": checks.MIDDLEWARE, "other": django_settings.MIDDLEWARE[1]}
    with override_settings(MIDDLEWARE=[path.format(**names) for path in middleware]):
        messages = checks.check_middleware()

    assert [message.id for message in messages] == expected
    assert all(message.hint for message in messages)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 11, 7), []),
        ((3, 13, 9), []),
        ((3, 14, 0), ["memsize.W003"]),
        ((3, 14, 4), ["memsize.W003"]),
        ((3, 14, 5), []),
        ((3, 15, 0), []),
    ],
)
def test_a_python_with_the_incremental_collector_is_reported(monkeypatch, version, expected):
    monkeypatch.setattr(checks, "sys", SimpleNamespace(version_info=(*version, "final", 0)))
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 0}.get)

    messages = checks.check_python()

    assert [message.id for message in messages] == expected
    assert all("3.14.5" in message.hint for message in messages)
    assert all(".".join(map(str, version)) in message.msg for message in messages)


def test_a_free_threaded_build_has_no_incremental_collector(monkeypatch):
    monkeypatch.setattr(checks, "sys", SimpleNamespace(version_info=(3, 14, 2, "final", 0)))
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)

    assert checks.check_python() == []


@pytest.mark.django_db(databases="__all__")  # since Django 6.1 they ask each database
def test_the_check_of_python_runs_with_those_of_the_project(monkeypatch):
    monkeypatch.setattr(checks, "sys", SimpleNamespace(version_info=(3, 14, 0, "final", 0)))
    monkeypatch.setattr(sysconfig, "get_config_var", {"Py_GIL_DISABLED": 0}.get)

    assert "memsize.W003" in [message.id for message in run_checks()]


@pytest.mark.parametrize(
    ("instrument", "window", "expected"),
    [
        ("meter", None, ["memsize.W004"]),
        ("meter", object, []),
        ("auto", None, ["memsize.W005"]),
        ("auto", object, []),
        ("census", None, []),
        ("gauge", None, []),
    ],
)
def test_a_meter_that_the_engine_does_not_have_is_reported(
    monkeypatch, instrument, window, expected
):
    monkeypatch.setattr(engine, "Window", window)
    with override_settings(MEMSIZE={"INSTRUMENT": instrument}):
        messages = checks.check_instrument()

    assert [message.id for message in messages] == expected


@pytest.mark.django_db(databases="__all__")  # since Django 6.1 they ask each database
def test_the_check_of_the_instrument_runs_with_those_of_the_project(monkeypatch):
    monkeypatch.setattr(engine, "Window", None)
    with override_settings(MEMSIZE={"INSTRUMENT": "meter"}):
        assert "memsize.W004" in [message.id for message in run_checks()]


@pytest.mark.parametrize(
    ("named", "files", "expected"),
    [
        ("", {"default": "a.sqlite3"}, []),
        ("default", {"default": "a.sqlite3"}, ["memsize.W006"]),
        ("default", {"default": ":memory:"}, []),
        ("other", {"default": "a.sqlite3", "other": "b.sqlite3"}, []),
        ("other", {"default": "a.sqlite3", "other": "a.sqlite3"}, ["memsize.W006"]),
    ],
)
def test_a_file_of_sqlite_that_the_program_uses_too_is_reported(named, files, expected):
    before = connections.settings
    engine = {"ENGINE": "django.db.backends.sqlite3"}
    connections.settings = {
        alias: before[alias] | engine | {"NAME": files.get(alias, ":memory:")} for alias in before
    }
    try:
        with override_settings(MEMSIZE={"DATABASE": named}):
            messages = checks.check_database()
    finally:
        connections.settings = before

    assert [message.id for message in messages] == expected
    assert all(repr(named) in message.msg and message.hint for message in messages)


@pytest.mark.parametrize(("named", "expected"), [("", ["memsize.W007"]), ("other", [])])
def test_a_default_database_without_an_engine_is_reported(monkeypatch, named, expected):
    monkeypatch.setitem(connections.settings["default"], "ENGINE", "django.db.backends.dummy")
    with override_settings(MEMSIZE={"DATABASE": named}):
        messages = checks.check_database()

    assert [message.id for message in messages] == expected
    assert all("MEMSIZE['DATABASE']" in message.hint for message in messages)


@pytest.mark.parametrize("key", ["SAMPLE", "ROUTE"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", None),
        ("django.urls.resolve", None),
        ("no.such.module", "ModuleNotFoundError: "),
        ("django.urls.nothing", "ImportError: "),
        ("django.VERSION", "it is not callable"),
    ],
)
def test_a_callable_that_cannot_be_asked_is_reported(key, name, reason):
    with override_settings(MEMSIZE={key: name}):
        messages = checks.check_callables()

    assert [message.id for message in messages] == ["memsize.W008"] * (reason is not None)
    assert all(reason in message.msg and repr(name) in message.msg for message in messages)
    assert all(f"MEMSIZE['{key}']" in message.msg for message in messages)


def test_the_check_of_the_callable_runs_with_those_of_the_project():
    with override_settings(MEMSIZE={"SAMPLE": "no.such.module"}):
        assert "memsize.W008" in [message.id for message in run_checks()]
