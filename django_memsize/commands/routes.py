"""``memprofile``: the routes by their impact on a worker, and how much the workers grew."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.conf import settings

from .. import models
from ..checks import MIDDLEWARE, check_instrument
from ..formatting import counted
from ..measuring.routes import MUCH_GROWTH
from ..reports import database, impact, overview
from ..reports.impact import RankedRoute
from ..reports.overview import Overview, Question
from ..screens import impact as screen
from ..values.impact import Worker, Workers
from . import Subcommand
from .arguments import add_period, local_time
from .database import answering, reading, require_table
from .output import Output

_WORKERS: Final = 3
"""Processes whose growth is told, unless only some routes are asked about; as JSON all are."""


class Routes(Subcommand):
    """Prints a table of routes."""

    name = "routes"
    help = "the routes by their impact on a worker; also without a subcommand"

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the routes, the growth of workers, and the number of reports that were dropped."""
        require_table()
        alias, now = database.alias(), time.time()
        question = Question(options["since"](now), options["release"], options["route"])
        with answering(alias), reading(alias):
            found = overview.read(alias, question, now)
            workers = Workers.of(found.workers)
            ranked = impact.rank(found.routes, workers, options["sort"])
            shown = ranked[: options["top"]]
            evidence = overview.summaries(alias, _reports_of(shown))
            has_any = bool(ranked) or models.Report.objects.exists()
        if output.is_json:
            output.write_json(_document(found, shown, ranked, workers, evidence))
            return
        since = local_time(found.since)
        if shown:
            output.write(screen.text(shown, options["sort"], workers, evidence))
            grown = () if question.route else found.workers[:_WORKERS]
            output.write("\n".join(_remarks(found, ranked, workers, grown, options["top"])))
        else:
            output.write(_without_routes(f"{since:%Y-%m-%d %H:%M}", has_any))
        for message in check_instrument():
            output.write(f"{message.msg} {message.hint}")


def add_options(parser: ArgumentParser) -> None:
    """Add the time, the release, the routes, and the order: also where no subcommand is named."""
    add_period(parser)
    parser.add_argument("--route", metavar="PATTERN", help="of these routes alone: /accounts/*")
    parser.add_argument(
        "--sort", choices=tuple(impact.SORT_KEYS), default="impact", help="(impact)"
    )


def _reports_of(shown: Sequence[RankedRoute]) -> Iterator[int | None]:
    for route in shown:
        for harm in route.impacts:
            yield harm.report


def _document(
    found: Overview,
    shown: Sequence[RankedRoute],
    ranked: Sequence[RankedRoute],
    workers: Workers,
    evidence: screen.Evidence,
) -> dict[str, Any]:
    return {
        "since": local_time(found.since).isoformat(),
        "routes": [screen.document(route, workers, evidence) for route in shown],
        "workers": [
            screen.worker_document(worker, impact.parts_of(worker, ranked, workers))
            for worker in found.workers
        ],
        "dropped": found.dropped,
        "lost_requests": found.lost_requests,
        "only_newest": models.NEWEST if found.only_newest else None,
    }


def _remarks(
    found: Overview,
    ranked: Sequence[RankedRoute],
    workers: Workers,
    grown: Sequence[Worker],
    top: int,
) -> Iterator[str]:
    if len(ranked) > top:
        yield f"and {len(ranked) - top:,} more: --top N"
    yield (
        f"\nOf {counted(sum(route.rollup.requests for route in ranked), 'request')} since "
        f"{local_time(found.since):%Y-%m-%d %H:%M}. Impact: bytes of a worker, by the largest harm "
        "alone. 'memprofile show ID' prints a report."
    )
    for worker in grown:
        if worker.growth >= MUCH_GROWTH:
            yield _growth(worker, ranked, workers)
    if found.only_newest:
        yield f"Of the newest {models.NEWEST:,} reports. Older ones are not included."
    if found.lost_requests:
        yield f"{counted(found.lost_requests, 'request')} could not be stored, and are missing."
    if found.dropped:
        yield (
            f"{counted(found.dropped, 'report')} could not be stored. The log says why, and so "
            "does 'memprofile status' while the process runs."
        )


def _growth(worker: Worker, ranked: Sequence[RankedRoute], workers: Workers) -> str:
    began, today = local_time(worker.start), local_time(time.time())
    parts = impact.parts_of(worker, ranked, workers)
    return screen.worker_sentence(worker, parts, began, began.date() != today.date())


def _without_routes(since: str, has_any: bool) -> str:
    if has_any:
        return (
            f"No requests since {since}. --since 7d looks further back. A process stores its "
            "requests once a minute, and what 'memprofile run' measures is no traffic."
        )
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return f"No reports yet: {MIDDLEWARE!r} is not in MIDDLEWARE."
    return (
        "No requests yet. A process stores them once a minute, and reports at once. Reload a few "
        "pages, or measure one: manage.py memprofile run /path/"
    )
