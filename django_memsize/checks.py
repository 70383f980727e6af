"""System checks: every wrong setting by name, with its mending."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.core.checks import Warning as CheckWarning

from . import conf

MIDDLEWARE = "django_memsize.middleware.MemsizeMiddleware"


def check_settings(**_: Any) -> list[CheckMessage]:
    """Report each key of ``MEMSIZE`` that is unknown (E001) or has an unusable value (E002)."""
    known = conf.defaults()
    return [
        Error(
            problem.message,
            hint=problem.hint,
            id="memsize.E002" if problem.key in known or not problem.key else "memsize.E001",
        )
        for problem in conf.find_problems()
    ]


def check_middleware(**_: Any) -> list[CheckMessage]:
    """Report a middleware that is not the first (W001) stands there twice (W002) or not (I001)."""
    places = [place for place, path in enumerate(settings.MIDDLEWARE) if path == MIDDLEWARE]
    messages: list[CheckMessage] = []
    if places and places[0] != 0:
        messages.append(
            CheckWarning(
                "MemsizeMiddleware is not the first of MIDDLEWARE: what those before it do is "
                "not measured.",
                hint=f"Move {MIDDLEWARE!r} to the top of MIDDLEWARE.",
                id="memsize.W001",
            )
        )
    if not places:
        messages.append(
            Info(
                "MemsizeMiddleware is not in MIDDLEWARE: no request is measured.",
                hint=f"Put {MIDDLEWARE!r} at the top of MIDDLEWARE, or silence this one.",
                id="memsize.I001",
            )
        )
    if len(places) > 1:
        messages.append(
            CheckWarning(
                "MemsizeMiddleware stands in MIDDLEWARE more than once.",
                hint="Keep the first.",
                id="memsize.W002",
            )
        )
    return messages
