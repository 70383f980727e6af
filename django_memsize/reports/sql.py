"""SQL statements as stored: without the literals that a hand-written statement may have."""

from __future__ import annotations

import re
from typing import Final

from ..values import SQL_STORED

_LITERAL: Final = re.compile(r"'(?:[^'\\]|\\.|'')*(?:'|$)", re.DOTALL)


def without_literals(sql: str) -> str:
    """Return the beginning of a statement, with ``?`` for each text within single quotes.

    The statements of the ORM have none; a statement written by hand may have anything there.
    """
    return _LITERAL.sub("?", sql[: 2 * SQL_STORED])
