"""The routes that a path may have, learnt from other paths."""

import random
import string

import pytest

from django_memsize.measuring import shapes
from django_memsize.measuring.shapes import Shapes


def learnt(*requests):
    """Return shapes that know requests, each a path and its route."""
    known = Shapes()
    for path, route in requests:
        known.learn("GET", path, route, route)
    return known


@pytest.mark.parametrize(
    ("path", "route", "alike", "unlike"),
    [
        ("/", "/", ["/"], ["/a/", "//"]),
        ("/about/", "/about/", ["/about/"], ["/about", "/other/", "/about/7/"]),
        ("/a/7/", "/a/<int:pk>/", ["/a/8/", "/a/99/"], ["/a/7", "/b/7/", "/a/7/7/", "/a/"]),
        ("/a/7/edit/", "/a/<int:pk>/edit/", ["/a/8/edit/"], ["/a/8/show/", "/a/8/"]),
        ("/blog/my-post/", "/blog/<slug:slug>/", ["/blog/any_other/"], ["/blog/", "/other/x/"]),
        ("/regex/12/", "^regex/([0-9]+)/$", ["/regex/3/"], ["/regex/3"]),
        ("/de/a/7/", "/de/a/<int:pk>/", ["/de/a/8/"], ["/en/a/8/"]),
    ],
)
def test_paths_that_differ_in_parameters_alone_have_one_route(path, route, alike, unlike):
    known = learnt((path, route))

    assert {each: known.routes("GET", each) for each in alike} == dict.fromkeys(alike, (route,))
    assert [each for each in unlike if known.routes("GET", each)] == []


def test_methods_have_routes_of_their_own():
    known = learnt(("/a/", "/a/"))
    known.learn("(other)", "/a/", "/a/", "other")

    assert known.routes("POST", "/a/") is None
    assert known.routes("BREW", "/a/") == ("other",)


def test_routes_that_share_a_shape_are_all_known_the_latest_first():
    known = learnt(("/7/", "/<int:pk>/"), ("/8/", "/<year>/"), ("/9/", "/<int:pk>/"))

    assert known.routes("GET", "/1/") == ("/<int:pk>/", "/<year>/")


def test_a_word_that_a_later_route_has_makes_another_shape():
    known = learnt(("/x/", "/<slug>/"), ("/news/all/", "/news/all/"))

    assert known.routes("GET", "/news/") is None  # not known whose it is
    known.learn("GET", "/news/", "/<slug>/", "/<slug>/")
    assert known.routes("GET", "/news/") == ("/<slug>/",)


def test_no_part_of_a_path_is_kept_that_is_not_a_part_of_a_route():
    known = learnt(("/orders/98765/secret-token/", "/orders/<int:pk>/<slug>/"))

    kept = repr([set(known._words), dict(known._by_shape), dict(known._numbers)])
    assert "98765" not in kept
    assert "secret" not in kept


def test_what_is_kept_is_bounded_whatever_paths_are_asked_for(monkeypatch):
    monkeypatch.setattr(shapes, "_MOST_SHAPES", 100)
    monkeypatch.setattr(shapes, "_MOST_WORDS", 50)
    known = Shapes()
    chance = random.Random(1)
    for number in range(3000):
        parts = [chance.choice(string.ascii_lowercase) for _ in range(chance.randrange(40))]
        path = "/" + "/".join(parts)
        route = "/<path:rest>" if number % 2 else f"{path[:9]}/<path:rest>"
        known.learn("GET", path, route, route)
        known.routes("GET", path)

    assert len(known._by_shape) <= 100
    assert len(known._words) < 50 + 40
    assert max(map(len, known._by_shape)) == shapes._DEPTH + 1
    assert max(map(len, known._by_shape.values())) <= shapes._MOST_ROUTES_OF_A_SHAPE
    assert max(known._numbers.values()) <= shapes._MOST_SHAPES_OF_A_ROUTE


def test_five_routes_of_one_shape_are_learnt_however_often_they_push_each_other_out():
    known = Shapes()
    for number in range(5 * (shapes._MOST_SHAPES_OF_A_ROUTE + 1)):
        route = f"/<{number % 5}>/"
        known.learn("GET", f"/{number}/", route, route)
        assert known.routes("GET", "/7/")[0] == route

    assert sum(known._numbers.values()) == shapes._MOST_ROUTES_OF_A_SHAPE


def test_a_path_of_any_length_has_a_shape():
    known = learnt(("/" + "a/" * 40_000, "/<path:rest>"))

    assert known.routes("GET", "/" + "b/" * 30_000) == ("/<path:rest>",)
    assert known.routes("GET", "") is None
