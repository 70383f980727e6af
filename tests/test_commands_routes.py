"""``memprofile``: routes in the order of harm, of which period, as text and as JSON."""

import json
import time

import pytest
from django.core.management import CommandError
from django.db import OperationalError

from django_memsize import engine, models
from django_memsize.reports import overview
from django_memsize.values import Amount, CallSite, Evaluation
from tests.commands import create_first_counted, create_report, exit_code
from tests.rolled import insert, row, sample

pytestmark = pytest.mark.django_db(databases=["default", "other"])

MB = 1024**2


def ago(seconds):
    """Return the start of the minute so many seconds ago."""
    return int(time.time() - seconds) // 60 * 60


def metered(route, peak=2 * MB, **figures):
    known = {"instrument": "meter", "engine": "compiled", "net": None, "started_at": time.time()}
    amounts = {"peak": Amount(1, peak), "retained": Amount(0, 0), "garbage": Amount(0, 0)}
    return create_report(route, **known | amounts | figures)


def routes(text):
    return [line.split(" | ")[1].split()[-1] for line in text.splitlines()[2:] if " | " in line]


def test_routes_are_listed_by_impact_with_the_reason(memprofile):
    orders = Evaluation(
        "shop.Order",
        "instances",
        50_000,
        site=CallSite("shop/views.py", 31),
        peak=Amount(1, 83 * MB),
    )
    metered("/small/")
    large = metered("/large/", peak=83 * MB, rows=50_000, evaluations=(orders,))

    lines = memprofile().splitlines()

    cells = [cell.strip() for cell in lines[2].split(" | ")]
    reason = "peak 83.0 MB: 50,000 shop.Order at shop/views.py:31"
    assert cells == ["83.0 MB", "GET /large/", "1", str(large.pk), reason]
    assert "GET /small/" in lines[3]


def test_the_view_of_the_newest_report_is_beside_its_route(memprofile):
    metered("/orders/", view="shop.views.old")
    metered("/orders/", view="shop.views.orders")
    metered("/none/")

    lines = memprofile().splitlines()

    assert [cell.strip() for cell in lines[0].split(" | ")][1:4] == ["route", "view", "requests"]
    found = {tuple(cell.strip() for cell in line.split(" | ")[1:3]) for line in lines[2:4]}
    assert found == {("GET /orders/", "shop.views.orders"), ("GET /none/", "-")}
    listed = json.loads(memprofile("--format", "json"))["routes"]
    assert {each["route"]: each["view"] for each in listed} == {
        "/orders/": "shop.views.orders",
        "/none/": "",
    }


def test_counted_requests_are_listed_by_their_rows_and_rss(memprofile):
    insert(row(ago(300), "/rare/", 50_000))
    grown = row(ago(300), "/grows/", *[0] * 14)
    for _ in range(14):
        grown.rollup.add("rss_change", 8 * MB)
    insert(grown)

    lines = memprofile().splitlines()

    assert lines[2].endswith("RSS +8.0 MB in each of 14 requests")
    assert lines[3].endswith("50,000 rows, counted: some 38.1 MB if all are alive at once")


def test_the_imports_of_a_first_request_do_not_head_the_list(memprofile):
    metered("/imports/", peak=30 * MB, first_request=True)
    metered("/small/")

    text = memprofile()

    assert routes(text) == ["/small/", "/imports/"]
    assert "first requests only, which fill caches" in text


def test_a_first_request_that_was_only_counted_is_listed(memprofile):
    create_first_counted("/rare/", 50_000)
    metered("/small/")

    assert routes(memprofile()) == ["/rare/", "/small/"]


def test_what_memprofile_run_measured_is_not_listed(memprofile):
    metered("/run/", peak=90 * MB, source="run")
    metered("/live/")

    assert routes(memprofile()) == ["/live/"]


def test_the_order_the_period_the_routes_and_the_release_may_be_chosen(memprofile):
    metered("/large/", peak=9 * MB, rows=1, release="1")
    metered("/rows/", rows=90, release="2")
    metered("/old/", peak=99 * MB, started_at=time.time() - 3 * 86_400)

    assert routes(memprofile()) == ["/large/", "/rows/"]
    assert routes(memprofile("--sort", "rows")) == ["/rows/", "/large/"]
    assert routes(memprofile("routes", "--sort", "rows")) == ["/rows/", "/large/"]
    assert routes(memprofile("--sort", "rows", "routes")) == ["/rows/", "/large/"]
    assert routes(memprofile("--since", "5d"))[0] == "/old/"
    assert routes(memprofile("--route", "/r*")) == ["/rows/"]
    assert routes(memprofile("--release", "1")) == ["/large/"]


@pytest.mark.parametrize("words", [("--sort", "size"), ("--since", "soon"), ("--top", "0")])
def test_anything_else_is_refused(words):
    assert exit_code(*words) == 2


def test_an_option_of_the_list_before_another_subcommand_is_refused(memprofile):
    with pytest.raises(CommandError, match="--sort before 'traffic': write it behind") as caught:
        memprofile("--sort", "rows", "traffic")
    assert caught.value.returncode == 2


def test_top_limits_the_routes(memprofile):
    for number in range(5):
        metered(f"/{number}/")

    lines = memprofile("--top", "3").split("\n\n")[0].splitlines()

    assert len(lines) == 2 + 3 + 1
    assert lines[-1] == "and 2 more: --top N"


def test_the_growth_of_processes_is_told(memprofile):
    insert(
        row(ago(600), "/a/"),
        samples=[
            sample(ago(600), 7, requests=1, rss_min=55 * MB, rss_sum=60 * MB, rss_max=60 * MB),
            sample(ago(300), 7, requests=9, rss_min=283 * MB, rss_sum=283 * MB, rss_max=283 * MB),
            sample(ago(600), 8, rss_min=55 * MB, rss_sum=60 * MB, rss_max=60 * MB),
        ],
    )
    metered("/a/", peak=83 * MB)
    text = memprofile()

    assert "PID 7 on host grew from 55.0 MB to 283.0 MB since " in text
    assert "in 10 requests: 83.0 MB for the peak of GET /a/." in text
    assert "PID 8" not in text
    assert "PID 7" not in memprofile("--route", "/a/")
    workers = json.loads(memprofile("--format", "json"))["workers"]
    assert [worker["pid"] for worker in workers] == [7, 8]
    assert workers[0]["parts"] == [{"route": "GET /a/", "harm": "peak", "bytes": 83 * MB}]


def test_without_requests_the_output_says_how_to_get_one(memprofile):
    assert memprofile().startswith("No requests yet.")

    metered("/old/", started_at=time.time() - 3 * 86_400)
    text = memprofile()
    assert text.startswith("No requests since ")
    assert "--since 7d looks further back" in text


def test_without_the_middleware_the_output_says_so(memprofile, settings):
    settings.MIDDLEWARE = []

    assert "is not in MIDDLEWARE" in memprofile()


def test_what_could_not_be_stored_is_counted(memprofile):
    metered("/a/", dropped=3)
    metered("/a/", dropped=4)
    insert(samples=[sample(ago(300), lost_requests=2)])

    text = memprofile()

    assert "7 reports could not be stored. The log says why," in text
    assert "2 requests could not be stored, and are missing." in text


def test_a_database_that_fails_is_named(memprofile, monkeypatch):
    def fails(*_):
        raise OperationalError("canceling statement due to lock timeout\nLINE 1: SELECT")

    monkeypatch.setattr(overview, "read", fails)

    with pytest.raises(CommandError) as caught:
        memprofile()
    assert str(caught.value) == (
        "The database 'default' fails: OperationalError: canceling statement due to lock timeout"
    )


def test_routes_as_json(memprofile):
    report = metered("/accounts/", peak=3 * MB)

    document = json.loads(memprofile("--format", "json"))

    assert (document["dropped"], document["only_newest"]) == (0, None)
    (route,) = document["routes"]
    assert (route["route"], route["impact_bytes"], route["reason"]) == (
        "/accounts/",
        3 * MB,
        "peak 3.0 MB",
    )
    assert (route["report"], route["harms"][0]["report"]) == (report.pk, report.pk)


def test_without_a_meter_the_output_says_that_requests_are_only_counted(memprofile, monkeypatch):
    assert engine.Window is None or "only counted" not in memprofile()
    monkeypatch.setattr(engine, "Window", None)

    assert "Requests are only counted" in memprofile()
    assert "only counted" not in memprofile("--format", "json")


def test_only_the_newest_reports_are_added_up(memprofile, monkeypatch):
    monkeypatch.setattr(models, "NEWEST", 2)
    for number in range(3):
        metered(f"/{number}/", started_at=time.time() - 100 + number)

    assert "Of the newest 2 reports. Older ones are not included." in memprofile()
    assert json.loads(memprofile("--format", "json"))["only_newest"] == 2
