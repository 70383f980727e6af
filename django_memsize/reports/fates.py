"""What became of retained bytes, judged from the requests that were followed, and put in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from ..formatting import counted, human_size
from ..values import RUN, Summary, Survival
from .thresholds import (
    AS_MANY,
    ENOUGH_LATER,
    LATER_IN_A_RUN,
    LATER_TO_TELL,
    MOST,
    REPLACED_BLOCKS,
)


class Fate(Enum):
    """What becomes of bytes that requests of a route retain."""

    UNKNOWN = auto()
    """None of them was followed."""
    OPEN = auto()
    """They are still alive, and too few later requests are over to say more."""
    SURVIVES = auto()
    """Most of them outlive enough later requests, in each of those followed."""
    REPLACED = auto()
    """Later requests free most of them, in each of those followed."""
    FREED_LATER = auto()
    """Some of them are freed, or those of some requests."""
    BALANCED = auto()
    """Each request frees as many older blocks as it retains."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The requests of a route whose retained bytes were followed, as far as they tell something.

    ``told`` are those that do; ``open`` those of which most is alive after too few later requests.
    """

    told: tuple[Survival, ...] = ()
    open: tuple[Survival, ...] = ()
    is_run: bool = False

    @classmethod
    def of(cls, known: Iterable[Survival], is_run: bool) -> Followed:
        """Return what is known in a report.

        Whoever runs a request decides how often it is run, so few later ones are enough there. But
        what has not seen as many as it took to free the others tells nothing.
        """
        known = [each for each in known if each.retained > 0 and each.later]
        freed = [each for each in known if is_mostly_freed(each)]
        enough = max(
            LATER_IN_A_RUN if is_run else LATER_TO_TELL, *(each.within for each in freed), 0
        )
        told = [each for each in known if each.later >= enough or is_mostly_freed(each)]
        waiting = [each for each in known if each.later < enough and not is_mostly_freed(each)]
        return cls(tuple(told), tuple(waiting), is_run)

    @property
    def told_for_long(self) -> tuple[Survival, ...]:
        """Those of ``told`` that saw enough later requests to tell a leak by themselves."""
        enough = LATER_IN_A_RUN if self.is_run else ENOUGH_LATER
        return tuple(each for each in self.told if each.later >= enough)

    def fate(self, part: int, whole: int, are_balanced: bool = False) -> Fate:
        """Return what becomes of a ``part`` of the ``whole`` that requests retain, in bytes.

        ``are_balanced`` is whether all of them free as many older blocks.
        """
        known = self._known_fate(part, whole)
        return Fate.BALANCED if are_balanced and known is not Fate.REPLACED else known

    def _known_fate(self, part: int, whole: int) -> Fate:
        # Only the whole is followed, so what is known of a part lies between two bounds.
        if not self.told:
            return Fate.OPEN if self.open else Fate.UNKNOWN
        beside = max(0, whole - part)
        shares = [each.alive / each.retained for each in self.told]
        if all(share * whole <= (1 - MOST) * part for share in shares):
            return Fate.REPLACED
        if all(share * whole - beside >= MOST * part for share in shares):
            return Fate.SURVIVES
        return Fate.FREED_LATER

    @property
    def freed(self) -> str:
        """``"3.0 MB of 3.0 MB freed within 1 later request, in 3 of 3 requests followed"``."""
        retained = sum(each.retained for each in self.told)
        size = f"{human_size(sum(each.freed for each in self.told))} of {human_size(retained)}"
        within = counted(max(each.within for each in self.told), "later request")
        return f"{size} freed within {within}, {_requests(self.told)}"

    @property
    def alive(self) -> str:
        """``"still alive after 20 later requests, in 3 of 3 requests followed"``."""
        return _alive(self.told)

    @property
    def still_open(self) -> str:
        """The same of those that tell nothing yet."""
        return _alive(self.open)


def is_balanced(summary: Summary) -> bool:
    """Return whether a request freed about as many older blocks as it retains, and not few."""
    retained, freed = summary.retained, summary.freed_older
    if retained is None or freed is None or retained.blocks < REPLACED_BLOCKS:
        return False
    return freed >= AS_MANY * retained.blocks


def is_mostly_freed(survival: Survival) -> bool:
    """Return whether most of what a request retained was freed."""
    return survival.alive <= (1 - MOST) * survival.retained


def are_mostly_freed(known: Sequence[Survival]) -> bool:
    """Return whether requests were followed, and most of what each of them retained was freed."""
    return bool(known) and all(map(is_mostly_freed, known))


def counts(survival: Survival) -> bool:
    """Return whether what became of a request counts in the ranking of routes."""
    return survival.later >= ENOUGH_LATER or is_mostly_freed(survival)


def latest(summaries: Iterable[tuple[float, Sequence[Survival]]]) -> Sequence[Survival]:
    """Return what the latest report knows, given when each one's request started."""
    known = [(started, survival) for started, survival in summaries if survival]
    return max(known, key=lambda pair: pair[0])[1] if known else ()


def is_run(summary: Summary) -> bool:
    """Return whether ``memprofile run`` made the request."""
    return summary.source == RUN


def _alive(followed: Sequence[Survival]) -> str:
    later = min(each.later for each in followed)
    return f"still alive after {counted(later, 'later request')}, {_requests(followed)}"


def _requests(followed: Sequence[Survival]) -> str:
    number = len(followed)
    return f"in {number} of {counted(number, 'request')} followed"
