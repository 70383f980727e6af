"""``memprofile traffic``: since when, of which release, as text and as JSON."""

import json
import time

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from django_memsize import models
from django_memsize.reports import rollup_storage
from tests.commands import exit_code
from tests.rolled import insert, row, sample

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def ago(seconds):
    """Return the start of the minute so many seconds ago."""
    return int(time.time() - seconds) // 60 * 60


def routes(text):
    return [line.split(" | ")[0].split()[1] for line in text.splitlines()[2:] if " | " in line]


def test_the_routes_of_the_last_day_are_listed(memprofile):
    insert(row(ago(300), "/new/", 1, 2, 3), row(ago(40 * 3600), "/old/", 1))
    insert(row(ago(240), "/also/", 1), samples=[sample(ago(240), lost_requests=2)])

    text = memprofile("traffic")

    assert routes(text) == ["/new/", "/also/"]
    assert "4 requests since " in text
    assert "2 requests could not be stored" in text


def test_since_may_be_an_age_or_a_date(memprofile):
    insert(row(ago(40 * 60), "/new/"), row(ago(3 * 86_400), "/old/"))

    assert routes(memprofile("traffic", "--since", "50m")) == ["/new/"]
    assert memprofile("traffic", "--since", "20m").startswith("No requests since ")
    assert len(routes(memprofile("traffic", "--since", "5d"))) == 2
    assert len(routes(memprofile("traffic", "--since", "2020-01-01"))) == 2
    assert len(routes(memprofile("traffic", "--since", "999999d"))) == 2
    assert memprofile("traffic", "--since", "2999-01-01 10:00").startswith("No requests since ")


@pytest.mark.parametrize("text", ["", "h", "yesterday", "1y", "-1h", "2026-13-01", "9999999d"])
def test_anything_else_is_refused(text, capsys, settings):
    settings.TIME_ZONE = "Europe/Berlin"

    assert exit_code("traffic", f"--since={text}") == 2
    assert "is neither an age such as 90m" in capsys.readouterr().err


def test_one_release_may_be_chosen(memprofile):
    insert(row(ago(60), "/a/", release="1.0"), row(ago(60), "/a/", release="2.0"))

    assert "2 requests since" in memprofile("traffic")
    assert "1 request since" in memprofile("traffic", "--release", "1.0")
    assert memprofile("traffic", "--release", "3.0").startswith("No requests")


def test_the_order_and_the_number_of_routes(memprofile):
    insert(row(ago(60), "/many/", 1, 1), row(ago(60), "/large/", 50))

    assert routes(memprofile("traffic")) == ["/many/", "/large/"]
    text = memprofile("traffic", "--sort", "rows", "--top", "1")
    assert routes(text) == ["/large/"]
    assert "and 1 more: --top N" in text


def test_routes_as_json(memprofile):
    insert(row(ago(60), "/a/", 5, 7))
    document = json.loads(memprofile("traffic", "--format", "json", "--since", "1h"))

    (route,) = document["routes"]
    assert (route["route"], route["requests"]) == ("/a/", 2)
    assert (route["rows"]["sum"], route["rows"]["max"]) == (12, 7)
    assert route["duration"]["max"] == 0.008


def test_without_time_zones_the_time_is_local(memprofile, settings):
    settings.USE_TZ = False
    insert(row(ago(60)))

    assert "1 request since " in memprofile("traffic")
    assert "1 request since " in memprofile("traffic", "--since", "2020-01-01")


def test_rows_are_read_from_the_database_of_the_settings(memprofile, settings):
    settings.MEMSIZE = {"DATABASE": "other"}
    insert(row(ago(60), "/other/"), database="other")
    insert(row(ago(60), "/default/"))

    assert routes(memprofile("traffic")) == ["/other/"]


def test_a_database_that_fails_is_named(memprofile, monkeypatch):
    def fails(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(rollup_storage, "read_routes", fails)

    with pytest.raises(CommandError, match="'default' fails: OperationalError: gone"):
        memprofile("traffic")


@pytest.mark.parametrize("words", [("traffic",), ("prune",)])
def test_without_the_tables_of_rollups_the_error_names_migrate(memprofile, monkeypatch, words):
    monkeypatch.setattr(models.Rollup._meta, "db_table", "nowhere")

    with pytest.raises(CommandError, match=r"manage\.py migrate django_memsize"):
        memprofile(*words)
