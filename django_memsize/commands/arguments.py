"""Types of arguments. Each raises an error of one line that quotes the text it cannot use."""

from __future__ import annotations

import argparse
import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.utils import timezone

_AGE: Final = re.compile(r"(?P<number>\d{1,6})(?P<unit>[mhd])")
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400}
"""Seconds of the units of an age."""

_SINCE: Final = "24h"

BEFORE: Final = "options_before"
"""The name of the list of options that precede the subcommand and are those of one alone."""

_HOST_AND_PORT: Final = re.compile(r"[^/?#]+:\d+(?=[/?#]|$)")
"""How a URL begins whose scheme a browser hides: ``localhost:8000/accounts/``."""


@dataclass(frozen=True, slots=True)
class Address:
    """The page that a request is made to."""

    path: str
    """Path with its query string."""
    host: str | None = None
    """Host of a whole URL, an IPv6 address in brackets; None of a path."""
    port: int | None = None
    """Port of a whole URL, if it has one."""
    is_secure: bool = False
    """Whether the scheme is https."""


def positive_number(text: str) -> int:
    """Return a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number


def age_or_moment(text: str) -> Callable[[float], float]:
    """Return a function from the present to a time in the past, both in seconds of Unix time.

    The text is an age (``90m``, ``24h``, ``7d``), or a date, maybe with a time, which are local.
    A time before 1970 is moved to its first second: a year may be none that Python knows.
    """
    if match := _AGE.fullmatch(text):
        age = int(match["number"]) * _UNITS[match["unit"]]
        return lambda now: max(0.0, now - age)
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None and settings.USE_TZ:
            moment = timezone.make_aware(moment)
        seconds = moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an age such as 90m, 24h or 7d, nor a date such as 2026-02-01"
        ) from error
    return lambda now: max(0.0, min(now, seconds))


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add ``--since`` and ``--release``."""
    parser.add_argument(
        "--since",
        type=age_or_moment,
        default=_SINCE,
        metavar="WHEN",
        help=f"an age such as 90m, 24h or 7d, or a date such as 2026-02-01 ({_SINCE})",
    )
    parser.add_argument("--release", help="of this release alone: RELEASE of the settings")


def local_time(seconds: float) -> datetime:
    """Return a time in seconds of Unix time as the settings have local times."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return timezone.localtime(moment) if settings.USE_TZ else moment.astimezone()


def field_names(text: str) -> list[str]:
    """Return the names between the commas."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of names with one comma in between, such as: id,name"
        )
    return names


def http_method(text: str) -> str:
    """Return an HTTP method in upper case."""
    if not re.fullmatch(r"[A-Za-z]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an HTTP method")
    return text.upper()


def address(text: str) -> Address:
    """Return the address of a path, or of a URL as a browser shows it."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty; write one such as /accounts/?page=2")
    if _HOST_AND_PORT.match(text):
        return _address_of_url(f"http://{text}")
    # Text without a scheme is a path, also if there is a colon in it.
    return _address_of_url(text) if "://" in text.partition("?")[0] else Address(text)


def _address_of_url(text: str) -> Address:
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError as error:  # brackets without an address in them, a port that is no number
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL: {error}") from error
    if url.scheme not in ("http", "https") or not host:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a path nor an http or https URL")
    if url.username is not None:
        raise argparse.ArgumentTypeError("the URL has a user name; --user NAME logs a user in")
    return Address(
        path=_path_and_query(url),
        host=f"[{host}]" if ":" in host else host,
        port=port,
        is_secure=url.scheme == "https",
    )


def _path_and_query(url: SplitResult) -> str:
    path = url.path or "/"
    return f"{path}?{url.query}" if url.query else path


def inherit_options(parser: argparse.ArgumentParser, subparser: argparse.ArgumentParser) -> None:
    """Add the options of a parser to its subparser, so that they may follow the subcommand.

    They have no default there, because it would replace what precedes the subcommand.
    """
    # argparse publishes no list of the options that a parser has; Django adds most of them.
    for action in parser._actions:
        if action.option_strings and action.dest != "help":
            inherited = copy.copy(action)
            inherited.default = argparse.SUPPRESS
            subparser._add_action(inherited)


class _Noted(argparse.Action):
    """Stores a value, and notes that the option was given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        setattr(namespace, BEFORE, [*getattr(namespace, BEFORE, ()), option_string])


def add_to_both(
    parser: argparse.ArgumentParser,
    subparser: argparse.ArgumentParser,
    add: Callable[[argparse.ArgumentParser], None],
) -> None:
    """Add the options of a subcommand to its parser, and to the one that it is a part of.

    There ``BEFORE`` lists those that are given.
    """
    known = set(map(id, parser._actions))
    parser.register("action", None, _Noted)
    add(parser)
    for action in parser._actions:
        if id(action) not in known:
            inherited = copy.copy(action)
            inherited.default = argparse.SUPPRESS
            subparser._add_action(inherited)
