"""``memprofile token``: a signed token, with which one request is measured on a live site."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from ..measuring import tokens
from . import Subcommand
from .arguments import positive_number
from .output import Output

_SECONDS: Final = 3600


class Token(Subcommand):
    """Prints a token and how to send it. Whoever has the token may have requests measured."""

    name = "token"
    help = "a signed token: a request that has it is measured, within MAX_OVERHEAD"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the option for how long the token is valid."""
        parser.add_argument(
            "--max-age",
            type=_age,
            default=_SECONDS,
            metavar="SECONDS",
            help=f"how long it is valid, at most {tokens.LONGEST:,} ({_SECONDS:,})",
        )

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the token."""
        seconds = options["max_age"]
        try:
            token = tokens.new(seconds)
        except ImproperlyConfigured as error:  # SECRET_KEY is empty
            raise CommandError(str(error)) from error
        if output.is_json:
            named = {"header": tokens.HEADER, "cookie": tokens.COOKIE}
            output.write_json({"token": token, "seconds": seconds, **named})
            return
        output.write(f"{tokens.HEADER}: {token}")
        output.write(
            f"\nValid for {seconds:,} seconds, and secret. Send it as this header "
            "(curl --header), or have the browser send it as a cookie, from its console:\n\n"
            f'document.cookie = "{tokens.COOKIE}={token}; path=/; max-age={seconds}; secure"'
        )


def _age(text: str) -> int:
    """Return the seconds of a token."""
    seconds = positive_number(text)
    if seconds > tokens.LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is more than {tokens.LONGEST:,} seconds")
    return seconds
