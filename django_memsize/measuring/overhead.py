"""Overhead: what measuring itself costs, in CPU seconds and seconds of the clock."""

from __future__ import annotations

import time
from typing import Final, Protocol

from .. import process
from ..values import ours


@ours
class _ProcessOverhead:
    """The CPU seconds that measuring has cost this process, and what the budget refused."""

    __slots__ = ("cpu", "refusals")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.cpu = 0.0
        self.refusals = 0


_process: Final = process.register(_ProcessOverhead())


def add(seconds: float) -> None:
    """Add CPU seconds to the overhead of this process."""
    _process.cpu += seconds


def total() -> float:
    """Return the CPU seconds that measuring has cost this process."""
    return _process.cpu


def is_within(share: float) -> bool:
    """Return whether the overhead so far is at most ``share`` of the CPU time of this process."""
    return _process.cpu <= share * time.process_time()


def grants(share: float) -> bool:
    """Return whether the overhead is within its budget; count a refusal otherwise."""
    if is_within(share):
        return True
    _process.refusals += 1
    return False


def refusals() -> int:
    """Return how many requests were not metered because the budget was spent."""
    return _process.refusals


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


class HasOverhead(Protocol):
    """A recording."""

    @property
    def overhead(self) -> float:
        """CPU seconds that measuring took."""

    def add_overhead(self, cpu: float) -> None:
        """Add CPU seconds that measuring took."""


@ours
class RemainingOverhead:
    """The CPU time since its construction, without what the recording counts itself meanwhile."""

    __slots__ = ("_began", "_counted")

    def __init__(self, recording: HasOverhead | None = None) -> None:
        self._counted = 0.0 if recording is None else recording.overhead
        self._began = time.thread_time()

    def add_to(self, recording: HasOverhead | None) -> None:
        """Add the time to the overhead of the recording, and of this process."""
        cpu = time.thread_time() - self._began
        if recording is None:
            add(cpu)
        else:
            recording.add_overhead(cpu - (recording.overhead - self._counted))


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
