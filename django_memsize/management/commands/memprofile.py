"""``manage.py memprofile``: which routes grew, what one report says, what one request would say.

And what the rows of a queryset take, loaded in several ways.
"""

from __future__ import annotations

import argparse
import ast
import json
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections, models, reset_queries, transaction
from django.db.models import Sum
from django.test import Client
from django.urls import Resolver404, resolve

from django_memsize import conf, formatting
from django_memsize.checks import MIDDLEWARE
from django_memsize.measuring import source_files
from django_memsize.measuring.spans import in_span
from django_memsize.models import Report
from django_memsize.reports import recordings, writer
from django_memsize.reports.build import RequestFacts
from django_memsize.screens import terminal
from django_memsize.tools import alternatives
from django_memsize.values import Alternatives

try:
    from django_rich.management import RichCommand
except ImportError:  # without the extra "cli": the same words, in one colour
    RichCommand = BaseCommand  # type: ignore[assignment,misc]

CODE_FILE: Final = "<code>"


class Command(RichCommand):
    """Parses, asks, prints."""

    help = (
        "Without a word: the routes that grew most. 'show ID': one report. 'run /path/': one "
        "request through the whole middleware, measured. 'run --code ...': a few lines, measured. "
        "'alternatives QUERYSET': its rows, loaded in several ways."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the words of the command line."""
        _add_output_options(parser, top=15, format="table")
        # After the action too, where only what is given may count.
        shared = CommandParser(add_help=False, argument_default=argparse.SUPPRESS)
        _add_output_options(shared)
        actions = parser.add_subparsers(dest="action", metavar="{show,run,alternatives}")
        show = actions.add_parser("show", parents=[shared], help="one report, whole")
        show.add_argument("id", type=positive_number, help="its number")
        run = actions.add_parser("run", parents=[shared], help="measure a request, or some code")
        run.add_argument("path", nargs="?", help="path of a page, with its query string")
        run.add_argument("--code", help="Python to measure instead; every model is at hand by name")
        run.add_argument("--user", help="user name to log in")
        run.add_argument("--method", default="GET", type=str.upper, help="HTTP method (GET)")
        run.add_argument("--repeat", type=positive_number, default=1, metavar="N", help="times (1)")
        run.add_argument(
            "--no-warm-up",
            action="store_false",
            dest="warm_up",
            help="report the very first run too, which fills caches",
        )
        run.add_argument(
            "--commit",
            action="store_true",
            help="keep what it writes to the database",
        )
        ways = actions.add_parser(
            "alternatives",
            parents=[shared],
            help="a queryset as instances, only(), values(), values_list(), iterator()",
        )
        ways.add_argument(
            "queryset",
            help="Python that gives it; every model is at hand by name, and as app_label.Model, "
            "and so is all of django.db.models",
        )
        ways.add_argument(
            "--fields",
            type=names_of_fields,
            metavar="NAME,NAME",
            help="what only(), values() and values_list() load (all; without it, no only())",
        )
        ways.add_argument("--limit", type=positive_number, metavar="N", help="only the first rows")

    def handle(self, *args: Any, **options: Any) -> None:
        """Answer."""
        try:
            answers = {"show": self._show, "run": self._run, "alternatives": self._alternatives}
            answers.get(options["action"] or "", self._routes)(options)
        except conf.InvalidSettingsError as error:
            raise CommandError(f"The settings cannot be used: {error}") from error

    def _routes(self, options: dict[str, Any]) -> None:
        reports = _stored_reports()
        every_route = list(reports.after_the_first().by_route())
        routes = every_route[: options["top"]]
        dropped = reports.aggregate(number=Sum("dropped"))["number"] or 0
        if options["format"] == "json":
            self._print_json({"routes": routes, "dropped": dropped})
            return
        if routes:
            self._say(terminal.routes_table(routes))
            if len(every_route) > len(routes):
                self.stdout.write(f"and {len(every_route) - len(routes):,} more: --top N")
            self.stdout.write("\n'memprofile show ID' prints one report, ID as under 'latest ID'.")
        else:
            self.stdout.write(_without_routes(reports))
        if dropped:
            self.stdout.write(f"{dropped:,} reports could not be stored; the log says why.")

    def _show(self, options: dict[str, Any]) -> None:
        report = _stored_reports().filter(pk=options["id"]).first()
        if report is None:
            raise CommandError(f"There is no report {options['id']}.")
        self._print_reports([report], options)

    def _run(self, options: dict[str, Any]) -> None:
        if (options["path"] is None) == (options["code"] is None):
            raise CommandError("Say what to run: a path, or --code.")
        _require_table()
        if options["code"] is not None:
            reports = self._measure_code(options)
        else:
            reports = self._measure_requests(options)
        for report in reports:
            try:
                writer.save(report)
            except DatabaseError as error:
                self.stderr.write(f"The report could not be stored: {error}")
        self._print_reports(reports, options)

    def _alternatives(self, options: dict[str, Any]) -> None:
        if not alternatives.is_possible():
            raise CommandError(
                "Only the meter can tell, and the engine in Python has none. With a C compiler, "
                "and without MEMSIZE_ENGINE in the environment: "
                "pip install --force-reinstall --no-cache-dir django-memsize"
            )
        found = _compare(options)
        if options["format"] == "json":
            self._print_json(_ways_as_json(found))
        else:
            self._say(terminal.alternatives(found))

    def _measure_requests(self, options: dict[str, Any]) -> list[Report]:
        path = options["path"]
        if MIDDLEWARE not in settings.MIDDLEWARE:
            raise CommandError(f"Add {MIDDLEWARE!r} to MIDDLEWARE, as its first.")
        _require_page(path)
        client = Client(SERVER_NAME=_host())
        with ExitStack() as stack, recordings.collecting() as collected:
            _roll_back(stack, options["commit"])
            if options["user"] is not None:
                _log_in(client, options["user"])
            for number in range(options["repeat"] + options["warm_up"]):
                try:
                    _request(client, options["method"], path)
                except Exception as error:
                    raise CommandError(_told(error, f"{path} raised")) from error
                reset_queries()  # the log of DEBUG: the next request would begin with that
                recordings.analyse_now()
                _drop_the_warm_up(collected, options, number)
        if not collected:
            raise CommandError("Nothing was measured: the request did not reach MemsizeMiddleware.")
        return collected

    def _measure_code(self, options: dict[str, Any]) -> list[Report]:
        try:
            code = _compile(options["code"])
        except SyntaxError as error:
            raise CommandError(f"--code is not Python: {error}") from error
        with ExitStack() as stack, recordings.collecting() as collected:
            _roll_back(stack, options["commit"])
            for number in range(options["repeat"] + options["warm_up"]):
                recording = recordings.new_recording("code", "code")
                names = _names_at_hand()
                recording.open()  # first: only then is there a window to be within
                try:
                    with in_span(recording):
                        value = code(names)
                except Exception as error:
                    recording.discard()
                    raise CommandError(_told(error, "The code raised")) from error
                recording.close()
                # Before the value goes: what it holds is the answer.
                recordings.store(recording, RequestFacts(" ".join(options["code"].split())))
                del value
                _drop_the_warm_up(collected, options, number)
        return collected

    def _print_reports(self, reports: Iterable[Report], options: dict[str, Any]) -> None:
        if options["format"] == "json":
            self._print_json([_as_json(report) for report in reports])
            return
        reports = tuple(reports)
        summaries = [(_heading(report), report.summary()) for report in reports]
        if len(summaries) > 1:
            self._say(terminal.runs_table(summaries) + "\n\nThe last of them:\n")
        heading, summary = summaries[-1]
        others = reports[-1].retained_by_others()
        self._say(terminal.report(summary, options["top"], heading, others))

    def _say(self, text: str) -> None:
        console = getattr(self, "console", None)
        if console is not None and console.is_terminal:
            console.print(text, markup=False, soft_wrap=True)
        else:
            self.stdout.write(text)

    def _print_json(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, indent=2, default=str))


def _add_output_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    parser.add_argument("--top", type=positive_number, metavar="N", help="rows of a table (15)")
    parser.add_argument("--format", choices=("table", "json"), help="text, or JSON")
    parser.set_defaults(**defaults)


def positive_number(text: str) -> int:
    """Return the number of at least 1 that a word of the command line is."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("a whole number of at least 1, please")
    return number


def names_of_fields(text: str) -> list[str]:
    """Return the names that a word of the command line has, with commas in between."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError("names with one comma in between, please: id,name")
    return names


def _stored_reports() -> Any:
    _require_table()
    return Report.objects.using(conf.config().database)


def _require_table() -> None:
    database = conf.config().database
    try:
        ready = writer.has_table(database)
    except (DatabaseError, ImproperlyConfigured) as error:
        raise CommandError(f"The database {database!r} does not answer: {error}") from error
    if not ready:
        raise CommandError(
            f"The database {database!r} has no table of reports: "
            "run 'manage.py migrate django_memsize' first."
        )


def _without_routes(reports: Any) -> str:
    if reports.exists():
        return (
            "No warm reports yet: the first request of each route in a process fills caches, and "
            "does not count. Reload the pages, or: manage.py memprofile run /path/"
        )
    if MIDDLEWARE not in settings.MIDDLEWARE:
        return f"No reports yet: {MIDDLEWARE!r} is not in MIDDLEWARE."
    return "No reports yet. Serve a few requests, or measure one: manage.py memprofile run /path/"


def _require_page(path: str) -> None:
    bare = path.partition("?")[0]
    if _answers(bare):
        return
    likely = [near for near in (f"/{bare}", f"{bare}/", f"/{bare}/") if _answers(near)]
    hint = f" Did you mean {likely[0]}?" if likely else ""
    raise CommandError(f"No page answers to {path}.{hint}")


def _answers(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


def _request(client: Client, method: str, path: str) -> None:
    """Make a request and consume its answer, as a server would: its end closes it."""
    response = client.generic(method, path, secure=bool(settings.SECURE_SSL_REDIRECT))
    if response.streaming:
        for _ in response:
            pass
    # Refers to the response, which would then stay, with all it holds, until a collection.
    vars(response).pop("json", None)


def _drop_the_warm_up(collected: list[Report], options: dict[str, Any], number: int) -> None:
    """Take out what the first run made, and have the second not pass for the first."""
    if options["warm_up"]:
        if number == 0:
            collected.clear()
        for report in collected:
            report.first_request = False


def _host() -> str:
    for host in settings.ALLOWED_HOSTS:
        if host != "*":
            return str(host).lstrip(".")
    return "localhost"


def _roll_back(stack: ExitStack, commit: bool) -> None:
    """Undo on leaving the stack what is written to any database, unless it is to be kept."""
    if commit:
        return
    for alias in connections:
        try:
            block = transaction.atomic(using=alias)
            # A block of the view's that has to be the outermost is so, but for this one.
            block._from_testcase = True  # type: ignore[attr-defined]
            stack.enter_context(block)
        except (DatabaseError, ImproperlyConfigured):
            continue  # what does not answer is not written to
        stack.callback(transaction.set_rollback, True, using=alias)


def _log_in(client: Client, name: str) -> None:
    if not apps.is_installed("django.contrib.sessions"):
        raise CommandError("--user needs 'django.contrib.sessions' in INSTALLED_APPS.")
    users = get_user_model()
    user = users._default_manager.filter(**{users.USERNAME_FIELD: name}).first()
    if user is None:
        raise CommandError(f"There is no user {name!r}.")
    client.force_login(user)


def _names_at_hand() -> dict[str, Any]:
    """Return what code may name: models, ``app_label.Model``, and what is in django.db.models.

    Of models with one name the first installed has it.
    """
    labels = {
        app.label: SimpleNamespace(**{model.__name__: model for model in app.get_models()})
        for app in apps.get_app_configs()
    }
    by_name = {model.__name__: model for model in reversed(apps.get_models())}
    return {name: getattr(models, name) for name in models.__all__} | labels | by_name


def _compare(options: dict[str, Any]) -> Alternatives:
    """Return what the queryset's rows take; whatever giving it writes is undone."""
    try:
        code = _compile(options["queryset"])
    except SyntaxError as error:
        raise CommandError(f"The queryset is not Python: {error}") from error
    with ExitStack() as stack:
        _roll_back(stack, commit=False)
        try:
            queryset = code(_names_at_hand())
        except Exception as error:
            raise CommandError(_told(error, "The queryset raised")) from error
        try:
            return alternatives.compare(queryset, options["fields"], options["limit"])
        except alternatives.IncomparableError as error:
            raise CommandError(str(error)) from error
        except Exception as error:
            raise CommandError(_told(error, "Loading the rows raised")) from error


def _compile(source: str) -> Callable[[dict[str, Any]], Any]:
    """Return a function that runs the source and returns the value of its last expression."""
    tree = ast.parse(source, CODE_FILE)
    last = tree.body[-1] if tree.body else None
    value: ast.expr = ast.Constant(None)
    if isinstance(last, ast.Expr):
        value = last.value
        del tree.body[-1]
    statements = compile(tree, CODE_FILE, "exec")
    expression = compile(ast.fix_missing_locations(ast.Expression(value)), CODE_FILE, "eval")

    def run(names: dict[str, Any]) -> Any:
        exec(statements, names)  # noqa: S102 (the user's own code, as in a shell)
        return eval(expression, names)  # noqa: S307

    return run


def _told(error: BaseException, what: str) -> str:
    """Return what went wrong in the user's code, with a traceback of only that."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [
        place for place, frame in enumerate(frames) if not source_files.is_library(frame.filename)
    ]
    shown = frames[theirs[0] :] if theirs else frames[-3:]
    name = "".join(traceback.format_exception_only(error)).strip()
    return f"{what} {name}\n\n{''.join(traceback.format_list(shown)).rstrip()}"


def _heading(report: Report) -> str:
    number = f"Report {report.pk}" if report.pk else "Not stored"
    status = "" if report.summary().status is None else f" -> {report.summary().status}"
    return f"{number}: {formatting.plain(str(report), 300)}{status}"


def _as_json(report: Report) -> dict[str, Any]:
    document = {
        field.attname: getattr(report, field.attname) for field in report._meta.concrete_fields
    }
    return document | {"sentence": terminal.sentence(report.summary())}


def _ways_as_json(found: Alternatives) -> dict[str, Any]:
    return {
        "model": found.model,
        "database": found.database,
        "sentence": terminal.alternatives_sentence(found),
        "is_fixed": found.is_fixed,
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
            for way in found.ways
        ],
        "omitted": [asdict(way) for way in found.omitted],
    }
