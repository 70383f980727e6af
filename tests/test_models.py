import pytest
from django.core.management import call_command

from django_memsize.models import Report
from django_memsize.values import Amount, Diff

pytestmark = pytest.mark.django_db


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


def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "django_memsize", check=True, dry_run=True, verbosity=0)


def test_the_worst_come_first_and_those_without_a_figure_last():
    small, large, unknown = report(net_bytes=1), report(net_bytes=2), report(net_bytes=None)

    assert list(Report.objects.worst_first()) == [large, small, unknown]


def test_warm_reports_leave_out_the_first_of_their_process():
    report(first_request=True)
    warm = report()

    assert list(Report.objects.after_the_first()) == [warm]


def test_routes_are_summed_up_each_by_its_method():
    report(net_bytes=100, rows=5)
    latest = report(net_bytes=300, rows=7)
    report(method="POST", net_bytes=50)

    get, post = Report.objects.by_route()

    assert (get["method"], get["reports"], get["average_net_bytes"]) == ("GET", 2, 200)
    assert (get["largest_net_bytes"], get["most_rows"], get["latest"]) == (300, 7, latest.pk)
    assert (post["method"], post["reports"]) == ("POST", 1)


def test_routes_have_what_a_meter_knows_apart_from_what_a_census_counted():
    report(net_bytes=100, retained_bytes=100, garbage_bytes=40, peak_bytes=900)
    report(net_bytes=300, retained_bytes=300, garbage_bytes=60, peak_bytes=700)
    report(net_bytes=5000)
    report(route="/counted/", net_bytes=60)

    mixed, counted = Report.objects.by_route()

    assert (mixed["average_retained_bytes"], mixed["largest_retained_bytes"]) == (200, 300)
    assert (mixed["average_garbage_bytes"], mixed["largest_peak_bytes"]) == (50, 900)
    assert (mixed["average_net_bytes"], mixed["largest_net_bytes"]) == (5000, 5000)
    assert counted["average_growth_bytes"] == counted["average_net_bytes"] == 60
    assert (counted["average_retained_bytes"], counted["largest_peak_bytes"]) == (None, None)


def test_a_report_knows_what_a_meter_knew():
    summary = report(peak_bytes=900, peak_blocks=9, retained_bytes=10, retained_blocks=1).summary()

    assert summary.is_metered
    assert summary.peak == Amount(9, 900)
    assert summary.retained == Amount(1, 10)
    assert summary.garbage is None
    assert not report().summary().is_metered


def test_a_report_without_documents_has_a_summary():
    summary = report().summary()

    assert summary.types == Diff.of()
    assert summary.loadings == ()
    assert summary.largest_loading is None


def test_the_table_has_few_indexes():
    indexes = [index.fields for index in Report._meta.indexes]
    indexed = [field.name for field in Report._meta.fields if field.db_index]

    assert indexes == [["route", "retained_bytes"]]
    assert indexed == ["started_at"]


def test_a_report_is_named_by_its_method_and_route():
    assert str(report()) == "GET /accounts/"
    assert str(report(method="", route="import")) == "import"
