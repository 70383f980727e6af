"""What refers to a request that is over and still alive: it may be garbage with the request.

Reference cycles that begin outside of a recording hold what was allocated inside it until Python's
collector runs: Django's handler of asynchronous requests leaves one each time. The engine presumes
the objects found here to be garbage, and corrects that where something else refers to them.
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
"""The objects of the program whose end is the end of a recording: a request and its response."""

_ROUNDS: Final = 8
"""Steps from the watched objects to their referrers, and on to the referrers of these."""

_LIMIT_EACH: Final = 100
"""Objects to find for each watched object at most."""


@ours
class ExternalObjects(list[Any]):
    """Objects from outside of a recording that refer to it. Nothing else of ours refers to them.

    ``cost`` is the CPU time of finding them, in seconds. Clear the list soon.
    """

    __slots__ = ("cost",)

    def __init__(self) -> None:
        self.cost = 0.0


def find_external_objects(
    watched: Collection[weakref.ref[Any]], max_overhead: float
) -> ExternalObjects:
    """Return the watched objects that are alive, and what refers to them, directly or not.

    Each step is a pass over the heap. Stops where the overhead exceeds ``max_overhead`` as a share
    of the CPU time of the process; the list is then incomplete.
    """
    found = ExternalObjects()
    # No name refers to an object of the list: the trial deletion expects one reference from it.
    found.extend(map(weakref.ref.__call__, watched))
    more = True
    for _ in range(_ROUNDS):
        if not more or not overhead.is_within(max_overhead):
            break
        began = time.thread_time()
        more = engine.find_referrers(found, _LIMIT_EACH * len(watched))
        cost = time.thread_time() - began
        found.cost += cost
        overhead.add(cost)
    return found
