"""Whether retained bytes are a leak, a cache, or replaced each time; and the evidence in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from ..formatting import capitalized, human_size
from ..values import Diff, Survival
from .fates import Fate, Followed
from .thresholds import REPORTS_TO_COMPARE

LEAK: Final = "leak"
CACHE: Final = "cache"
LEAK_OR_CACHE: Final = "leak-or-cache"
REPLACED: Final = "replaced"

_WITHOUT_OWNER: Final = frozenset({"(buffers)"})

_TYPES_NAMED: Final = 3
_LEAST_SHARE_NAMED: Final = 0.02


def judge(
    size: str,
    types: str,
    in_others: Sequence[tuple[int, bool]],
    fate: Fate,
    followed: Followed,
) -> tuple[str, str]:
    """Return the name of the finding and its sentence, for retained bytes of this size.

    ``in_others`` has, for the primary key of each other report, whether the same is retained there.
    ``fate`` is what became of it, as is known from the requests that were ``followed``.
    """
    if fate is Fate.REPLACED:
        return REPLACED, (
            f"{size}{types}. It takes the place of what earlier requests retained: "
            f"{followed.freed}. Bounded, and no leak."
        )
    if not in_others:
        return LEAK_OR_CACHE, (
            f"{size}{types}. A leak retains as much in each request, a cache in one. Compare two "
            "more requests of the same process: memprofile run --repeat 3."
        )
    return _compare(size, types, in_others, fate, followed)


def _compare(
    size: str,
    types: str,
    in_others: Sequence[tuple[int, bool]],
    fate: Fate,
    followed: Followed,
) -> tuple[str, str]:
    number, retaining = len(in_others) + 1, sum(is_retaining for _, is_retaining in in_others) + 1
    with_others = ", ".join(f"#{key}" for key in sorted(key for key, _ in in_others))
    reports = f"{number} requests compared (this and {with_others})"
    if number >= REPORTS_TO_COMPARE and retaining == number:
        name, explain = _BY_FATE[fate]
        return name, f"{size}, as in all {reports}{types}. {explain(followed)}"
    if number >= REPORTS_TO_COMPARE and retaining == 1:
        return CACHE, f"{size}, in 1 of {reports}{types}. Probably a cache that was filled."
    return LEAK_OR_CACHE, (
        f"{size}, in {retaining} of {reports}{types}. A leak goes on, a cache ends."
    )


def largest_types(types: Diff) -> str:
    """Return ``": 1 list, 3,000 str"``, the types that take most of what is retained."""
    total = types.total.size
    ranked = [
        (name, each)
        for name, each in types.ranked()[:_TYPES_NAMED]
        if name not in _WITHOUT_OWNER and each.size >= _LEAST_SHARE_NAMED * total
    ]
    named = ", ".join(f"{each.count:,} {name}" for name, each in ranked)
    return f": {named}" if named else ""


def remainder(told: Sequence[Survival], types: str) -> str:
    """Return the sentence of a leak that is a small part of what requests retain, or is little.

    The requests that tell it are those that were followed for long, the newest last.
    """
    latest = told[-1]
    size = f"{human_size(latest.alive)} of {human_size(latest.retained)} retained"
    alive = Followed(tuple(told)).alive
    return f"{size}, {alive}{types}. A cache that is still filling looks the same."


_BY_FATE: Final[dict[Fate, tuple[str, Callable[[Followed], str]]]] = {
    Fate.UNKNOWN: (
        LEAK,
        lambda _: (
            "A cache that is still filling, or whose entries are replaced each time, looks the "
            "same."
        ),
    ),
    Fate.OPEN: (
        LEAK_OR_CACHE,
        lambda followed: (
            f"{capitalized(followed.still_open)}: more requests will tell whether later ones "
            "replace it."
        ),
    ),
    Fate.SURVIVES: (
        LEAK,
        lambda followed: (
            f"{capitalized(followed.alive)}. A cache that is still filling, or has room for more, "
            "looks the same."
        ),
    ),
    Fate.BALANCED: (
        REPLACED,
        lambda _: (
            "Each of them frees as many older blocks of memory as it retains: what is new takes "
            "the place of what earlier requests retained. Bounded, and no leak."
        ),
    ),
    Fate.FREED_LATER: (
        LEAK_OR_CACHE,
        lambda followed: (
            f"{capitalized(followed.freed)}: a cache that fills, or drops its entries later, and "
            "a leak beside it look the same."
        ),
    ),
}
"""What requests that all retain something do, by what became of it."""
