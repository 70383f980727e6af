"""What the figures of an evaluation mean: bloat, a leak, a cache, or nothing to speak of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..formatting import human_size
from ..values import SQL_STORED, Loading, Summary

KEPT_BY_A_REQUEST: Final = 16 * 1024
"""Less than this that is retained of a request, or of one of its evaluations, counts as nothing.

Request and response take this much by themselves, and are still there when a census counts. For
a meter the request is older than what is measured: where it is part of a cycle (Django's messages
make one) what it holds, session and user, looks retained until Python's collector comes.
"""

MUCH: Final = 1024 * 1024
"""What an evaluation has at its end and does not keep is worth a word from here: some 1,300 rows as
plain instances, where a page shows a hundred. By bytes, as a thousand numbers are not much."""

_LEFT_BY_A_STATEMENT: Final = 768
"""One statement after another leaves so much, and its text, until others take its place: names and
weak references of Python and the driver, and with DEBUG an entry of the connection's log."""

_ENOUGH: Final = 3
"""Of so many reports that all keep something, or only one, it can be said that they do."""

Place: TypeAlias = tuple[str, str, str]
"""Model, kind and line of an evaluation: what other requests have in common with it."""

Kept: TypeAlias = frozenset[Place]
"""Where one request loaded what it keeps."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word for what the figures suggest, and a sentence with what they say and do not say."""

    word: str
    meaning: str

    @property
    def name(self) -> str:
        """The word as an identifier: ``"leak-or-cache"``."""
        return self.word.removesuffix("?").replace(" ", "-")


def verdicts(summary: Summary, others: Sequence[Kept] = ()) -> list[tuple[Verdict, ...]]:
    """Return what there is to say of each evaluation of a metered request, mostly nothing.

    ``others`` are warm requests of the same route in the same process: without them nobody can tell
    a leak from a cache.
    """
    if not _is_judged(summary):
        return [()] * len(summary.loadings)
    own = zip(summary.loadings, _own_sizes(summary.loadings), strict=True)
    return [
        _verdicts(loading, alive, retained, [_place(loading) in kept for kept in others])
        for loading, (alive, retained) in own
    ]


def keeps(summary: Summary) -> bool:
    """Tell whether there is an evaluation of which other requests would say more."""
    return _is_judged(summary) and bool(kept_by(summary.loadings))


def kept_by(loadings: Sequence[Loading]) -> Kept:
    """Return where a request loaded what it keeps."""
    own = zip(loadings, _own_sizes(loadings), strict=True)
    return frozenset(_place(loading) for loading, (_, size) in own if _is_kept(loading, size))


def _is_judged(summary: Summary) -> bool:
    """Tell whether it is a request: when a block ends, a variable may well hold what it loaded."""
    return summary.kind == "request" and summary.is_metered


def _place(loading: Loading) -> Place:
    return loading.model, loading.kind, str(loading.site or "")


def _own_sizes(loadings: Sequence[Loading]) -> list[tuple[int | None, int | None]]:
    """Return (alive, retained) of each without those inside it, whose bytes its figures include.

    Those inside one follow it, one deeper: they began later.
    """
    own = [(one.alive, one.retained) for one in loadings]
    around: list[int] = []
    for place, loading in enumerate(loadings):
        while around and loadings[around[-1]].depth >= loading.depth:
            around.pop()
        if around:
            alive, retained = own[around[-1]]
            own[around[-1]] = _less(alive, loading.alive), _less(retained, loading.retained)
        around.append(place)
    return own


def _less(size: int | None, inside: int | None) -> int | None:
    return None if size is None else max(size - (inside or 0), 0)


def _is_kept(loading: Loading, retained: int | None) -> bool:
    # A text that was cut, with thousands of parameters say, may have been of any length.
    left = loading.times * (_LEFT_BY_A_STATEMENT + len(loading.sql))
    beyond = MUCH if len(loading.sql) >= SQL_STORED else left + KEPT_BY_A_REQUEST
    return retained is not None and retained >= beyond


def _verdicts(
    loading: Loading, alive: int | None, retained: int | None, others: Sequence[bool]
) -> tuple[Verdict, ...]:
    if alive is None or retained is None:
        return ()
    gone = alive - retained
    # What is left over of a load that is kept, the list around it, say, is no bloat.
    bloat = [_bloat(gone)] if gone >= MUCH and gone > retained else []
    kept = [_kept(retained, others)] if _is_kept(loading, retained) else []
    return (*bloat, *kept)


def _bloat(gone: int) -> Verdict:
    return Verdict(
        "bloat?",
        f"{human_size(gone)} at its end, not kept: bloat, if fewer rows or fields would do.",
    )


def _kept(retained: int, others: Sequence[bool]) -> Verdict:
    size = human_size(retained)
    if not others:
        return Verdict(
            "leak or cache?",
            f"{size} kept: a leak if each request keeps as much, a cache if only one does. To "
            "tell, see two more of the same process (memprofile run --repeat 3).",
        )
    compared, keeping = len(others) + 1, sum(others) + 1
    reports = f"{compared} reports compared (same route and process)"
    if compared >= _ENOUGH and keeping == compared:
        return Verdict(
            "leak?",
            f"{size} kept, as in all {reports}: a leak, unless a cache still fills, or the new "
            "takes the place of the old.",
        )
    if compared >= _ENOUGH and keeping == 1:
        return Verdict(
            "cache?",
            f"{size} kept, in 1 of {reports}: a cache that was filled, if it stays at that.",
        )
    return Verdict(
        "leak or cache?",
        f"{size} kept, in {keeping} of {reports}: a leak if that goes on, a cache if it ends.",
    )
