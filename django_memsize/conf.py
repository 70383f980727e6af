"""The settings: one dict, ``MEMSIZE``, read here only, as one frozen value.

Each field of `Config` declares one key: its default, its check, and its help text. The default
values, the system checks and the table in README.md are made from these declarations.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

NAME: Final = "MEMSIZE"


def is_bool(value: object) -> bool:
    """Return whether a value is True or False."""
    return isinstance(value, bool)


def is_share(value: object) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def is_count(value: object) -> bool:
    """Return whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_str(value: object) -> bool:
    """Return whether a value is a string."""
    return isinstance(value, str)


def is_list_of_str(value: object) -> bool:
    """Return whether a value is a list or a tuple of strings."""
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def is_database_alias(value: object) -> bool:
    """Return whether a value is an alias of ``DATABASES``."""
    return isinstance(value, str) and value in settings.DATABASES


def is_instrument(value: object) -> bool:
    """Return whether a value names an instrument, or leaves the choice to django-memsize."""
    return value in ("auto", "meter", "census")


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of one key of ``MEMSIZE``."""

    default: Any
    check: Callable[[object], bool]
    """Returns whether a value can be used."""
    wanted: str
    """Names the values that can be used, after "Set it to "."""
    help: str
    """Markdown for the table in README.md."""
    debug_default: Any = None
    """The default with ``DEBUG``, where it is another."""
    convert: Callable[[Any], Any] | None = None
    """Makes the value of the field from the value that was set."""

    def default_in_force(self) -> Any:
        """Return the default for the present value of ``DEBUG``."""
        has_another = self.debug_default is not None and settings.DEBUG
        return self.debug_default if has_another else self.default

    def value(self, given: Any) -> Any:
        """Return the value of the field for a value that was set."""
        return given if self.convert is None else self.convert(given)


def setting(**declaration: Any) -> Any:
    """Return a dataclass field that declares a setting. The arguments are those of `Setting`."""
    return field(metadata={"setting": Setting(**declaration)})


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
        help="share of requests measured. At 1.0 every request is measured, whatever the overhead; "
        "the requests that are not measured are counted",
    )
    instrument: str = setting(
        default="auto",
        check=is_instrument,
        wanted="'auto', 'meter' or 'census'",
        help='`"meter"`: the allocations of the request itself; `"census"`: a walk of the whole '
        'heap before and after the request; `"auto"`: the meter where the compiled engine runs, '
        "else the census",
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
        default="default",
        check=is_database_alias,
        wanted="an alias of DATABASES",
        help="alias of the database that stores the reports",
    )
    retention: int = setting(
        default=1000,
        check=is_count,
        wanted="a whole number of at least 1",
        help="number of reports stored at most; the oldest are deleted",
    )
    max_overhead: float = setting(
        default=0.05,
        debug_default=0.9,
        check=is_share,
        wanted="a number from 0 to 1",
        help="share of the CPU time of the process that measuring may take. Beyond it, requests "
        "of the sample are skipped, and only the first evaluation of a request has a table by type",
    )
    release: str = setting(
        default="",
        check=is_str,
        wanted="a string",
        help="name of the running version of the program, stored with each report",
    )

    def excludes(self, path: str) -> bool:
        """Return whether requests of this path are not to be measured."""
        return any(fnmatchcase(path, pattern) for pattern in self.exclude)


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
    return {key: item.default_in_force() for key, item in declared().items()}


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
    return hasattr(getattr(test_utils, "_TestState", None), "saved_data")


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
