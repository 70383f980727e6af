import json
import time

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from django_memsize.models import Report
from django_memsize.reports import chunks, retention
from django_memsize.values.rollup import Level
from tests.commands import create_report
from tests.rolled import insert, row, sample, stored

MIDNIGHT = time.time() // 86_400 * 86_400 - 20 * 86_400

pytestmark = pytest.mark.django_db(databases=["default", "other"])


@pytest.fixture(autouse=True)
def _reports(settings, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 2)
    settings.MEMSIZE = {"RETENTION": 3, "RETENTION_DAYS": None}
    for _ in range(20):
        create_report()


def test_reports_that_are_no_longer_kept_are_deleted(memprofile):
    assert memprofile("prune") == "14 reports deleted.\n"
    assert Report.objects.count() == 6
    assert memprofile("prune") == "0 reports deleted.\n"


def test_all_reports_are_deleted_where_that_is_asked_for(memprofile):
    assert memprofile("prune", "--all") == "20 reports deleted.\n"
    assert not Report.objects.exists()


def test_the_figures_of_routes_are_merged_or_deleted(memprofile):
    insert(row(MIDNIGHT), row(MIDNIGHT), samples=[sample(MIDNIGHT)], now=MIDNIGHT)
    assert memprofile("prune").splitlines() == [
        "14 reports deleted.",
        "Of the figures of routes: 0 rows deleted, 6 merged.",
    ]
    assert [level for level, *_ in stored()] == [Level.DAY]

    assert memprofile("prune", "--all").splitlines()[1:] == [
        "Of the figures of routes: 2 rows deleted, 0 merged."
    ]
    assert stored() == []


def test_a_database_that_fails_is_named(memprofile, monkeypatch):
    def fails(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(retention, "_delete_chunk", fails)

    with pytest.raises(CommandError, match="'default' fails: OperationalError: gone"):
        memprofile("prune")


def test_the_number_of_deleted_reports_as_json(memprofile):
    assert json.loads(memprofile("prune", "--format", "json")) == {
        "deleted": 14,
        "deleted_rollups": 0,
        "merged_rollups": 0,
    }


def test_reports_of_the_database_of_the_settings_are_deleted(memprofile, settings):
    Report.objects.using("other").bulk_create(Report.objects.all())
    settings.MEMSIZE = settings.MEMSIZE | {"DATABASE": "other"}

    memprofile("prune")

    assert Report.objects.using("other").count() == 6
    assert Report.objects.using("default").count() == 20
