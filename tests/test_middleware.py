"""A request is measured, and goes through as if nobody looked."""

import asyncio
import contextvars
import gc
import io
import logging
import threading
import weakref
from collections import Counter

import pytest
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import connection
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import include, path, re_path
from django.views.decorators.http import etag

from django_memsize import engine, measure, middleware
from django_memsize.measuring import (
    arrivals,
    instruments,
    overhead,
    recording,
    sampling,
    spans,
)
from django_memsize.measuring.errors import ErrorBoundary
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import recordings, rollups
from django_memsize.values import OURS, CallSite, TypeTotal
from tests import urls
from tests.app import views
from tests.app.models import Account
from tests.paths import PATHS
from tests.visits import (
    EVERY_REQUEST,
    WITH_EVALUATIONS,
    create_accounts,
    headers_of,
    others_under_way,
    type_names,
    without_and_with_memsize,
    without_memsize,
)

pytestmark = pytest.mark.usefixtures("as_under_a_test_client", "instrument")


@pytest.fixture
def accounts(db):
    """Have the 3,090 accounts of the note: two datetimes each, and a date but for six."""
    return create_accounts(3090)


def outcome(client, url, **extra):
    """Return all that the caller of a request can tell: the answer, or what was raised."""
    try:
        response = client.get(url, **extra)
        body = b"".join(response.streaming_content) if response.streaming else response.content
    except BaseException as error:
        return type(error), error.args, type(error.__cause__), type(error.__context__)
    return type(response), response.status_code, headers_of(response), body


def through(view, request=None):
    """Return what a view answers from below our middleware."""
    return MemsizeMiddleware(view)(request or RequestFactory().get("/"))


def stored():
    """Return the stored reports, once the requests that they wait for are taken for over."""
    recordings.analyse_now()
    return Report.objects


# What is stored


@pytest.mark.parametrize(
    ("url", "function", "template"),
    [
        ("/accounts/", "accounts", ()),
        ("/accounts/template/", "accounts_in_template", ("app/accounts.html", 1)),
        ("/accounts/response/", None, ("app/accounts.html", 1)),
    ],
)
def test_a_request_is_stored_with_each_type_it_loaded_counted_exactly(
    accounts, client, settings, url, function, template
):
    settings.MEMSIZE = WITH_EVALUATIONS
    assert client.get(url).status_code == 200
    assert client.get(url).status_code == 200

    first, report = stored().order_by("pk")

    assert (first.first_request, report.first_request) == (True, False)
    assert (report.route, report.method, report.summary().status) == (url, "GET", 200)
    assert report.view == f"tests.app.views.{function or 'accounts_in_template_response'}"
    assert (report.kind, report.rows, report.in_flight) == ("request", 3090, 0)
    assert not report.incomplete
    (evaluation,) = report.summary().evaluations
    assert (evaluation.model, evaluation.kind, evaluation.rows) == (
        "app.Account",
        "instances",
        3090,
    )
    assert evaluation.sql.startswith("SELECT")
    if function is None:  # rendered by Django itself, when the view has long returned
        view = "tests.app.views.accounts_in_template_response"
        assert evaluation.site == CallSite("", 0, "", *template, is_library=True, view=view)
    else:
        line = getattr(views, function).__code__.co_firstlineno + 1
        assert evaluation.site == CallSite("tests/app/views.py", line, function, *template)
    counts = {name: total.count for name, total in evaluation.diff.items()}
    assert counts["tests.app.models.Account"] == 3090
    assert counts["django.db.models.base.ModelState"] == 3090
    assert counts["datetime.datetime"] == 6180
    assert counts["datetime.date"] == 3084
    assert not [name for name in type_names(report) if name.startswith("django_memsize")]


def test_a_stream_is_measured_to_its_end(accounts, client, settings):
    settings.MEMSIZE = EVERY_REQUEST
    response = client.get("/accounts/stream/")
    assert not stored().exists()
    assert len(list(response.streaming_content)) == 3090

    report = stored().get()

    assert (report.route, report.rows) == ("/accounts/stream/", 3090)
    (evaluation,) = report.summary().evaluations
    assert (evaluation.model, evaluation.rows, evaluation.streamed) == ("app.Account", 3090, True)
    assert evaluation.site.function.startswith("accounts_stream")
    assert not [name for name in type_names(report) if name.startswith("django_memsize")]


def test_the_route_is_the_pattern_and_the_path_is_stored_nowhere(
    db, client, measured, quick_census
):
    (account,) = create_accounts(1)
    Account.objects.filter(pk=account.pk).update(id=987_654)
    assert client.get("/accounts/987654/?secret=token").json() == {"name": "account 0"}

    columns = stored().values().get()

    assert columns["route"] == "/accounts/<int:pk>/"
    assert "987654" not in repr(columns)
    assert "token" not in repr(columns)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "route"),
    [
        ("/regex/12/", "^regex/([0-9]+)/$"),
        ("/included/with/slash/", "/included/with/slash/"),
        ("/included/regex/7/", "/included/regex/(?P<number>[0-9]+)/$"),
        ("/no/such/page/", "(unresolved)"),
    ],
)
def test_a_route_reads_as_the_patterns_that_make_it(client, measured, quick_census, url, route):
    with recordings.collecting() as reports:
        client.get(url)

    assert [report.route for report in reports] == [route]


def test_a_method_nobody_knows_is_not_stored_as_it_came(client, measured, quick_census):
    with recordings.collecting() as reports:
        client.generic("EXFILTRATE", "/nothing/")
        client.post("/echo/", b"body", content_type="text/plain")

    assert [report.method for report in reports] == ["(other)", "POST"]


# The same as without


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("raising", [True, False])
@pytest.mark.parametrize("url", PATHS, ids=lambda url: url.replace("\x00", "NUL"))
def test_the_caller_of_a_request_cannot_tell_that_it_was_measured(
    settings, quick_census, url, raising
):
    create_accounts(3)
    settings.MEMSIZE = WITH_EVALUATIONS
    expected, got, reports = without_and_with_memsize(
        settings, lambda: outcome(Client(raise_request_exception=raising), url)
    )

    assert got == expected
    assert len(reports) == (not issubclass(expected[0], BaseException) or expected[0] is ValueError)


def test_an_exception_that_reaches_us_is_handed_on_as_the_same_object(measured, quick_census):
    for kind in (ValueError, Http404, SuspiciousOperation, KeyboardInterrupt, SystemExit):
        error = kind("on purpose")

        def raises(request, error=error):
            raise error

        with recordings.collecting() as reports, pytest.raises(kind) as caught:
            through(raises)
        assert caught.value is error
        assert error.__context__ is None
        assert reports == []
        assert others_under_way() == 0


def test_a_cancelled_view_leaves_nothing_behind(measured, quick_census):
    def cancelled(request):
        assert spans.open_span() is not None
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        through(cancelled)

    assert spans.open_span() is None
    assert others_under_way() == 0


def test_the_user_is_not_looked_at(db, client, django_user_model, measured, quick_census):
    client.force_login(django_user_model.objects.create_user("somebody"))
    with CaptureQueriesContext(connection) as queries:
        response = client.get("/nothing/")

    assert stored().count() == 1
    assert "Vary" not in response.headers
    assert not [q for q in queries if "session" in q["sql"] or "auth_" in q["sql"]]


SENT_BY_THE_CLIENT = ["GET", "POST", "COOKIES", "FILES", "META", "headers", "body", "path"]


@pytest.mark.django_db
@pytest.mark.parametrize("sample_rate", [0, 1])
def test_nothing_that_a_client_sends_is_looked_at_but_what_may_be_a_token(
    settings, quick_census, sample_rate
):
    """So that no other header and no query triggers measuring, and none of them is stored."""
    looked_at = []

    def read(name):
        return property(lambda request: looked_at.append(name) or {}, lambda request, value: None)

    class Unread(HttpRequest):
        method, path_info, resolver_match = "GET", "/nothing/", None
        locals().update({name: read(name) for name in SENT_BY_THE_CLIENT})

    class Environ(dict):
        def __getitem__(self, key):
            looked_at.append(key)
            return super().__getitem__(key)

        def get(self, key, default=None):
            looked_at.append(key)
            return super().get(key, default)

    settings.MEMSIZE = EVERY_REQUEST | {"SAMPLE_RATE": sample_rate}
    middleware = MemsizeMiddleware(lambda request: HttpResponse())
    for begins_early in (True, False):
        if begins_early:
            request_started.send(None, environ=Environ(PATH_INFO="/nothing/"))
            assert arrivals.latest() is not None
        middleware(Unread()).close()

    may_be_a_token = {"HTTP_X_MEMSIZE_TOKEN", "HTTP_COOKIE"}
    assert set(looked_at) == {"PATH_INFO", "REQUEST_METHOD", "META"} | may_be_a_token
    assert stored().count() == 2 * sample_rate


def test_the_content_of_a_response_is_not_looked_at(measured, quick_census):
    class Unread(HttpResponse):
        @property
        def content(self):
            raise AssertionError("read")

        @content.setter
        def content(self, value):
            pass

    with recordings.collecting() as reports:
        through(lambda request: Unread()).close()

    assert len(reports) == 1


# Streams and files


def chunks(log):
    try:
        for number in range(4):
            log.append(f"making {number}")
            assert spans.open_span() is not None
            yield f"chunk {number}"
    finally:
        log.append("closed")


def test_no_chunk_is_made_before_it_is_asked_for(measured, quick_census):
    log = []
    with recordings.collecting() as reports:
        response = through(lambda request: StreamingHttpResponse(chunks(log)))
        assert log == []
        stream = iter(response)
        assert next(stream) == b"chunk 0"
        assert log == ["making 0"]
        assert reports == []
        assert list(stream) == [b"chunk 1", b"chunk 2", b"chunk 3"]
        assert reports == []
        response.close()
        response.close()

    assert log == [*(f"making {number}" for number in range(4)), "closed"]
    assert len(reports) == 1
    assert others_under_way() == 0


def test_a_stream_sees_the_context_of_its_consumer(measured, quick_census):
    variable = contextvars.ContextVar("variable", default="outside")

    def parts():
        yield variable.get()
        variable.set("set by the stream")
        yield variable.get()

    with recordings.collecting():
        response = through(lambda request: StreamingHttpResponse(parts()))
        variable.set("set by the consumer")
        assert list(response) == [b"set by the consumer", b"set by the stream"]
        assert variable.get() == "set by the stream"
        assert spans.open_span() is None
        response.close()


def test_a_chunk_is_let_go_of_before_the_next_is_made(measured, quick_census):
    class Chunk:
        def __str__(self):
            return "x"

    made = []

    def parts():
        for _ in range(3):
            assert [chunk() for chunk in made] == [None] * len(made)
            chunk = Chunk()
            made.append(weakref.ref(chunk))
            yield chunk
            del chunk

    with recordings.collecting():
        response = through(lambda request: StreamingHttpResponse(parts()))
        number = 0
        for chunk in response.streaming_content:
            number += 1
            del chunk
        response.close()

    assert number == 3


def test_a_stream_aborted_half_way_is_closed_and_stored(measured, quick_census):
    log = []
    with recordings.collecting() as reports:
        response = through(lambda request: StreamingHttpResponse(chunks(log)))
        assert next(iter(response)) == b"chunk 0"
        response.close()

    assert log == ["making 0", "closed"]
    assert len(reports) == 1
    assert others_under_way() == 0


def test_the_rows_of_an_aborted_stream_are_those_that_were_read(db, measured, quick_census):
    create_accounts(10)
    with recordings.collecting() as reports:
        response = through(views.accounts_stream)
        stream = iter(response)
        next(stream)
        next(stream)
        response.close()

    (report,) = reports
    assert report.rows == 2


def test_a_fault_in_a_stream_reaches_its_consumer(measured, quick_census):
    error = ValueError("on purpose")

    def parts():
        yield "first"
        raise error

    with recordings.collecting() as reports:
        response = through(lambda request: StreamingHttpResponse(parts()))
        stream = iter(response)
        assert next(stream) == b"first"
        with pytest.raises(ValueError, match="on purpose") as caught:
            next(stream)
        response.close()

    assert caught.value is error
    assert len(reports) == 1
    assert spans.open_span() is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: HttpResponse("body"),
        lambda: StreamingHttpResponse(chunks([])),
        lambda: StreamingHttpResponse(["one", "two"]),
        lambda: FileResponse(io.BytesIO(b"file")),
    ],
)
def test_a_response_dropped_without_being_closed_leaves_nothing_behind(
    measured, quick_census, make
):
    gc.collect()
    gc.disable()
    try:
        with recordings.collecting() as reports:
            response = through(lambda request: make())
            assert others_under_way() == 1
            own_cycle = isinstance(response, FileResponse)  # of Django's own making
            del response
            if own_cycle:
                gc.collect()
    finally:
        gc.enable()

    assert reports == []
    assert others_under_way() == 0


def test_a_stream_dropped_half_way_leaves_nothing_behind(measured, quick_census):
    log = []
    gc.disable()
    try:
        with recordings.collecting() as reports:
            response = through(lambda request: StreamingHttpResponse(chunks(log)))
            stream = iter(response)
            next(stream)
            del response, stream
            assert log == ["making 0", "closed"]
    finally:
        gc.enable()

    assert reports == []
    assert others_under_way() == 0


def test_a_file_can_still_be_handed_to_the_server(measured, quick_census):
    class Counting(io.BytesIO):
        closings = 0

        def close(self):
            self.closings += not self.closed
            super().close()

    file = Counting(b"content of a file")
    with recordings.collecting() as reports:
        response = through(lambda request: FileResponse(file, filename="file.txt"))
        assert type(response) is FileResponse
        assert response.file_to_stream is file
        assert b"".join(response) == b"content of a file"
        response.close()

    assert file.closings == 1
    assert len(reports) == 1


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("url", ["/tagged/", "/tagged/stream/"])
def test_a_response_replaced_above_us_leaves_nothing_behind(
    client, settings, measured, quick_census, url
):
    settings.MIDDLEWARE = ["tests.test_middleware.not_modified", *settings.MIDDLEWARE]
    gc.disable()
    try:
        with recordings.collecting() as reports:
            response = client.get(url, headers={"If-None-Match": '"tag"'})
    finally:
        gc.enable()

    assert response.status_code == 304
    assert reports == []
    assert others_under_way() == 0


def test_a_conditional_get_above_us_answers_as_without_us(client, settings, quick_census, measured):
    conditional = "django.middleware.http.ConditionalGetMiddleware"
    settings.MIDDLEWARE = [conditional, *settings.MIDDLEWARE]
    with recordings.collecting() as reports:
        tag = client.get("/nothing/").headers["ETag"]
        again = client.get("/nothing/", headers={"If-None-Match": tag})
    with override_settings(MIDDLEWARE=without_memsize(settings.MIDDLEWARE)):
        expected = client.get("/nothing/", headers={"If-None-Match": tag})

    assert (again.status_code, again.headers) == (304, expected.headers)
    assert len(reports) == 1
    assert others_under_way() == 0


# Which requests


def test_requests_that_overlap_say_so(settings, quick_census):
    settings.MEMSIZE = EVERY_REQUEST | {"EXCLUDE": ["/excluded/"]}
    meeting = threading.Barrier(2, timeout=20)

    def view(request):
        meeting.wait()
        return HttpResponse()

    def visit(url):
        through(view, RequestFactory().get(url)).close()

    def both(*urls):
        with recordings.collecting() as reports:
            threads = [
                threading.Thread(target=contextvars.copy_context().run, args=(visit, url))
                for url in urls
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        return [report.in_flight for report in reports]

    assert both("/", "/") == [1, 1]
    with recordings.collecting() as reports:
        through(views.nothing).close()
    assert [report.in_flight for report in reports] == [0]


@pytest.mark.django_db
def test_a_request_that_is_not_measured_counts_as_in_flight(settings, quick_census):
    settings.MEMSIZE = EVERY_REQUEST | {"EXCLUDE": ["/excluded/"]}

    def view(request):
        through(views.nothing, RequestFactory().get("/excluded/")).close()
        return HttpResponse()

    through(view).close()

    assert stored().get().in_flight == 1


@pytest.mark.django_db
def test_excluded_paths_are_not_measured(client, settings, quick_census):
    settings.MEMSIZE = EVERY_REQUEST | {"EXCLUDE": ["/accounts/*", "*/async/"]}
    for url in ("/accounts/", "/accounts/template/", "/nothing/async/", "/nothing/"):
        assert client.get(url).status_code == 200

    assert stored().get().route == "/nothing/"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "memsize",
    [
        {"SAMPLE_RATE": 0},
        {"ENABLED": False},
        {"SAMPLE_RATE": 1.0, "ENABLED": False},
        {"SAMPLE_RATE": 0.99, "MAX_OVERHEAD": 0},
    ],
)
def test_nothing_is_measured_where_the_settings_say_so(client, settings, monkeypatch, memsize):
    monkeypatch.setattr(overhead._process, "cpu", 1.0)
    settings.MEMSIZE = memsize
    with CaptureQueriesContext(connection) as queries:
        for _ in range(20):
            assert client.get("/nothing/").content == b"nothing"

    assert len(queries) == 0


@pytest.mark.django_db
def test_a_share_of_the_requests_is_measured(client, settings, quick_census, monkeypatch):
    drawn = iter([0.1, 0.3, 0.24, 0.9, 0.0])
    monkeypatch.setattr(sampling._Chance, "random", lambda _: next(drawn))
    settings.MEMSIZE = EVERY_REQUEST | {"SAMPLE_RATE": 0.25, "SAMPLE_FIRST": 0}
    for _ in range(5):
        client.get("/nothing/")

    assert [report.summary().reason for report in stored().all()] == ["rate"] * 3


@pytest.mark.django_db
@pytest.mark.parametrize(
    "memsize",
    [
        {"SAMPLE_RATE": 7},
        {"SAMPLE_RAET": 1.0},
        {"SAMPLE_RATE": 1.0, "DATABASE": "nowhere"},
        ["SAMPLE_RATE"],
    ],
)
def test_unusable_settings_switch_it_off_with_one_line(client, settings, caplog, memsize):
    settings.MEMSIZE = memsize
    for _ in range(5):
        assert client.get("/nothing/").content == b"nothing"

    assert [record.name for record in caplog.records] == ["django_memsize"]
    assert "switched off" in caplog.text
    assert not stored().exists()


@pytest.mark.django_db
def test_a_request_that_is_not_measured_belongs_to_the_block_around_it(
    client, settings, quick_census
):
    create_accounts(5)
    settings.MEMSIZE = EVERY_REQUEST | {"SAMPLE_RATE": 0}
    with measure("around") as around:
        client.get("/accounts/")

    assert around.rows == 5


@pytest.mark.django_db
def test_a_measured_request_belongs_to_the_block_around_it_as_well(client, settings, quick_census):
    create_accounts(5)
    settings.MEMSIZE = EVERY_REQUEST
    with measure("around") as around:
        client.get("/accounts/")

    assert around.rows == 5
    assert stored().get().rows == 5


@pytest.mark.django_db
def test_our_own_pages_are_never_stored(client, settings, quick_census, django_user_model):
    user = django_user_model.objects.create_superuser("admin")
    client.force_login(user)
    settings.MEMSIZE = EVERY_REQUEST
    assert client.get("/nothing/").status_code == 200
    report = stored().get()
    for url in (
        "/admin/django_memsize/report/",
        f"/admin/django_memsize/report/{report.pk}/change/",
        "/admin/jsi18n/",
    ):
        assert client.get(url).status_code == 200

    assert stored().get() == report
    assert others_under_way() == 0


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize("name", ["words", "more-words", "theirs"])
def test_pages_of_the_program_are_stored_whatever_they_are_named(
    client, settings, quick_census, name
):
    settings.MEMSIZE = EVERY_REQUEST
    assert client.get(f"/named/{name}/").status_code == 200

    assert stored().get().route == f"/named/{name}/"


@pytest.mark.django_db
def test_our_own_statements_are_in_no_evaluation(client, settings, quick_census):
    create_accounts(2)
    settings.MEMSIZE = EVERY_REQUEST
    with measure("around") as around:
        client.get("/accounts/")
        client.get("/nothing/")

    reports = stored().order_by("pk")
    assert [report.rows for report in reports] == [2, 0]
    assert [each.model for each in around.evaluations] == ["app.Account"]
    assert "memsize" not in repr([report.summary().evaluations for report in reports])


def test_under_a_test_runner_nothing_is_measured_unless_a_test_asks(
    db, client, django_assert_num_queries
):
    (account,) = create_accounts(1)
    for _ in range(300):
        with django_assert_num_queries(1):
            client.get(f"/accounts/{account.pk}/")

    assert not stored().exists()


# Unusual requests


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/anything/\x00/", {}),
        ("/anything/" + "a" * 65536, {}),
        ("/anything/\u202e\u2028\x1b[31m", {}),
        ("/anything/x", {"User-Agent": "\udc80\ud800", "Referer": "\x00"}),
    ],
    ids=["NUL", "64 KB", "control characters", "surrogates"],
)
def test_an_unusual_request_is_answered_and_stored(client, measured, quick_census, url, headers):
    response = client.get(url, headers=headers)

    assert (response.status_code, response.content) == (200, b"nothing")
    assert stored().get().route == "/anything/<path:rest>"


HOSTILE = "Bad\x00\x1b[31m\n\u202e\ud800" + "x" * 5000
kept = []


def keep_hostile(request):
    hostile = type("Hostile", (), {"__qualname__": HOSTILE, "__module__": "\x00bad"})
    kept.extend(hostile() for _ in range(1000))
    return HttpResponse("kept")


@pytest.mark.django_db
@pytest.mark.urls(__name__)
def test_a_class_with_an_unusual_name_is_stored_under_a_safe_one(client, measured):
    try:
        assert client.get("/hostile/").content == b"kept"
        report = stored().get()
    finally:
        kept.clear()

    table = report.summary().net or report.summary().retained.types
    (name,) = [name for name, total in table.items() if total.count == 1000 and "bad" in name]
    assert name.startswith("\ufffdbad.Bad\ufffd\ufffd[31m\ufffd\ufffd\ufffdxxx")
    assert len(name) <= 200


@pytest.mark.django_db
def test_a_number_too_large_for_a_column_is_stored_as_the_largest(client, settings, monkeypatch):
    settings.MEMSIZE = EVERY_REQUEST
    monkeypatch.setattr(recording, "instrument_named", lambda *_: instruments.Census())
    tables = iter([({}, {}, 0, 0), ({"huge": 2**70}, {"huge": 2**80}, 0, 0)])
    monkeypatch.setattr(engine, "census", lambda exclude: next(tables))
    assert client.get("/nothing/").status_code == 200

    report = stored().get()
    assert report.net_bytes == 2**63 - 1
    assert dict(report.summary().net) == {"huge": TypeTotal(2**63 - 1, 2**63 - 1)}


# Faults of ours


def test_a_failing_log_fails_no_request(client, measured, monkeypatch):
    def census(exclude=()):
        raise MemoryError

    def refuse(record):
        raise RuntimeError("no logging today")

    census.__code__ = census.__code__.replace(co_filename=engine.__file__)
    monkeypatch.setattr(engine, "census", census)
    logger = logging.getLogger("django_memsize")
    logger.addFilter(refuse)
    try:
        assert client.get("/nothing/").content == b"nothing"
    finally:
        logger.removeFilter(refuse)


# Nothing piles up


requests_seen = weakref.WeakSet()
responses_seen = weakref.WeakSet()


def seen(request):
    response = HttpResponse("seen")
    requests_seen.add(request)
    responses_seen.add(response)
    return response


def visit_seen(application):
    """Have one request reported, without a test client: each of its requests leaves finalisers."""
    environ = RequestFactory()._base_environ(PATH_INFO="/seen/")
    response = application(environ, lambda *_: None)
    assert b"".join(response) == b"seen"
    response.close()
    del response
    recordings.analyse_now()


def alive():
    """Return how many objects of each type are alive, without what waits for the writer."""
    rollups.rollups.reset()
    gc.collect()
    return Counter(map(type, gc.get_objects()))


@pytest.mark.django_db
@pytest.mark.urls(__name__)
@pytest.mark.parametrize(("census", "first", "calls"), [("real", 2, 3), ("quick", 100, 40)])
def test_nothing_piles_up(measured, request, census, first, calls):
    if census == "quick":
        request.getfixturevalue("quick_census")
    application = WSGIHandler()
    for _ in range(first):  # SQLite keeps the last 128 statements, and each savepoint has its own
        visit_seen(application)
    before = alive()
    for _ in range(calls):
        visit_seen(application)
    more = alive() - before

    assert Report.objects.count() == first + calls
    assert not more.keys() & set(OURS)
    if census == "quick":
        assert {kind: number for kind, number in more.items() if number >= calls} == {}
    assert (len(requests_seen), len(responses_seen)) == (0, 0)


# Pages and middleware of these tests


def not_modified(get_response):
    """Stand in for a cache: what stands below is asked, and its answer thrown away."""

    def answer(request):
        response = get_response(request)
        if "If-None-Match" in request.headers:
            return HttpResponse(status=304)
        return response

    return answer


def number(request, number):
    return HttpResponse(str(number))


urlpatterns = [
    *urls.urlpatterns,
    path("named/words/", views.nothing, name="jsi18n"),
    path("named/more-words/", views.nothing, name="jsi18n-all"),
    path("named/theirs/", views.nothing, name="django_memsize_report_of_theirs"),
    path("anything/", views.nothing),
    path("anything/<path:rest>", lambda request, rest: views.nothing(request)),
    path("hostile/", keep_hostile),
    path("seen/", seen),
    path("tagged/", etag(lambda request: None)(views.nothing)),
    path("tagged/stream/", lambda request: StreamingHttpResponse(chunks([]))),
    re_path(r"^regex/([0-9]+)/$", number),
    path(
        "included/",
        include(
            [path("with/slash/", views.nothing), re_path(r"^regex/(?P<number>[0-9]+)/$", number)]
        ),
    ),
]


# What a closer raises


def test_what_is_raised_while_a_report_is_stored_is_raised_once_the_response_is_closed(
    client, measured, monkeypatch
):
    error = TimeoutError("of the handler of a signal")

    def store(*_):
        raise error

    monkeypatch.setattr(recordings, "store", store)
    monkeypatch.setattr(ErrorBoundary, "swallows", lambda *_: False)
    with pytest.raises(TimeoutError) as caught:
        client.get("/nothing/")
    assert caught.value is error

    monkeypatch.undo()
    assert client.get("/nothing/").status_code == 200


def test_it_is_raised_in_its_own_thread_alone():
    raising = middleware._Raising(TimeoutError())
    thread = threading.Thread(target=raising)
    thread.start()
    thread.join()
    with pytest.raises(TimeoutError):
        raising()


def test_a_visit_that_is_over_has_no_finaliser(client, measured, monkeypatch):
    finalised = []
    gc.collect()  # an earlier test may have left a visit
    monkeypatch.setattr(middleware._OpenVisit, "__del__", lambda _: finalised.append(True))
    with recordings.collecting() as reports:
        client.get("/nothing/").json = None

    assert len(reports) == 1
    assert finalised == []


# What a tool prints of our objects


def test_in_the_middle_of_a_request_no_object_of_ours_has_a_long_repr(accounts, measured):
    lengths = {}

    def view(request):
        rows = Account.objects.iterator()
        next(rows)
        for one in gc.get_objects():
            if type(one) in OURS:
                lengths[type(one).__name__] = max(
                    len(repr(one)), lengths.get(type(one).__name__, 0)
                )
        return HttpResponse(str(len(list(rows))))

    with recordings.collecting():
        assert MemsizeMiddleware(view)(RequestFactory().get("/")).content == b"3089"

    assert {"_ByKey", "EvaluationLog", "_OpenVisit", "Recording", "OwnTuple"} <= lengths.keys()
    assert {name: length for name, length in lengths.items() if length >= 200} == {}
