"""``memprofile traffic``: the requests of each route, metered or not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from ..reports import database, rollup_merging, rollup_storage
from ..screens import traffic
from . import Subcommand
from .arguments import add_period, local_time
from .database import answering, reading, require_table
from .output import Output


class Traffic(Subcommand):
    """Prints a table of routes."""

    name = "traffic"
    help = "the requests of each route, metered or not: how many, how long, how large"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the time, the release, and the order."""
        add_period(parser)
        parser.add_argument(
            "--sort", choices=tuple(traffic.SORT_KEYS), default="requests", help="(requests)"
        )

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the routes."""
        require_table()
        alias, now = database.alias(), time.time()
        since = rollup_merging.readable_since(options["since"](now), now)
        with answering(alias), reading(alias):
            found = rollup_storage.read_routes(alias, since, options["release"])
            processes = rollup_storage.read_processes(alias, since)
        routes = traffic.in_order(found, options["sort"])
        moment = local_time(since)
        if output.is_json:
            output.write_json(traffic.document(routes[: options["top"]], processes, moment))
        elif routes:
            output.write(traffic.text(routes, processes, moment, options["top"]))
        else:
            output.write(
                f"No requests since {moment:%Y-%m-%d %H:%M}. A process stores its requests once a "
                "minute, and at its end."
            )
