"""The rows of one queryset, loaded in several ways: what each way takes."""

from __future__ import annotations

from dataclasses import dataclass

from .ownership import ours


@ours
@dataclass(frozen=True, slots=True)
class Way:
    """One way of loading the rows: ``retained`` and ``peak`` in bytes, ``duration`` in seconds.

    ``retained`` is measured while all rows are held; for a stream, after its last row.
    ``without`` names the methods of the queryset that this way ignores.
    """

    name: str
    rows: int
    retained: int
    peak: int
    duration: float
    streamed: bool = False
    without: tuple[str, ...] = ()

    @property
    def retained_each(self) -> float | None:
        """Bytes retained for each row; None without rows."""
        return self.retained / self.rows if self.rows else None


@ours
@dataclass(frozen=True, slots=True)
class OmittedWay:
    """A way that cannot load these rows, and the reason."""

    name: str
    reason: str


@ours
@dataclass(frozen=True, slots=True)
class Alternatives:
    """The same rows loaded in several ways, ordered by the bytes that a way retains.

    ``is_fixed`` is False if the database may return other rows each time.
    """

    model: str
    database: str
    ways: tuple[Way, ...]
    omitted: tuple[OmittedWay, ...] = ()
    is_fixed: bool = True
