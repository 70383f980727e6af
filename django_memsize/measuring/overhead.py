"""What our own work has cost this process, and whether there is room for more."""

from __future__ import annotations

import os
import time

from ..values import ours

_spent = 0.0


def spend(seconds: float) -> None:
    """Add CPU seconds of our own work."""
    global _spent
    _spent += seconds


def is_within(share: float) -> bool:
    """Tell whether our work so far is at most this share of the CPU time of the process."""
    return _spent <= share * time.process_time()


@ours
class Overhead:
    """What our own work for one span has cost: seconds of the processor, and of the clock.

    It is on the account of every span around as well.
    """

    __slots__ = ("around", "cpu", "wall")

    def __init__(self) -> None:
        self.around: Overhead | None = None
        self.cpu = 0.0
        self.wall = 0.0

    def add(self, cpu: float, wall: float) -> None:
        """Charge it, and those around."""
        spend(cpu)
        overhead: Overhead | None = self
        while overhead is not None:
            overhead.cpu += cpu
            overhead.wall += wall
            overhead = overhead.around


@ours
class OverheadTimer:
    """A ``with`` block of our own work: what it takes is on an account."""

    __slots__ = ("_cpu", "_overhead", "_wall")

    def __init__(self, overhead: Overhead) -> None:
        self._overhead = overhead

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        cost = time.thread_time() - self._cpu
        self._overhead.add(cost, time.perf_counter() - self._wall)


def _forget() -> None:
    global _spent
    _spent = 0.0


os.register_at_fork(after_in_child=_forget)
