"""``memprofile run``: measure a request, or some code, now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.db import DatabaseError

from ..measuring.spans import in_span
from ..models import Report
from ..reports import recordings, writer
from ..reports.build import RequestFacts
from ..workers.tally import State, tally
from . import Subcommand
from .arguments import address, http_method, positive_number
from .client import measure_requests
from .database import require_table
from .output import Output
from .program import Program, compile_program, describe, names_at_hand, without_literals
from .runs import Runs

_PATIENCE: Final = 30.0
"""Seconds that a report may take to be stored."""


class Run(Subcommand):
    """Measures, stores and prints."""

    name = "run"
    help = "measure a request, or some code"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the path or the code, and the options of a run."""
        parser.add_argument(
            "path", nargs="?", type=address, help="path of a page with its query string, or a URL"
        )
        parser.add_argument(
            "--code", help="Python to measure instead; every model is available by name"
        )
        parser.add_argument("--user", help="name of a user to log in")
        parser.add_argument("--method", type=http_method, help="HTTP method (GET)")
        parser.add_argument(
            "--repeat", type=positive_number, default=1, metavar="N", help="number of reports (1)"
        )
        parser.add_argument(
            "--no-warm-up",
            action="store_false",
            dest="warm_up",
            help="no run before the first report. That run fills caches, so without it the first "
            "report has their bytes",
        )
        parser.add_argument(
            "--commit", action="store_true", help="keep what is written to the databases"
        )

    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Measure, store the reports, and print them."""
        _require_one_question(options)
        require_table()
        runs = Runs(options["repeat"], options["warm_up"], options["commit"])
        reports = _measure(options, runs, output)
        output.write_reports(_stored(reports, output))


def _stored(reports: list[Report], output: Output) -> list[Report]:
    """Store the reports, and return them as stored; those that could not be, as they are."""
    for report in reports:
        tally.made(State.WAITING)
        if not writer.submit(report) or not writer.flush(_PATIENCE):
            output.warn(f"The report could not be stored: {writer.last_error()}")
    try:
        stored = {report.uid: report for report in Report.objects.filter(uid__in=_uids(reports))}
    except DatabaseError:
        return reports
    return [stored.get(report.uid, report) for report in reports]


def _uids(reports: list[Report]) -> list[UUID]:
    return [report.uid for report in reports]


def _require_one_question(options: Mapping[str, Any]) -> None:
    if options["path"] is None and options["code"] is None:
        raise CommandError("Nothing to run: give a path, or --code.")
    if options["code"] is None:
        return
    if options["path"] is not None:
        raise CommandError("A path and --code exclude each other: give only one of them.")
    for name in ("user", "method"):
        if options[name] is not None:
            raise CommandError(f"--{name} belongs to a request: give a path instead of --code.")


def _measure(options: Mapping[str, Any], runs: Runs, output: Output) -> list[Report]:
    program = None
    if options["code"] is not None:
        program = compile_program(options["code"], "--code")
    if runs.warm_up:
        what = "request is made" if program is None else "code runs"
        output.note(
            f"The {what} {'twice' if len(runs) == 2 else f'{len(runs):,} times'}: the first run "
            "fills caches and is not reported (--no-warm-up leaves it out)."
        )
    with output.around_program():
        if program is not None:
            return _measure_program(program, options["code"], runs)
        method = options["method"] or "GET"
        return measure_requests(options["path"], runs, method=method, user=options["user"])


def _measure_program(program: Program, source: str, runs: Runs) -> list[Report]:
    """Return a report of each run, the value of the last expression counted as retained."""
    facts = RequestFacts(without_literals(source))
    with runs.collecting() as reports:
        for _ in runs.each(reports):
            recording = recordings.new_recording("code", "code")
            names = names_at_hand()
            recording.open()  # before the span: its window is made here
            try:
                with in_span(recording):
                    value = program(names)
            except (Exception, SystemExit) as error:
                recording.discard()
                raise CommandError(describe(error, "The code raised")) from error
            recording.close()
            # Before the value goes: the bytes that it holds are the answer.
            recordings.store(recording, facts)
            del value
    return reports
