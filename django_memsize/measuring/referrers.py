"""What leads to a request that is over and yet alive: it may be dead itself.

Circles from outside of a recording hold what was allocated inside, until the collector comes:
Django's handler of asynchronous requests leaves one each time. Only what is known to be part of
such a circle can be told to be dead, so it is looked for, upwards from the request.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Collection
from typing import Any, Final, TypeAlias

from .. import engine
from ..values import ours
from . import overhead

Watched: TypeAlias = tuple[weakref.ref[Any], ...]

_ROUNDS: Final = 8
_FOR_EACH: Final = 100


@ours
class ExternalObjects(list[Any]):
    """Objects that nothing else of ours refers to, to be let go of soon.

    ``cost`` is the CPU time that it took to find them, in seconds.
    """

    __slots__ = ("cost",)

    def __init__(self) -> None:
        self.cost = 0.0


def find_external_objects(watched: Collection[weakref.ref[Any]], share: float) -> ExternalObjects:
    """Return what ``watched`` refers to, and what leads there.

    Goes through the heap a few times, as long as all our work stays within that share of the CPU
    time of the process: not all may be found.
    """
    around = ExternalObjects()
    # No name is given to any: it would be one more reference. None stays on the list.
    around.extend(map(weakref.ref.__call__, watched))
    more = True
    for _ in range(_ROUNDS):
        if not more or not overhead.is_within(share):
            break
        began = time.thread_time()
        more = engine.find_referrers(around, _FOR_EACH * len(watched))
        cost = time.thread_time() - began
        around.cost += cost
        overhead.spend(cost)
    return around
