"""``memprofile prune``: delete what the settings no longer keep, or everything that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from ..formatting import counted
from ..reports import database, retention, rollup_merging
from . import Subcommand
from .database import answering, require_table
from .output import Output


class Prune(Subcommand):
    """Deletes reports and merges the figures of routes, in short transactions without waiting."""

    name = "prune"
    help = "delete the reports that RETENTION and RETENTION_DAYS no longer keep"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the option to delete all reports."""
        parser.add_argument(
            "--all", action="store_true", help="delete all reports, and the figures of all routes"
        )

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Delete the reports, merge or delete the rows of routes, and print their numbers."""
        require_table()
        alias = database.alias()
        with answering(alias):
            if options["all"]:
                number, merged = retention.delete_all(alias), 0
                deleted = rollup_merging.delete_all(alias)
            else:
                number = retention.prune_all(alias)
                merged, deleted = rollup_merging.merge_all(alias)
        if output.is_json:
            rows = {"deleted_rollups": deleted, "merged_rollups": merged}
            output.write_json({"deleted": number, **rows})
            return
        output.write(f"{counted(number, 'report')} deleted.")
        if merged or deleted:
            rows_of_routes = counted(deleted, "row")
            output.write(f"Of the figures of routes: {rows_of_routes} deleted, {merged:,} merged.")
