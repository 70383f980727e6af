"""What became of what an earlier request had retained, once later requests of its route ended."""

from __future__ import annotations

from dataclasses import dataclass

from .ownership import ours
from .type_tables import Diff


@ours
@dataclass(frozen=True, slots=True)
class Survival:
    """One followed request: of the ``retained`` bytes so many were ``alive`` in the end.

    ``later`` is the number of requests of its route that began and ended meanwhile, in the same
    process. The last bytes that were freed were freed ``within`` so many of them. A buffer that
    grows (the items of a list, say) counts as alive. ``types`` has what was alive by type, where
    that was looked at.
    """

    later: int = 0
    retained: int = 0
    alive: int = 0
    within: int = 0
    types: Diff | None = None

    @property
    def freed(self) -> int:
        """The bytes that were freed."""
        return max(0, self.retained - self.alive)
