"""The only reader of the settings: one dict, ``MEMSIZE``, as one frozen value."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fnmatch import translate
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

NAME: Final = "MEMSIZE"


@dataclass(frozen=True, slots=True)
class Config:
    """What ``MEMSIZE`` says, defaults filled in. Every field is a key, in upper case."""

    enabled: bool
    """Measure requests."""
    sample_rate: float
    """Share of requests measured: 1.0 with ``DEBUG``, else 0.01."""
    instrument: str
    """``"meter"``, ``"census"``, or ``"auto"``: the meter wherever the compiled engine is."""
    evaluations: bool
    """Measure each loading of rows by itself, and not only list it."""
    exclude: tuple[str, ...]
    """Patterns of paths not to measure, as of a shell: ``/static/*``."""
    top_types: int
    """How many types of each table are stored by name; the others become one row."""
    database: str
    """Alias of the database for reports."""
    retention: int
    """How many reports to keep at most; the oldest go."""
    writer: str
    """``"sync"``: reports are written after the response, by the thread that served it."""
    max_overhead: float
    """Share of the process's CPU time that our own work may take: 0.9 with ``DEBUG``, else 0.05."""
    release: str
    """Name of the running version of the program, for comparing reports."""

    def excludes(self, path: str) -> bool:
        """Tell whether requests of this path are left alone."""
        return any(_compiled(pattern).match(path) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one key, and what to write instead."""

    key: str
    message: str
    hint: str


class InvalidSettingsError(Exception):
    """The settings cannot be used; ``problems`` says why."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def defaults() -> dict[str, Any]:
    """Return every key with its value when nothing is set."""
    return {
        "ENABLED": True,
        "SAMPLE_RATE": 1.0 if settings.DEBUG else 0.01,
        "INSTRUMENT": "auto",
        "EVALUATIONS": True,
        "EXCLUDE": (),
        "TOP_TYPES": 50,
        "DATABASE": "default",
        "RETENTION": 1000,
        "WRITER": "sync",
        "MAX_OVERHEAD": 0.9 if settings.DEBUG else 0.05,
        "RELEASE": "",
    }


@functools.cache
def config() -> Config:
    """Return the settings in force.

    Raises InvalidSettingsError.
    """
    problems = find_problems()
    if problems:
        raise InvalidSettingsError(problems)
    values = defaults() | dict(getattr(settings, NAME, {}))
    values["EXCLUDE"] = tuple(values["EXCLUDE"])
    return Config(**{field.name: values[field.name.upper()] for field in fields(Config)})


def find_problems() -> list[Problem]:
    """Return what is wrong with ``settings.MEMSIZE``, one entry a key."""
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        return [Problem("", f"{NAME} is not a dict.", f"Write {NAME} = {{...}}.")]
    known = defaults()
    problems = [
        Problem(
            str(key),
            f"{NAME}[{key!r}] is not a setting of django-memsize.",
            f"Take it out, or use one of {', '.join(known)}.",
        )
        for key in given
        if key not in known
    ]
    for key, (is_valid, wanted) in _WANTED.items():
        if key in given and not is_valid(given[key]):
            problems.append(
                Problem(key, f"{NAME}[{key!r}] is {given[key]!r}.", f"Set it to {wanted}.")
            )
    return problems


@functools.cache
def active() -> Config | None:
    """Return the settings in force, or None where they are unusable or switch memsize off.

    Servers run no system checks: what is wrong is logged, once.
    """
    try:
        found = config()
    except InvalidSettingsError as error:
        hints = " ".join(f"{problem.message} {problem.hint}" for problem in error.problems)
        logging.getLogger("django_memsize").error("django-memsize is switched off: %s", hints)
        return None
    return found if found.enabled else None


def is_quiet() -> bool:
    """Tell whether nothing is measured unasked: under a test runner.

    A project's own tests count their queries. A test asks by overriding the setting.
    """
    return not _overridden and is_under_test()


def is_under_test() -> bool:
    """Tell whether a test runner of Django's has set up its environment."""
    test_utils = sys.modules.get("django.test.utils")
    return hasattr(getattr(test_utils, "_TestState", None), "saved_data")


_overridden = 0


def _on_setting_changed(*, setting: str, value: Any = None, enter: bool, **_: Any) -> None:
    global _overridden
    if setting in (NAME, "DEBUG"):
        config.cache_clear()
        active.cache_clear()
    if setting == NAME:
        _overridden += 1 if enter else -1


setting_changed.connect(_on_setting_changed, dispatch_uid="django_memsize.conf")


@functools.lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_patterns(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_database(value: object) -> bool:
    return isinstance(value, str) and value in settings.DATABASES


_WANTED: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "ENABLED": (_is_bool, "True or False"),
    "SAMPLE_RATE": (_is_share, "a number from 0 to 1"),
    "INSTRUMENT": (
        lambda value: value in ("auto", "meter", "census"),
        "'auto', 'meter' or 'census'",
    ),
    "EVALUATIONS": (_is_bool, "True or False"),
    "EXCLUDE": (_is_patterns, "a list of patterns of paths, such as ['/static/*']"),
    "TOP_TYPES": (_is_count, "a whole number of at least 1"),
    "DATABASE": (_is_database, "an alias of DATABASES"),
    "RETENTION": (_is_count, "a whole number of at least 1"),
    "WRITER": (lambda value: value == "sync", "'sync'"),
    "MAX_OVERHEAD": (_is_share, "a number from 0 to 1"),
    "RELEASE": (lambda value: isinstance(value, str), "a text"),
}
