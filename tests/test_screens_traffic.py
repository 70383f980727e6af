"""The table and the document of routes."""

from datetime import UTC, datetime

import pytest

from django_memsize.screens import traffic
from django_memsize.values import ProcessRollup, RouteKey, RouteRollup
from django_memsize.values.rollup import FIGURES

SINCE = datetime(2026, 2, 1, 12, tzinfo=UTC)
MB = 1024**2


def rollup(durations=(), peaks=(), rows=(), changes=()):
    """Return the rollup of requests with these figures; durations are in milliseconds."""
    made = RouteRollup()
    made.requests, made.metered = len(durations), len(peaks)
    for name, numbers in (("peak", peaks), ("rows", rows), ("rss_change", changes)):
        for number in numbers:
            made.add(name, number)
    for duration in durations:
        made.add("duration", duration * 1_000_000)
    return made


def key(route, method="GET"):
    return RouteKey("request", method, route, "")


ROUTES = {
    key("/small/"): rollup([10] * 99 + [1000]),
    key("/large/"): rollup(
        range(1, 101), peaks=[10 * MB, 30 * MB], rows=[0, 3090], changes=[4 * MB, -MB]
    ),
    key("/rare/", "POST"): rollup([5]),
}


def lines(**options):
    routes = traffic.in_order(ROUTES, options.pop("sort", "requests"))
    known = {"processes": ProcessRollup(), "since": SINCE, "top": 15}
    return traffic.text(routes, **known | options).splitlines()


def cells(line):
    return [cell.strip() for cell in line.split(" | ")]


def test_a_route_is_a_line_with_its_quantiles_and_maxima():
    header, _, first, second, *_ = map(cells, lines())

    assert header[:4] == ["route", "requests", "duration p50", "duration p95"]
    assert header[-2:] == ["RSS change", "RSS change max"]
    large = dict(zip(header, first, strict=True))
    assert large["route"] == "GET /large/"
    assert float(large["duration p50"].removesuffix(" ms")) == pytest.approx(50, rel=0.05)
    assert float(large["duration p95"].removesuffix(" ms")) == pytest.approx(95, rel=0.05)
    assert large["duration max"] == "100.0 ms"
    assert large["peak max"] == "30.0 MB"
    assert (large["rows max"], large["RSS change"]) == ("3,090", "+3.0 MB")
    assert large["RSS change max"] == "+4.0 MB"
    small = dict(zip(header, second, strict=True))
    assert (small["duration max"], small["peak p50"], small["rows p95"]) == ("1.00 s", "-", "-")


@pytest.mark.parametrize(
    ("sort", "first"),
    [("requests", "/large/"), ("duration", "/large/"), ("peak", "/large/"), ("rss", "/large/")],
)
def test_routes_are_sorted_by_what_is_asked_for(sort, first):
    assert cells(lines(sort=sort)[2])[0] == f"GET {first}"
    assert cells(lines(sort=sort)[4])[0] == "POST /rare/" or sort != "requests"


def test_what_is_not_in_the_table_is_in_the_sentences():
    processes = ProcessRollup(samples=3, rss_max=300 * MB, lost_requests=7)
    *_, table_end, more, blank, first, second, third, fourth = lines(processes=processes, top=2)

    assert "/small/" in table_end
    assert (more, blank) == ("and 1 more: --top N", "")
    assert first == (
        "201 requests since 2026-02-01 12:00 UTC. p50 and p95 are within 4.33%; sums and maxima "
        "are exact."
    )
    assert second == "2 of them were metered: the peak is of these alone."
    assert third == "The largest process had 300.0 MB (RSS) at the end of a minute."
    assert fourth == "7 requests could not be stored, and are missing."


def test_where_every_request_was_metered_nothing_is_said_of_it():
    routes = [(key("/"), rollup([1], peaks=[5]))]
    text = traffic.text(routes, ProcessRollup(), SINCE.replace(tzinfo=None), 15)

    assert text.endswith(
        "1 request since 2026-02-01 12:00. p50 and p95 are within 4.33%; sums and maxima are exact."
    )


def test_the_document_has_every_figure_in_its_unit():
    routes = traffic.in_order(ROUTES, "requests")
    document = traffic.document(routes, ProcessRollup(samples=1), SINCE)

    assert document["since"] == "2026-02-01T12:00:00+00:00"
    assert document["processes"]["samples"] == 1
    large, small, _ = document["routes"]
    assert {name: large[name] for name in ("kind", "method", "route", "requests", "metered")} == {
        "kind": "request",
        "method": "GET",
        "route": "/large/",
        "requests": 100,
        "metered": 2,
    }
    assert set(FIGURES) <= set(large)
    assert large["duration"]["max"] == 0.1
    assert large["duration"]["sum"] == pytest.approx(5.05)
    assert large["rss_change"]["sum"] == 3 * MB
    assert small["peak"] == {
        "count": 0,
        "sum": 0,
        "mean": None,
        "p50": None,
        "p95": None,
        "p99": None,
        "max": None,
    }
