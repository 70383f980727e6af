"""``manage.py memprofile``: hands on to the subcommands in `django_memsize.commands`."""

from __future__ import annotations

from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from django_memsize import conf
from django_memsize.commands import find_subcommands, routes
from django_memsize.commands.arguments import (
    BEFORE,
    add_to_both,
    inherit_options,
    positive_number,
)
from django_memsize.commands.output import Output, flush_stdout

try:
    from django_rich.management import RichCommand
except ImportError:  # without the extra "cli": the same text, in one colour
    RichCommand = BaseCommand  # type: ignore[assignment,misc]

WITHOUT_A_SUBCOMMAND: Final = "routes"


class Command(RichCommand):
    """Hands on to a subcommand."""

    help = "Memory of requests: the worst routes, one report, one request measured now."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options that every subcommand has, and the subcommands."""
        parser.add_argument(
            "--top", type=positive_number, default=15, metavar="N", help="rows of a table (15)"
        )
        parser.add_argument(
            "--format", choices=("table", "json"), default="table", help="text, or JSON"
        )
        subparsers = parser.add_subparsers(dest="subcommand")
        for name, subcommand in find_subcommands().items():
            subparser = subparsers.add_parser(
                name, help=subcommand.help, description=subcommand.help
            )
            inherit_options(parser, subparser)
            subcommand.add_arguments(subparser)
        # Without a subcommand its options are those of this parser, which no other one inherits.
        add_to_both(parser, subparsers.choices[WITHOUT_A_SUBCOMMAND], routes.add_options)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run in a process of its own, and exit silently if nobody reads the output."""
        try:
            super().run_from_argv(argv)
        finally:
            flush_stdout()

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand."""
        name = options["subcommand"] or WITHOUT_A_SUBCOMMAND
        if name != WITHOUT_A_SUBCOMMAND and options.get(BEFORE):
            before = ", ".join(options[BEFORE])
            raise CommandError(f"{before} before {name!r}: write it behind.", returncode=2)
        subcommand = find_subcommands()[name]
        output = Output(self.stdout, self.stderr, options, getattr(self, "console", None))
        try:
            subcommand.run(options, output)
        except conf.InvalidSettingsError as error:
            raise CommandError(f"The settings cannot be used: {error}") from error
