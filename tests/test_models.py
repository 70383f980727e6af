import datetime
import os
import socket

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
    stored = build.report_of(Summary(**known | values))
    stored.save()
    return stored


# The table


def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "django_memsize", check=True, dry_run=True, verbosity=0)


def test_the_table_has_few_indexes():
    indexes = [index.fields for index in Report._meta.indexes]
    indexed = [field.name for field in Report._meta.fields if field.db_index]

    assert indexes == [["route", "retained_bytes"]]
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


def test_routes_are_summed_up_each_by_its_method():
    report(net_bytes=100, rows=5)
    latest = report(net_bytes=300, rows=7)
    report(method="POST", net_bytes=50)

    get, post = Report.objects.by_route()

    assert (get["method"], get["reports"], get["average_net_bytes"]) == ("GET", 2, 200)
    assert (get["largest_net_bytes"], get["most_rows"], get["latest"]) == (300, 7, latest.pk)
    assert (post["method"], post["reports"]) == ("POST", 1)


def test_routes_have_what_a_meter_knows_apart_from_what_a_census_counted():
    report(retained_bytes=100, garbage_bytes=40, peak_bytes=900)
    report(retained_bytes=300, garbage_bytes=60, peak_bytes=700)
    report(net_bytes=5000)
    report(route="/counted/", net_bytes=60)

    mixed, counted = Report.objects.by_route()

    assert (mixed["average_retained_bytes"], mixed["largest_retained_bytes"]) == (200, 300)
    assert (mixed["average_garbage_bytes"], mixed["largest_peak_bytes"]) == (50, 900)
    assert (mixed["average_net_bytes"], mixed["largest_net_bytes"]) == (5000, 5000)
    assert mixed["average_retained_or_net_bytes"] == (100 + 300 + 5000) / 3
    assert counted["average_retained_or_net_bytes"] == counted["average_net_bytes"] == 60
    assert (counted["average_retained_bytes"], counted["largest_peak_bytes"]) == (None, None)


def test_routes_are_ordered_by_their_average_retained_bytes_and_those_without_come_last():
    report(route="/small/", retained_bytes=1)
    report(route="/unknown/", instrument="counted")
    report(route="/large/", net_bytes=900)
    report(route="code", kind="code", net_bytes=10**6)

    routes = [route["route"] for route in Report.objects.by_route()]

    assert routes == ["/large/", "/small/", "/unknown/"]


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

    retaining = [frozenset({KEY}) == other for other in stored.retained_by_others()]

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
        {"evaluations_omitted": 1},
        {"evaluations": (Evaluation("bank.Account", "instances"),)},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_request_that_is_not_the_same_or_does_not_tell_all_is_not_compared(values):
    request(MB, **values)

    assert request(MB).retained_by_others() == []


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


def test_a_report_that_retains_nothing_asks_the_database_nothing(django_assert_num_queries):
    stored = request(0)

    with django_assert_num_queries(0):
        assert stored.retained_by_others() == []


def test_a_comparison_is_one_query(django_assert_num_queries):
    request(MB)
    stored = request(MB)

    with django_assert_num_queries(1):
        assert stored.retained_by_others() == [frozenset({KEY})]


def test_a_report_that_is_not_stored_is_compared_with_none():
    stored = request(MB)
    stored.pk = None

    assert stored.retained_by_others() == []


@pytest.mark.django_db(databases=["default", "other"])
def test_a_report_is_compared_within_its_database():
    request(MB)
    other = request(MB)
    other.pk = None
    other.started_at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    other.save(using="other")

    assert other.retained_by_others() == []
