"""Of requests that are not chosen to be measured rows are counted, and the worst are kept."""

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import include, path

from django_memsize import conf, engine, measure, process
from django_memsize.measuring import rss
from django_memsize.measuring.spans import open_span
from django_memsize.models import Report
from django_memsize.reports import outliers, recordings
from django_memsize.screens import terminal
from tests.app.models import Account
from tests.visits import EVERY_REQUEST, create_accounts, others_under_way

pytestmark = [pytest.mark.usefixtures("as_under_a_test_client"), pytest.mark.django_db]

UNSAMPLED = EVERY_REQUEST | {"SAMPLE_RATE": 0}


def one_by_one(request):
    keys = Account.objects.values_list("pk", flat=True)[:1200]
    for key in keys:
        Account.objects.get(pk=key)
    return HttpResponse(str(len(keys)))


def by_cursor(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM app_account")
        return HttpResponse(str(len(cursor.fetchall())))


def growing(request):
    memory.append(memory[-1] + 2 * outliers.GROWTH)
    return HttpResponse("grown")


memory = [10**9]

urlpatterns = [
    path("one-by-one/", one_by_one),
    path("by-cursor/", by_cursor),
    path("growing/", growing),
    path("", include("tests.urls")),
]


@pytest.fixture(autouse=True)
def unsampled(settings, monkeypatch):
    """Choose no request, and have the process grow by nothing but what a test says."""
    settings.MEMSIZE = UNSAMPLED
    settings.ROOT_URLCONF = __name__
    monkeypatch.setattr(rss, "size", lambda: memory[-1])


def test_a_request_that_loads_much_is_kept_once(client):
    create_accounts(3090)
    for _ in range(3):
        assert client.get("/accounts/").content == b"3090"

    report = Report.objects.get()
    assert (report.route, report.instrument, report.rows) == ("/accounts/", "evaluation_log", 3090)
    for figure in ("net_bytes", "peak_bytes", "retained_bytes", "largest_evaluation_bytes"):
        assert getattr(report, figure) is None
    (loading,) = report.summary().loadings
    assert (loading.site.function, dict(loading.instances)) == ("accounts", {"app.Account": 3090})
    assert open_span() is None
    assert others_under_way() == 0


def test_a_request_that_loads_little_is_not_kept(client):
    create_accounts(outliers.ROWS - 1)
    with CaptureQueriesContext(connection) as captured:
        client.get("/accounts/")

    assert len(captured) == 1
    assert not Report.objects.exists()


def test_a_stream_is_counted_to_its_end(client):
    create_accounts(3090)
    response = client.get("/accounts/stream/")
    assert not Report.objects.exists()
    assert response.getvalue().count(b"\n") == 3090
    response.close()

    assert Report.objects.get().rows == 3090


def test_a_loop_is_one_line(client):
    create_accounts(1200)
    client.get("/one-by-one/")

    summary = Report.objects.get().summary()
    assert [(one.kind, one.times, one.rows) for one in summary.loadings] == [
        ("values_list", 1, 1200),
        ("instances", 1200, 1200),
    ]
    assert "1,200 app.Account \N{MULTIPLICATION SIGN}1,200 at tests/test_light.py" in "\n".join(
        terminal.evaluation_lines(summary)
    )


def test_rows_of_cursors_count_as_well(client):
    create_accounts(1200)
    client.get("/by-cursor/")

    summary = Report.objects.get().summary()
    assert (summary.rows, summary.statements, summary.cursor_rows) == (0, 1, 1200)
    assert terminal.sentence(summary).startswith("1,200 rows fetched by cursors; ")


def test_a_request_by_which_the_process_grows_is_kept_but_for_the_first(client):
    client.get("/growing/")
    assert not Report.objects.exists()

    client.get("/growing/")

    report = Report.objects.get()
    assert not report.first_request
    assert report.rss_after - report.rss_before == 2 * outliers.GROWTH
    assert terminal.sentence(report.summary()) == (
        "No rows were loaded; not measured, the process grew by 16.0 MB."
    )


def test_what_is_measured_of_a_route_is_not_kept_lightly_again(client, settings):
    create_accounts(3090)
    settings.MEMSIZE = EVERY_REQUEST
    client.get("/accounts/")
    recordings.analyse_now()
    settings.MEMSIZE = UNSAMPLED
    client.get("/accounts/")

    assert [report.instrument for report in Report.objects.all()] == [
        "census" if engine.Window is None else "meter"
    ]


@pytest.mark.parametrize(
    "changes", [{"ENABLED": False}, {"EXCLUDE": ["/accounts/"]}, {"SAMPLE_RATE": 7}]
)
def test_nothing_is_kept_where_the_settings_say_so(client, settings, caplog, changes):
    create_accounts(3090)
    settings.MEMSIZE = UNSAMPLED | changes
    client.get("/accounts/")

    assert not Report.objects.exists()


def test_nothing_is_kept_under_a_test_runner_unless_asked(client, monkeypatch):
    create_accounts(3090)
    with monkeypatch.context() as unasked:  # what is counted is counted down afterwards
        unasked.setattr(conf, "_overridden", 0)
        client.get("/accounts/")

    assert not Report.objects.exists()


@pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter")
def test_a_request_inside_a_measured_block_is_measured_as_part_of_it(client, settings):
    create_accounts(3090)
    settings.MEMSIZE = UNSAMPLED | {"EVALUATIONS": True}
    with measure("around") as around:
        client.get("/accounts/")

    (evaluation,) = around.evaluations
    assert evaluation.diff["tests.app.models.Account"].count == 3090
    assert not Report.objects.exists()


def test_the_page_of_a_light_report_says_what_is_not_known(client, admin_client):
    create_accounts(3090)
    client.get("/accounts/")
    report = Report.objects.get()
    process.reset()

    page = admin_client.get(f"/admin/django_memsize/report/{report.pk}/change/")

    text = page.content.decode()
    assert "Loaded 3,090 app.Account at tests/app/views.py" in text
    assert "Not chosen to be measured, but kept" in text
    assert "On the heap" not in text
    assert "net" not in [name for name, _, _ in page.context["page"].figures]
