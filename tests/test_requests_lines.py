"""The view and the line of each evaluation of a request, whatever is around the view."""

import functools
import importlib
import inspect
import sys
import time
from collections import Counter

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.dispatch import Signal
from django.http import HttpResponse, StreamingHttpResponse
from django.template import Library
from django.test import AsyncClient
from django.urls import path, re_path
from django.utils.decorators import async_only_middleware
from django.utils.deprecation import MiddlewareMixin
from django.views import generic

import django_memsize as memsize
from django_memsize.measuring import sampling
from django_memsize.models import Report
from django_memsize.reports import outliers, recordings, requests
from django_memsize.reports.rollups import rollups
from tests.app.models import Author, Book

pytest_plugins = ["tests.orm_fixtures"]

register = Library()
opened = Signal()
order = []
ME = "tests/test_requests_lines.py"
PAGES = {
    "list.html": "{% for book in object_list %}\n{{ book.author.name }}{% endfor %}",
    "who.html": "\n{{ user.username }}",
    "tag.html": "{% load lines %}{% newest %}",
    "empty.html": "",
}


def line_of(function, text):
    """Return ``file:line`` of the line of a function that has the text."""
    lines, first = inspect.getsourcelines(function)
    return f"{ME}:{next(first + i for i, line in enumerate(lines) if text in line)}"


# Views


class BookList(generic.ListView):
    queryset = Book.objects.order_by("pk")
    template_name = "list.html"


class BookPage(generic.DetailView):
    model = Book
    template_name = "empty.html"


class Own(generic.ListView):
    template_name = "empty.html"

    def get_queryset(self):
        return list(Book.objects.all())


class Who(generic.TemplateView):
    template_name = "who.html"


def decorated(view_func):
    def call_view(request, *args, **kwargs):
        return view_func(request, *args, **kwargs)

    return call_view


def wrapped(view_func):
    @functools.wraps(view_func)
    def call_view(request, *args, **kwargs):
        return view_func(request, *args, **kwargs)

    return call_view


def index(request, *args):
    return HttpResponse(list(Book.objects.all()))


async def index_async(request):
    return HttpResponse([book async for book in Book.objects.all()])


def stream(request):
    return StreamingHttpResponse(book.title for book in Book.objects.all())


def parts(request):
    def made():
        for part in (b"first", b"last"):
            order.append(part.decode())
            yield part

    return StreamingHttpResponse(made())


def whole(request):
    order.extend(("first", "last"))
    return HttpResponse(b"firstlast")


def signal(request):
    opened.send(None)
    return HttpResponse()


def receive(**_):
    list(Book.objects.all())


opened.connect(receive)


def tagged(request):
    return Who.as_view(template_name="tag.html")(request)


@register.simple_tag
def newest():
    return Book.objects.latest("pk")


class Pages(admin.AdminSite):
    """Stands for any function of a library that is a view: the code is Django's."""


site = Pages("lines")
site.register(Author)

urlpatterns = [
    path("list/", BookList.as_view()),
    path("list/decorated/", decorated(BookList.as_view())),
    path("list/login/", login_required(wrapped(BookList.as_view()))),
    path("page/<int:pk>/", BookPage.as_view()),
    path("page/decorated/<int:pk>/", decorated(wrapped(BookPage.as_view()))),
    path("own/", Own.as_view()),
    path("who/", Who.as_view()),
    path("index/", decorated(wrapped(index))),
    path("index/async/", index_async),
    path("stream/", stream),
    path("parts/", parts),
    path("whole/", whole),
    path("signal/", signal),
    path("tag/", tagged),
    path("admin/", site.urls),
    path("decorated/admin/", decorated(site.index)),
    re_path(r"^((?:[\w\-]+/)*)$", index),
]


# Middleware


def function_middleware(get_response):
    def middleware(request):
        return get_response(request)

    return middleware


class ClassMiddleware:
    sync_capable = async_capable = True

    def __init__(self, get_response):
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request):
        if iscoroutinefunction(self):
            return self.__acall__(request)
        return self.get_response(request)

    async def __acall__(self, request):
        return await self.get_response(request)


class Mixin(MiddlewareMixin):
    def process_view(self, request, callback, args, kwargs):
        return None

    def process_response(self, request, response):
        return response


@async_only_middleware
def async_middleware(get_response):
    async def middleware(request):
        return await get_response(request)

    return middleware


def loading_middleware(get_response):
    def middleware(request):
        list(Author.objects.all())
        response = get_response(request)
        list(Author.objects.filter(pk=1))
        return response

    return middleware


@async_only_middleware
def loading_async_middleware(get_response):
    async def middleware(request):
        await Author.objects.aget(name="Ann")
        return await get_response(request)

    return middleware


class LoadingMixin(MiddlewareMixin):
    def process_request(self, request):
        list(Author.objects.all())

    def process_view(self, request, callback, args, kwargs):
        list(Author.objects.filter(pk=1))


def loading_processor(request):
    return {"authors": list(Author.objects.all())}


ALL = ["", "function_middleware", "ClassMiddleware", "Mixin", "async_middleware"]


@pytest.fixture(autouse=True)
def _program(settings, books):
    settings.ROOT_URLCONF = __name__
    settings.MEMSIZE = {"SAMPLE_RATE": 1.0, "EVALUATIONS": False}
    settings.TEMPLATES = templates()


def templates(*processors):
    loader = ("django.template.loaders.locmem.Loader", PAGES)
    own = ["django.template.loaders.app_directories.Loader"]
    return [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "loaders": [loader, *own],
                "libraries": {"lines": __name__},
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                    *processors,
                ],
            },
        }
    ]


def put_around(settings, *names):
    """Have middleware of the program around Django's own, and inside of it."""
    own, *django = [name for name in settings.MIDDLEWARE if "async" not in name]
    added = [f"{__name__}.{name}" for name in names if name]
    settings.MIDDLEWARE = [own, *added, *django, *added]


def summary():
    """Return the newest report."""
    recordings.analyse_now()
    return Report.objects.order_by("-pk")[0].summary()


def places(model=None):
    """Return where the rows of the newest report were loaded, and how often."""
    return [
        (str(each.site), each.times)
        for each in summary().evaluations
        if model is None or each.model == model
    ]


# A view of a library, below middleware of the program

GENERIC = [
    ("/list/", "list.html:1", "BookList"),
    ("/list/decorated/", "list.html:1", "BookList"),
    ("/list/login/", "list.html:1", "BookList"),
    ("/page/{pk}/", "django/views/generic/detail.py:", "BookPage"),
    ("/page/decorated/{pk}/", "django/views/generic/detail.py:", "BookPage"),
]


def is_at(place, beginning, view):
    where, _, name = place.partition(" for ")
    return where.startswith(beginning) and name == f"{__name__}.{view}"


@pytest.mark.parametrize("around", ALL)
@pytest.mark.parametrize(("url", "beginning", "view"), GENERIC)
def test_no_middleware_is_named_for_a_generic_view(
    admin_client, settings, books, around, url, beginning, view
):
    put_around(settings, around)
    assert admin_client.get(url.format(pk=books[0].pk)).status_code == 200

    first = places("app.Book")[0]
    assert is_at(first[0], beginning, view), first
    assert summary().view == f"{__name__}.{view}"


@pytest.mark.parametrize("around", ALL)
@pytest.mark.parametrize(
    ("url", "beginning", "view"), [one for one in GENERIC if "login" not in one[0]]
)
@pytest.mark.usefixtures("_thread_of_async_code")
async def test_no_middleware_is_named_for_a_generic_view_of_an_asynchronous_server(
    settings, books, around, url, beginning, view
):
    put_around(settings, around)
    response = await AsyncClient().get(url.format(pk=books[0].pk))
    assert response.status_code == 200

    first = (await sync_to_async(places)("app.Book"))[0]
    assert is_at(first[0], beginning, view), first


def test_a_loop_over_a_foreign_key_in_the_template_of_a_generic_view_is_one_evaluation(
    client, settings
):
    put_around(settings)
    client.get("/list/")

    view = f"{__name__}.BookList"
    assert places() == [(f"list.html:1 for {view}", 1), (f"list.html:2 for {view}", 6)]


@pytest.mark.parametrize("around", ALL[:4])
def test_the_user_of_the_session_is_loaded_by_the_template_that_names_the_user(
    admin_client, settings, around
):
    put_around(settings, around)
    admin_client.get("/who/")

    place = f"who.html:2 for {__name__}.Who"
    assert places("auth.User") == places("sessions.Session") == [(place, 1)]


@pytest.mark.parametrize("around", ALL[:4])
def test_the_admin_is_named_by_the_class_that_registers_the_model(admin_client, settings, around):
    put_around(settings, around)
    assert admin_client.get("/admin/app/author/").status_code == 200

    view = "django.contrib.admin.options.ModelAdmin.changelist_view"
    assert summary().view == view
    ((place, _),) = places("app.Author")
    assert place.startswith("django/contrib/admin/")
    assert place.endswith(f" for {view}")
    assert all(place.endswith(f" for {view}") for place, _ in places())


def test_a_function_of_the_program_around_a_function_of_a_library_is_named_with_the_view(
    admin_client,
):
    admin_client.get("/decorated/admin/")

    view = f"{__name__}.Pages.index"
    assert summary().view == view
    place = line_of(decorated, "return view_func(")
    found = {place for place, _ in places()}
    assert found
    assert all(one.endswith(f" for {view}") for one in found)
    assert any(one.startswith((place, "admin/")) for one in found)


# Lines of the program


@pytest.mark.parametrize(
    ("url", "function", "text", "view"),
    [
        ("/own/", Own.get_queryset, "return list", "Own"),
        ("/index/", index, "return HttpResponse(list", "index"),
        ("/index/async/", index_async, "return HttpResponse([book", "index_async"),
        ("/stream/", stream, "return StreamingHttpResponse(", "stream"),
        ("/signal/", receive, "list(Book", "signal"),
        ("/tag/", newest, "return Book", "tagged"),
        ("/any/page/", index, "return HttpResponse(list", "index"),
    ],
)
@pytest.mark.parametrize("around", ["", "function_middleware"])
def test_a_line_of_the_program_is_named_as_it_is(
    client, settings, lent_connection, around, url, function, text, view
):
    put_around(settings, around)
    response = client.get(url)
    response.getvalue()

    assert places("app.Book")[0] == (line_of(function, text), 1)
    assert summary().view == f"{__name__}.{view}"


def test_a_middleware_that_loads_rows_is_named(client, settings):
    put_around(settings, "loading_middleware", "function_middleware", "LoadingMixin")
    settings.TEMPLATES = templates(f"{__name__}.loading_processor")
    client.get("/who/")

    found = {place for place, _ in places("app.Author")}
    assert found == {
        line_of(loading_middleware, "Author.objects.all"),
        line_of(loading_middleware, "filter"),
        line_of(LoadingMixin, "Author.objects.all"),
        line_of(LoadingMixin, "filter"),
        line_of(loading_processor, "Author.objects.all"),
    }


@pytest.mark.usefixtures("_thread_of_async_code")
async def test_an_asynchronous_middleware_that_loads_rows_is_named(settings):
    put_around(settings, "loading_async_middleware")
    await AsyncClient().get("/list/")

    found = await sync_to_async(places)("app.Author")
    own = line_of(loading_async_middleware, "await Author")
    assert [place for place, _ in found if place.startswith(ME)] == [own] * len(found[:-1])
    assert found[-1] == (f"list.html:2 for {__name__}.BookList", 6)


def test_a_view_that_a_block_calls_is_named_by_the_line_in_the_block(rf):
    with memsize.measure("block", save=False) as recording:
        BookList.as_view()(rf.get("/")).render()
        BookPage.as_view()(rf.get("/"), pk=Book.objects.first().pk)

    lists = [str(each.site) for each in recording.evaluations if each.kind != "lazy"]
    me = sys._getframe().f_code.co_firstlineno
    assert lists[0] == f"list.html:1, rendered by {ME}:{me + 2}"
    assert lists[-1] == f"{ME}:{me + 3}"


# Programs and libraries in site-packages

RESTFUL = """
from django.http import HttpResponse
from django.views import View

class Manager:
    def load(self, queryset):
        return list(queryset)

def represent(view):
    return Manager().load(view.queryset)

class ListAPIView(View):
    def get(self, request):
        represent(self)
        return HttpResponse()
"""
SHOP = """
from django.apps import AppConfig
from django.http import HttpResponse
from django.urls import path
from restful.generics import ListAPIView
from tests.app.models import Book

class ShopConfig(AppConfig):
    name = "shop_in_site_packages"
    label = "shop"

class BooksOfShop(ListAPIView):
    queryset = Book.objects.all()

def index(request):
    return HttpResponse(list(Book.objects.all()))

urlpatterns = [path("rest/", BooksOfShop.as_view()), path("shop/", index)]
"""


@pytest.fixture
def site_packages(tmp_path, monkeypatch):
    """Two installed packages: a library of views, and an app that uses them."""
    folder = tmp_path / "site-packages"
    for name, text in (("restful/generics.py", RESTFUL), ("shop_in_site_packages/site.py", SHOP)):
        file = folder / name
        file.parent.mkdir(parents=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("shop_in_site_packages.site")
    for name in ("restful", "shop_in_site_packages"):
        for module in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[module]


APP_LINE = "shop_in_site_packages/site.py:16"


def is_program(client):
    """Return whether the line of the installed app is named as one of the program."""
    client.get("/shop/")
    ((place, _),) = places()
    assert place.startswith(APP_LINE)
    return place == APP_LINE


def test_a_library_is_named_with_the_view(client, settings, site_packages):
    settings.ROOT_URLCONF = "shop_in_site_packages.site"
    put_around(settings, "function_middleware")
    client.get("/rest/")

    view = "shop_in_site_packages.site.BooksOfShop"
    assert places() == [(f"restful/generics.py:10 for {view}", 1)]


@pytest.mark.parametrize("around", ["", "function_middleware"])
def test_an_installed_program_is_told_by_its_urlconf(client, settings, site_packages, around):
    put_around(settings, around)
    settings.ROOT_URLCONF = "shop_in_site_packages.site"

    assert is_program(client)


def test_an_installed_app_is_named_with_the_view(client, settings, site_packages, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "urlpatterns", site_packages.urlpatterns)

    assert not is_program(client)
    view = "shop_in_site_packages.site.index"
    assert places() == [(f"{APP_LINE} for {view}", 1)]


def test_an_installed_app_is_the_program_where_the_settings_say_so(
    client, settings, site_packages, monkeypatch
):
    monkeypatch.setattr(sys.modules[__name__], "urlpatterns", site_packages.urlpatterns)
    settings.MEMSIZE = settings.MEMSIZE | {"PROGRAM": ["shop_in_site_packages"]}
    assert is_program(client)

    settings.MEMSIZE = settings.MEMSIZE | {"PROGRAM": ["shop_in_site_packages.others.*"]}
    assert not is_program(client)


# Routes that answer for everything


def first_segment(match):
    if match.args and match.args[0].startswith("raise"):
        raise ValueError(match.args[0])
    return match.args[0].partition("/")[0] if match.args else None


def note_route(match):
    order.append("route")


def test_the_callable_of_route_tells_requests_of_one_route_apart(client, settings, caplog):
    settings.MEMSIZE = settings.MEMSIZE | {"ROUTE": f"{__name__}.first_segment"}
    for url in ("/blog/a/", "/blog/b/", "/shop/a/", "/list/", "/raises/secret/"):
        client.get(url)
    recordings.analyse_now()

    pattern = r"^((?:[\w\-]+/)*)$"
    assert list(Report.objects.order_by("pk").values_list("route", "first_request")) == [
        (f"{pattern} [blog]", True),
        (f"{pattern} [blog]", False),
        (f"{pattern} [shop]", True),
        ("/list/", True),
        (pattern, True),
    ]
    (record,) = caplog.records
    assert "the callable of ROUTE" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize("rate", [0, 1])
@pytest.mark.parametrize("url", ["/parts/", "/whole/"])
def test_the_callable_of_route_is_asked_after_the_last_byte_of_any_response(
    client, settings, rate, url
):
    settings.MEMSIZE = settings.MEMSIZE | {"ROUTE": f"{__name__}.note_route", "SAMPLE_RATE": rate}
    order.clear()
    response = client.get(url)
    assert b"".join(response) == b"firstlast"
    response.close()

    assert order == ["first", "last", "route"]


def test_sampling_and_traffic_follow_the_name_of_the_route(client, settings):
    rollups.reset()
    settings.MEMSIZE = {"ROUTE": f"{__name__}.first_segment", "SAMPLE_RATE": 1e-9}
    for url in ("/blog/a/", "/blog/b/", "/shop/a/", "/shop/b/", "/list/"):
        client.get(url)

    pattern = r"^((?:[\w\-]+/)*)$"
    routes = {f"{pattern} [blog]": 2, f"{pattern} [shop]": 2, "/list/": 1}
    assert {key[1] for key in sampling._sampling._routes} == set(routes)
    rolled = Counter()
    for row in rollups.take(100, time.time() + 600):
        rolled[row.key.route] += row.rollup.requests
    assert rolled == routes


def test_a_counted_request_has_its_view_and_lines_as_well(client, settings, monkeypatch):
    monkeypatch.setattr(outliers, "ROWS", 6)
    settings.MEMSIZE = {"SAMPLE_RATE": 0}
    client.get("/list/")

    found = summary()
    assert found.is_counted
    assert found.view == Report.objects.get().view == f"{__name__}.BookList"
    assert str(found.evaluations[0].site) == f"list.html:1 for {__name__}.BookList"


def test_a_fault_in_naming_leaves_the_report(client, monkeypatch, caplog):
    monkeypatch.setattr(requests, "view_of", lambda _: 1 / 0)
    assert client.get("/list/").status_code == 200

    assert summary().view == ""
    assert places()[0] == ("list.html:1", 1)
    assert "naming a view failed" in caplog.text
