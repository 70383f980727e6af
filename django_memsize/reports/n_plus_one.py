"""N+1: a loop that loads by one statement each what one statement more could load for all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..values import Evaluation, FollowedRelation
from .thresholds import N_PLUS_ONE, ROWS_OF_A_LOOP

_WITHOUT_ADVICE: Final = frozenset({"delete", "refresh", "update"})
"""Kinds of evaluation that a loop over objects to change runs. Loading together helps none."""

_TOGETHER: Final = "select_related() or prefetch_related() loads them together."

_ADVICE: Final = {
    "lazy": _TOGETHER,
    "prefetch": _TOGETHER,
    "deferred": "They are of fields that only() or defer() left out: load these with the others.",
}
_ANY_ADVICE: Final = (
    "If a loop runs it, one queryset can load them together: select_related(), prefetch_related(), "
    "in_bulk() or filter(pk__in=...)."
)


@dataclass(slots=True)
class _Loop:
    """The evaluations of one statement: one that ran several times, or several."""

    first: int
    times: int = 0
    rows: int = 0
    relations: dict[FollowedRelation, None] = field(default_factory=dict)

    def add(self, evaluation: Evaluation) -> None:
        self.times += evaluation.times
        self.rows += evaluation.rows
        self.relations.update(dict.fromkeys(evaluation.relations))


def loops(evaluations: Sequence[Evaluation]) -> list[str | None]:
    """Return, for each evaluation, what to say of the loop that it is a part of.

    That is None for an evaluation that is part of none, and an empty text for all but the first
    evaluation of a loop.
    """
    by_statement: dict[tuple[Any, ...], _Loop] = {}
    of_each = []
    for index, evaluation in enumerate(evaluations):
        loop = by_statement.setdefault(_statement(evaluation), _Loop(index))
        loop.add(evaluation)
        of_each.append(loop)
    return [
        _sentence(evaluation, loop, index) if _is_n_plus_one(evaluation, loop) else None
        for index, (evaluation, loop) in enumerate(zip(evaluations, of_each, strict=True))
    ]


def _statement(evaluation: Evaluation) -> tuple[Any, ...]:
    """Return what the evaluations of one loop have in common."""
    place = str(evaluation.site or "")
    return evaluation.model, evaluation.kind, evaluation.sql, evaluation.database, place


def _is_n_plus_one(evaluation: Evaluation, loop: _Loop) -> bool:
    if evaluation.kind in _WITHOUT_ADVICE or loop.times < N_PLUS_ONE:
        return False
    follows = bool(loop.relations) or evaluation.kind in _ADVICE
    return follows or loop.rows <= ROWS_OF_A_LOOP * loop.times


def _sentence(evaluation: Evaluation, loop: _Loop, index: int) -> str:
    if index != loop.first:
        return ""
    advice = _advice(evaluation.kind, loop.relations)
    return f"{loop.times:,} statements, {_rows(evaluation.model, loop)}. {advice}"


def _rows(model: str, loop: _Loop) -> str:
    if loop.rows == loop.times:
        return f"one for each {model}"
    return f"for {loop.rows:,} {model}" if loop.rows else f"which found no {model}"


def _advice(kind: str, relations: Iterable[FollowedRelation]) -> str:
    names: dict[tuple[str, str], list[str]] = {}
    for relation in relations:
        method = "select_related" if relation.to_one else "prefetch_related"
        names.setdefault((method, relation.model), []).append(f"'{relation.name}'")
    calls = [f"{method}({', '.join(of)}) on {model}" for (method, model), of in names.items()]
    if calls:
        return f"{' and '.join(calls)} loads them together."
    return _ADVICE.get(kind, _ANY_ADVICE)
