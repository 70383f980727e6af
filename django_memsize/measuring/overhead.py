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
class Account:
    """What our own work for one span has cost: seconds of the processor, and of the clock.

    It is on the account of every span around as well.
    """

    __slots__ = ("around", "cpu", "wall")

    def __init__(self) -> None:
        self.around: Account | None = None
        self.cpu = 0.0
        self.wall = 0.0

    def add(self, cpu: float, wall: float) -> None:
        """Charge it, and those around."""
        spend(cpu)
        account: Account | None = self
        while account is not None:
            account.cpu += cpu
            account.wall += wall
            account = account.around


@ours
class Work:
    """A ``with`` block of our own work: what it takes is on an account."""

    __slots__ = ("_account", "_cpu", "_wall")

    def __init__(self, account: Account) -> None:
        self._account = account

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        cost = time.thread_time() - self._cpu
        self._account.add(cost, time.perf_counter() - self._wall)


def _forget() -> None:
    global _spent
    _spent = 0.0


os.register_at_fork(after_in_child=_forget)
