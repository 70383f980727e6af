"""The bytes of each evaluation, without those of the evaluations inside it."""

from __future__ import annotations

from collections.abc import Sequence

from ..values import Evaluation, bytes_of


def own_sizes(evaluations: Sequence[Evaluation]) -> list[tuple[int | None, int | None]]:
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
