"""Findings: what the figures of an evaluation suggest, with the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from ..formatting import human_size
from ..values import SQL_STORED, Evaluation, Summary, bytes_of
from .thresholds import (
    MUCH,
    NOTHING_FOR_A_REQUEST,
    REPORTS_TO_COMPARE,
    RETAINED_BY_A_STATEMENT,
)

EvaluationKey: TypeAlias = tuple[str, str, str]
"""Model, kind and call site: what the same evaluation has in common in several requests."""

RetainedAt: TypeAlias = frozenset[EvaluationKey]
"""The evaluations of one request that retain something."""

_BLOAT: Final = "bloat"
_CACHE: Final = "cache"
_LEAK: Final = "leak"
_LEAK_OR_CACHE: Final = "leak-or-cache"


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement of one evaluation: a name (an identifier), and a sentence with its evidence."""

    name: str
    sentence: str

    @property
    def label(self) -> str:
        """The name as screens show it, with a question mark: figures cannot prove it."""
        return f"{self.name.replace('-', ' ')}?"


def findings(summary: Summary, others: Sequence[RetainedAt] = ()) -> list[tuple[Finding, ...]]:
    """Return the findings of each evaluation of a metered request: mostly none.

    ``others`` are other requests of the same route in the same process, without the first: only
    they can tell a leak from a cache.
    """
    if not _is_judged(summary):
        return [()] * len(summary.evaluations)
    own = zip(summary.evaluations, _own_sizes(summary.evaluations), strict=True)
    return [
        _findings(evaluation, alive, retained, [_key(evaluation) in other for other in others])
        for evaluation, (alive, retained) in own
    ]


def needs_comparison(summary: Summary) -> bool:
    """Return whether an evaluation retains something, so that other requests would say more."""
    return _is_judged(summary) and bool(retained_at(summary))


def retained_at(summary: Summary) -> RetainedAt:
    """Return the evaluations of a request that retain something."""
    own = zip(summary.evaluations, _own_sizes(summary.evaluations), strict=True)
    return frozenset(_key(each) for each, (_, retained) in own if _retains(each, retained))


def tells_all_retained(summary: Summary) -> bool:
    """Return whether what each evaluation of a request retains is known."""
    return not summary.evaluations_omitted and all(
        each.retained is not None for each in summary.evaluations
    )


def _is_judged(summary: Summary) -> bool:
    # At the end of a block, unlike a request, a variable may well hold what the block loaded.
    return summary.kind == "request" and summary.is_metered


def _key(evaluation: Evaluation) -> EvaluationKey:
    return evaluation.model, evaluation.kind, str(evaluation.site or "")


def _own_sizes(evaluations: Sequence[Evaluation]) -> list[tuple[int | None, int | None]]:
    """Return (alive, retained) bytes of each evaluation without those inside it.

    The evaluations inside another one follow it, with a greater depth; its figures include theirs.
    """
    own = [(bytes_of(each.alive), bytes_of(each.retained)) for each in evaluations]
    outer: list[int] = []
    for index, evaluation in enumerate(evaluations):
        while outer and evaluations[outer[-1]].depth >= evaluation.depth:
            outer.pop()
        if outer:
            alive, retained = own[outer[-1]]
            own[outer[-1]] = (
                _less(alive, bytes_of(evaluation.alive)),
                _less(retained, bytes_of(evaluation.retained)),
            )
        outer.append(index)
    return own


def _less(size: int | None, inside: int | None) -> int | None:
    return None if size is None else max(size - (inside or 0), 0)


def _retains(evaluation: Evaluation, retained: int | None) -> bool:
    """Return whether an evaluation retains more bytes of its own than its statements do."""
    by_statements = evaluation.times * (RETAINED_BY_A_STATEMENT + len(evaluation.sql))
    # A stored text that was cut may have been of any length: thousands of parameters, say.
    is_cut = len(evaluation.sql) >= SQL_STORED
    limit = MUCH if is_cut else by_statements + NOTHING_FOR_A_REQUEST
    return retained is not None and retained >= limit


def _findings(
    evaluation: Evaluation, alive: int | None, retained: int | None, in_others: Sequence[bool]
) -> tuple[Finding, ...]:
    """Return the findings of one evaluation, from its own bytes without those inside it.

    ``in_others`` has, for each other request, whether the same evaluation retains something there.
    """
    if alive is None or retained is None:
        return ()
    not_retained = alive - retained
    # What goes beside retained rows, such as the list around them, is no bloat.
    is_bloat = not_retained >= MUCH and not_retained > retained
    bloat = [_bloat(not_retained)] if is_bloat else []
    leak = [_leak_or_cache(retained, in_others)] if _retains(evaluation, retained) else []
    return (*bloat, *leak)


def _bloat(not_retained: int) -> Finding:
    return Finding(
        _BLOAT,
        f"{human_size(not_retained)} alive at its end and not retained. Load fewer rows or fields, "
        "if the request does not need them.",
    )


def _leak_or_cache(retained: int, in_others: Sequence[bool]) -> Finding:
    size = human_size(retained)
    if not in_others:
        return Finding(
            _LEAK_OR_CACHE,
            f"{size} retained. A leak retains as much in each request, a cache in one. Compare "
            "two more requests of the same process: memprofile run --repeat 3.",
        )
    compared, retaining = len(in_others) + 1, sum(in_others) + 1
    reports = f"{compared} requests compared (same route and process)"
    if compared >= REPORTS_TO_COMPARE and retaining == compared:
        return Finding(
            _LEAK,
            f"{size} retained, as in all {reports}. A cache that is still filling, or whose "
            "entries are replaced each time, looks the same.",
        )
    if compared >= REPORTS_TO_COMPARE and retaining == 1:
        return Finding(
            _CACHE,
            f"{size} retained, in 1 of {reports}. Probably a cache that was filled.",
        )
    return Finding(
        _LEAK_OR_CACHE,
        f"{size} retained, in {retaining} of {reports}. A leak goes on, a cache ends.",
    )
