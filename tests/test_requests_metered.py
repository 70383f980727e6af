"""Requests with the meter: what each retains, and what is garbage."""

import gc
import sys

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Value
from django.http import HttpResponse
from django.template import Engine, RequestContext
from django.test import RequestFactory
from django.urls import path
from django.views.generic import ListView

from django_memsize import engine, sizeof
from django_memsize.measuring import deferred
from django_memsize.reports import recordings
from django_memsize.values import TypeTotal
from tests.app import views
from tests.app.models import Account
from tests.visits import EVERY_REQUEST, WITH_EVALUATIONS, create_accounts
from tests.windows import forget_names

if engine.Window is not None:
    from django_memsize.engine.compiled import hooks_installed

pytestmark = [
    pytest.mark.usefixtures("as_under_a_test_client"),
    pytest.mark.skipif(engine.Window is None, reason="the engine in Python has no meter"),
]

ACCOUNT = "tests.app.models.Account"
ROWS = 1500


@pytest.fixture
def accounts(db):
    return create_accounts(ROWS)


LEAK = []


@pytest.fixture
def visit(settings, monkeypatch):
    """Return a function that makes a request as a server does, and returns its recording."""
    settings.MEMSIZE = WITH_EVALUATIONS
    settings.ROOT_URLCONF = __name__
    measured = []
    build = recordings.build
    monkeypatch.setattr(
        recordings, "build", lambda *given: measured.append(given[0]) or build(*given)
    )
    application = WSGIHandler()

    def visit(path):
        serve(application, path)
        forget_names()
        deferred.analyse_now()
        return measured.pop()

    with recordings.collecting():
        yield visit
    LEAK.clear()


def serve(application, path):
    response = application(RequestFactory()._base_environ(PATH_INFO=path), lambda *started: None)
    b"".join(response)
    response.close()


PAGE = Engine().from_string("{% for account in accounts %}{{ account }} {% endfor %}")


def page(request):
    context = RequestContext(request, {"accounts": Account.objects.all()})
    return HttpResponse(PAGE.render(context))


class Listed(ListView):
    model = Account
    context_object_name = "accounts"

    def render_to_response(self, context):
        return HttpResponse(PAGE.render(RequestContext(self.request, context)))


def leaking(request):
    LEAK.append(list(Account.objects.all()))
    return HttpResponse("retained")


def shrinking(request):
    LEAK.clear()
    return HttpResponse("freed")


STATEMENTS = 100  # SQLite's driver keeps 128 statements: all of them are known to it


def many(request):
    for number in range(STATEMENTS):
        list(Account.objects.annotate(**{f"number_{number}": Value(number)})[:2])
    return HttpResponse("many")


def cursor(request):
    with connection.cursor() as cursor:
        for number in range(STATEMENTS):
            cursor.execute(f"SELECT {number}")  # without parameters: the log has this text
    return HttpResponse("cursor")


def failing(request):
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT nothing")
    return HttpResponse("failing")


urlpatterns = [
    path("cursor/", cursor),
    path("failing/", failing),
    path("many/", many),
    path("page/", page),
    path("listed/", Listed.as_view()),
    path("leaking/", leaking),
    path("shrinking/", shrinking),
    path("nothing/", views.nothing),
    path("accounts/", views.accounts),
    path("stream/", views.accounts_stream),
    path("response/", views.accounts_in_template_response),
]


@pytest.mark.parametrize("path", ["/page/", "/listed/"])
def test_the_rows_of_a_rendered_page_are_garbage_and_not_retained(accounts, visit, path):
    visit(path)
    gc.collect()
    gc.disable()
    try:
        recording = visit(path)
    finally:
        gc.enable()

    assert recording.garbage.types[ACCOUNT].count == ROWS
    assert ACCOUNT not in recording.retained.types
    (evaluation,) = recording.evaluations
    assert evaluation.diff[ACCOUNT].count == ROWS
    assert evaluation.retained.bytes < 16 * 1024


def test_rows_that_leak_are_retained_by_each_request(accounts, visit):
    shares = []
    for _ in range(3):
        recording = visit("/leaking/")

        assert recording.retained.types[ACCOUNT].count == ROWS
        (evaluation,) = recording.evaluations
        shares.append(evaluation.retained.bytes / recording.retained.bytes)

    assert max(shares) > 0.95  # now and then a table of the program grows
    assert min(shares) > 0.75


@pytest.mark.parametrize("path", ["/nothing/", "/accounts/", "/stream/"])
def test_a_page_that_leaks_nothing_retains_nothing(accounts, visit, path):
    visit(path)

    # Now and then a table of the program grows.
    assert min(visit(path).retained.bytes for _ in range(7)) < 1024


def test_the_bookkeeping_of_many_evaluations_is_not_retained(accounts, visit):
    visit("/many/")
    recordings = [visit("/many/") for _ in range(5)]

    # CPython may take these from its free lists. SQLite's driver keeps a weak reference a cursor.
    kinds = ["tuple", "float", "dict", "list", "(buffers)"]
    if sys.version_info < (3, 14):  # from then on, ints have a free list that no window drains
        kinds.append("int")
    found = [each.retained.types for each in recordings]
    retained = [sum(types[kind].count for kind in kinds if kind in types) for types in found]
    assert [len(each.evaluations) for each in recordings] == [STATEMENTS] * 5
    assert min(retained) < STATEMENTS / 2


@pytest.mark.parametrize("path", ["/many/", "/cursor/"])
def test_the_log_of_statements_with_debug_is_named_and_not_retained(
    accounts, visit, monkeypatch, path
):
    visit(path)
    assert visit(path).query_log_bytes is None
    monkeypatch.setattr(connections["default"], "force_debug_cursor", True)
    visit(path)
    retained = []
    for _ in range(5):
        recording = visit(path)
        log = list(connection.queries_log)  # Django empties it at the next request
        assert len(log) == STATEMENTS
        # The texts that are its keys are constants.
        sizes = [sizeof(each) - sum(map(sys.getsizeof, each)) for each in log]
        assert recording.query_log_bytes == sum(sizes)
        retained.append(recording.retained.types.get("str", TypeTotal()).count)
    # A dict of the log may be one that the request had freed: nobody sees it taken from there.
    assert min(retained) < STATEMENTS / 10


def test_a_statement_that_fails_is_logged_and_raises_as_without_us(accounts, visit, monkeypatch):
    monkeypatch.setattr(connections["default"], "force_debug_cursor", True)

    recording = visit("/failing/")

    assert "SELECT nothing" in [each["sql"] for each in connection.queries_log]
    assert recording.query_log_bytes > 0


def test_a_request_that_frees_the_rows_of_another_one_does_not_retain_less(accounts, visit):
    for _ in range(2):
        visit("/shrinking/")
    visit("/leaking/")

    recording = visit("/shrinking/")

    assert recording.retained.bytes < 1024
    assert ACCOUNT not in recording.diff


def test_what_is_alive_near_the_peak_is_known_by_type(accounts, visit):
    recording = visit("/accounts/")

    assert recording.near_peak.diff[ACCOUNT].count == ROWS
    assert recording.near_peak.rows == ROWS
    assert recording.near_peak.diff.total.size <= recording.peak.bytes


# Safety


def test_the_hooks_are_off_once_no_request_is_measured(accounts, visit):
    visit("/accounts/")

    assert not hooks_installed()


def test_a_response_that_is_dropped_unclosed_leaves_no_window_behind(accounts, settings):
    settings.MEMSIZE = EVERY_REQUEST
    with recordings.collecting() as reports:
        response = WSGIHandler()(
            RequestFactory()._base_environ(PATH_INFO="/accounts/stream/"), lambda *started: None
        )
        next(iter(response))
        response._resource_closers.clear()
        del response
        gc.collect()

    assert reports == []
    assert not hooks_installed()
