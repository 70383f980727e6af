"""Which requests are metered where nobody asks for all of them, through the middleware."""

import asyncio
import json
import random

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, register_converter

from django_memsize import engine
from django_memsize.measuring import overhead, sampling
from django_memsize.middleware import MemsizeMiddleware
from django_memsize.models import Report
from django_memsize.reports import recordings
from django_memsize.reports.build import RequestFacts
from django_memsize.reports.findings import findings
from tests.app.models import Account
from tests.asgi import scope_of, speak
from tests.visits import EVERY_REQUEST, WITH_EVALUATIONS, create_accounts

pytestmark = [
    pytest.mark.usefixtures("as_under_a_test_client"),
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]

needs_meter = pytest.mark.skipif(engine.Window is None, reason="the engine has no meter")

SAMPLED = EVERY_REQUEST | {"SAMPLE_RATE": 1e-9}
"""Five requests of each route after its first, and none by chance."""

converted = []
kept = []
latest = []
waiting = []


class Converter:
    """Does what a converter should not: it asks the database."""

    regex = "[0-9]+"

    def to_python(self, value):
        converted.append(value)
        return Account.objects.filter(pk=value).count()

    def to_url(self, value):
        return str(value)


register_converter(Converter, "sampled")


def answer(request, **_):
    return HttpResponse("answer")


def replace(request):
    latest[:] = [list(Account.objects.all())]
    return HttpResponse("replace")


def leak(request, **_):
    kept.append(list(Account.objects.all()))
    return HttpResponse("leak")


async def waits(request):
    if waiting:
        waiting.pop().set()
        await asyncio.Event().wait()
    return HttpResponse("waits")


class OtherUrls:
    urlpatterns = [path("home/", answer, name="other"), path("<slug:name>/", answer)]


def by_host(get_response):
    """Set the URLconf by a header, as a site with several hosts does."""

    def serve(request):
        if "X-Other" in request.headers:
            request.urlconf = OtherUrls
        return get_response(request)

    return serve


urlpatterns = [
    path("home/", answer),
    path("converted/<sampled:number>/", answer),
    path("leak/<int:pk>/", leak),
    path("replace/", replace),
    path("usual/<int:pk>/<slug:name>/", answer),
    path("waits/", waits),
    path("", include("tests.urls")),
    *i18n_patterns(path("page/<int:pk>/", answer)),
]


@pytest.fixture(autouse=True)
def sampled(settings):
    """Have nothing metered by chance, and every page of this file."""
    settings.MEMSIZE = SAMPLED
    settings.ROOT_URLCONF = __name__
    yield
    converted.clear()
    kept.clear()
    latest.clear()


def reasons(**values):
    """Return why the requests of the stored reports were metered, in their order."""
    recordings.analyse_now()
    reports = Report.objects.filter(**values).order_by("pk")
    return [report.summary().reason for report in reports]


@pytest.mark.usefixtures("instrument", "quick_census")
def test_the_first_requests_of_each_route_are_metered_after_the_very_first(client, settings):
    settings.MEMSIZE = SAMPLED | {"INSTRUMENT": "census" if engine.Window is None else "auto"}
    for number in range(9):
        client.get("/home/")
        client.get(f"/usual/{number}/a-name-{number}/")
        client.post("/echo/", b"body", content_type="text/plain")

    assert reasons() == ["first"] * 15
    assert not Report.objects.filter(first_request=True).exists()
    routes = ["/echo/", "/home/", "/usual/<int:pk>/<slug:name>/"]
    assert sorted(set(Report.objects.values_list("route", flat=True))) == routes


@needs_meter
@pytest.mark.django_db(transaction=True)
def test_the_first_requests_of_an_asynchronous_route_are_metered_as_well():
    async def serve():
        for _ in range(9):
            await speak("/nothing/async/")

    asyncio.run(serve())

    assert reasons(route="/nothing/async/") == ["first"] * 5


@needs_meter
def test_a_handler_without_a_place_before_the_middleware_meters_them_as_well(rf):
    from django.urls import resolve

    def view(request):
        request.resolver_match = resolve(request.path_info)
        return HttpResponse()

    middleware = MemsizeMiddleware(view)
    for _ in range(9):
        middleware(rf.get("/home/")).close()

    assert reasons() == ["first"] * 5


@needs_meter
def test_a_leak_in_one_percent_of_the_traffic_has_its_name_after_700_requests(client, settings):
    settings.MEMSIZE = WITH_EVALUATIONS | {"SAMPLE_RATE": 0.01}
    create_accounts(100)
    chance = random.Random(4)
    for number in range(1, 701):
        is_rare = number % 100 == 50
        client.get("/leak/7/" if is_rare else f"/usual/{chance.randrange(10**6)}/a/")
    recordings.analyse_now()

    report = Report.objects.filter(route="/leak/<int:pk>/").latest("pk")
    judged = findings(report.summary(), report.retained_by_others())
    assert [[finding.name for finding in each] for each in judged.evaluations] == [["leak"]]


@needs_meter
def test_no_code_of_the_program_runs_that_would_not_run_anyway(client, django_assert_num_queries):
    for number in range(9):
        with django_assert_num_queries(1):
            client.get(f"/converted/{number}/")

    assert converted == list(map(str, range(9)))
    assert len(reasons()) == 5


@needs_meter
def test_random_paths_that_nothing_serves_are_metered_by_chance_only(client):
    for number in range(200):
        client.get(f"/{number:x}/wp-login.php")
        client.get(f"/converted/{number:x}z/")
    assert reasons() == []

    for _ in range(9):
        client.get("/home/")
    assert reasons() == ["first"] * 5
    assert sampling.figures()["routes"] == 1


@needs_meter
def test_routes_of_a_urlconf_that_a_middleware_sets_are_followed(client, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.by_host"]
    for _ in range(8):
        client.get("/home/", headers={"X-Other": "yes"})
        client.get("/any-name/", headers={"X-Other": "yes"})
        client.get("/usual/7/a/")

    assert reasons(route="/home/") == ["first"] * 5
    assert reasons(route="/<slug:name>/") == ["first"] * 5


@needs_meter
def test_routes_below_a_prefix_of_a_language_are_followed(client, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    for number in range(9):
        for language in ("de", "en"):
            assert client.get(f"/{language}/page/{number}/").status_code == 200

    assert reasons(route="/de/page/<int:pk>/") == reasons(route="/en/page/<int:pk>/")
    assert reasons(route="/de/page/<int:pk>/") == ["first"] * 5


@needs_meter
def test_a_route_that_loads_many_rows_is_metered_for_it(client, settings, monkeypatch):
    settings.MEMSIZE = SAMPLED | {"SAMPLE_FIRST": 0, "SAMPLE_INTERVAL": 100}
    create_accounts(1001)
    now = [1000.0]
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now[0])
    for _ in range(4):
        client.get("/accounts/")
        client.get("/home/")
        now[0] += 21

    assert reasons(route="/accounts/", instrument="meter") == ["rows"] * 3
    assert reasons(route="/home/") == []


@needs_meter
def test_a_route_that_retains_something_is_metered_for_it(client, monkeypatch):
    create_accounts(300)
    now = [1000.0]
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now[0])
    for _ in range(9):
        client.get("/leak/7/")
        recordings.analyse_now()
        now[0] += 61

    assert reasons(route="/leak/<int:pk>/") == ["first"] * 5 + ["retained"] * 3


@needs_meter
def test_a_route_that_replaces_what_it_retains_is_not_metered_for_it(client, monkeypatch):
    create_accounts(300)
    now = [1000.0]
    monkeypatch.setattr(sampling.time, "monotonic", lambda: now[0])
    for _ in range(16):
        client.get("/replace/")
        recordings.analyse_now()
        now[0] += 61

    # One for each request that was followed: the next report has what became of it.
    assert reasons(route="/replace/").count("retained") == 3


@needs_meter
def test_with_the_budget_spent_none_is_metered_and_the_refusals_are_counted(
    client, monkeypatch, memprofile
):
    client.get("/home/")
    monkeypatch.setattr(overhead, "is_within", lambda share: False)
    for _ in range(9):
        client.get("/home/")

    assert reasons() == []
    assert sampling.figures()["refused"] == 9
    monkeypatch.undo()
    client.get("/home/")
    assert reasons() == ["first"]
    report = Report.objects.get()
    assert report.summary().refused == 9
    assert "refused" in memprofile("show", str(report.pk))


def sample(request):
    return request.header("X-Wanted") == "yes"


@needs_meter
def test_the_callable_of_the_settings_is_asked(client, settings):
    settings.MEMSIZE = SAMPLED | {"SAMPLE": f"{__name__}.sample", "SAMPLE_RATE": 0}
    for wanted in ("yes", "no", "yes"):
        client.get("/home/", headers={"X-Wanted": wanted})

    assert reasons() == ["callable"] * 2


@needs_meter
@pytest.mark.parametrize("name", ["no.such", f"{__name__}.answer"])
def test_a_callable_that_fails_changes_no_response(client, settings, caplog, name):
    settings.MEMSIZE = SAMPLED | {"SAMPLE": name}
    assert {client.get("/home/").content for _ in range(9)} == {b"answer"}

    assert reasons() == ["first"] * 5
    assert len([one for one in caplog.records if "callable of SAMPLE" in one.getMessage()]) <= 1


@needs_meter
def test_a_path_that_is_excluded_is_not_metered_whatever_else_is_set(client, settings):
    settings.MEMSIZE = SAMPLED | {"EXCLUDE": ["/home/"], "SAMPLE_RATES": {"*": 1.0}}
    client.get("/home/")

    assert reasons() == []


@pytest.mark.django_db(databases=["default", "other"])
def test_a_request_of_a_command_says_so(memprofile):
    (document,) = json.loads(memprofile("run", "/home/", "--format", "json"))

    assert document["reason"] == "command"


@needs_meter
def test_a_report_shows_why_it_was_metered(client, memprofile):
    for _ in range(2):
        client.get("/home/")
    recordings.analyse_now()
    text = memprofile("show", str(Report.objects.get().pk))

    assert "reason" in text
    assert "first requests of its route" in text


@needs_meter
def test_a_followed_route_is_stored_under_the_same_key_as_any_other(client):
    for number in range(3):
        client.get(f"/converted/{number}/")

    ((key, route),) = sampling._sampling._routes.items()
    assert route.key == RequestFacts(key[1], key[0]).key
    assert key == ("GET", "/converted/<sampled:number>/")


@needs_meter
def test_a_request_whose_client_leaves_has_its_measurement_given_back():
    async def leave():
        arrived = asyncio.Event()
        waiting.append(arrived)
        received = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive():
            for message in received:
                return message
            await arrived.wait()
            return {"type": "http.disconnect"}

        await ASGIHandler()(scope_of("/waits/"), receive, None)

    async def serve():
        await speak("/waits/")
        for _ in range(5):
            await leave()
        for _ in range(9):
            await speak("/waits/")

    asyncio.run(serve())

    assert reasons(route="/waits/") == ["first"] * 5


@needs_meter
def test_an_exception_through_the_middleware_gives_the_measurement_back(rf):
    from django.urls import resolve

    def view(request):
        if "fail" in request.GET:
            raise ZeroDivisionError
        request.resolver_match = resolve(request.path_info)
        return HttpResponse()

    middleware = MemsizeMiddleware(view)
    middleware(rf.get("/home/")).close()
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            middleware(rf.get("/home/?fail"))
    for _ in range(9):
        middleware(rf.get("/home/")).close()

    assert reasons() == ["first"] * 5


@needs_meter
def test_a_page_of_memsize_with_the_path_of_a_route_gives_its_measurement_back(rf, monkeypatch):
    from django.urls import resolve

    from django_memsize.reports import requests

    def view(request):
        request.resolver_match = resolve(request.path_info)
        return HttpResponse()

    middleware = MemsizeMiddleware(view)
    middleware(rf.get("/home/")).close()
    with monkeypatch.context() as patch:
        patch.setattr(requests, "_is_ours", lambda match: True)
        for _ in range(5):
            middleware(rf.get("/home/")).close()
    for _ in range(9):
        middleware(rf.get("/home/")).close()

    assert reasons() == ["first"] * 5


@needs_meter
def test_a_route_whose_requests_end_unseen_waits():
    """So that one whose responses are dropped unclosed does not take the budget."""
    application = WSGIHandler()

    def serve(closes):
        environ = Client()._base_environ(PATH_INFO="/home/")
        response = application(environ, lambda *_: None)
        if closes:
            response.close()

    serve(closes=True)
    for _ in range(9):
        serve(closes=False)
    serve(closes=True)

    assert reasons() == []
