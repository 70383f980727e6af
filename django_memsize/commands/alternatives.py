"""``memprofile alternatives``: the rows of one queryset, loaded in several ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ..screens import alternatives as screen
from ..tools import alternatives
from ..values import Alternatives
from . import Subcommand
from .arguments import field_names, positive_number
from .database import rolled_back
from .output import Output
from .program import compile_program, describe, names_at_hand


class CompareAlternatives(Subcommand):
    """Compares the ways to load the rows of a queryset."""

    name = "alternatives"
    help = "a queryset as instances, only(), values(), values_list(), iterator()"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the queryset, its fields, and the number of rows."""
        parser.add_argument(
            "queryset",
            help="Python that ends in a queryset; every model is available by name and as "
            "app_label.Model, and so is all of django.db.models",
        )
        parser.add_argument(
            "--fields",
            type=field_names,
            metavar="NAME,NAME",
            help="fields that only(), values() and values_list() load (all; without it, no only())",
        )
        parser.add_argument(
            "--limit", type=positive_number, metavar="N", help="load only the first N rows"
        )

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the comparison."""
        if not alternatives.is_possible():
            raise CommandError(
                "alternatives needs the meter, and the engine in Python has none. With a C "
                "compiler, and without MEMSIZE_ENGINE in the environment: "
                "pip install --force-reinstall --no-cache-dir django-memsize"
            )
        with output.around_program():
            compared = _compare(options)
        if output.is_json:
            output.write_json(_document_of(compared))
        else:
            output.write(screen.text(compared))


def _compare(options: Mapping[str, Any]) -> Alternatives:
    program = compile_program(options["queryset"], "The queryset")
    with rolled_back():
        try:
            queryset = program(names_at_hand())
        except (Exception, SystemExit) as error:
            raise CommandError(describe(error, "The queryset raised")) from error
        try:
            return alternatives.compare(queryset, options["fields"], options["limit"])
        except alternatives.IncomparableError as error:
            raise CommandError(str(error)) from error
        except (Exception, SystemExit) as error:
            raise CommandError(describe(error, "Loading the rows raised")) from error


def _document_of(compared: Alternatives) -> dict[str, Any]:
    return {
        "model": compared.model,
        "database": compared.database,
        "sentence": screen.sentence(compared),
        "is_fixed": compared.is_fixed,
        "ways": [
            {
                "name": way.name,
                "rows": way.rows,
                "retained_bytes": way.retained,
                "retained_bytes_each": way.retained_each,
                "peak_bytes": way.peak,
                "duration": way.duration,
                "without": way.without,
            }
            for way in compared.ways
        ],
        "omitted": [asdict(way) for way in compared.omitted],
    }
