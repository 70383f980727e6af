import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth.models import User
from django.core.management import CommandError
from django.http import HttpResponse, HttpResponseRedirect
from django.test import override_settings
from django.urls import path

from django_memsize.models import Report
from tests.app import views
from tests.visits import MEMSIZE

pytestmark = [
    pytest.mark.django_db(databases=["default", "other"]),
    pytest.mark.usefixtures("quick_census"),
]


def seen(request):
    """Answer with what the view sees of the address."""
    Seen.address = (request.scheme, request.get_host(), request.get_full_path())
    return HttpResponse("seen")


class Seen:
    address = None


def leave(request):
    raise SystemExit("on purpose")


urlpatterns = [
    path("nothing/", views.nothing),
    path("seen/", seen),
    path("leave/", leave),
    *i18n_patterns(path("page/", views.nothing)),
]


class Tenant:
    """A urlconf that only a middleware knows: of the host, say."""

    urlpatterns = (path("tenant/", views.nothing),)


def tenants(get_response):
    def middleware(request):
        request.urlconf = Tenant
        return get_response(request)

    return middleware


def doorkeeper(get_response):
    return lambda request: HttpResponseRedirect("/log-in/")


def with_middleware(*paths):
    return override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[MEMSIZE, *paths])


def test_run_measures_a_request_through_the_middleware(memprofile):
    text = memprofile("run", "/accounts/")

    stored = Report.objects.get()
    assert text.startswith(
        f"Report {stored.pk}: GET /accounts/ -> 200, view tests.app.views.accounts\n\n"
    )
    assert (stored.kind, stored.route, stored.summary().status) == ("request", "/accounts/", 200)
    assert not stored.first_request


def test_run_keeps_the_query_string(memprofile):
    memprofile("run", "/accounts/?a=b")

    assert Report.objects.get().route == "/accounts/"


def test_run_uses_the_method_asked_for(memprofile):
    memprofile("run", "/echo/", "--method", "post")

    assert Report.objects.get().method == "POST"


def test_run_logs_a_user_in(memprofile):
    User.objects.create_superuser("root", password="secret")

    memprofile("run", "/admin/", "--user", "root")
    memprofile("run", "/admin/")

    reports = Report.objects.order_by("pk")
    assert [report.summary().status for report in reports] == [200, 302]


def test_a_view_that_raises_is_shown_with_its_own_lines_only(memprofile):
    with pytest.raises(CommandError) as caught:
        memprofile("run", "/raises/value/")

    first, _, frames = str(caught.value).partition("\n\n")
    assert first == "/raises/value/ raised ValueError: on purpose"
    assert frames.splitlines()[0].endswith("in raises")
    assert "django_memsize" not in frames


def test_without_the_middleware_the_error_names_the_setting_to_change(memprofile):
    with override_settings(MIDDLEWARE=[]), pytest.raises(CommandError, match="MemsizeMiddleware"):
        memprofile("run", "/nothing/")


def test_a_host_that_is_allowed_is_taken_from_the_settings(memprofile):
    with override_settings(ALLOWED_HOSTS=["*", ".example.org"]):
        memprofile("run", "/nothing/")

    assert Report.objects.get().summary().status == 200


@pytest.mark.parametrize("code", ["en", "de"])
def test_a_page_below_the_prefix_of_a_language_is_measured(memprofile, code):
    with with_middleware("django.middleware.locale.LocaleMiddleware"):
        memprofile("run", f"/{code}/page/")

    report = Report.objects.get()
    assert (report.summary().status, report.route) == (200, f"/{code}/page/")


def test_a_page_of_a_urlconf_that_a_middleware_sets_is_measured(memprofile):
    with with_middleware(f"{__name__}.tenants"):
        memprofile("run", "/tenant/")

    report = Report.objects.get()
    assert (report.summary().status, report.route) == (200, "/tenant/")


@pytest.mark.parametrize(
    ("middleware", "wanted", "message"),
    [
        ("django.middleware.locale.LocaleMiddleware", "/page/", "Did you mean /en/page/?"),
        ("django.middleware.locale.LocaleMiddleware", "/de/page", "Did you mean /de/page/?"),
        ("django.middleware.common.CommonMiddleware", "/nothing", "Did you mean /nothing/?"),
        (f"{__name__}.tenants", "tenant", "Did you mean /tenant/?"),
        (f"{__name__}.tenants", "/nothing/", ""),
    ],
)
def test_an_unresolved_path_is_an_error_with_a_hint(memprofile, middleware, wanted, message):
    with with_middleware(middleware), pytest.raises(CommandError) as caught:
        memprofile("run", wanted)

    assert str(caught.value) == f"There is no page at {wanted}. {message}".rstrip()
    assert not Report.objects.exists()


def test_a_middleware_that_answers_in_place_of_a_page_is_measured(memprofile):
    with with_middleware(f"{__name__}.doorkeeper"):
        memprofile("run", "/nothing/")

    assert Report.objects.get().summary().status == 302


@pytest.mark.parametrize("debug", [False, True])
def test_a_404_that_a_view_raises_is_measured(memprofile, debug):
    with override_settings(DEBUG=debug):
        memprofile("run", "/accounts/12345/")

    report = Report.objects.get()
    assert (report.summary().status, report.route) == (404, "/accounts/<int:pk>/")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8000/seen/?a=1&b=%20", ("http", "localhost:8000", "/seen/?a=1&b=%20")),
        ("https://localhost/seen/", ("https", "localhost", "/seen/")),
        ("https://localhost:8443/seen/#top", ("https", "localhost:8443", "/seen/")),
        ("HTTP://127.0.0.1/seen/", ("http", "127.0.0.1", "/seen/")),
        ("http://[::1]:8000/seen/", ("http", "[::1]:8000", "/seen/")),
        (
            "/seen/?next=http://localhost:8000/",
            ("http", None, "/seen/?next=http://localhost:8000/"),
        ),
    ],
)
def test_a_pasted_url_sets_scheme_host_path_and_query(memprofile, url, address):
    scheme, host, full_path = address
    hosts = ["localhost", "127.0.0.1", "[::1]"]
    with with_middleware(), override_settings(ALLOWED_HOSTS=hosts):
        memprofile("run", url)

    assert Seen.address == (scheme, host or "localhost", full_path)
    assert Report.objects.get().summary().status == 200


def test_a_host_that_is_not_allowed_is_one_line(memprofile):
    with (
        with_middleware("django.middleware.common.CommonMiddleware"),
        pytest.raises(CommandError, match=r"^The host 'example\.com' is not in ALLOWED_HOSTS\.$"),
    ):
        memprofile("run", "http://example.com/seen/")

    assert not Report.objects.exists()


def test_a_view_that_raises_system_exit_is_an_error(memprofile):
    with with_middleware(), pytest.raises(CommandError, match=r"^/leave/ raised SystemExit: on"):
        memprofile("run", "/leave/")
