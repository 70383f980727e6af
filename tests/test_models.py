import datetime
import os
import socket
import uuid

import pytest
from django.core.management import call_command

from django_memsize.models import Report
from django_memsize.reports import build, serialization
from django_memsize.values import Amount, CallSite, Diff, Evaluation, Summary, TypeTotal

pytestmark = pytest.mark.django_db

MB = 1024**2
SITE = CallSite("bank/views.py", 41, "accounts")
KEY = ("bank.Account", "instances", "bank/views.py:41")


def report(**values):
    known = {
        "kind": "request",
        "route": "/accounts/",
        "method": "GET",
        "started_at": "2026-01-01T00:00:00Z",
        "duration": 0.1,
        "engine": "python",
        "instrument": "census",
    }
    return Report.objects.create(**known | values)


def request(retained, /, **values):
    """Store a request whose only evaluation retains so many bytes, and return its report."""
    amount = Amount(1, retained)
    evaluation = Evaluation("bank.Account", "instances", site=SITE, alive=amount, retained=amount)
    known = {
        "kind": "request",
        "name": "/accounts/",
        "method": "GET",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "instrument": "meter",
        "peak": amount,
        "retained": amount,
        "evaluations": (evaluation,),
    }
    pk = values.pop("pk", None)
    stored = build.report_of(Summary(**known | values))
    stored.pk = pk
    stored.save(force_insert=True)
    return stored


# The table


def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "django_memsize", check=True, dry_run=True, verbosity=0)


def test_the_table_has_few_indexes():
    indexes = [index.fields for index in Report._meta.indexes]
    indexed = [field.name for field in Report._meta.fields if field.db_index]

    assert indexes == [["route", "started_at"]]
    assert indexed == ["started_at"]


@pytest.mark.parametrize(
    ("values", "text"), [({}, "GET /accounts/"), ({"method": "", "route": "import"}, "import")]
)
def test_a_report_is_named_by_its_method_and_route(values, text):
    assert str(report(**values)) == text


# Questions asked of many


def test_the_first_request_of_a_route_can_be_left_out():
    report(first_request=True)
    later = report()

    assert list(Report.objects.after_the_first()) == [later]


def started(number):
    return datetime.datetime(2026, 1, number, tzinfo=datetime.UTC)


def test_questions_may_look_at_the_newest_reports():
    for number in (3, 1, 4, 2):
        report(started_at=started(number), rows=number)
    reports = Report.objects.all()

    for number, expected in ((1, [4]), (2, [3, 4]), (3, [2, 3, 4])):
        start = reports.start_of_newest(number)
        assert start == started(expected[0])
        found = reports.started_since(start).order_by("started_at")
        assert list(found.values_list("rows", flat=True)) == expected
    assert reports.start_of_newest(4) is None
    assert reports.started_since(None).count() == 4


def test_reports_that_started_at_once_are_all_among_the_newest():
    for _ in range(5):
        report(started_at=started(1))
    reports = Report.objects.all()

    assert reports.started_since(reports.start_of_newest(2)).count() == 5


# One report


def test_a_report_has_the_figures_of_its_document():
    types = Diff.of([("dict", TypeTotal(1, 10))])
    summary = Summary(name="/accounts/", peak=Amount(9, 900), retained=Amount(1, 10, types))
    stored = report(document=serialization.to_document(summary))
    stored.refresh_from_db()

    assert stored.summary() == summary


@pytest.mark.parametrize("document", [{}, [], "text", 5, {"of_a_newer_release": 1}, {"peak": 5}])
def test_a_report_whose_document_cannot_be_read_has_an_empty_summary(document):
    stored = report(document=document)
    stored.refresh_from_db()

    assert stored.summary() == Summary()


# Comparison


def test_a_report_is_compared_with_the_newest_others_of_its_route_and_process():
    for retained in (MB, MB, 0, MB, 0, MB):
        request(retained)
    stored = request(MB)
    request(0)

    others = stored.retained_by_others()
    retaining = [frozenset({KEY}) == other.evaluations for other in others]

    # The newest first, and five at most.
    assert retaining == [False, True, False, True, False]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "/branches/"},
        {"method": "POST"},
        {"host": "web-2"},
        {"pid": 1},
        {"release": "2024-05-01"},
        {"kind": "block"},
        {"first_request": True},
        {"incomplete": True},
        {"retained": None},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_request_that_is_not_the_same_is_not_compared(values):
    request(MB, **values)

    assert request(MB).retained_by_others() == []


@pytest.mark.parametrize(
    "values",
    [
        {"evaluations_omitted": 1},
        {"evaluations": (Evaluation("bank.Account", "instances"),)},
    ],
    ids=lambda values: next(iter(values)),
)
def test_the_evaluations_of_a_request_that_does_not_tell_all_are_not_compared(values):
    request(MB, **values)

    (other,) = request(MB).retained_by_others()

    assert other.evaluations is None


@pytest.mark.parametrize("evaluations", [..., None, 5, [{}], [{"model": "bank.Account"}]])
def test_a_request_whose_evaluations_cannot_be_read_is_not_compared(evaluations):
    other = request(MB)
    other.document["evaluations"] = evaluations
    if evaluations is ...:
        del other.document["evaluations"]
    other.save()

    assert request(MB).retained_by_others() == []


@pytest.mark.parametrize("document", [{}, [], "text"])
def test_a_request_whose_document_cannot_be_read_is_not_compared(document):
    other = request(MB)
    other.document = document
    other.save()

    assert request(MB).retained_by_others() == []


def test_a_report_is_compared_with_those_that_were_stored_at_about_the_same_time():
    for number in (1, 4999, 5000, 10_000, 15_000, 15_001):
        request(MB, pk=number)
    stored = Report.objects.get(pk=10_000)

    assert len(stored.retained_by_others()) == 2


def test_a_report_that_retains_nothing_asks_the_database_nothing(django_assert_num_queries):
    stored = request(0)

    with django_assert_num_queries(0):
        assert stored.retained_by_others() == []


def test_a_comparison_is_one_query(django_assert_num_queries):
    request(MB)
    stored = request(MB)

    with django_assert_num_queries(1):
        (other,) = stored.retained_by_others()
    assert (other.key, other.evaluations) == (stored.pk - 1, frozenset({KEY}))


def test_a_report_that_is_not_stored_is_compared_with_none():
    stored = request(MB)
    stored.pk, stored.uid = None, uuid.uuid4()

    assert stored.retained_by_others() == []


@pytest.mark.django_db(databases=["default", "other"])
def test_a_report_is_compared_within_its_database():
    request(MB)
    other = request(MB)
    other.pk, other.uid = None, uuid.uuid4()
    other.started_at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    other.save(using="other")

    assert other.retained_by_others() == []
