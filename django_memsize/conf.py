"""The settings: one dict, ``MEMSIZE``, read here only, as one frozen value.

Each field of `Config` declares one key: its default, its check, and its help text. The default
values, the system checks and the table in README.md are made from these declarations.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

from .values.setting import Setting, setting
from .values.validation import (
    is_bool,
    is_count,
    is_dict_of_shares,
    is_dotted_path,
    is_limit,
    is_list_of_str,
    is_number,
    is_share,
    is_str,
)

NAME: Final = "MEMSIZE"


def is_database_alias(value: object) -> bool:
    """Return whether a value is an alias of ``DATABASES``, or empty."""
    return value == "" or (isinstance(value, str) and value in settings.DATABASES)


def is_instrument(value: object) -> bool:
    """Return whether a value names an instrument, or leaves the choice to django-memsize."""
    return value in ("auto", "meter", "census")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force. Each field is one key of ``MEMSIZE``, in lower case."""

    enabled: bool = setting(
        default=True,
        check=is_bool,
        wanted="True or False",
        help="measure requests",
    )
    sample_rate: float = setting(
        default=0.01,
        debug_default=1.0,
        check=is_share,
        wanted="a number from 0 to 1",
        help="share of requests measured by chance, beside some of every route (`SAMPLE_FIRST`, "
        "`SAMPLE_INTERVAL`). At 1.0 every request is measured, whatever the overhead; at 0 none "
        "but those of `SAMPLE_RATES`, `SAMPLE` and a token. The others are counted",
    )
    sample_first: int = setting(
        default=5,
        check=is_number,
        wanted="a whole number of at least 0",
        help="requests of each route (URL pattern and method) that each process measures after the "
        "very first one",
    )
    sample_interval: int | None = setting(
        default=300,
        check=is_limit,
        wanted="a whole number of seconds, or None",
        help="after these, seconds in which each process measures one request of each route; in a "
        "fifth of that time one where many rows, a rising RSS or retained bytes are suspicious. "
        "`None` or 0: none",
    )
    sample_rates: Mapping[str, float] = setting(
        default=MappingProxyType({}),
        convert=lambda given: MappingProxyType(dict(given)),
        check=is_dict_of_shares,
        wanted="a dict from patterns of routes to numbers from 0 to 1, such as {'/api/*': 0.1}",
        help='`SAMPLE_RATE` by shell patterns of routes: `{"/api/*": 1.0, "/health/": 0}`. The '
        "first that matches counts, and is within `MAX_OVERHEAD` unless `SAMPLE_RATE` is 1.0, too; "
        "at 0 nothing of these routes is measured by itself",
    )
    sample: str = setting(
        default="",
        check=is_dotted_path,
        wanted="the path of a callable, such as 'project.memory.sample'",
        help="callable that is asked about each request: see "
        "[Which requests are measured](#which-requests-are-measured)",
    )
    route: str = setting(
        default="",
        check=is_dotted_path,
        wanted="the path of a callable, such as 'project.memory.name_route'",
        help="callable that tells requests of one route apart: see "
        "[Routes that answer for everything](#routes-that-answer-for-everything)",
    )
    program: tuple[str, ...] = setting(
        default=(),
        convert=tuple,
        check=is_list_of_str,
        wanted="a list of patterns of modules, such as ['pretalx', 'netbox.*']",
        help='installed modules that are a part of the program: `["pretalx", "netbox.*"]`, each '
        "with what is below it. Their lines are named as those of the program's own files are. The "
        "packages of the URLconf, the settings, the WSGI or ASGI application and the model of "
        "users are parts of it anyway",
    )
    instrument: str = setting(
        default="auto",
        check=is_instrument,
        wanted="'auto', 'meter' or 'census'",
        help='`"meter"`: the allocations of the request itself; `"census"`: a walk of the whole '
        'heap before and after the request; `"auto"`: the meter. Without the compiled engine there '
        "is no meter: requests are only counted, and what a command or `measure()` measures is "
        "measured by census",
    )
    evaluations: bool = setting(
        default=True,
        check=is_bool,
        wanted="True or False",
        help="measure each evaluation; `False`: only list them",
    )
    exclude: tuple[str, ...] = setting(
        default=(),
        convert=tuple,
        check=is_list_of_str,
        wanted="a list of patterns of paths, such as ['/static/*']",
        help='shell patterns of paths that are not measured: `["/static/*"]`. The pages of '
        "reports in the admin are never measured",
    )
    top_types: int = setting(
        default=50,
        check=is_count,
        wanted="a whole number of at least 1",
        help="number of types that each table of a report stores by name; the others are stored "
        "as one row",
    )
    database: str = setting(
        default="",
        check=is_database_alias,
        wanted="an alias of DATABASES",
        help='alias of the database that stores the reports; `""`: the default database, or, where '
        "that is a file of SQLite, a file of their own beside it (`db.memsize.sqlite3`)",
    )
    retention: int = setting(
        default=1000,
        check=is_count,
        wanted="a whole number of at least 1",
        help="number of the newest reports that are kept. Older ones are deleted, but of each "
        "route the three newest, and the three worst by retained bytes, by peak and by rows, are "
        "kept longer, up to as many reports again",
    )
    retention_days: int | None = setting(
        default=30,
        check=is_limit,
        wanted="a whole number of days, or None",
        help="age at which reports are deleted; those that are kept longer, at four times this "
        "age. `None` or 0: no limit",
    )
    rollup_days: int | None = setting(
        default=400,
        check=is_limit,
        wanted="a whole number of days, or None",
        help="age at which the figures of routes and processes, added up by minute, hour and day, "
        "are deleted. `None` or 0: no limit",
    )
    max_overhead: float = setting(
        default=0.05,
        debug_default=0.9,
        check=is_share,
        wanted="a number from 0 to 1",
        help="share of the CPU time of the process that measuring may take, without what the meter "
        "adds to each allocation. Beyond it, requests are only counted, and only the first "
        "evaluation of a request has a table by type",
    )
    meter_memory: int = setting(
        default=64,
        check=is_count,
        wanted="a whole number of at least 1",
        help="memory in MB that the meter may take in a process for the blocks of all requests "
        "under way: about 3,000,000 blocks in 64 MB. Blocks beyond it are only counted: the report "
        "says so, its peak is a lower bound, and what is retained is not known",
    )
    release: str = setting(
        default="",
        check=is_str,
        wanted="a string",
        help="name of the running version of the program, stored with each report",
    )

    def excludes(self, path: str) -> bool:
        """Return whether requests of this path are not to be measured."""
        # Most have no pattern, and an empty generator is felt in a request that does nothing.
        return bool(self.exclude) and any(fnmatchcase(path, pattern) for pattern in self.exclude)


@dataclass(frozen=True, slots=True)
class Problem:
    """One key that cannot be used as it is set, and what to set instead."""

    key: str
    """Empty where ``MEMSIZE`` itself cannot be used."""
    message: str
    hint: str


class InvalidSettingsError(Exception):
    """The settings cannot be used. ``problems`` has the reasons."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def declared() -> dict[str, Setting]:
    """Return the declaration of each key, in the order of the fields of `Config`."""
    return {item.name.upper(): item.metadata["setting"] for item in fields(Config)}


def defaults() -> dict[str, Any]:
    """Return the default of each key, for the present value of ``DEBUG``."""
    return {key: item.default_in_force(settings.DEBUG) for key, item in declared().items()}


@functools.cache
def config() -> Config:
    """Return the settings in force.

    Raises InvalidSettingsError.
    """
    problems = find_problems()
    if problems:
        raise InvalidSettingsError(problems)
    given = defaults() | dict(getattr(settings, NAME, {}))
    return Config(**{key.lower(): item.value(given[key]) for key, item in declared().items()})


def find_problems() -> list[Problem]:
    """Return the problems with ``settings.MEMSIZE``, at most one for each key."""
    given = getattr(settings, NAME, {})
    if not isinstance(given, Mapping):
        return [Problem("", f"{NAME} is not a dict.", f"Write {NAME} = {{...}}.")]
    known = declared()
    unknown = [
        Problem(
            str(key),
            f"{NAME}[{key!r}] is not a setting of django-memsize.",
            f"Remove it, or use one of {', '.join(known)}.",
        )
        for key in given
        if key not in known
    ]
    unusable = [
        Problem(key, f"{NAME}[{key!r}] is {given[key]!r}.", f"Set it to {item.wanted}.")
        for key, item in known.items()
        if key in given and not item.check(given[key])
    ]
    return unknown + unusable


@functools.cache
def active() -> Config | None:
    """Return the settings in force, or None if they are invalid or disable django-memsize.

    A server runs no system checks, so invalid settings are logged here, once.
    """
    try:
        valid = config()
    except InvalidSettingsError as error:
        hints = " ".join(f"{problem.message} {problem.hint}" for problem in error.problems)
        logging.getLogger("django_memsize").error("django-memsize is switched off: %s", hints)
        return None
    return valid if valid.enabled else None


def is_quiet() -> bool:
    """Return whether only what asks for it is measured: under a test runner.

    A project's own tests count their queries. A test asks by overriding ``MEMSIZE``.
    """
    return not _overrides and is_under_test()


def is_under_test() -> bool:
    """Return whether Django's test environment is set up in this process."""
    # setup_test_environment() of django/test/utils.py sets this attribute.
    test_utils = sys.modules.get("django.test.utils")
    return test_utils is not None and hasattr(getattr(test_utils, "_TestState", None), "saved_data")


class Overrides:
    """Counts the overrides of ``MEMSIZE`` in force, each made by ``override_settings()``.

    Unlike other state of the process it is not reset in a forked child: the overrides are in force
    there, too.
    """

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def __bool__(self) -> bool:
        return self._number > 0

    def change(self, *, enter: bool) -> None:
        """Count an override that begins, or one that ends."""
        self._number += 1 if enter else -1


_overrides: Final = Overrides()


def reset() -> None:
    """Read the settings again at the next call of `config` or `active`."""
    config.cache_clear()
    active.cache_clear()


def _on_setting_changed(*, setting: str, value: Any = None, enter: bool, **_: Any) -> None:
    if setting in (NAME, "DEBUG"):
        reset()
    if setting == NAME:
        _overrides.change(enter=enter)


setting_changed.connect(_on_setting_changed, dispatch_uid="django_memsize.conf")
