"""Reports that are dropped: each counted by its cause, and a cause logged once a minute."""

from __future__ import annotations

import contextlib
import re
from typing import Final

from .. import process
from ..formatting import migrate_command, plain
from ..measuring.errors import RateLimitedWarning
from ..values import ours
from ..workers.tally import Cause, State, tally
from . import database

_QUOTED: Final = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|$)|=\([^)]*\)", re.DOTALL)
"""What a database quotes of a row in the message of an error."""


@ours
class _Warnings(dict[str, RateLimitedWarning]):
    """The warnings of this process, one a cause."""

    __slots__ = ()

    def reset(self) -> None:
        """Log each cause anew."""
        self.clear()

    def log(self, cause: str, message: str, *args: object) -> None:
        """Log a warning, unless one of this cause was logged within the last minute."""
        self.setdefault(cause, RateLimitedWarning()).log(message, *args)


warnings: Final = process.register(_Warnings())


def drop(state: State, cause: Cause, number: int = 1, reason: str = "") -> None:
    """Count reports as dropped, and log it at most once a minute and cause."""
    tally.move(state, cause, number)
    if cause is Cause.TABLE_MISSING:
        alias = database.alias()
        warnings.log(
            cause,
            "django-memsize: no table in database %r, reports are dropped. Run '%s'.",
            alias,
            migrate_command(alias),
        )
        return
    warnings.log(
        cause, "django-memsize: reports are dropped: %s%s", cause, f": {reason}" if reason else ""
    )


def describe(error: Exception) -> str:
    """Return the type of an error and the first line of its message, without what it quotes.

    The lines after the first one repeat the statement, or the row. Raises nothing.
    """
    try:
        lines = _QUOTED.sub("?", _message(error)).splitlines()
        message = next((line.strip() for line in lines if line.strip()), "(no message)")
    except Exception:
        message = "(its message cannot be read)"
    return plain(f"{type(error).__name__}: {message}", 500)


def _message(error: Exception) -> str:
    """Return the message of an error; of MySQL's with the number: ``"1205: Lock wait timeout"``.

    ``str()`` of two arguments would quote the message, so that nothing of it were left.
    """
    if len(error.args) == 2 and [*map(type, error.args)] == [int, str]:
        return "{}: {}".format(*error.args)
    return str(error)


def is_table_missing(alias: str) -> bool:
    """Return whether the database answers and has no table of reports. Raises nothing."""
    with contextlib.suppress(Exception):
        return not database.has_table(alias)
    return False
