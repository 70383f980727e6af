import dataclasses
import re
import uuid
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_memsize import admin
from django_memsize.models import Report
from django_memsize.reports import recordings
from django_memsize.reports.build import report_of
from django_memsize.screens import filters
from django_memsize.values import (
    Amount,
    CallSite,
    Diff,
    Evaluation,
    Instances,
    NearPeak,
    Summary,
    TypeTotal,
)

LIST = "/admin/django_memsize/report/"

ACCOUNTS = Diff.of(
    (
        ("datetime.datetime", TypeTotal(6180, 296_640)),
        ("tests.app.models.Account", TypeTotal(3090, 173_040)),
        ("tuple", TypeTotal(-4, -272)),
    ),
    others=2,
    other=TypeTotal(5, 512),
)

EVALUATION = Evaluation(
    model="app.Account",
    kind="instances",
    rows=3090,
    duration=0.0252,
    site=CallSite("app/views.py", 41, "accounts"),
    sql='SELECT "app_account"."id" FROM "app_account" WHERE "app_account"."id" > %s',
    database="default",
    diff=ACCOUNTS,
)

CENSUS = Summary(
    kind="request",
    name="/accounts/",
    method="GET",
    status=200,
    started_at=datetime(2026, 3, 1, 12, 30, 15, tzinfo=UTC).timestamp(),
    duration=0.0283,
    engine="compiled",
    instrument="census",
    net=ACCOUNTS,
    rows=3090,
    evaluations=(EVALUATION,),
)


def amount(size, *types):
    return Amount(size // 64, size, Diff.of(types))


METERED_EVALUATION = dataclasses.replace(
    EVALUATION,
    allocated=amount(2 * 10**7),
    peak=amount(4_200_000),
    alive=amount(3_000_000),
    retained=amount(2_500_000),
)

NEAR_PEAK = Diff.of([("tests.app.models.Account", TypeTotal(3090, 4_200_000))])

METERED = dataclasses.replace(
    CENSUS,
    instrument="meter",
    net=None,
    evaluations=(METERED_EVALUATION,),
    allocated=amount(2 * 10**7),
    peak=amount(4_300_000),
    alive=amount(2_603_100),
    retained=amount(2_500_000, ("tests.app.models.Account", TypeTotal(3090, 2_500_000))),
    garbage=amount(3_100, ("garbage.Type", TypeTotal(3, 3000))),
    free_lists=amount(100_000, ("free_lists.Type", TypeTotal(5, 100_000))),
    near_peak=NearPeak(NEAR_PEAK, "app.Account", 3090, EVALUATION.site),
)

pytestmark = pytest.mark.django_db


def page_of(report):
    return f"{LIST}{report.pk}/change/"


def deletion_of(report):
    return f"{LIST}{report.pk}/delete/"


FIELDS = frozenset(field.name for field in dataclasses.fields(Summary))


def store(summary=CENSUS, **changes):
    """Store a report: of the summary with the changes to its fields, then to the columns."""
    of_summary = {name: value for name, value in changes.items() if name in FIELDS}
    report = report_of(dataclasses.replace(summary, **of_summary))
    for name in changes.keys() - FIELDS:
        setattr(report, name, changes[name])
    report.save(force_insert=True)
    return report


def main_of(response):
    return response.content.decode().partition("<main")[2].partition("</main>")[0]


def text_of(response):
    """Return the visible text: each run of blanks and tags becomes one blank."""
    return " ".join(re.sub(r"<[^>]*>", " ", main_of(response)).split())


@pytest.fixture
def report():
    return store()


@pytest.fixture
def metered():
    return store(METERED)


@pytest.fixture
def admin_client(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("admin"))
    return client


@pytest.fixture
def log_in(django_user_model):
    def log_in(*permissions, enforce_csrf_checks=False):
        user = django_user_model.objects.create_user("reader", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(enforce_csrf_checks=enforce_csrf_checks)
        client.force_login(user)
        return client

    return log_in


# Who may do what


def test_an_anonymous_visitor_is_sent_to_the_login(client, report):
    for url in (LIST, page_of(report), deletion_of(report)):
        response = client.get(url)

        assert response.status_code == 302
        assert response.url.startswith("/admin/login/")


def test_staff_without_the_permission_see_nothing(log_in, report):
    client = log_in()

    for url in (LIST, page_of(report), deletion_of(report)):
        assert client.get(url).status_code == 403


def test_the_permission_to_view_is_enough_to_see_list_and_page(log_in, report):
    client = log_in("view_report")

    assert "GET /accounts/" in text_of(client.get(LIST))
    assert "GET /accounts/" in text_of(client.get(page_of(report)))


def test_the_permission_to_view_does_not_delete(log_in, report):
    client = log_in("view_report")

    assert client.post(deletion_of(report), {"post": "yes"}).status_code == 403
    assert deletion_of(report) not in client.get(page_of(report)).content.decode()
    assert Report.objects.filter(pk=report.pk).exists()


def test_nobody_adds_a_report(admin_client, log_in):
    for client in (admin_client, log_in("add_report", "change_report", "view_report")):
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}add/", {"route": "/mine/"}).status_code == 403
        assert f"{LIST}add/" not in client.get(LIST).content.decode()
    assert not Report.objects.exists()


def test_nobody_changes_a_report(admin_client, log_in, report):
    for client in (admin_client, log_in("add_report", "change_report", "view_report")):
        for answer in ({"route": "/mine/"}, {"route": "/mine/", "_saveasnew": "1"}):
            assert client.post(page_of(report), answer).status_code == 403
        assert 'name="_save"' not in client.get(page_of(report)).content.decode()
    assert list(Report.objects.values_list("route", flat=True)) == ["/accounts/"]


def test_opening_the_page_of_deletion_deletes_nothing(admin_client, report):
    assert admin_client.get(deletion_of(report)).status_code == 200
    assert Report.objects.filter(pk=report.pk).exists()


def test_deletion_is_a_post_with_the_permission(log_in, report):
    client = log_in("view_report", "delete_report")

    response = client.post(deletion_of(report), {"post": "yes"})

    assert response.status_code == 302
    assert not Report.objects.exists()


def test_deletion_needs_the_csrf_token(log_in, report):
    client = log_in("view_report", "delete_report", enforce_csrf_checks=True)

    assert client.post(deletion_of(report), {"post": "yes"}).status_code == 403
    assert Report.objects.filter(pk=report.pk).exists()


def test_reports_are_deleted_from_the_list_after_a_question(admin_client, report):
    other = store()
    chosen = {"action": "delete_selected", "_selected_action": [str(report.pk)]}

    question = admin_client.post(LIST, chosen)
    assert question.status_code == 200
    assert Report.objects.count() == 2

    admin_client.post(LIST, chosen | {"post": "yes"})
    assert list(Report.objects.all()) == [other]


# The list


def test_the_list_has_the_figures_of_each_report(admin_client):
    store(in_flight=3, first_request=True)

    text = text_of(admin_client.get(LIST))

    figures = "458.9 KB evaluation +458.9 KB net – 3,090 28.3 ms 3 first census"  # noqa: RUF001
    assert f"GET /accounts/ 2026-03-01 12:30:15 {figures}" in text


def test_the_list_shows_a_dash_for_what_is_not_known(admin_client):
    store(evaluations=(), net=None, rows=0)

    assert "12:30:15 – – – 0 28.3 ms – – census" in text_of(admin_client.get(LIST))  # noqa: RUF001


def test_the_newest_report_comes_first(admin_client):
    store(name="/old/", started_at=datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    store(name="/new/", started_at=datetime(2026, 2, 1, tzinfo=UTC).timestamp())
    store(name="/older/", started_at=datetime(2025, 1, 1, tzinfo=UTC).timestamp())

    routes = re.findall(r"GET (/\w+/)", text_of(admin_client.get(LIST)))

    assert routes == ["/new/", "/old/", "/older/"]


@pytest.mark.parametrize("peak", ["peak_bytes", "largest_evaluation_bytes"])
@pytest.mark.parametrize("growth", ["retained_bytes", "net_bytes"])
@pytest.mark.parametrize("column", [3, 4, 5])
def test_sizes_are_sorted_with_the_unknown_ones_as_nothing(admin_client, column, growth, peak):
    for route, size in (("/none/", None), ("/large/", 9000), ("/less/", -9000), ("/small/", 10)):
        unknown = dict.fromkeys(("peak_bytes", "largest_evaluation_bytes", "retained_bytes"))
        sizes = dict.fromkeys((peak, growth, "garbage_bytes"), size)
        store(name=route, rows=0, **{"net_bytes": None} | unknown | sizes)

    up = re.findall(r"GET (/\w+/)", text_of(admin_client.get(LIST, {"o": column})))
    down = re.findall(r"GET (/\w+/)", text_of(admin_client.get(LIST, {"o": -column})))

    assert up == ["/less/", "/none/", "/small/", "/large/"]
    assert down == up[::-1]


def test_the_list_and_the_page_show_the_view(admin_client):
    report = store(view="shop.views.OrderViewSet.list")

    assert "GET /accounts/ shop.views.OrderViewSet.list 2026-" in text_of(admin_client.get(LIST))
    assert "view shop.views.OrderViewSet.list" in text_of(admin_client.get(page_of(report)))


def test_the_page_names_the_view_beside_the_line_of_a_library(admin_client):
    site = CallSite("lib/fields.py", 9, "get", is_library=True, view="shop.views.History")
    evaluation = Evaluation("app.Book", "values", 2, 0.001, site=site)
    text = text_of(admin_client.get(page_of(store(evaluations=(evaluation,)))))

    assert "app.Book values lib/fields.py:9 for shop.views.History not measured" in text


def test_reports_are_found_by_a_part_of_the_view(admin_client):
    store(name="/orders/", view="shop.views.OrderViewSet.list")
    store(name="/accounts/", view="shop.views.accounts")

    text = text_of(admin_client.get(LIST, {"q": "OrderView"}))

    assert "GET /orders/" in text
    assert "GET /accounts/" not in text


def test_routes_are_found_by_a_part(admin_client):
    store(name="/accounts/")
    store(name="/branches/")

    text = text_of(admin_client.get(LIST, {"q": "ranch"}))

    assert "/branches/" in text
    assert "/accounts/" not in text


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ({"kind__exact": "code"}, {"kind": "code"}),
        ({"method": "POST"}, {"method": "POST"}),
        ({"alone": "no"}, {"in_flight": 2}),
        ({"first_request__exact": "1"}, {"first_request": True}),
        ({"incomplete__exact": "1"}, {"incomplete": True}),
        ({"engine": "python"}, {"engine": "python"}),
        ({"instrument": "meter"}, {"instrument": "meter"}),
        ({"release": "2.0"}, {"release": "2.0"}),
        ({"route": "/found/"}, {}),
        ({"source__exact": "run"}, {"source": "run"}),
        (
            {"started_at__year": "2019"},
            {"started_at": datetime(2019, 5, 5, tzinfo=UTC).timestamp()},
        ),
    ],
)
def test_the_list_can_be_narrowed(admin_client, query, values):
    store(name="/left/out/", release="1.0")
    store(name="/found/", **values)

    text = text_of(admin_client.get(LIST, query))

    assert re.findall(r"/(?:left/out|found)/", text) == ["/found/"]


def test_reports_that_ran_alone_can_be_set_apart(admin_client):
    store(name="/alone/")
    store(name="/beside/", in_flight=1)

    text = text_of(admin_client.get(LIST, {"alone": "yes"}))

    assert "/alone/" in text
    assert "/beside/" not in text


def test_a_filter_offers_the_values_of_the_newest_reports_and_the_one_chosen(
    admin_client, monkeypatch
):
    monkeypatch.setattr(filters, "FILTER_LIMIT", 2)
    for release in ("1.0", "2.0", "3.0"):
        store(release=release)

    offered = admin_client.get(LIST).content.decode()
    assert "?release=3.0" in offered
    assert "?release=2.0" in offered
    assert "?release=1.0" not in offered
    assert "?release=1.0" in admin_client.get(LIST, {"release": "1.0"}).content.decode()


def test_a_list_of_many_reports_makes_as_many_queries_as_one_of_few(admin_client):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert admin_client.get(LIST).status_code == 200
        return len(captured)

    for _ in range(2):
        store()
    few = queries()
    for _ in range(40):
        store()

    assert queries() == few


@pytest.mark.parametrize(
    "query",
    [{}, {"q": "acc"}, {"method": "GET"}, {"alone": "yes"}, {"all": ""}, {"p": "2"}],
)
def test_the_list_never_counts_without_a_limit_nor_reads_documents(admin_client, query):
    for _ in range(60):
        store()

    with CaptureQueriesContext(connection) as captured:
        assert admin_client.get(LIST, query).status_code == 200

    ours = [one["sql"] for one in captured if "memsize_report" in one["sql"]]
    assert ours
    for sql in ours:
        assert "COUNT(" not in sql or f"LIMIT {admin.COUNT_LIMIT + 1}" in sql
        assert "DISTINCT" not in sql or "started_at" in sql
        assert '"document"' not in sql


def test_a_list_too_long_to_count_says_so_and_offers_nothing_that_reads_it_whole(
    admin_client, monkeypatch
):
    monkeypatch.setattr(admin, "COUNT_LIMIT", 60)
    for _ in range(60):
        store()

    whole = admin_client.get(LIST)
    store()
    cut = admin_client.get(LIST)

    assert "More than" not in text_of(whole)
    has_days = connection.features.has_zoneinfo_database
    assert ("started_at__day=1" in whole.content.decode()) is has_days
    assert "Select all 60" in text_of(whole)
    assert "More than 60 reports" in text_of(cut)
    assert "started_at__day=1" not in cut.content.decode()
    assert "Select all" not in text_of(cut)
    assert admin_client.get(LIST, {"p": "2"}).status_code == 200
    assert admin_client.get(LIST, {"p": "3"}).status_code == 302


def test_the_list_is_of_the_newest_reports(admin_client, monkeypatch):
    monkeypatch.setattr(admin, "LIST_LIMIT", 2)
    days = [datetime(2026, 3, day, tzinfo=UTC).timestamp() for day in (1, 2, 3)]
    store(name="/first/", started_at=days[1])
    store(name="/second/", started_at=days[0])
    assert "/second/" in text_of(admin_client.get(LIST))
    assert "newest" not in text_of(admin_client.get(LIST))

    store(name="/third/", started_at=days[2])
    text = text_of(admin_client.get(LIST, {"o": "1"}))

    assert re.findall(r"GET (/\w+/)", text) == ["/first/", "/third/"]
    assert "Only the newest reports are listed." in text


def test_the_list_shows_the_figures_of_a_meter(admin_client, metered):
    text = text_of(admin_client.get(LIST))

    assert "12:30:15 4.1 MB 2.4 MB 3.0 KB 3,090 28.3 ms – – meter" in text  # noqa: RUF001


def test_the_list_shows_what_the_rows_of_a_counted_request_may_take(admin_client):
    for route, rows in (("/many/", 50_000), ("/few/", 10), ("/none/", 0)):
        sizes = dict.fromkeys(("peak_bytes", "largest_evaluation_bytes", "net_bytes"))
        store(name=route, instrument="counted", rows=rows, **sizes)
    store(name="/metered/", peak_bytes=1024**2)

    text = text_of(admin_client.get(LIST, {"o": -3}))

    assert re.findall(r"GET (/\w+/)", text) == ["/many/", "/metered/", "/few/", "/none/"]
    assert "38.1 MB by rows – – 50,000" in text  # noqa: RUF001


# The page


def test_the_page_begins_with_the_sentence(admin_client, report):
    assert (
        "Loading 3,090 app.Account at app/views.py:41 added 458.9 KB to the heap; "
        "the heap grew by 458.9 KB during the request."
    ) in text_of(admin_client.get(page_of(report)))


def test_the_page_explains_each_figure(admin_client, report):
    text = text_of(admin_client.get(page_of(report)))

    assert "duration 28.3 ms time from start to end of the request, without overhead" in text
    assert "rows 3,090 loaded from the database by the ORM" in text


def test_the_page_notes_what_blurs_its_figures(admin_client):
    text = text_of(admin_client.get(page_of(store(in_flight=2, first_request=True))))

    assert "2 other requests ran at the same time" in text
    assert "The first request of its route in this process" in text


def test_the_page_lists_each_evaluation_with_its_place_and_statement(admin_client, report):
    text = text_of(admin_client.get(page_of(report)))

    assert "3,090 app.Account instances app/views.py:41 in accounts 458.9 KB 25.2 ms" in text
    assert "SELECT &quot;app_account&quot;.&quot;id&quot; FROM" in text


def test_the_page_lists_the_types_of_an_evaluation_and_of_the_end(admin_client, report):
    text = text_of(admin_client.get(page_of(report)))

    assert "datetime.datetime 6,180 289.7 KB 100%" in text
    assert "datetime.datetime +6,180 +289.7 KB 100%" in text
    assert "tests.app.models.Account +3,090 +169.0 KB 58%" in text
    assert "tuple -4 -272 B 0%, a decrease" in text
    assert "(2 other types) +5 +512 B" in text
    assert "All types +9,271 +458.9 KB" in text


def test_a_bar_is_as_long_as_its_share_and_dashed_for_a_decrease(admin_client, report):
    content = admin_client.get(page_of(report)).content.decode()

    bar = '<svg class="memsize-bar{}" aria-hidden="true"><rect width="{}%" height="100%"/></svg>'
    assert bar.format("", 58) in content
    assert bar.format(" memsize-decrease", 0) in content
    assert "Dashed bars: a decrease" in content


def test_the_page_says_which_statements_are_not_seen(admin_client):
    text = text_of(admin_client.get(page_of(store(evaluations=(), statements=7))))

    assert "statements 7 SQL outside evaluations: cursors, writes, count(), exists()." in text
    assert "bypass Django&#x27;s cursors are not seen" in text


def test_only_the_largest_evaluation_is_unfolded(admin_client):
    small = Evaluation("app.Book", "values", 2, 0.001, diff=Diff({"dict": 2}, {"dict": 400}))
    response = admin_client.get(page_of(store(evaluations=(small, EVALUATION))))

    assert [row.is_largest for row in response.context["page"].evaluations] == [False, True]
    assert response.content.decode().count("<details open>") == 1


def test_nested_evaluations_are_indented_and_say_so(admin_client):
    nested = Evaluation("app.Book", "instances", 7, 0.001, depth=1)
    response = admin_client.get(page_of(store(evaluations=(EVALUATION, nested))))

    assert 'class="memsize-level-1"' in response.content.decode()
    assert "inside the evaluation above: app.Book" in text_of(response)


def test_the_same_statement_again_and_again_is_one_row(admin_client):
    unmeasured = Evaluation(
        "app.Author", "instances", 1, 0.001, site=EVALUATION.site, sql="SELECT 1"
    )
    measured = dataclasses.replace(unmeasured, diff=ACCOUNTS)
    report = store(evaluations=(EVALUATION, measured, unmeasured))

    text = text_of(admin_client.get(page_of(report)))

    assert text.count("app.Author instances") == 1
    assert "458.9 KB (1 of 2 measured) 2.0 ms The same statement ran 2 times" in text


def test_a_loop_is_a_row_with_its_place_in_the_template(admin_client):
    site = CallSite("app/views.py", 41, "accounts", "app/<b>list</b>.html", 12)
    instances = Instances({"app.Author": 300, "app.Book": 290})
    loop = Evaluation("app.Author", "lazy", 300, 0.3, 300, site, instances=instances)

    response = admin_client.get(page_of(store(evaluations=(loop,))))

    text = text_of(response)
    assert "app.Author lazy, ×300, with 290 app.Book" in text  # noqa: RUF001
    assert "list&lt;/b&gt;.html:12, rendered by app/views.py:41 in accounts" in text
    assert "N+1: 300 statements, one for each app.Author." in text
    assert "<b>list" not in response.content.decode()


def test_the_page_says_how_many_evaluations_were_left_out(admin_client):
    built = Instances({"app.Account": 40})
    report = store(evaluations_omitted=7, omitted_instances=built)
    text = text_of(admin_client.get(page_of(report)))

    assert (
        "in the order in which they began; 7 smaller evaluations omitted, with 40 app.Account"
        in text
    )


def test_an_unknown_figure_of_an_evaluation_is_said_to_be_so(admin_client):
    bare = Evaluation(
        "app.Book", "values", 2, 0.001, streamed=True, database="other", sql="SELECT 2"
    )

    text = text_of(admin_client.get(page_of(store(evaluations=(bare,)))))

    assert "2 app.Book values, iterator() not known not measured 1.0 ms" in text
    assert "SQL on other" in text


def test_many_types_are_folded_away_by_name(admin_client):
    rows = tuple((f"app.Type{size}", TypeTotal(1, size)) for size in range(100, 80, -1))
    response = admin_client.get(page_of(store(net=Diff.of(rows, 3, TypeTotal(3, 30)))))

    assert "(8 other types) +8 +445 B" in text_of(response)
    assert "The other types by name" in text_of(response)
    assert "app.Type81 +1 +81 B" in text_of(response)


def test_the_page_leads_to_the_other_reports_of_its_route(admin_client):
    report = store(name="/a b/<int:pk>/&x=1")
    store(name="/unlike/")

    url = admin_client.get(page_of(report)).context["same_route_url"]
    text = text_of(admin_client.get(url))

    assert "/a b/&lt;int:pk&gt;/&amp;x=1" in text
    assert "/unlike/" not in text


# The page of a metered report


def test_the_page_of_a_meter_begins_with_peak_and_retained_bytes(admin_client, metered):
    text = text_of(admin_client.get(page_of(metered)))

    assert "Peak 4.1 MB loading 3,090 app.Account at app/views.py:41; 2.4 MB retained." in text


def test_an_evaluation_of_a_meter_has_its_figures_and_findings(admin_client, metered):
    text = text_of(admin_client.get(page_of(metered)))

    assert "Call site Allocated Peak Alive at the end Retained Duration" in text
    assert "in accounts 19.1 MB 4.0 MB 2.9 MB 2.4 MB 25.2 ms leak or cache? " in text


def bloated():
    gone = {"alive": amount(3_000_000), "retained": amount(100)}
    return store(METERED, evaluations=(dataclasses.replace(METERED_EVALUATION, **gone),))


def test_a_finding_has_a_class_of_its_own(admin_client):
    content = admin_client.get(page_of(bloated())).content.decode()

    assert '<strong class="memsize-finding memsize-bloat">bloat?</strong> ' in content


def again(report, **values):
    """Store a report of another request of the same route and process."""
    report = Report.objects.get(pk=report.pk)
    report.pk, report.uid = None, uuid.uuid4()
    for name, value in values.items():
        setattr(report, name, value)
    report.save(force_insert=True)


def test_reports_of_the_route_and_process_that_all_retain_suggest_a_leak(admin_client, metered):
    for _ in range(3):
        again(metered)

    text = text_of(admin_client.get(page_of(metered)))

    assert re.search(r" ms leak\? .*all 4 ", text)


def test_what_a_request_retains_without_evaluations_is_judged_with_links_to_the_evidence(
    admin_client,
):
    for _ in range(4):
        report = store(METERED, evaluations=())
    others = Report.objects.exclude(pk=report.pk).order_by("pk")

    response = admin_client.get(page_of(report))

    assert re.search(r" 2.4 MB retained\. leak\? 2.4 MB retained.*all 4 ", text_of(response))
    for other in others:
        assert f'<a href="{page_of(other)}">#{other.pk}</a>' in response.content.decode()


def test_one_report_of_several_that_retains_suggests_a_cache(admin_client, metered):
    for _ in range(2):
        store(METERED, evaluations=())

    text = text_of(admin_client.get(page_of(metered)))

    assert re.search(r" ms cache\? .*1 of 3 ", text)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "/other/"}, {"method": "POST"}, {"kind": "block"}, {"host": "other"}, {"pid": 7},
        {"release": "other"}, {"first_request": True}, {"incomplete": True}, {"retained": None},
        {"evaluations_omitted": 1}, {"evaluations": (EVALUATION,)},
    ],
)  # fmt: skip
def test_other_routes_processes_and_cut_reports_are_not_compared(admin_client, metered, changes):
    store(METERED, **changes)

    text = text_of(admin_client.get(page_of(metered)))

    assert "leak or cache? " in text
    assert "requests compared" not in text


def test_the_newest_five_reports_are_read_by_one_query_with_the_index(admin_client, metered):
    def asked(report):
        with CaptureQueriesContext(connection) as captured:
            response = admin_client.get(page_of(report))
        sql = [one["sql"] for one in captured if "memsize_report" in one["sql"]]
        return sql, text_of(response)

    (_,), _ = asked(store(METERED, evaluations=(), retained=amount(100)))
    for _ in range(7):
        again(metered)
    (_, others), text = asked(metered)

    assert " all 6 " in text
    assert others.endswith(" LIMIT 5")
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {others}")
            assert "memsize_route_started (route=?" in str(cursor.fetchall())


def test_the_page_of_a_meter_has_a_table_for_all_that_remains(admin_client, metered):
    response = admin_client.get(page_of(metered))
    page = response.context["page"]

    assert [(table.title, table.folded_as) for table in page.tables] == [
        ("Near the peak", ""),
        ("Retained", ""),
        ("Garbage", "3.0 KB by type"),
        ("Free lists", "97.7 KB by type"),
    ]
    text = text_of(response)
    assert "Near the peak 4.0 MB of this request alive near its peak, after loading 3,090" in text
    assert "2.4 MB, reachable from outside the request after it ended" in text
    assert "garbage.Type 3 2.9 KB 100%" in text
    assert "free_lists.Type 5 97.7 KB 100%" in text
    assert "What the words mean Retained: an object outside this request refers to this" in text


def test_the_table_near_the_peak_is_open_and_no_evaluation_repeats_it(admin_client, metered):
    response = admin_client.get(page_of(metered))

    assert "<details open>" not in response.content.decode()


def test_the_same_statement_again_and_again_has_sums_and_one_peak(admin_client):
    sizes = {"allocated": 4000, "peak": 3000, "alive": 2000, "retained": 100}
    amounts = {name: amount(size) for name, size in sizes.items()}
    evaluation = Evaluation("app.Author", "instances", 1, 0.001, sql="SELECT 1", **amounts)
    cut = Evaluation("app.Book", "instances", 1, 0.001, allocated=amount(1), peak=amount(1))
    report = store(METERED, evaluations=(evaluation, evaluation, cut))
    text = text_of(admin_client.get(page_of(report)))

    assert "7.8 KB 2.9 KB 3.9 KB 200 B 2.0 ms The same statement ran 2 times" in text
    assert "1 B 1 B not measured – 1.0 ms" in text  # noqa: RUF001


# Hostile or old content


def test_names_from_the_program_are_escaped(admin_client):
    evil = "<img src=x onerror=alert(1)>"
    types = Diff({evil: 1}, {evil: 100})
    evaluation = Evaluation(
        evil, evil, 1, 0.1, site=CallSite(evil, 1, evil), sql=evil, database=evil, diff=types
    )
    report = store(
        evaluations=(evaluation,), net=types, name=evil, host=evil, thread=evil, release=evil,
        engine="<img src=x>", instrument="<img src=x>", kind="<img src=x>",
    )  # fmt: skip
    store(release="other")

    for url in (LIST, page_of(report), deletion_of(report), f"{LIST}?q={evil}"):
        content = admin_client.get(url).content.decode()

        assert "&lt;img src=x onerror=alert(1)&gt;" in content
        assert "<img src=x" not in content


def test_control_characters_in_a_route_are_made_visible(admin_client):
    report = store(name="/a\u202e/\x1b[31m/")

    for url in (LIST, page_of(report)):
        text = text_of(admin_client.get(url))

        assert "GET /a\ufffd/\ufffd[31m/" in text


def test_a_report_with_an_empty_document_has_a_page(admin_client):
    text = text_of(admin_client.get(page_of(store(document={}))))

    assert "GET /accounts/" in text
    assert "No rows were loaded" in text
    assert "Evaluations Loadings" not in text


PARTS = {
    "sentence": "Loading 3,090 app.Account at app/views.py:41 added 458.9 KB to the heap",
    "figure": "duration 28.3 ms",
    "evaluation": "in accounts 458.9 KB 25.2 ms",
    "types of the evaluation": "datetime.datetime 6,180 289.7 KB 100%",
    "net": "datetime.datetime +6,180 +289.7 KB 100%",
}


def changed(document, path, value):
    """Return a copy of a document with one value changed or added; with ``...``, removed."""
    copy = dict(document) if isinstance(document, dict) else list(document)
    first, *rest = path
    if rest:
        copy[first] = changed(copy[first], rest, value)
    elif value is ...:
        del copy[first]
    else:
        copy[first] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "lost"),
    [
        (["new"], {"any": ["thing"]}, set()),
        (["evaluations", 0, "new"], 1, set()),
        (["net", "new"], 1, set()),
        (["evaluations", 0, "site", "new"], 1, set()),
        (["evaluations", 0, "sql"], ..., set()),
        (["duration"], ..., {"figure"}),
        (["duration"], "long", {"figure"}),
        (["net"], [1, 2], {"net"}),
        (["net", "rows"], [["dict", 1]], {"net"}),
        (["evaluations", 0, "diff"], ..., {"sentence", "evaluation", "types of the evaluation"}),
        (["evaluations", 0, "site"], 3, {"sentence", "evaluation"}),
        (["evaluations"], 3, {"sentence", "evaluation", "types of the evaluation"}),
        (["evaluations", 0], {}, {"sentence", "evaluation", "types of the evaluation"}),
    ],
)
def test_a_document_of_another_release_is_shown_as_far_as_it_goes(
    admin_client, report, path, value, lost
):
    report.document = changed(report.document, path, value)
    report.save()

    text = text_of(admin_client.get(page_of(report)))

    assert {part for part, shown in PARTS.items() if shown not in text} == lost


@pytest.mark.parametrize(
    "document",
    [[1, 2], "text", 3, {"evaluations": [1]}, {"peak": {"bytes": 1}}, {"near_peak": {"rows": 1}}],
)
def test_a_document_of_any_shape_has_a_page_and_is_listed(admin_client, document):
    report = store(document=document)

    assert "GET /accounts/" in text_of(admin_client.get(page_of(report)))
    assert "GET /accounts/" in text_of(admin_client.get(LIST))


def test_a_report_of_unknown_kind_is_shown(admin_client):
    report = store(kind="task", method="", name="", status=None, instrument="new")
    text = text_of(admin_client.get(page_of(report)))

    assert "(no route)" in text
    assert "change of the heap of the whole process from start to end of the run" in text
    assert "(no route)" in text_of(admin_client.get(LIST))


@pytest.mark.parametrize(
    "place",
    [
        "abc", "0", "-1", "9" * 40, "1%00", "1 OR 1=1", "%2e%2e%2f", "1.0", "None", "_5F", "'",
        "%F0%9F%92%A9", "1e9",
    ],
)  # fmt: skip
def test_an_id_that_is_none_leads_nowhere(admin_client, report, place):
    for page in ("change", "delete", "history"):
        response = admin_client.get(f"{LIST}{place}/{page}/")

        assert response.status_code in (302, 404)


@pytest.mark.parametrize(
    "query",
    [
        "o=abc", "o=99.-99..-", "o=" + "1." * 2000, "o=-0", "p=abc", "p=-1", "p=0", "p=" + "9" * 40,
        "all=", "e=1", "_facets=True", "_popup=1", "_to_field=id", "_to_field=password", "q=%00",
        "q=" + "a+" * 3000, "q=%22", "q=%ED%A0%80", "q=" + "a" * 100_000, "nonsense=1",
        "rows__gt=" + "9" * 40, "route__regex=(", "rows__in=" + "9" * 40, "id__in=abc",
        "document__name=1", "kind__exact=nonsense", "kind__exact=%00", "method=%00", "method=",
        "method=" + "x" * 10_000, "method__isnull=1", "first_request__exact=maybe",
        "first_request__exact=2",
        "alone=maybe", "engine=%3Cscript%3E", "release=%27", "started_at__year=abc",
        "started_at__year=0", "started_at__year=1", "started_at__year=9999",
        "started_at__year=99999", "started_at__year=9999&started_at__month=12",
        "started_at__year=9999&started_at__month=12&started_at__day=31",
        "started_at__year=2026&started_at__month=13", "started_at__year=2026&started_at__day=3",
        "started_at__month=2", "started_at__month=abc", "started_at__day=" + "9" * 40,
        "started_at__gte=abc", "started_at__gte=9999-12-31+23:59:59-14:00",
        "started_at__lt=0001-01-01+00:00:00%2B14:00", "started_at__gte=%00",
        "started_at__year=2026&started_at__year=abc", "__class__=1", "_changelist_filters=%00",
    ],
)  # fmt: skip
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_a_hostile_query_is_ignored_or_refused(admin_client, settings, report, query, zone):
    settings.TIME_ZONE = zone

    response = admin_client.get(f"{LIST}?{query}", follow=True)

    assert response.status_code in (200, 400)


@pytest.mark.parametrize("chosen", ["abc", "9" * 40, "", "\0", "-1"])
def test_an_action_on_what_is_no_id_is_refused(admin_client, report, chosen):
    action = {"action": "delete_selected", "_selected_action": [chosen], "post": "yes"}

    assert admin_client.post(LIST, action).status_code == 400
    assert Report.objects.filter(pk=report.pk).exists()


@pytest.mark.parametrize(
    "answer", [{"action": "nonsense"}, {"action": "delete_selected", "index": "x"}]
)
def test_an_action_that_is_none_does_nothing(admin_client, report, answer):
    response = admin_client.post(LIST, answer | {"_selected_action": [str(report.pk)]})

    assert response.status_code in (200, 302)
    assert Report.objects.filter(pk=report.pk).exists()


# What the pages are made of


class Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy forbids."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        self.found += [name for name in names if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        if str(names.get("href", "")).startswith("javascript:"):
            self.found.append("href")


def test_the_pages_have_no_inline_script_and_no_inline_style(admin_client, log_in, report):
    for client in (admin_client, log_in("view_report")):
        for url in (LIST, page_of(report)):
            parser = Inline()
            parser.feed(client.get(url).content.decode())

            assert parser.found == []


def test_the_style_of_the_pages_is_a_file(admin_client, report):
    for url in (LIST, page_of(report)):
        content = admin_client.get(url).content.decode()

        assert content.count("/static/django_memsize/report.css") == 1


def test_every_table_of_the_page_has_a_caption_and_headers_with_a_scope(admin_client, report):
    content = main_of(admin_client.get(page_of(report)))

    assert content.count("<table") == content.count("<caption") == 3
    headers = re.findall(r"<th\b[^>]*>", content)
    assert headers
    assert all('scope="' in header for header in headers)


def test_looking_at_reports_is_not_measured(admin_client, report):
    with recordings.collecting() as collected:
        admin_client.get(LIST)
        admin_client.get(page_of(report))
        admin_client.get(deletion_of(report))
        assert collected == []
        admin_client.get("/nothing/")

    assert len(collected) == 1
    assert Report.objects.count() == 1


@pytest.mark.django_db(databases=["default", "other"])
def test_reports_of_another_database_are_shown_and_deleted_there(admin_client, settings):
    settings.MEMSIZE = {"DATABASE": "other", "SAMPLE_RATE": 0.0}
    store(name="/here/")
    report = store(name="/there/")
    Report.objects.using("default").filter(pk=report.pk).delete()
    report.save(using="other", force_insert=True)

    text = text_of(admin_client.get(LIST))
    assert "/there/" in text
    assert "/here/" not in text
    assert "/there/" in text_of(admin_client.get(page_of(report)))
    admin_client.post(deletion_of(report), {"post": "yes"})
    assert not Report.objects.using("other").exists()
    assert Report.objects.using("default").count() == 1


class ToTheDefaultDatabase:
    """A router of a program, which knows nothing of reports."""

    def db_for_read(self, model, **hints):
        return "default"

    def db_for_write(self, model, **hints):
        return "default"


@pytest.mark.django_db(databases=["default", "other"])
def test_a_router_of_the_program_has_no_other_report_deleted(admin_client, settings):
    settings.MEMSIZE = {"DATABASE": "other", "SAMPLE_RATE": 0.0}
    settings.DATABASE_ROUTERS = [f"{__name__}.ToTheDefaultDatabase"]
    report = store(name="/here/")
    report.save(using="other", force_insert=True)

    admin_client.post(deletion_of(report), {"post": "yes"})

    assert not Report.objects.using("other").exists()
    assert Report.objects.using("default").count() == 1
