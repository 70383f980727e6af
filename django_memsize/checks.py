"""System checks. Each message names the setting that is wrong, and its hint how to set it."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string

from . import conf
from .formatting import plain
from .measuring.instruments import is_sampled
from .reports import database

MIDDLEWARE: Final = "django_memsize.middleware.MemsizeMiddleware"

_NO_ENGINE: Final = "django.db.backends.dummy"
"""What Django sets where a database has no ENGINE: see ``ConnectionHandler.configure_settings``."""

_INCREMENTAL_COLLECTOR_SINCE: Final = (3, 14, 0)
_INCREMENTAL_COLLECTOR_UNTIL: Final = (3, 14, 5)
"""The first release that is without it. See "gc" in CPython's Doc/whatsnew/3.14.rst."""


def check_settings(**_: Any) -> list[CheckMessage]:
    """Report each key of ``MEMSIZE`` that is unknown (E001) or has an unusable value (E002)."""
    known = conf.declared()
    return [
        Error(
            problem.message,
            hint=problem.hint,
            id="memsize.E002" if problem.key in known or not problem.key else "memsize.E001",
        )
        for problem in conf.find_problems()
    ]


def check_instrument(**_: Any) -> list[CheckMessage]:
    """Report that there is no meter: asked for by the setting (W004), or by default (W005)."""
    if conf.find_problems() or is_sampled(conf.config().instrument):
        return []
    is_asked_for = conf.config().instrument == "meter"
    return [
        CheckWarning(
            "Requests are only counted: without the compiled engine there is no meter.",
            hint=(
                "Install a C compiler, unset MEMSIZE_ENGINE, and run: "
                "pip install --force-reinstall --no-cache-dir django-memsize. Or set "
                "MEMSIZE['INSTRUMENT'] to 'census', which walks the heap before and after each "
                "request of the sample, and halts the process meanwhile."
            ),
            id="memsize.W004" if is_asked_for else "memsize.W005",
        )
    ]


def check_callables(**_: Any) -> list[CheckMessage]:
    """Report a ``SAMPLE`` or a ``ROUTE`` that cannot be imported or called (W008)."""
    if conf.find_problems():
        return []
    named = {"SAMPLE": conf.config().sample, "ROUTE": conf.config().route}
    reasons = {key: _why_not_called(name) for key, name in named.items() if name}
    return [
        CheckWarning(
            f"MEMSIZE['{key}'] is {named[key]!r}, and nothing asks it: {reason}.",
            hint=f"Set it to {conf.declared()[key].wanted}.",
            id="memsize.W008",
        )
        for key, reason in reasons.items()
        if reason
    ]


def _why_not_called(name: str) -> str:
    """Return why a dotted path is not that of a callable; empty if it is."""
    try:
        return "" if callable(import_string(name)) else "it is not callable"
    except Exception as error:  # whatever a module of the program raises
        return plain(f"{type(error).__name__}: {error}", 300)


def check_database(**_: Any) -> list[CheckMessage]:
    """Report a SQLite file that the program uses, too (W006), or no database (W007)."""
    if conf.find_problems():
        return []
    if not (named := conf.config().database):
        return _check_default()
    path = database.file_of(connections.settings[named])
    others = {alias: database.file_of(connections.settings[alias]) for alias in connections}
    shared = [alias for alias, other in others.items() if alias != named and other == path]
    if path is None or (named != DEFAULT_DB_ALIAS and not shared):
        return []
    return [
        CheckWarning(
            f"MEMSIZE['DATABASE'] is {named!r}, a file of SQLite that the program uses, too: a "
            "report that is written between a read and a write of a transaction makes that fail.",
            hint="Remove the key: then the reports have a file of their own beside it.",
            id="memsize.W006",
        )
    ]


def _check_default() -> list[CheckMessage]:
    # Where routers choose every database, the default one may be an empty dict.
    if connections.settings[DEFAULT_DB_ALIAS]["ENGINE"] != _NO_ENGINE:
        return []
    return [
        CheckWarning(
            "The default database is not configured: no report can be stored.",
            hint="Set MEMSIZE['DATABASE'] to another alias of DATABASES.",
            id="memsize.W007",
        )
    ]


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Report a middleware that is not the first (W001), listed twice (W002) or missing (I001)."""
    positions = [index for index, path in enumerate(settings.MIDDLEWARE) if path == MIDDLEWARE]
    messages: list[CheckMessage] = []
    if positions and positions[0] != 0:
        messages.append(
            CheckWarning(
                "MemsizeMiddleware is not the first of MIDDLEWARE: a request that a middleware "
                "before it answers is not reported, nor what these allocate after the response.",
                hint=f"Move {MIDDLEWARE!r} to the top of MIDDLEWARE.",
                id="memsize.W001",
            )
        )
    if not positions:
        messages.append(
            Info(
                "MemsizeMiddleware is not in MIDDLEWARE: no request is measured.",
                hint=f"Put {MIDDLEWARE!r} at the top of MIDDLEWARE, or silence this message.",
                id="memsize.I001",
            )
        )
    if len(positions) > 1:
        messages.append(
            CheckWarning(
                "MemsizeMiddleware is in MIDDLEWARE more than once.",
                hint="Keep only the first.",
                id="memsize.W002",
            )
        )
    return messages


def check_python(**_: Any) -> list[CheckMessage]:
    """Report a Python with the incremental garbage collector (W003): 3.14.0 to 3.14.4.

    CPython 3.14.5 went back to the collector of 3.13, because programs took much more memory. A
    free-threaded build has another collector.
    """
    version = sys.version_info[:3]
    is_incremental = _INCREMENTAL_COLLECTOR_SINCE <= version < _INCREMENTAL_COLLECTOR_UNTIL
    if not is_incremental or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return []
    return [
        CheckWarning(
            f"Python {'.'.join(map(str, version))} has an incremental garbage collector, which "
            "lets garbage pile up: workers grow although nothing leaks.",
            hint="Upgrade to Python 3.14.5 or later.",
            id="memsize.W003",
        )
    ]
