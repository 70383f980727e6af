"""Overhead: what measuring itself costs, in CPU seconds and seconds of the clock."""

from __future__ import annotations

import time
from typing import Final

from .. import process
from ..values import ours


@ours
class _ProcessOverhead:
    """The CPU seconds that measuring has cost this process."""

    __slots__ = ("cpu",)

    def __init__(self) -> None:
        self.cpu = 0.0

    def reset(self) -> None:
        self.cpu = 0.0


_process: Final = process.register(_ProcessOverhead())


def add(seconds: float) -> None:
    """Add CPU seconds to the overhead of this process."""
    _process.cpu += seconds


def is_within(share: float) -> bool:
    """Return whether the overhead so far is at most ``share`` of the CPU time of this process."""
    return _process.cpu <= share * time.process_time()


@ours
class Overhead:
    """The overhead of one recording: ``cpu`` and ``wall`` in seconds.

    ``outer`` is the overhead of the recording around it, which includes this one.
    """

    __slots__ = ("cpu", "outer", "wall")

    def __init__(self) -> None:
        self.outer: Overhead | None = None
        self.cpu = 0.0
        self.wall = 0.0

    def add(self, cpu: float, wall: float) -> None:
        """Add seconds to this recording, to those around it, and to the process."""
        add(cpu)
        overhead: Overhead | None = self
        while overhead is not None:
            overhead.cpu += cpu
            overhead.wall += wall
            overhead = overhead.outer


@ours
class OverheadTimer:
    """A ``with`` block whose time is added to an overhead."""

    __slots__ = ("_cpu", "_overhead", "_wall")

    def __init__(self, overhead: Overhead) -> None:
        self._overhead = overhead

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:
        cpu = time.thread_time() - self._cpu
        self._overhead.add(cpu, time.perf_counter() - self._wall)
