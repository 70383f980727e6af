"""Findings: what the figures of a request and of its evaluations suggest, with the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ..formatting import counted, human_size
from ..values import SQL_STORED, Evaluation, Summary, bytes_of
from . import fates, leaks
from .compared import Compared, EvaluationKey, RetainedAt
from .drivers import why_all_at_once
from .fates import Fate, Followed
from .n_plus_one import loops
from .own_sizes import own_sizes
from .thresholds import (
    MOST,
    MUCH,
    NOTHING_FOR_A_REQUEST,
    QUERYSET_BYTES,
    REPORTS_TO_COMPARE,
    ROWS_AT_ONCE,
    by_statements,
    nothing_retained,
    nothing_survives,
)

_BLOAT: Final = "bloat"
_N_PLUS_ONE: Final = "n-plus-one"

_LABELS: Final = {
    leaks.LEAK_OR_CACHE: "leak or cache?",
    leaks.REPLACED: "replaced:",
    _N_PLUS_ONE: "N+1:",
}

_QUERY: Final = "django.db.models.sql.query.Query"
"""Each queryset has one of its own, whatever its class."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement: a name (an identifier), a sentence with its evidence.

    ``compared`` are the primary keys of the reports with which this one was compared.
    """

    name: str
    sentence: str
    compared: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """The name as screens show it; with a question mark where figures cannot prove it."""
        return _LABELS.get(self.name, f"{self.name}?")

    @property
    def is_n_plus_one(self) -> bool:
        """Whether it is about a loop, and says how to load its rows together."""
        return self.name == _N_PLUS_ONE


@dataclass(frozen=True, slots=True)
class Findings:
    """What is found about a request as a whole, and about each of its evaluations."""

    request: tuple[Finding, ...]
    evaluations: tuple[tuple[Finding, ...], ...]


def findings(summary: Summary, others: Sequence[Compared] = ()) -> Findings:
    """Return the findings of a report: mostly none.

    ``others`` are other requests of the same route in the same process, without the first: only
    they can tell a leak from a cache.
    """
    of_loops = loops(summary.evaluations)
    followed = _followed(summary, others)
    of_memory = _of_memory(summary, others, followed)
    return Findings(
        _of_request(summary, others, followed),
        tuple(
            (*_of_loop(said), *(each for each in found if said is None or each.name != _BLOAT))
            for said, found in zip(of_loops, of_memory, strict=True)
        ),
    )


def compared(key: int, summary: Summary) -> Compared:
    """Return what a report tells of another one of its route."""
    evaluations = retained_at(summary) if tells_all_retained(summary) else None
    is_retaining = _retained_beside(summary) is not None
    retained = bytes_of(summary.retained) or 0
    return Compared(
        key,
        evaluations,
        is_retaining,
        summary.survival,
        summary.started_at,
        retained,
        fates.is_balanced(summary),
    )


def needs_comparison(summary: Summary) -> bool:
    """Return whether a request retains something, so that other requests would say more."""
    return _is_judged(summary) and (
        bool(retained_at(summary))
        or _retained_beside(summary) is not None
        or bool(summary.survival)
    )


def _followed(summary: Summary, others: Sequence[Compared]) -> Followed:
    """Return what is known of what requests of the route retained, by the latest report."""
    known = [(each.started_at, each.survival) for each in others]
    known.append((summary.started_at, summary.survival))
    return Followed.of(fates.latest(known), fates.is_run(summary))


def _are_balanced(summary: Summary, others: Sequence[Compared]) -> bool:
    """Return whether each request that retains something frees as many older blocks."""
    retaining = (other for other in others if other.is_retaining or other.evaluations)
    return fates.is_balanced(summary) and all(other.is_balanced for other in retaining)


def retained_at(summary: Summary) -> RetainedAt:
    """Return the evaluations of a request that retain something."""
    own = zip(summary.evaluations, own_sizes(summary.evaluations), strict=True)
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


def _of_loop(said: str | None) -> tuple[Finding, ...]:
    return (Finding(_N_PLUS_ONE, said),) if said else ()


def _of_request(
    summary: Summary, others: Sequence[Compared], followed: Followed
) -> tuple[Finding, ...]:
    """Return the findings of what a request retains beside what its evaluations retain."""
    retained = summary.retained
    # A first request fills caches, as its note says.
    if retained is None or summary.first_request or not _is_judged(summary):
        return ()
    of_remainder = _of_remainder(summary, others, followed)
    beside = _retained_beside(summary)
    if beside is None:
        return of_remainder
    by_evaluations = "" if beside == retained.bytes else " beside what its evaluations retain"
    types = leaks.largest_types(retained.types)
    size = f"{human_size(beside)} retained{by_evaluations}"
    in_others = [(each.key, each.is_retaining) for each in others]
    fate = followed.fate(beside, retained.bytes, _are_balanced(summary, others))
    return (_retaining(size, types, in_others, fate, followed), *of_remainder)


def _of_remainder(
    summary: Summary, others: Sequence[Compared], followed: Followed
) -> tuple[Finding, ...]:
    """Return a leak that is a small part of what a request retains, or is little.

    Comparing cannot tell it: most of what each request retains is replaced, or it counts as
    nothing. But each request retains as much, and of each that was followed it outlives later ones.
    """
    whole = bytes_of(summary.retained) or 0
    told, nothing = followed.told_for_long, nothing_survives(summary)
    sizes = [whole, *(each.retained for each in others), *(each.alive for each in followed.told)]
    is_known = min(len(told), len(others) + 1) >= REPORTS_TO_COMPARE
    if not is_known or min(sizes) < nothing:
        return ()
    is_little = whole < nothing_retained(summary)
    if followed.fate(whole, whole) is Fate.SURVIVES and not is_little:
        return ()  # said of the whole
    latest = told[-1]
    types = "" if latest.types is None else leaks.largest_types(latest.types)
    sentence = leaks.remainder(told, types)
    return (Finding(leaks.LEAK, sentence, tuple(sorted(each.key for each in others))),)


def _retained_beside(summary: Summary) -> int | None:
    """Return the bytes that a request retains beside its evaluations that retain something.

    None if that is nothing. What goes beside retained rows, such as the list around them, is a part
    of what the evaluation is said to retain.
    """
    if summary.retained is None:
        return None
    own = zip(summary.evaluations, own_sizes(summary.evaluations), strict=True)
    explained = sum(retained or 0 for each, (_, retained) in own if _retains(each, retained))
    beside = summary.retained.bytes - explained
    if explained >= MOST * summary.retained.bytes:
        return None
    return beside if beside >= nothing_retained(summary) else None


def _of_memory(
    summary: Summary, others: Sequence[Compared], followed: Followed
) -> list[tuple[Finding, ...]]:
    """Return the findings of each evaluation about its bytes, or its rows if they were counted."""
    evaluations = summary.evaluations
    if summary.is_counted:
        return [_of_rows(each) for each in evaluations]
    if not _is_judged(summary):
        return [()] * len(evaluations)
    known = [(each.key, each.evaluations) for each in others if each.evaluations is not None]
    found, are_balanced = [], _are_balanced(summary, others)
    for index, (alive, retained) in enumerate(own_sizes(evaluations)):
        key = _key(evaluations[index])
        in_others = [(report, key in retaining) for report, retaining in known]
        whole = retained if summary.retained is None else summary.retained.bytes
        fate = followed.fate(retained or 0, whole or 0, are_balanced)
        found.append(_findings(evaluations, index, alive, retained, in_others, fate, followed))
    return found


def _of_rows(evaluation: Evaluation) -> tuple[Finding, ...]:
    if evaluation.rows < ROWS_AT_ONCE:
        return ()
    if evaluation.streamed:
        why = why_all_at_once(evaluation.database)
        size = f"{counted(evaluation.rows, 'row')}, their bytes not measured"
        return (_bloat_by_driver(size, why),) if why else ()
    return (
        Finding(
            _BLOAT,
            f"{counted(evaluation.rows, 'row')} at once; their bytes were not measured. Load "
            "fewer rows, or use iterator(), if the request does not need all of them together.",
        ),
    )


def _of_stream(evaluation: Evaluation) -> tuple[Finding, ...]:
    """Return the finding about an iterator whose rows are in memory all at once."""
    peak = bytes_of(evaluation.peak)
    if not evaluation.streamed or peak is None or peak < MUCH:
        return ()
    why = why_all_at_once(evaluation.database)
    return (_bloat_by_driver(f"{human_size(peak)} at its peak", why),) if why else ()


def _bloat_by_driver(size: str, why: str) -> Finding:
    return Finding(
        _BLOAT, f"{size}: {why}, iterator() or not. Load them in batches, or fewer rows or fields."
    )


def _retains(evaluation: Evaluation, retained: int | None) -> bool:
    """Return whether an evaluation retains more bytes of its own than its statements do."""
    # A stored text that was cut may have been of any length: thousands of parameters, say.
    is_cut = len(evaluation.sql) >= SQL_STORED
    statements = by_statements(evaluation.times, len(evaluation.sql))
    limit = MUCH if is_cut else statements + NOTHING_FOR_A_REQUEST
    return retained is not None and retained >= limit


def _findings(
    evaluations: Sequence[Evaluation],
    index: int,
    alive: int | None,
    retained: int | None,
    in_others: Iterable[tuple[int, bool]],
    fate: Fate,
    followed: Followed,
) -> tuple[Finding, ...]:
    """Return the findings of one evaluation, from its own bytes without those inside it.

    ``in_others`` has, for each other report, whether the same evaluation retains something there,
    and ``fate`` what became of it.
    """
    if alive is None or retained is None:
        return ()
    evaluation = evaluations[index]
    not_retained = alive - retained
    # What goes beside retained rows, such as the list around them, is no bloat.
    is_bloat = not_retained >= MUCH and not_retained > retained
    bloat = [_bloat(evaluation, not_retained, _prefetches(evaluations, index))] if is_bloat else []
    bloat = bloat or [*_of_stream(evaluation)]
    leak = []
    if _retains(evaluation, retained):
        size = f"{human_size(retained)} retained"
        leak = [_retaining(size, "", in_others, fate, followed)]
    return (*bloat, *leak)


def _prefetches(evaluations: Sequence[Evaluation], index: int) -> bool:
    """Return whether relations of the rows of an evaluation are prefetched inside it."""
    depth = evaluations[index].depth
    for inside in evaluations[index + 1 :]:
        if inside.depth <= depth:
            return False
        if inside.depth == depth + 1 and inside.kind == "prefetch":
            return True
    return False


def _bloat(evaluation: Evaluation, not_retained: int, prefetches: bool) -> Finding:
    size = f"{human_size(not_retained)} alive at its end and not retained"
    querysets = 0
    if prefetches and evaluation.diff is not None and _QUERY in evaluation.diff:
        querysets = evaluation.diff[_QUERY].count
    if 2 * querysets * QUERYSET_BYTES >= not_retained:
        return Finding(
            _BLOAT,
            f"{size}, most of it {querysets:,} querysets of prefetch_related(): one for each row "
            "and relation, empty or not. Prefetch only what the request needs.",
        )
    what = "rows, fields or prefetched relations" if prefetches else "rows or fields"
    return Finding(_BLOAT, f"{size}. Load fewer {what}, if the request does not need them.")


def _retaining(
    size: str, types: str, in_others: Iterable[tuple[int, bool]], fate: Fate, followed: Followed
) -> Finding:
    """Return the finding of retained bytes."""
    in_others = tuple(in_others)
    name, sentence = leaks.judge(size, types, in_others, fate, followed)
    return Finding(name, sentence, tuple(sorted(key for key, _ in in_others)))
