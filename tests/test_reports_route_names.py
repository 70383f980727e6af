"""What is added to a route, so that requests of one URL pattern are told apart."""

import pytest
from django.db.models import TextChoices
from django.test import RequestFactory
from django.urls import resolve
from django.utils.safestring import SafeString

from django_memsize import process
from django_memsize.measuring.routes import key_of, named_route, pattern_of
from django_memsize.measuring.spans import in_span, open_span
from django_memsize.reports import route_names
from django_memsize.reports.recordings import new_recording
from tests.app.models import Author

answers = []


def answer(match):
    answers.append((match.url_name, open_span()))
    return match.kwargs.get("answer")


class RouteResult:
    """As Wagtail's."""

    def __init__(self, page):
        self.page = page

    def __getitem__(self, index):
        raise AssertionError


class Section(TextChoices):
    BLOG = "blog", "The blog"


class Hostile(str):
    """None of its own methods is to be called."""

    def fail(self, *_):
        raise AssertionError

    __bool__ = __eq__ = __format__ = __getitem__ = __hash__ = __len__ = __str__ = fail


class Unmodelled:
    def __getattr__(self, name):
        raise AssertionError(name)


def name(answered=None, **attributes):
    """Return what is added to the route of a request with these attributes."""
    request = RequestFactory().get("/accounts/")
    vars(request).update(attributes)
    match = resolve("/accounts/")
    match.kwargs["answer"] = answered
    return route_names.name_in_route(request, match, "/accounts/")


@pytest.fixture(autouse=True)
def _new_names():
    answers.clear()
    process.reset()


@pytest.fixture
def asked(settings):
    settings.MEMSIZE = {"ROUTE": f"{__name__}.answer"}


def test_nothing_is_added_without_a_callable():
    assert name("blog") == ""
    assert answers == []


@pytest.mark.usefixtures("asked")
def test_what_the_callable_returns_is_added():
    assert name("blog") == "blog"
    assert name() == ""
    assert name("") == ""


@pytest.mark.usefixtures("asked")
def test_the_callable_runs_in_no_span():
    with in_span(new_recording("a request")):
        name("blog")

    assert answers == [(None, None)]


@pytest.mark.usefixtures("asked")
def test_a_name_is_made_safe_and_cut():
    assert name("a\x1b[31m\nb") == "a\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}b"
    assert len(name("x" * 1000)) == route_names.LONGEST_NAME


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("answered", [7, b"blog", ["blog"]])
def test_an_answer_that_is_no_text_adds_nothing(answered, caplog):
    assert name(answered) == ""


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize("make", [Section, Hostile, SafeString])
def test_a_text_of_any_class_is_added_by_its_characters(make):
    added = name(make("blog"))

    assert (type(added), added) == (str, "blog")


@pytest.mark.usefixtures("asked")
def test_an_empty_text_of_any_class_adds_nothing():
    assert name(Hostile()) == ""


@pytest.mark.usefixtures("asked")
def test_a_callable_that_returns_what_clients_send_makes_no_more_than_a_hundred_routes():
    found = {name(str(number)) for number in range(1000)}

    assert len(found) == 101
    assert route_names.OTHER in found
    assert name("0") == "0"


@pytest.mark.usefixtures("asked")
def test_patterns_with_names_are_bounded(monkeypatch):
    monkeypatch.setattr(route_names, "_MOST_PATTERNS", 2)
    found = [route_names._known.admit(pattern, "a") for pattern in ("/a/", "/b/", "/c/", "/a/")]

    assert found == ["a", "a", route_names.OTHER, "a"]


def test_a_page_of_wagtail_is_named_by_its_class():
    result = RouteResult(Author(pk=1, name="secret"))

    assert name(_wagtail_route_for_request=result) == "app.Author"
    assert name(_wagtail_route_for_request=None) == ""
    assert name(_wagtail_route_for_request=Unmodelled()) == ""
    assert name(_wagtail_route_for_request=RouteResult(Unmodelled())) == f"{__name__}.Unmodelled"


@pytest.mark.usefixtures("asked")
def test_what_the_callable_returns_comes_before_the_page():
    result = RouteResult(Author(pk=1))

    assert name("blog", _wagtail_route_for_request=result) == "blog"
    assert name("", _wagtail_route_for_request=result) == ""
    assert name(None, _wagtail_route_for_request=result) == "app.Author"


@pytest.mark.parametrize("pattern", ["/accounts/", r"^((?:[\w\-]+/)*)$", "/x" * 200])
def test_a_named_route_has_its_pattern_and_fits_into_the_column(pattern):
    route = named_route(pattern, "blog.BlogPage")

    assert route.endswith(" [blog.BlogPage]")
    assert key_of("GET", route) == ("GET", route)
    assert pattern.startswith(pattern_of(route).rstrip("\N{HORIZONTAL ELLIPSIS}"))
    assert named_route(pattern, "") == pattern_of(pattern) == pattern


def test_a_pattern_that_ends_in_brackets_is_a_pattern():
    assert pattern_of("^[a-z]") == "^[a-z]"
