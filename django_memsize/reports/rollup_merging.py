"""Merging rollups as they grow old, and deleting them: the table follows routes, not requests.

Rows of processes become rows of minutes, these of hours, and these of days. A transaction replaces
a few rows by their sum, so a reader finds each request exactly once. Every process may merge at any
time: rows that another one is merging are skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import DatabaseError, connections
from django.db.models import Model, QuerySet

from .. import conf, models, process
from ..values import OwnTuple, ProcessKey, ProcessRollup, RouteKey, RouteRollup, ours
from ..values.rollup import Level
from . import chunks
from .connection import short_question, short_transaction

CHUNK: Final = 2_000
"""Rows that one transaction replaces at most: only who merges waits for their locks. A smaller one
reads past the rows that are deleted, and not vacuumed yet, more often."""

CHUNKS: Final = 4
"""Chunks of each step that one call merges."""

_HOUR: Final = 3600.0
_DAY: Final = 86_400.0

_OFTEN: Final = 30.0
_SELDOM: Final = 300.0
"""Seconds after which a step that found nothing looks again."""


@dataclass(frozen=True, slots=True)
class Step:
    """Rows of the level ``source`` are replaced by rows of ``target`` at the age ``after``."""

    source: Level
    target: Level
    after: float
    """Seconds since the end of the minute, hour or day of the target."""

    def ordered(self, key: tuple[str, ...]) -> tuple[str, ...]:
        """Return the columns of a key by which rows are ordered: as far as an index helps, if so.

        Minutes that stay minutes are read in the order of the index, whatever number they are.
        """
        return key[:1] if self.keeps_minutes else key

    @property
    def keeps_minutes(self) -> bool:
        """Whether rows of processes become rows of the same minutes."""
        return self.source.seconds == self.target.seconds

    def end(self, moment: float) -> int:
        """Return the time before which rows are old enough at a moment."""
        return self.target.start(moment - self.after)


ROUTE_STEPS: Final = (
    Step(Level.PROCESS, Level.MINUTE, 180),
    Step(Level.MINUTE, Level.HOUR, 3 * _HOUR),
    Step(Level.HOUR, Level.DAY, 8 * _DAY),
)
PROCESS_STEPS: Final = (
    Step(Level.PROCESS, Level.HOUR, 3 * _HOUR),
    Step(Level.HOUR, Level.DAY, 8 * _DAY),
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table of rollups: how its rows become values, and these rows."""

    model: type[Model]
    steps: tuple[Step, ...]
    key: tuple[str, ...]
    """The columns in which rows that are added up are equal, in the order of the index."""
    figures: tuple[str, ...]
    total: Callable[[], Any]
    """Returns the sum of no row, whose ``merge_stored`` adds the figures of one."""
    columns: Callable[[Any], dict[str, Any]]

    def rows(self, database: str) -> QuerySet[Any]:
        """Return all rows."""
        return self.model._default_manager.using(database)


def _route_columns(rollup: RouteRollup) -> dict[str, Any]:
    return {**rollup.counts(), "histograms": rollup.document()}


TABLES: Final = (
    Table(
        models.Rollup,
        ROUTE_STEPS,
        ("route", *(name for name in RouteKey._fields if name != "route")),
        ("requests", "first_requests", "metered", "histograms"),
        RouteRollup,
        _route_columns,
    ),
    Table(
        models.ProcessRollup,
        PROCESS_STEPS,
        ProcessKey._fields,
        ProcessRollup.__slots__,
        ProcessRollup,
        ProcessRollup.columns,
    ),
)


def now() -> float:
    """Return the time, in seconds of Unix time."""
    return time.time()


def readable_since(since: float, moment: float) -> int:
    """Return the start of the minute, hour or day from which all rows can be read at a moment.

    Older rows are merged into hours and days, so a time inside of one is moved to its start.
    """
    level = Level.MINUTE
    for step in ROUTE_STEPS:
        if since < step.end(moment):
            level = step.target
    return level.start(since)


@ours
class _DueAt(dict[OwnTuple[int], float]):
    """When a step looks again, as of ``time.monotonic()``, by its table and number."""

    __slots__ = ()

    def reset(self) -> None:
        self.clear()


_due_at: Final = process.register(_DueAt())


def merge(database: str) -> None:
    """Merge and delete what is old enough, as far as that is quick.

    To be called after rollups were inserted, outside of any transaction. Raises what the database
    raises.
    """
    began = time.monotonic()
    for number, table in enumerate(TABLES):
        for place, step in enumerate((*table.steps, None)):
            key = OwnTuple((number, place))
            if began < _due_at.get(key, 0.0):
                continue
            _, is_over = _run(table, step, database)
            if is_over:
                _due_at[key] = began + (_OFTEN if place == 0 else _SELDOM)


def merge_all(database: str) -> tuple[int, int]:
    """Merge and delete all that is old enough; return how many rows were replaced and deleted."""
    replaced = deleted = 0
    for table in TABLES:
        for step in (*table.steps, None):
            is_over = False
            while not is_over:
                number, is_over = _run(table, step, database)
                replaced += 0 if step is None else number
                deleted += number if step is None else 0
    return replaced, deleted


def delete_all(database: str) -> int:
    """Delete all rollups, and return their number."""
    deleted = 0
    for table in TABLES:
        is_over = False
        while not is_over:
            number, is_over = _delete_chunk(table, table.rows(database), database)
            deleted += number
    return deleted


def _run(table: Table, step: Step | None, database: str) -> tuple[int, bool]:
    """Run a step, or the deletion for None; return the number of rows, and if nothing is left."""
    total = 0
    for _ in range(CHUNKS):
        began = time.monotonic()
        if step is None:
            number, is_over = _prune_chunk(table, database, now())
        else:
            number, is_over = _merge_chunk(table, step, database, now())
        total += number
        if is_over:
            return total, True
        chunks.pause(database, began)
    return total, False


def _merge_chunk(table: Table, step: Step, database: str, moment: float) -> tuple[int, bool]:
    """Replace some of the oldest rows; return as `_run` does."""
    rows = _oldest(table, step, database, moment)
    if rows is None:
        return 0, True
    with short_transaction(database):
        chunks.lock_file(table.model, database)
        limit = chunks.most(database, CHUNK)
        if step.keeps_minutes:
            _use_the_index(database)
        found = _read(table, step, rows, limit, database)
        sums, keys = _sums(table, step, found, len(found) == limit)
        if not keys:
            return 0, True  # another process has them
        _delete(table, keys, database)
        names = ("start", *table.key)
        table.model._default_manager.using(database).bulk_create(
            table.model(
                level=step.target,
                **dict(zip(names, same, strict=True)),
                **table.columns(rollup),
            )
            for same, rollup in sums.items()
        )
    return len(keys), False


def _read(
    table: Table, step: Step, rows: QuerySet[Any], limit: int, database: str
) -> list[tuple[Any, ...]]:
    """Return the first rows, and lock them."""
    columns = ("pk", "start", *table.key, *table.figures)
    if step.keeps_minutes:  # in the order of the index
        return list(_locked(rows.values_list(*columns), database)[:limit])
    # The primary keys first: what is sorted should be narrow.
    keys = list(_locked(rows.values_list("pk", flat=True), database)[:limit])
    found = table.rows(database).filter(pk__in=keys).values_list(*columns)
    by_key = {row[0]: row for row in found}
    return [by_key[key] for key in keys]


def _oldest(table: Table, step: Step, database: str, moment: float) -> QuerySet[Any] | None:
    """Return the oldest rows of a step, those that are added up side by side; None for none."""
    source = table.rows(database).filter(level=step.source)
    old = source.filter(start__lt=step.end(moment))
    if step.keeps_minutes:
        return old.order_by("level", "start", *step.ordered(table.key))
    with short_question(database):
        first = old.order_by("start").values_list("start", flat=True).first()
    if first is None:
        return None
    start = step.target.start(first)
    period = source.filter(start__gte=start, start__lt=start + step.target.seconds)
    return period.order_by(*step.ordered(table.key))


def _sums(
    table: Table, step: Step, chunk: Sequence[tuple[Any, ...]], is_cut: bool
) -> tuple[dict[tuple[Any, ...], Any], list[int]]:
    """Return the sums of rows by start and key, and the primary keys of the rows.

    The last sum of a chunk that is cut is left to the next chunk, unless there is no other: else
    the database would have two of it.
    """
    if is_cut:
        end = 2 + len(step.ordered(table.key))
        places = [(step.target.start(row[1]), *row[2:end]) for row in chunk]
        if places[0] != places[-1]:
            chunk = [row for row, place in zip(chunk, places, strict=True) if place != places[-1]]
    width = 2 + len(table.key)
    sums: dict[tuple[Any, ...], Any] = {}
    for row in chunk:
        same = (step.target.start(row[1]), *row[2:width])
        total = sums.get(same)
        if total is None:
            total = sums[same] = table.total()
        total.merge_stored(*row[width:])
    return sums, [row[0] for row in chunk]


def _prune_chunk(table: Table, database: str, moment: float) -> tuple[int, bool]:
    """Delete some rows that the settings no longer keep; return as `_run` does."""
    days = conf.config().rollup_days
    if not days:
        return 0, True
    oldest = moment - days * _DAY
    for level in Level:
        old = table.rows(database).filter(level=level, start__lt=level.start(oldest))
        with short_question(database):
            is_any = old.exists()
        if is_any:
            number, _ = _delete_chunk(table, old.order_by("start"), database)
            return number, not number
    return 0, True


def _delete_chunk(table: Table, rows: QuerySet[Any], database: str) -> tuple[int, bool]:
    with short_transaction(database):
        chunks.lock_file(table.model, database)
        found = _locked(rows.values_list("pk", flat=True), database)
        keys = sorted(found[: chunks.most(database)])
        if keys:
            _delete(table, keys, database)
    return len(keys), not keys


def _use_the_index(database: str) -> None:
    """Have PostgreSQL read rows in the order of the index, in this transaction.

    These rows come and go, so its statistics say that there are few, and it would rather sort all
    of them for each chunk.
    """
    connection = connections[database]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('enable_sort', 'off', true)")


def _locked(rows: QuerySet[Any], database: str) -> QuerySet[Any]:
    """Lock the rows that are read, without those that another process has locked."""
    features = connections[database].features
    if not features.has_select_for_update:  # SQLite: the transaction has the whole file
        return rows
    return rows.select_for_update(skip_locked=features.has_select_for_update_skip_locked)


def _delete(table: Table, keys: Sequence[int], database: str) -> None:
    """Delete rows that were read in the same transaction.

    Raises DatabaseError if another process was first: what it added up must not be added twice.
    """
    connection = connections[database]
    with connection.cursor() as cursor:
        cursor.execute(chunks.deletion(connection, table.model, keys))
        if cursor.rowcount != len(keys):
            raise DatabaseError("another process has merged the same rollups")
