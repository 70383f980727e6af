"""Several runs of the same request or code, after a first run that fills caches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..models import Report
from ..reports import recordings
from .database import rolled_back


@dataclass(frozen=True, slots=True)
class Runs:
    """The number of runs, and whether their writes to databases are committed."""

    repeat: int
    """Number of runs that are reported."""
    warm_up: bool
    """Whether one more run comes before, which is not reported."""
    commit: bool

    def __len__(self) -> int:
        return self.repeat + self.warm_up

    @contextmanager
    def collecting(self) -> Iterator[list[Report]]:
        """Measure every request and recording of the context, and add its report to the list."""
        with rolled_back(commit=self.commit), recordings.collecting() as reports:
            yield reports

    def each(self, reports: list[Report]) -> Iterator[None]:
        """Iterate over the runs. Removes the report of the warm-up after its run."""
        for number in range(len(self)):
            yield
            if self.warm_up and number == 0:
                reports.clear()
