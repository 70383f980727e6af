"""What findings compare a report with: what other requests of its route retain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..values import Survival

EvaluationKey: TypeAlias = tuple[str, str, str]
"""Model, kind and call site: what the same evaluation has in common in several requests."""

RetainedAt: TypeAlias = frozenset[EvaluationKey]
"""The evaluations of one request that retain something."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What another request retains. ``key`` is the primary key of its report.

    ``evaluations`` are those that retain something; None if its report does not tell of all.
    ``is_retaining`` is whether it retains something beside these, whoever made it. ``survival`` is
    what its report knows of earlier requests, ``started_at`` when it started, and ``retained`` what
    it retains in all, in bytes. ``is_balanced`` is whether it freed as many older blocks.
    """

    key: int
    evaluations: RetainedAt | None
    is_retaining: bool
    survival: tuple[Survival, ...] = ()
    started_at: float = 0.0
    retained: int = 0
    is_balanced: bool = False
