"""How long the engine holds the GIL: the largest gap in a thread that only looks at the clock.

    python benchmarks/pauses.py [number of kept lists ...]

"control" is the same thread beside one that runs Python code and no engine: what the machine and
the switching of threads cost. Each figure is the smallest of three runs, because a busy machine
only adds to it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from django_memsize.engine import Window, switch_window

RUNS = 3


class Clock(threading.Thread):
    """Looks at the clock until it is stopped; ``gap`` is the longest time that it did not run."""

    def __init__(self) -> None:
        super().__init__()
        self.gap = 0.0
        self.runs = threading.Event()
        self.stops = False

    def run(self) -> None:
        """Look at the clock."""
        last = time.perf_counter()
        self.runs.set()
        while not self.stops:
            now = time.perf_counter()
            self.gap = max(self.gap, now - last)
            last = now


def gap_beside(work: Callable[[], object]) -> tuple[float, float]:
    """Return the largest gap beside some work, and the time of the work, in milliseconds."""
    clock = Clock()
    clock.start()
    clock.runs.wait()
    began = time.perf_counter()
    work()
    duration = time.perf_counter() - began
    clock.stops = True
    clock.join()
    return 1000 * clock.gap, 1000 * duration


def kept(number: int) -> tuple[Window, list[list[int]]]:
    """Return a closed window, and the lists that were made in it."""
    window = Window()
    window.open()
    before = switch_window(window)
    lists = [[each] for each in range(number)]
    switch_window(before)
    window.close()
    return window, lists


def control(duration: float) -> Callable[[], None]:
    """Return a function that runs Python code for so many milliseconds."""

    def work() -> None:
        end = time.perf_counter() + duration / 1000
        while time.perf_counter() < end:
            pass

    return work


def measure(number: int) -> None:
    """Print a line for each call of the engine that reads many blocks."""
    other = Window()  # a second window: discarding the last one is another, shorter way
    other.open()
    least: dict[str, tuple[float, float]] = {}
    for _ in range(RUNS):
        for name in ("alive by type", "analyse", "discard"):
            window, lists = kept(number)
            work = {
                "alive by type": window.alive_by_type,
                "analyse": window.analyse,
                "discard": window.discard,
            }[name]
            gap, duration = gap_beside(work)
            least[name] = min(least.get(name, (gap, duration)), (gap, duration))
            del lists, work
            window.discard()
    longest = max(duration for _, duration in least.values())
    least["control"] = min(gap_beside(control(longest)) for _ in range(RUNS))
    for name, (gap, duration) in least.items():
        print(f"{number:>10,} lists  {name:15} {duration:9.1f} ms, gap {gap:7.1f} ms", flush=True)
    other.close()
    other.discard()


def main() -> None:
    """Measure each number of lists that was given."""
    sys.setswitchinterval(0.0005)
    for number in map(int, sys.argv[1:] or ("10000", "100000", "1000000")):
        measure(number)


if __name__ == "__main__":
    main()
