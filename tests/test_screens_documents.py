import dataclasses
import json

import pytest

from django_memsize import conf
from django_memsize.models import Report
from django_memsize.reports.build import report_of
from django_memsize.screens.documents import document_of, readme_table
from django_memsize.values import Amount, CallSite, Evaluation, Summary

LOADED = Evaluation(
    "bank.Account",
    "instances",
    rows=3090,
    site=CallSite("bank/views.py", 24, "all_accounts"),
    alive=Amount(9, 3_000_000),
    retained=Amount(9, 2_400_000),
)
SUMMARY = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    status=200,
    instrument="meter",
    peak=Amount(9, 3_100_000),
    retained=Amount(9, 2_400_000),
    evaluations=(LOADED,),
)

pytestmark = pytest.mark.django_db


def test_a_document_has_the_figures_of_the_summary_under_their_names():
    document = json.loads(json.dumps(document_of(report_of(SUMMARY))))

    assert document.keys() >= {field.name for field in dataclasses.fields(Summary)}
    assert document["retained"]["bytes"] == 2_400_000
    assert document["evaluations"][0]["site"]["line"] == 24


def test_a_document_has_the_sentence_the_findings_and_the_notes():
    document = document_of(report_of(SUMMARY))

    assert document["id"] is None
    assert "3,090 bank.Account at bank/views.py:24" in document["sentence"]
    (finding,) = document["findings"]
    assert (finding["name"], finding["evaluation"]) == ("leak-or-cache", 0)
    assert finding["sentence"].startswith("2.3 MB retained")
    assert isinstance(document["notes"], list)


def test_a_stored_report_is_compared_with_others_of_its_route():
    database = conf.config().database
    for _ in range(3):
        report = report_of(SUMMARY)
        report.save(using=database)

    document = document_of(Report.objects.get(pk=report.pk))

    assert document["id"] == report.pk
    assert [finding["name"] for finding in document["findings"]] == ["leak"]


def test_every_key_is_explained_in_the_readme():
    table = readme_table()

    for field in dataclasses.fields(Summary):
        assert f"| `{field.name}` |" in table
    for name in ("id", "sentence", "findings", "notes"):
        assert f"| `{name}` |" in table
