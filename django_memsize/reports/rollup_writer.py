"""Handing the rollups of this process to the database: once a minute, in the writer's thread."""

from __future__ import annotations

import time
from typing import Final

from django.db import IntegrityError

from ..measuring.errors import ErrorBoundary
from ..values import ours
from . import following, rollup_merging, rollup_storage
from .drops import describe, warnings
from .rollup_merging import now
from .rollup_storage import BATCH_ROWS, Batch
from .rollups import rollups
from .storage import is_refusal

_LONGEST_UNANSWERED: Final = 3600.0
"""Seconds after which a batch is given up of which nobody knows whether it is stored: later its row
of the process may be merged, and the batch would be stored twice."""

_SHORTEST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds before the next attempt, after the first failure and after many."""

_contained: Final = ErrorBoundary("django-memsize: merging the figures of routes")


@ours
class RollupWriter:
    """What the writer's thread knows of the rollups of its process.

    ``is_due`` is whether there is something to write, ``ends`` whether the process ends: then the
    minute that is not over is written, too. A failure begins a pause of the rollups alone, because
    their tables may fail while reports are stored.
    """

    __slots__ = ("_batch", "_due_at", "_pause", "_retry_at", "ends", "is_due")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin as a new process does."""
        self._batch: Batch | None = None
        self._due_at = 0.0
        self._pause = 0.0
        self._retry_at = 0.0
        self.is_due = False
        self.ends = False

    @property
    def is_done(self) -> bool:
        """Whether the database has everything."""
        return not self.is_due and self._batch is None and rollups.is_empty

    @property
    def is_pausing(self) -> bool:
        """Whether the next attempt waits, after one that failed."""
        return time.monotonic() < self._retry_at

    @property
    def is_ready(self) -> bool:
        """Whether something is to be written now."""
        return self.is_due and not self.is_pausing

    def look(self, moment: float) -> float:
        """Begin a new minute if it is time; return the seconds until the next one, or attempt.

        Nothing is due in a process that has served no request.
        """
        if self.ends and not self.is_done:
            self._sample(moment)
        elif self._due_at and moment >= self._due_at and rollups.is_used:
            self._sample(moment - 60)  # of the minute that is over
        if not moment < self._due_at <= moment + 60:  # also after somebody set the clock
            self._due_at = moment + rollups.seconds_until_due(moment)
        left = self._retry_at - time.monotonic()
        return min(left, self._due_at - moment) if left > 0 else self._due_at - moment

    def _sample(self, moment: float) -> None:
        if not (self.ends and self.is_due):
            following.sweep()
            rollups.sample(moment)
        self.is_due = True

    def discard(self) -> None:
        """Forget what is due."""
        while rollups.take(BATCH_ROWS):
            pass
        rollups.take_samples()
        self._batch = None
        self.is_due = False

    def write(self, alias: str) -> None:
        """Write what is due.

        Raises what the database raises; a further call goes on, and stores nothing twice.
        """
        self._write(alias)
        self.is_due = False
        self._pause = 0.0
        with _contained:
            rollup_merging.merge(alias)

    def _write(self, alias: str) -> None:
        if self._batch is not None:
            self._write_unanswered(self._batch, alias)
        while True:
            rows = rollups.take(BATCH_ROWS, None if self.ends else now())
            samples = rollups.take_samples()
            if not rows and not samples:
                return
            self._batch = Batch(rows, samples, now())
            self._insert(self._batch, alias)
            self._batch = None

    def _write_unanswered(self, batch: Batch, alias: str) -> None:
        """Write a batch again, unless the database has it."""
        if not rollup_storage.is_stored(batch, alias):
            if now() - batch.made_at > _LONGEST_UNANSWERED:
                self._lose(batch, "the database did not answer")
            else:
                self._insert(batch, alias)
        self._batch = None

    def _insert(self, batch: Batch, alias: str) -> None:
        """Insert a batch, in ASCII if it is refused: a table may have any charset."""
        if _refusal(batch, alias) is None:
            return
        refusal = _refusal(batch.escaped(), alias)
        if refusal is not None:
            self._lose(batch, describe(refusal))

    def fail(self) -> None:
        """Begin a pause, which is longer after each failure."""
        self._pause = longer(self._pause)
        self._retry_at = time.monotonic() + self._pause

    def drop(self, error: Exception) -> None:
        """Give up the batch in hand, because of a fault of ours."""
        batch, self._batch = self._batch, None
        self.is_due = False
        if batch is not None:
            self._lose(batch, describe(error))

    def _lose(self, batch: Batch, reason: str) -> None:
        rollups.lose(batch.requests)
        warn(batch.requests, reason)


def _refusal(batch: Batch, alias: str) -> Exception | None:
    """Insert a batch; return why the database refuses it, None if it has it now."""
    try:
        rollup_storage.insert(batch, alias)
    except Exception as error:
        if not is_refusal(error):
            raise
        # An attempt that was not answered may be committed at any time.
        if isinstance(error, IntegrityError) and rollup_storage.is_stored(batch, alias):
            return None
        return error
    return None


def longer(pause: float) -> float:
    """Return the pause that follows another one, or none, in seconds."""
    return min(max(_SHORTEST_PAUSE, 2 * pause), _LONGEST_PAUSE)


def warn(requests: int, reason: str) -> None:
    """Log, at most once a minute, that requests are missing in the figures of routes."""
    warnings.log(
        "rollups",
        "django-memsize: %s requests are missing in the figures of routes: %s",
        requests,
        reason,
    )
