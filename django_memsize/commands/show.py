"""``memprofile show ID``: one stored report, whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ..reports import database
from . import Subcommand
from .arguments import positive_number
from .database import answering, reading, stored_reports
from .output import Output


class Show(Subcommand):
    """Prints one stored report."""

    name = "show"
    help = "one report, whole"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the number of the report."""
        parser.add_argument("id", type=positive_number, help="number of the report")

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the report."""
        reports = stored_reports()
        alias = database.alias()
        with answering(alias), reading(alias):
            report = reports.filter(pk=options["id"]).first()
        if report is None:
            raise CommandError(f"There is no report {options['id']}.")
        output.write_reports([report])
