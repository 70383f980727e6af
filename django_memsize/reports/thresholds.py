"""The thresholds of findings and sentences, each with its reason."""

from __future__ import annotations

from typing import Final

NOTHING_FOR_A_REQUEST: Final = 16 * 1024
"""Fewer bytes that a request, or one of its evaluations, retains count as nothing.

A request and its response take this much by themselves, and are still there when a census counts.
The request object is older than the window of a meter. If it is in a reference cycle, as with
Django's messages, then its session and its user look retained until Python's collector runs.
"""

NOTHING_FOR_A_BLOCK: Final = 1024
"""Fewer bytes that a block of code retains count as nothing: there is no request around it."""

RETAINED_BY_A_STATEMENT: Final = 768
"""Bytes that each statement retains beside its text until others take their place: names and weak
references in caches of Python and the database driver; with DEBUG an entry of the query log."""

NOTHING_FOR_A_STREAM: Final = NOTHING_FOR_A_BLOCK + RETAINED_BY_A_STATEMENT
"""Fewer bytes that a stream of rows retains count as nothing: it is a block with one statement."""

MUCH: Final = 1024 * 1024
"""Bytes that an evaluation has alive at its end, and does not retain, which are worth a finding:
some 1,300 rows as plain instances. By bytes, because a thousand numbers are little."""

REPORTS_TO_COMPARE: Final = 3
"""Reports that have to agree before a finding tells a leak from a cache."""

MOST: Final = 0.75
"""Share of a peak from which one evaluation is said to have made it."""

COLLECTED: Final = 100
"""Objects that Python's collector freed during a census from which the report says so."""


def nothing_for(kind: str) -> int:
    """Return the bytes below which what a recording of this kind retains counts as nothing."""
    return NOTHING_FOR_A_REQUEST if kind == "request" else NOTHING_FOR_A_BLOCK
