"""Inserting rollups in batches, and reading them: the rows of a route add up."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from django.db import connections

from .. import models
from ..values import OwnTuple, ProcessRollup, RouteKey, RouteRollup, ours
from ..values.rollup import Level
from .connection import short_question, short_transaction
from .rollup_periods import Row, Sample
from .rollups import process_key

BATCH_ROWS: Final = 500
"""Rows that one transaction inserts: about 150 KB."""

_READ_AT_ONCE: Final = 2_000

_RECENT: Final = 3600
"""Seconds that the row with the uid of a batch is old at most: it is merged, and the uid is gone,
when it is three hours old. A batch is given up before, see `rollup_writer`."""


@ours
class Batch:
    """Rows that are stored all together or not at all.

    There is always a recent row of the process, because the newest has the ``uid`` by which a batch
    is found whose transaction was committed without an answer.
    """

    __slots__ = ("made_at", "rows", "samples", "uid")

    def __init__(self, rows: Sequence[Row], samples: Sequence[Sample], now: float) -> None:
        self.uid = uuid.uuid4()
        self.made_at = now
        self.rows = OwnTuple(rows)
        self.samples = OwnTuple(samples)
        if not any(_is_recent(sample, now) for sample in samples):
            start = Level.PROCESS.start(now)
            nothing = Sample(Level.PROCESS, start, process_key(), ProcessRollup())
            self.samples = OwnTuple([*samples, nothing])

    @property
    def requests(self) -> int:
        """How many requests the rows add up."""
        return sum(row.rollup.requests for row in self.rows)

    @property
    def newest(self) -> Sample:
        """The row of the process that has the ``uid``."""
        recent = (sample for sample in self.samples if _is_recent(sample, self.made_at))
        return max(recent, key=lambda sample: sample.start)

    def escaped(self) -> Batch:
        r"""Return the batch with ``\uXXXX`` for what is not ASCII."""
        rows = [row._replace(key=RouteKey(*map(_ascii, row.key))) for row in self.rows]
        samples = [
            sample._replace(
                key=sample.key._replace(
                    host=_ascii(sample.key.host), release=_ascii(sample.key.release)
                )
            )
            for sample in self.samples
        ]
        batch = Batch(rows, samples, self.made_at)
        batch.uid = self.uid
        return batch


def insert(batch: Batch, database: str) -> None:
    """Insert a batch in one transaction. Raises what the database raises.

    Raises IntegrityError if the database has it.
    """
    newest = batch.newest
    with short_transaction(database):
        # save() would send signals to receivers of the program.
        models.Rollup.objects.using(database).bulk_create(map(_row, batch.rows))
        models.ProcessRollup.objects.using(database).bulk_create(
            models.ProcessRollup(
                level=sample.level,
                start=sample.start,
                batch=batch.uid if sample is newest else None,
                **sample.key._asdict(),
                **sample.rollup.columns(),
            )
            for sample in batch.samples
        )


def _is_recent(sample: Sample, now: float) -> bool:
    return sample.level is Level.PROCESS and sample.start >= now - _RECENT


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _row(row: Row) -> models.Rollup:
    lengths = {"kind": 20, "method": 10, "route": 255, "release": 100}
    return models.Rollup(
        level=row.level,
        start=row.start,
        **{name: text[: lengths[name]] for name, text in row.key._asdict().items()},
        **row.rollup.counts(),
        histograms=row.rollup.document(),
    )


def is_stored(batch: Batch, database: str) -> bool:
    """Return whether the database has a batch, from an attempt that was not answered."""
    with short_question(database):
        return models.ProcessRollup.objects.using(database).filter(batch=batch.uid).exists()


def has_tables(database: str) -> bool:
    """Return whether the database has the tables of rollups."""
    with short_question(database):
        names = connections[database].introspection.table_names()
    return {model._meta.db_table for model in (models.Rollup, models.ProcessRollup)} <= {*names}


def read_routes(
    database: str, since: int, release: str | None = None
) -> dict[RouteKey, RouteRollup]:
    """Return the rollup of each route since a moment; of all releases together for None.

    ``since`` are seconds of Unix time, as `rollup_merging.readable_since` returns them.
    """
    found = models.Rollup.objects.using(database).filter(level__in=list(Level), start__gte=since)
    if release is not None:
        found = found.filter(release=release)
    columns = (*RouteKey._fields, "requests", "first_requests", "metered", "histograms")
    rollups: dict[RouteKey, RouteRollup] = {}
    for values in found.values_list(*columns).iterator(_READ_AT_ONCE):
        key = RouteKey(*values[:4])
        key = key if release is not None else key.without_release
        rollups.setdefault(key, RouteRollup()).merge_stored(*values[4:])
    return rollups


def read_processes(database: str, since: int) -> ProcessRollup:
    """Return the samples of all processes since a moment, added up."""
    found = models.ProcessRollup.objects.using(database).filter(
        level__in=list(Level), start__gte=since
    )
    total = ProcessRollup()
    for values in found.values_list(*ProcessRollup.__slots__).iterator(_READ_AT_ONCE):
        total.merge(ProcessRollup.of(*values))
    return total
