import argparse

import pytest

from django_memsize.commands import arguments
from django_memsize.commands.arguments import Address


@pytest.mark.parametrize("text", ["0", "-1", "abc", "", "1.5", "1e3", "9" * 5000])
def test_text_that_is_not_a_positive_number_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^'{text}' is not a whole number of at"):
        arguments.positive_number(text)


def test_a_positive_number_may_have_spaces_around_it():
    assert arguments.positive_number(" 12 ") == 12


@pytest.mark.parametrize("text", ["", ",", "id,,name", "id,"])
def test_text_that_is_not_a_list_of_names_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"^'.*' is not a list of names"):
        arguments.field_names(text)


@pytest.mark.parametrize("text", ["", "GET POST", "G\xe4T", "GET\n"])
def test_text_that_is_not_an_http_method_is_an_error(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r" is not an HTTP method$"):
        arguments.http_method(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("/", Address("/")),
        ("/x/?a=1", Address("/x/?a=1")),
        ("x", Address("x")),
        ("/x/?next=http://y/", Address("/x/?next=http://y/")),
        ("/x:y/", Address("/x:y/")),
        ("http://y", Address("/", "y")),
        ("localhost:8000/x/?a=1", Address("/x/?a=1", "localhost", 8000)),
        ("127.0.0.1:80", Address("/", "127.0.0.1", 80)),
        ("x/y:80/", Address("x/y:80/")),
        ("http://y?a=1", Address("/?a=1", "y")),
        ("http://Y:80/x/#top", Address("/x/", "y", 80)),
        ("https://[::1]:8000/x/?a", Address("/x/?a", "[::1]", 8000, is_secure=True)),
    ],
)
def test_an_address_is_a_path_or_a_url(text, address):
    assert arguments.address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the path is empty"),
        (" ", "the path is empty"),
        ("ftp://y/x/", "is neither a path nor an http or https URL"),
        ("http:///x/", "is neither a path nor an http or https URL"),
        ("http://y:port/x/", "is not a URL: "),
        ("http://y:99999/x/", "is not a URL: "),
        ("http://[::1/x/", "is not a URL: "),
        ("http://name:word@y/x/", "--user NAME logs a user in"),
    ],
)
def test_text_that_is_neither_a_path_nor_a_url_is_an_error(text, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message) as caught:
        arguments.address(text)

    assert "\n" not in str(caught.value)


def test_an_option_may_stand_before_or_after_the_subcommand():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", type=int, default=15)
    parser.add_argument("--loud", action="store_true")
    subparser = parser.add_subparsers().add_parser("show")
    arguments.inherit_options(parser, subparser)

    parsed = [
        parser.parse_args(words.split())
        for words in ("show", "--top 3 --loud show", "show --top 3 --loud", "--top 2 show --top 3")
    ]

    assert [(one.top, one.loud) for one in parsed] == [
        (15, False),
        (3, True),
        (3, True),
        (3, False),
    ]


@pytest.mark.parametrize("text", ["999999d", "0001-01-01"])
def test_a_time_before_1970_is_that_year(text):
    assert arguments.age_or_moment(text)(1_800_000_000.0) == 0.0
