"""The writer's thread: takes reports off a bounded queue, through a connection of its own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from ..formatting import migrate_command
from ..measuring import spans
from ..measuring.errors import ErrorBoundary
from ..values import ours
from ..workers import worker
from ..workers.tally import Cause, State, tally
from . import database, retention, rollup_storage, storage
from .connection import limit_session, open_own
from .drops import describe, drop, is_table_missing, warnings
from .queue import Queue, Queued
from .rollup_writer import RollupWriter, longer
from .untraced import untraced

UNANSWERED: Final = (DatabaseError, InterfaceError, ImproperlyConfigured)
"""What Django raises where a database fails, or there is none."""

BETWEEN_BATCHES: Final = 0.5
"""Seconds between two batches, unless one is full: a report that is written alone takes several
times as long as one among ten. The first report after a while is written at once."""

LONGEST_IDLE: Final = 60.0
"""Seconds without a statement, after which a connection is tried before it is used: servers, and
what is between, end idle sessions, and that is no failure."""

_contained: Final = ErrorBoundary("django-memsize: storing a report")


@ours
class _Connections(list[BaseDatabaseWrapper]):
    __slots__ = ()


@ours
class WriterThread:
    """The writer of this process: its queue, its thread, and what hinders it.

    ``wake`` may be filled from a finaliser: ``SimpleQueue.put()`` is reentrant and never waits.
    Whatever is in it ends every wait of the thread, but for the pause after a failure.
    """

    __slots__ = (
        "_connection",
        "_file_id",
        "_inherited",
        "_may_be_stored",
        "_pause",
        "_thread_lock",
        "_used_at",
        "_waits_for_first",
        "_wrote_at",
        "error",
        "is_closed",
        "is_pausing",
        "queue",
        "rollups",
        "wake",
    )

    def __init__(self) -> None:
        self._connection: BaseDatabaseWrapper | None = None
        # A driver would end the parent's session if such a connection were closed or freed here.
        self._inherited = _Connections()
        self.rollups = RollupWriter()
        self.reset()

    def reset(self) -> None:
        """Begin as a new process does, and leave a connection of its parent alone."""
        if self._connection is not None:
            self._inherited.append(self._connection)
        self._connection = None
        self._file_id: tuple[int, int] | None = None
        self._may_be_stored = False
        self._pause = 0.0
        self._used_at = self._wrote_at = 0.0
        self._waits_for_first = False
        self._thread_lock = threading.Lock()
        self.queue = Queue()
        self.rollups.reset()
        self.wake: SimpleQueue[None] = SimpleQueue()
        self.error = ""
        self.is_closed = False
        self.is_pausing = False
        """Whether the thread waits before its next attempt, after reports were not stored."""

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to store a report failed."""
        return self._pause > 0

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._thread_lock.locked()

    def begin(self) -> None:
        """Have the thread run, and the process have a file: it may be killed at any moment."""
        thread_lock = self._thread_lock
        if not self.is_closed and thread_lock.acquire(blocking=False):
            try:
                with _contained:
                    worker.begin(database.identity())
                spans.start_thread(self._run, thread_lock, name="memsize-writer")
            except BaseException:
                thread_lock.release()
                raise

    def put(self, item: Queued) -> bool:
        """Queue a report for the thread; return False if it has no room."""
        if not self.queue.put(item):
            return False
        # The thread looks at the queue after it has said that it waits.
        if self._waits_for_first or self.queue.has_batch():
            self.hurry()
        return True

    def hurry(self) -> None:
        """Have the thread gather no more reports, and write those that it has."""
        if self.wake.empty():
            self.wake.put(None)

    def end_rollups(self) -> None:
        """Write the minute that is not over as well, because the process ends."""
        self.rollups.ends = True
        self.wake.put(None)

    def end(self) -> None:
        """Store nothing any more. What is in the thread's hands counts as lost, too."""
        self.is_closed = True
        self.wake.put(None)

    # What follows runs in the thread.

    def _run(self, thread_lock: threading.Lock) -> None:
        try:
            with _contained:
                worker.take_over(database.identity())
            with _contained:  # after a fault the next report begins another thread
                self._store_what_comes(thread_lock)
        finally:
            thread_lock.release()

    def _store_what_comes(self, thread_lock: threading.Lock) -> None:
        while not self.is_closed and thread_lock is self._thread_lock:  # else it was reset
            if self._pause:
                self._wait_out()
            self._wait_for_first()
            self._gather()
            is_answered = True
            if self.queue and not self.is_closed:
                self._wrote_at = time.monotonic()
                with untraced():
                    is_answered = self._write_batch()
            if self.rollups.is_ready and is_answered and not self.is_closed:
                with untraced():
                    self._write_rollups()

    def _wait_for_first(self) -> None:
        """Wait while no report is queued, and no minute of the rollups is over."""
        seconds = self.rollups.look(time.time())
        self._waits_for_first = True
        if not self.queue and not self.rollups.is_ready:
            with contextlib.suppress(Empty):
                self.wake.get(timeout=max(0.0, seconds))
        self._waits_for_first = False

    def _gather(self) -> None:
        """Wait for the other reports of a batch, until it is time for the next one."""
        left = self._wrote_at + BETWEEN_BATCHES - time.monotonic()
        if self.queue and left > 0 and not self.queue.has_batch() and not self.is_closed:
            with contextlib.suppress(Empty):
                self.wake.get(timeout=left)

    def _wait_out(self) -> None:
        """Wait for the whole pause: another report is no reason to try earlier."""
        deadline = time.monotonic() + self._pause
        self.is_pausing = True
        while not self.is_closed and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(Empty):
                self.wake.get(timeout=left)
        self.is_pausing = False

    def _write_batch(self) -> bool:
        """Write the first reports; return False if the database does not answer."""
        batch = self.queue.batch()
        alias = database.alias()
        try:
            self._connect(alias)
            newest = storage.write(batch, alias, tally, self, may_be_stored=self._may_be_stored)
        except UNANSWERED as error:
            self._fail(alias, error)
            return False
        except Exception as error:
            self._drop(batch, Cause.FAULT, error)
            self._disconnect()
        else:
            self._may_be_stored = False
            self._pause = 0.0
            self._used_at = time.monotonic()
            with _contained:
                retention.prune(alias, newest)
            with _contained:
                worker.update()
        return True

    def _write_rollups(self) -> None:
        """Write the figures of routes. Those that cannot be written are merged with later ones."""
        alias = database.alias()
        if database.is_in_memory(alias):  # nobody else could read them
            self.rollups.discard()
            return
        try:
            self._connect(alias)
            self.rollups.write(alias)
        except UNANSWERED as error:
            self._fail_rollups(alias, error)
        except Exception as error:
            self.rollups.drop(error)
            self._disconnect()
        else:
            self._used_at = time.monotonic()
            with _contained:
                worker.update()

    def stored(self, items: Sequence[Any]) -> None:
        """Take reports that are stored."""
        if not self.is_closed:
            for item in items:
                self.queue.remove(item)
            tally.move(State.QUEUED, State.STORED, len(items))

    def refused(self, item: Any, error: Exception) -> None:
        """Take a report that the database will never store."""
        self._drop([item], Cause.REFUSED, error)

    def _connect(self, alias: str) -> None:
        connection = self._connection
        if (
            connection is not None
            and connection.alias == alias
            # SQLite would go on writing to a file that somebody removed.
            and database.file_id(alias) == self._file_id
        ):
            is_idle = time.monotonic() - self._used_at >= LONGEST_IDLE
            if not is_idle or connection.is_usable():
                return
        self._disconnect()
        self._connection = connection = open_own(alias)
        database.prepare(alias)  # before SQLite makes the file itself
        connection.ensure_connection()
        limit_session(connection)
        self._file_id = database.file_id(alias)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()
            with contextlib.suppress(AttributeError):
                del connections[connection.alias]

    @property
    def _is_connected(self) -> bool:
        return self._connection is not None and self._connection.connection is not None

    def _fail(self, alias: str, error: Exception) -> None:
        """Begin a pause, after reports were not stored."""
        is_missing = self._is_connected and is_table_missing(alias)
        self._disconnect()
        if is_missing:
            self._pause = longer(0.0)
            self._drop(list(self.queue.copy()), Cause.TABLE_MISSING, error)
            return
        self._may_be_stored = True
        self._pause = longer(self._pause)
        self.error = describe(error)
        with _contained:
            worker.note_error(self.error)
        warnings.log(
            "failing",
            "django-memsize: reports cannot be stored in the %s, and wait: %s",
            database.described(alias),
            self.error,
        )

    def _fail_rollups(self, alias: str, error: Exception) -> None:
        """Begin a pause of the rollups: what becomes of reports is told apart."""
        reason = describe(error)
        if self._is_connected and _are_rollups_missing(alias):
            reason = f"their tables are missing, run '{migrate_command(alias)}'"
        self._disconnect()
        self.rollups.fail()
        warnings.log(
            "rollups failing",
            "django-memsize: the figures of routes cannot be stored in the %s, and wait: %s",
            database.described(alias),
            reason,
        )

    def _drop(self, items: Sequence[Queued], cause: Cause, error: Exception) -> None:
        """Drop those of the reports that are still queued."""
        if self.is_closed:
            return
        left = [item for item in items if item in self.queue]
        for item in left:
            self.queue.remove(item)
        self.error = describe(error)
        with _contained:
            worker.note_error(self.error)
        drop(State.QUEUED, cause, len(left), self.error)


def _are_rollups_missing(alias: str) -> bool:
    """Return whether the database answers and lacks a table of rollups. Raises nothing."""
    with contextlib.suppress(Exception):
        return not rollup_storage.has_tables(alias)
    return False
