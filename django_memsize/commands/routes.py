"""``memprofile``: the routes that retained most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db.models import Sum

from ..checks import MIDDLEWARE
from ..models import ReportQuerySet
from ..screens import terminal
from . import Subcommand
from .database import stored_reports
from .output import Output


class Routes(Subcommand):
    """Prints a table of routes."""

    name = "routes"
    help = "the routes that retained most; also without a subcommand"

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the routes, and the number of reports that were dropped."""
        reports = stored_reports()
        routes: list[Any] = list(reports.after_the_first().by_route())
        dropped = reports.aggregate(number=Sum("dropped"))["number"] or 0
        if output.is_json:
            output.write_json({"routes": routes[: options["top"]], "dropped": dropped})
            return
        output.write(_table(routes, options["top"]) if routes else _without_routes(reports))
        if dropped:
            output.write(f"{dropped:,} reports could not be stored; the log says why.")


def _table(routes: list[Any], top: int) -> str:
    lines = [terminal.routes_table(routes[:top])]
    if len(routes) > top:
        lines.append(f"and {len(routes) - top:,} more: --top N")
    lines.append("\n'memprofile show ID' prints one report, ID as under 'latest ID'.")
    return "\n".join(lines)


def _without_routes(reports: ReportQuerySet) -> str:
    if reports.exists():
        return (
            "No routes yet: the first request of each route in a process fills caches, and is "
            "left out. Reload the pages, or measure one: manage.py memprofile run /path/"
        )
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return f"No reports yet: {MIDDLEWARE!r} is not in MIDDLEWARE."
    return "No reports yet. Reload a few pages, or measure one: manage.py memprofile run /path/"
