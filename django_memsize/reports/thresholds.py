"""The thresholds of findings and sentences, each with its reason."""

from __future__ import annotations

from typing import Final

from ..measuring import survivors
from ..values import Summary

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
references in caches of Python and the database driver."""

STATEMENTS_RETAINED: Final = 128
"""Statements whose places in these caches others take: as many as Python's driver of SQLite keeps;
psycopg prepares 100, and Python keeps the names of fewer."""

NOTHING_FOR_A_STREAM: Final = NOTHING_FOR_A_BLOCK + RETAINED_BY_A_STATEMENT
"""Fewer bytes that a stream of rows retains count as nothing: it is a block with one statement."""

MUCH: Final = 1024 * 1024
"""Bytes that an evaluation has alive at its end, and does not retain, which are worth a finding:
some 1,300 rows as plain instances. By bytes, because a thousand numbers are little."""

ROWS_AT_ONCE: Final = 10_000
"""Rows that an evaluation has at once which are worth a finding where no bytes were measured: even
as tuples of one number they take as much as ``MUCH``."""

N_PLUS_ONE: Final = 10
"""Times that a statement runs from which a loop that loads one row at a time is worth a finding:
fewer take some milliseconds at most."""

ROWS_OF_A_LOOP: Final = 10
"""Rows a statement, on average, beyond which a loop over no known relation loads batches."""

QUERYSET_BYTES: Final = 1500
"""Bytes of a queryset that ``prefetch_related()`` makes for each instance and relation, empty ones
too, at least: 1,900 on Python 3.11."""

REPORTS_TO_COMPARE: Final = 3
"""Reports that have to agree before a finding tells a leak from a cache."""

LATER_TO_TELL: Final = REPORTS_TO_COMPARE
"""Later requests that retained bytes have to outlive before a finding says that they survive. It
says how many these were: a cache has room for some."""

LATER_IN_A_RUN: Final = REPORTS_TO_COMPARE - 1
"""The same of what ``memprofile run --repeat`` makes: nobody waits for more requests then."""

ENOUGH_LATER: Final = survivors.ENOUGH_LATER
"""The same where nothing else tells a leak: of a small part, and in the ranking of routes."""

NOTHING_SURVIVES: Final = 8 * 1024
"""Fewer bytes of a request that outlive later ones count as nothing, beside what its statements
retain. It is less than `NOTHING_FOR_A_REQUEST`, because the request and its response are gone."""

REPLACED_BLOCKS: Final = 200
"""Retained blocks from which a request that frees as many older ones is said to replace these:
every request frees and keeps some."""

AS_MANY: Final = 0.9
"""Older blocks that a request has to free for each that it retains, to be said to replace them."""

MOST: Final = 0.75
"""Share of a peak from which one evaluation is said to have made it."""

NEAR: Final = 0.5
"""Share of a peak that a table by type has to cover to be called near it."""

LITTLE: Final = 0.25
"""Share of a peak up to which a table by type does not tell what made the peak."""

COLLECTED: Final = 100
"""Objects that Python's collector freed during a census from which the report says so."""


def by_statements(times: int, text: int = 0) -> int:
    """Return the bytes that statements retain by themselves.

    ``times`` is how often any ran, and ``text`` the length of their different texts together.
    """
    return RETAINED_BY_A_STATEMENT * min(times, STATEMENTS_RETAINED) + text


def nothing_for(kind: str, statements: int = 0, text: int = 0) -> int:
    """Return the bytes below which what a recording of this kind retains counts as nothing.

    The statements, and the length of their texts, are as ``by_statements()`` takes them.
    """
    nothing = NOTHING_FOR_A_REQUEST if kind == "request" else NOTHING_FOR_A_BLOCK
    return nothing + by_statements(statements, text)


def beside_statements(retained: int, statements: int) -> int:
    """Return what a request retains beside its statements, if that may be all of it.

    What is less than ``NOTHING_FOR_A_REQUEST`` anyway, or more than statements retain, is returned
    as it is: it is compared with that of other requests.
    """
    if not NOTHING_FOR_A_REQUEST <= retained < nothing_for("request", statements):
        return retained
    return max(0, retained - by_statements(statements))


def nothing_retained(summary: Summary) -> int:
    """Return the bytes below which what a report retains counts as nothing."""
    return nothing_for(summary.kind, *_statements(summary))


def nothing_survives(summary: Summary) -> int:
    """Return the bytes below which what outlives later requests counts as nothing."""
    return NOTHING_SURVIVES + by_statements(*_statements(summary))


def _statements(summary: Summary) -> tuple[int, int]:
    """Return how many statements a request ran, and the length of their different texts."""
    evaluations = summary.evaluations
    return (
        summary.statements + summary.evaluations_omitted + sum(each.times for each in evaluations),
        sum(len(each.sql) for each in evaluations),
    )
