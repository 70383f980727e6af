"""System checks. Each message names the setting that is wrong, and its hint how to set it."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning

from . import conf, engine

MIDDLEWARE: Final = "django_memsize.middleware.MemsizeMiddleware"

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
    """Report that the setting asks for the meter, and the engine in Python has none (W004)."""
    if conf.find_problems() or conf.config().instrument != "meter" or engine.Window is not None:
        return []
    return [
        CheckWarning(
            "MEMSIZE['INSTRUMENT'] is 'meter', and the engine in Python has no meter: a census "
            "measures instead.",
            hint=(
                "Install a C compiler, unset MEMSIZE_ENGINE, and run: "
                "pip install --force-reinstall --no-cache-dir django-memsize"
            ),
            id="memsize.W004",
        )
    ]


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Report a middleware that is not the first (W001), listed twice (W002) or missing (I001)."""
    positions = [index for index, path in enumerate(settings.MIDDLEWARE) if path == MIDDLEWARE]
    messages: list[CheckMessage] = []
    if positions and positions[0] != 0:
        messages.append(
            CheckWarning(
                "MemsizeMiddleware is not the first of MIDDLEWARE: what the middleware before it "
                "allocates is not measured.",
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
