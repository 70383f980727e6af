"""A report's figures: what is stored as one JSON document, and shown on every screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .evaluation import Evaluation, NearPeak
from .ownership import ours
from .type_tables import Amount, Diff

COUNTED: Final = "counted"
"""The instrument of a request that was not metered: rows and RSS only."""


@ours
@dataclass(frozen=True, slots=True)
class Summary:
    """One recording's figures. Bytes are bytes, durations seconds.

    A figure that the instrument could not know is None: ``net`` is the census's alone; ``peak`` and
    the other amounts are the meter's alone; a counted request has none of them. After a cut
    (``incomplete``) what is left at the end is None, too. ``name`` is the route of a request.
    Nothing here comes from a path, a query string, a header, a body or a parameter of SQL.

    Every field has a default, because a document that another release stored may lack the field.
    The default of a field that is added later is None.
    """

    kind: str = ""
    name: str = field(default="", metadata={"longest": 255})
    method: str = ""
    status: int | None = None
    started_at: float = 0.0
    duration: float = 0.0
    host: str = field(default="", metadata={"longest": 255})
    pid: int = 0
    thread: str = field(default="", metadata={"longest": 100})
    release: str = field(default="", metadata={"longest": 100})
    engine: str = ""
    instrument: str = ""
    first_request: bool = False
    incomplete: bool = False
    in_flight: int = 0
    collected_objects: int = 0
    rss_before: int | None = None
    rss_after: int | None = None
    rows: int = 0
    statements: int = 0
    cursor_rows: int = 0
    overhead: float = 0.0
    overhead_bytes: int | None = None
    allocated: Amount | None = None
    peak: Amount | None = None
    alive: Amount | None = None
    retained: Amount | None = None
    garbage: Amount | None = None
    free_lists: Amount | None = None
    net: Diff | None = None
    near_peak: NearPeak | None = None
    evaluations: tuple[Evaluation, ...] = ()
    evaluations_omitted: int = 0
    evaluations_without_types: int = 0

    @property
    def is_metered(self) -> bool:
        """Whether each allocation was credited to the span in whose context it happened."""
        return self.peak is not None

    @property
    def is_counted(self) -> bool:
        """Whether the request was only counted: rows and RSS."""
        return self.instrument == COUNTED

    @property
    def rss_change(self) -> int | None:
        """Bytes by which the resident memory of the process changed; None if not known."""
        if self.rss_before is None or self.rss_after is None:
            return None
        return self.rss_after - self.rss_before

    @property
    def growth(self) -> int | None:
        """Bytes retained, or net bytes of a census; None if neither is known."""
        if self.retained is not None:
            return self.retained.bytes
        return None if self.net is None else self.net.total.size

    @property
    def largest_evaluation(self) -> Evaluation | None:
        """The evaluation with most bytes at its peak, or with most rows where none was measured."""
        return max(
            self.evaluations, key=lambda each: (each.size_at_peak or -1, each.rows), default=None
        )
