"""A token asks for one request to be metered; what is no token of this program asks for nothing."""

import logging
import time

import pytest
from django.core.signing import Signer
from django.test import RequestFactory, override_settings

from django_memsize.measuring import tokens
from tests import asgi


def environ_with(**headers):
    return RequestFactory().get("/", **headers).environ


def scope_with(*headers):
    return asgi.scope_of("/") | {"headers": [(b"host", b"a"), *headers, (b"accept", b"*/*")]}


def asking(token):
    """Return the requests that have a token, in every place where it may be."""
    cookies = f'a=1; memsize_token="{token}"; b=2'
    return [
        environ_with(HTTP_X_MEMSIZE_TOKEN=token),
        environ_with(HTTP_COOKIE=f"memsize_token={token}"),
        environ_with(HTTP_COOKIE=cookies),
        scope_with((b"x-memsize-token", token.encode("latin1", "replace"))),
        scope_with((b"cookie", cookies.encode("latin1", "replace"))),
    ]


def test_a_signed_token_asks_in_a_header_or_a_cookie():
    assert [tokens.asks(source) for source in asking(tokens.new(60))] == [True] * 5


@pytest.mark.parametrize("cookie", ["memsize_token=1.a", "xmemsize_token=1.a", "memsize_token="])
def test_a_token_in_a_header_is_found_behind_any_cookie(cookie):
    token = tokens.new(60)
    header, cookies = (b"x-memsize-token", token.encode()), (b"cookie", cookie.encode())

    assert tokens.asks(environ_with(HTTP_X_MEMSIZE_TOKEN=token, HTTP_COOKIE=cookie))
    assert tokens.asks(scope_with(cookies, header))
    assert tokens.asks(scope_with(header, cookies))


def test_a_token_in_the_second_of_two_cookie_headers_is_found():
    cookie = f"memsize_token={tokens.new(60)}".encode()

    assert tokens.asks(scope_with((b"cookie", b"xmemsize_token=1.a"), (b"cookie", cookie)))


def test_a_header_decides_whatever_a_cookie_says():
    cookie = f"memsize_token={tokens.new(60)}"

    assert not tokens.asks(environ_with(HTTP_X_MEMSIZE_TOKEN="1.a", HTTP_COOKIE=cookie))
    assert not tokens.asks(scope_with((b"cookie", cookie.encode()), (b"x-memsize-token", b"1.a")))


def test_an_environ_may_have_the_variables_of_the_process():
    """As that of wsgiref has, and one of them may have the name of a key of a scope."""
    token = tokens.new(60)
    environ = environ_with(HTTP_X_MEMSIZE_TOKEN=token) | {"type": "http", "headers": "all"}

    assert tokens.asks(environ)
    assert tokens.header_of(environ, "X-Memsize-Token") == token


def test_a_request_without_a_token_asks_for_nothing(monkeypatch):
    monkeypatch.setattr(tokens, "is_valid", lambda token: pytest.fail("checked"))
    sources = [
        {},
        {"type": "http"},
        environ_with(),
        environ_with(HTTP_COOKIE="sessionid=memsize"),
        environ_with(HTTP_COOKIE="not_memsize_token=1.a"),
        environ_with(HTTP_COOKIE="memsize_token="),
        scope_with(),
        scope_with((b"cookie", b"sessionid=1")),
    ]

    assert [tokens.asks(source) for source in sources] == [False] * len(sources)


def test_what_was_not_signed_for_this_asks_for_nothing(monkeypatch, caplog):
    later = int(time.time()) + 60
    with override_settings(SECRET_KEY="another key"):
        of_another_program = tokens.new(60)
    wrong = [
        "",
        "1",
        str(later),
        f"{later}.",
        f"{later}.{'a' * 43}",
        tokens.new(60)[:-1],
        tokens.new(60) + "a",
        tokens.new(60).replace(str(later)[:9], str(later + 1000)[:9], 1) + "0",
        of_another_program,
        Signer(sep=".").sign(str(later)),
        Signer(sep=".", salt="django_memsize.token").sign("for ever"),
        "\udc80\ud800.\x00",
        "\u0661" * 10 + ".a",
        tokens.new(60) + "a" * 100_000,
    ]
    with caplog.at_level(logging.DEBUG):
        assert [token for token in wrong if tokens.is_valid(token)] == []
        assert not any(tokens.asks(source) for token in wrong for source in asking(token))

    assert caplog.records == []


def test_a_token_ends(monkeypatch):
    token, longest = tokens.new(60), tokens.new(10**9)
    now = time.time()
    assert tokens.is_valid(token)
    assert tokens.is_valid(longest)

    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert not tokens.is_valid(token)
    monkeypatch.setattr(time, "time", lambda: now + tokens.LONGEST + 1)
    assert not tokens.is_valid(longest)


def test_a_token_that_was_signed_for_longer_than_allowed_is_ignored():
    far = int(time.time()) + 2 * tokens.LONGEST

    assert not tokens.is_valid(Signer(sep=".", salt="django_memsize.token").sign(str(far)))


def test_a_token_of_the_key_before_is_valid_as_django_says():
    with override_settings(SECRET_KEY="the key before"):
        token = tokens.new(60)
    with override_settings(SECRET_KEY="a", SECRET_KEY_FALLBACKS=["the key before"]):
        assert tokens.is_valid(token)


def test_a_header_is_found_in_an_environ_and_in_a_scope():
    environ = environ_with(HTTP_USER_AGENT="curl", CONTENT_TYPE="text/plain")
    scope = scope_with((b"user-agent", b"curl"), (b"a", b"1"), (b"a", b"2"))

    assert tokens.header_of(environ, "User-Agent") == tokens.header_of(scope, "User-Agent")
    assert tokens.header_of(environ, "content-type") == "text/plain"
    assert tokens.header_of(scope, "A") == "1,2"
    assert tokens.header_of(environ, "X") is tokens.header_of(scope, "X\u2028") is None
