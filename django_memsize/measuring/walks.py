"""Walks of the whole heap: one at a time in a process."""

from __future__ import annotations

import threading
from typing import Final

from .. import engine, process
from ..values import OURS, Snapshot, ours


@ours
class _Walk:
    """The lock that a walk of the heap holds: two at once would halt the process for both."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lock = threading.Lock()


_walk: Final = process.register(_Walk())


def count_heap() -> Snapshot | None:
    """Return what is on the heap; None while another span counts it."""
    lock = _walk.lock
    if not lock.acquire(blocking=False):
        return None
    try:
        return Snapshot(*engine.census(OURS))
    finally:
        lock.release()
