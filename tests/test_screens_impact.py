"""The order of harm in words: routes with their reasons, and the growth of processes."""

import datetime

import pytest

from django_memsize.reports import impact
from django_memsize.screens import impact as screen
from django_memsize.values import Amount, CallSite, Diff, Evaluation, Summary
from django_memsize.values.impact import Known, Workers
from tests.impacts import MB, route, worker

KB = 1024
ONE = Workers.of([worker()])
SITE = CallSite("shop/views.py", 31, "export")
ORDERS = Evaluation(
    "shop.Order",
    "instances",
    rows=50_000,
    site=SITE,
    peak=Amount(1, 80 * MB),
    retained=Amount(1, 260 * KB),
)
EXPORT = Summary(
    kind="request",
    rows=50_000,
    peak=Amount(1, 83 * MB),
    retained=Amount(1, 265 * KB),
    evaluations=(ORDERS,),
)


def reason(figures, evidence=None, workers=ONE):
    (ranked,) = impact.rank([figures], workers)
    return screen.reason(ranked, workers, evidence or {})


def test_a_peak_names_the_evaluation_that_made_it():
    known = Known(peak=83 * MB, peak_report=4)

    assert reason(route(known=known), {4: EXPORT}) == (
        "peak 83.0 MB: 50,000 shop.Order at shop/views.py:31"
    )


@pytest.mark.parametrize(
    ("peak", "evidence"),
    [
        (83 * MB, {}),
        (83 * MB, {4: Summary(peak=Amount(1, 83 * MB))}),
        (200 * MB, {4: EXPORT}),  # the report is not of this peak
        (90 * MB, {4: Summary(peak=Amount(1, 90 * MB), evaluations=(Evaluation("a.B", "raw"),))}),
    ],
)
def test_otherwise_a_peak_is_a_size(peak, evidence):
    figures = route(peak=[peak], known=Known(peak=83 * MB, peak_report=4))

    assert reason(figures, evidence) == f"peak {peak // MB}.0 MB"


def test_counted_rows_are_said_to_be_an_estimate():
    figures = route(rows=[50_000], requests=1, first=1, known=Known(rows_report=4))

    assert reason(figures, {4: EXPORT}) == (
        "50,000 shop.Order at shop/views.py:31, counted: some 38.1 MB if all are alive at once"
    )
    assert reason(figures) == "50,000 rows, counted: some 38.1 MB if all are alive at once"


def test_the_evaluation_of_a_first_request_is_named():
    figures = route(requests=1, first=1, known=Known(evaluation=80 * MB, evaluation_report=4))

    assert reason(figures, {4: EXPORT}) == (
        "loading 50,000 shop.Order at shop/views.py:31 takes 80.0 MB"
    )


def test_a_leak_has_a_rate_and_what_it_adds_up_to():
    sizes = [265 * KB] * 5
    figures = route(requests=620, retained=sizes, retained_later=sizes[:3])

    assert reason(figures) == (
        "retains 265.0 KB a request: 80.2 MB an hour, 160.4 MB in 620 requests of a worker"
    )


def test_a_leak_names_the_evaluation_that_is_retained():
    sizes = [265 * KB] * 5
    known = Known(retained_report=4)
    figures = route(requests=5, retained=sizes, known=known)
    soon = Workers.of([worker(end=60)])

    assert reason(figures, {4: EXPORT}, soon) == (
        "retains 265.0 KB a request (50,000 shop.Order at shop/views.py:31): "
        "1.3 MB in 5 requests of a worker"
    )


def test_a_leak_without_rows_names_its_type():
    sizes = [265 * KB] * 5
    figures = route(requests=5, retained=sizes, known=Known(retained_report=4))
    texts = Amount(9, 265 * KB, Diff({"str": 8, "list": 1}, {"str": 200 * KB, "list": 65 * KB}))
    mixed = Amount(9, 265 * KB, Diff({"str": 8, "list": 1}, {"str": 90 * KB, "list": 80 * KB}))
    soon = Workers.of([worker(end=60)])

    assert reason(figures, {4: Summary(retained=texts)}, soon) == (
        "retains 265.0 KB a request (mostly str): 1.3 MB in 5 requests of a worker"
    )
    assert "mostly" not in reason(figures, {4: Summary(retained=mixed)}, soon)


def test_of_few_metered_requests_the_range_is_told():
    figures = route(requests=100, retained=[265 * KB] * 5)

    assert reason(figures, workers=Workers.of([worker(end=60)])) == (
        "retains 265.0 KB a request: 25.9 MB in 100 requests of a worker "
        "(1.3 MB to 25.9 MB, 5 metered)"
    )


def test_what_only_the_first_requests_retain_is_told_as_such():
    assert reason(route(retained=[80 * KB] * 5 + [0], retained_later=[0])) == (
        "retained 400.0 KB in 6 metered of 100 requests"
    )
    assert reason(route(retained=[80 * KB])) == (
        "retained 80.0 KB in 1 metered of 100 requests; up to 7.8 MB in all"
    )


def test_garbage_and_rss_have_their_words():
    assert reason(route(garbage=[3 * MB])) == (
        "3.0 MB of garbage a request, 300.0 MB until a full collection"
    )
    grows = route(rss_change=[8 * MB] * 14)
    assert reason(grows) == "RSS +8.0 MB in each of 14 requests"
    busy = Workers.of([worker(in_flight_max=4)])
    assert reason(grows, workers=busy) == (
        "RSS +8.0 MB in each of 14 requests, with up to 4 in flight"
    )
    assert reason(route(known=Known(net=2048.0))) == "net +2.0 KB a request, by census"


def test_further_harms_are_told_if_they_are_large_enough():
    sizes = [265 * KB] * 3
    figures = route(requests=10, retained=sizes, retained_later=sizes, peak=[4 * MB])

    assert reason(figures, workers=Workers.of([worker(end=60)])) == (
        "peak 4.0 MB; retains 265.0 KB a request: 2.6 MB in 10 requests of a worker"
    )
    assert reason(route(requests=2, retained=[MB], peak=[80 * MB])) == "peak 80.0 MB"


def test_a_route_without_a_harm_says_why():
    assert reason(route(requests=2, first=2)) == (
        "first requests only, which fill caches: their bytes do not count"
    )
    assert reason(route(rows=[0])) == "only counted, and no rows"
    assert reason(route(peak=[0])) == "no harm found"


def cells(text):
    return [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines()]


def test_the_table_has_the_column_that_it_is_sorted_by():
    figures = [
        route("/export/", 20, peak=[83 * MB], known=Known(peak=83 * MB, peak_report=4)),
        route("/quiet/", 9000, duration=[10**9], rows=[0, 3]),
    ]

    def table(sort):
        return cells(screen.text(impact.rank(figures, ONE, sort), sort, ONE, {4: EXPORT}))

    header, _, export, quiet = table("impact")
    assert header == ["impact", "route", "requests", "report ID", "reason"]
    assert export[:4] == ["83.0 MB", "GET /export/", "20", "4"]
    assert quiet[:4] == ["2.3 KB", "GET /quiet/", "9,000", "-"]
    header, _, first, second = table("duration")
    assert (header[3], first[3], second[3]) == ("duration", "1.00 s", "0.0 ms")
    header, _, first, second = table("rows")
    assert (header[3], first[3], second[3]) == ("rows max", "3", "0")
    header, _, first, second = table("peak")
    assert (header[3], first[3], second[3]) == ("peak", "83.0 MB", "2.3 KB")
    assert [row[0] for row in table("requests")[2:]] == ["2.3 KB", "83.0 MB"]
    assert table("rss")[2][3] == "0 B"
    assert table("retained")[2][3] == "-"


def test_the_reason_is_left_aligned_and_no_line_ends_in_spaces():
    text = screen.text(impact.rank([route(peak=[2 * MB])], ONE), "impact", ONE, {})

    assert text.splitlines()[2].endswith(" | peak 2.0 MB")
    assert all(line == line.rstrip() for line in text.splitlines())


def test_the_growth_of_a_process_is_a_sentence():
    began = datetime.datetime(2026, 2, 1, 9, 14, tzinfo=datetime.UTC)
    sizes = [265 * KB] * 3
    leaks = [route(f"/leak/{n}/", 200 - n, retained=sizes, retained_later=sizes) for n in range(4)]
    ranked = impact.rank([*leaks, route("/export/", peak=[83 * MB])], ONE)
    parts = impact.parts_of(worker(), ranked, ONE)

    assert screen.worker_sentence(worker(), parts, began, False) == (
        "PID 7 on web-1 grew from 55.0 MB to 283.0 MB since 09:14, in 9,664 requests: 83.0 MB for "
        "the peak of GET /export/, 51.8 MB retained by GET /leak/0/, 51.5 MB retained by GET "
        "/leak/1/, 102.2 MB by 2 other routes."
    )
    assert screen.worker_sentence(worker(), [], began, True) == (
        "PID 7 on web-1 grew from 55.0 MB to 283.0 MB since 2026-02-01 09:14, in 9,664 requests. "
        "The routes do not account for it."
    )


def test_the_document_has_each_harm_and_its_sentence():
    figures = route("/export/", 20, peak=[83 * MB], known=Known(latest=6, peak=83 * MB))
    (ranked,) = impact.rank([figures], ONE)
    document = screen.document(ranked, ONE, {})

    assert (document["method"], document["route"], document["requests"]) == ("GET", "/export/", 20)
    assert (document["impact_bytes"], document["reason"]) == (83 * MB, "peak 83.0 MB")
    (harm,) = document["harms"]
    assert (harm["name"], harm["bytes"], harm["basis"]) == ("peak", 83 * MB, "metered")
    assert harm["sentence"] == "peak 83.0 MB"
    assert (document["report"], document["latest_report"]) == (6, 6)
    parts = impact.parts_of(worker(), [ranked], ONE)
    assert screen.worker_document(worker(), parts)["parts"] == [
        {"route": "GET /export/", "harm": "peak", "bytes": 83 * MB}
    ]
