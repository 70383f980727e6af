"""The reports that wait for the writer, as texts and numbers: bounded by number and by bytes."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from ..models import Report
from ..values import OwnTuple, ours
from .serialization import Dumped

MOST_REPORTS: Final = 200
MOST_BYTES: Final = 8 * 1024**2
"""Bytes of documents."""

BATCH_REPORTS: Final = 50
BATCH_BYTES: Final = 1024**2
"""Bytes of documents that are written at once: MariaDB limits a statement to 16 MB, MySQL once did
to 1 MB."""


@ours
class Queued:
    """A report without its objects: a census must not count what waits here."""

    __slots__ = ("_document", "_values", "uid")

    def __init__(self, report: Report) -> None:
        self.uid: UUID = report.uid
        self._values: OwnTuple[Any] = OwnTuple(getattr(report, name) for name in _columns())
        self._document = Dumped(report.document)

    @property
    def size(self) -> int:
        """Bytes of the document."""
        return len(self._document.text)

    def report(self) -> Report:
        """Return the report, not stored yet, with its document dumped."""
        values = dict(zip(_columns(), self._values, strict=True))
        return Report(**values, document=self._document)


@ours
class Queue(deque[Queued]):
    """The reports of a process that its writer has yet to store, those in its hands first.

    Any thread appends; only the writer removes.
    """

    __slots__ = ()

    def put(self, item: Queued) -> bool:
        """Append a report; return False if it has no room."""
        number, size = self._size()
        if number >= MOST_REPORTS or (number and size + item.size > MOST_BYTES):
            return False
        self.append(item)
        return True

    def has_batch(self) -> bool:
        """Return whether as many reports are queued as are written at once."""
        number, size = self._size()
        return number >= BATCH_REPORTS or size >= BATCH_BYTES

    def _size(self) -> tuple[int, int]:
        """Return how many reports are queued, and the bytes of their documents."""
        waiting = self.copy()
        return len(waiting), sum(item.size for item in waiting)

    def batch(self) -> list[Queued]:
        """Return the first reports, which stay in the queue until they are removed."""
        return list(_within_bytes(itertools.islice(self.copy(), BATCH_REPORTS)))


@functools.cache
def _columns() -> OwnTuple[str]:
    """Return the names of the columns but the document."""
    names = (field.attname for field in Report._meta.concrete_fields)
    return OwnTuple(name for name in names if name != "document")


def _within_bytes(items: Iterator[Queued]) -> Iterator[Queued]:
    size = 0
    for number, item in enumerate(items):
        size += item.size
        if number and size > BATCH_BYTES:
            return
        yield item
