"""A report's figures: what is stored as one JSON document, and shown on every screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from .evaluation import LONGEST_VIEW, Evaluation, Instances, NearPeak
from .ownership import ours
from .survival import Survival
from .type_tables import Amount, Diff

COUNTED: Final = "counted"
"""The instrument of a request that was not metered: rows and RSS only."""


class Reason(StrEnum):
    """Why a request was metered, as one word. Only those by ``rate`` are a random sample."""

    FIRST = "first"
    """One of the first requests of its route in its process, after the very first."""
    INTERVAL = "interval"
    """No request of its route had been metered for an interval."""
    ROWS = "rows"
    """An earlier request of its route loaded many rows."""
    RSS = "rss"
    """The RSS rose over earlier requests of its route."""
    RETAINED = "retained"
    """An earlier request of its route retained something."""
    RATE = "rate"
    """By chance, as the sample rate says."""
    CALLABLE = "callable"
    """The callable of the settings said so."""
    TOKEN = "token"  # noqa: S105
    """It had a signed token."""
    COMMAND = "command"
    """A command made it."""


LIVE: Final = "live"
RUN: Final = "run"
"""The source of what ``memprofile run`` measures: it is no traffic."""


def described(default: Any, meaning: str, longest: int | None = None) -> Any:
    """Return a field with its meaning for the documentation, cut to ``longest`` characters.

    The meaning of a figure that screens show is in ``screens/figures.py`` instead.
    """
    cut = {} if longest is None else {"longest": longest}
    return field(default=default, metadata={"meaning": meaning, **cut})


@ours
@dataclass(frozen=True, slots=True, repr=False)
class Summary:
    """One recording's figures. Bytes are bytes, durations seconds.

    A figure that the instrument could not know is None: ``net`` is the census's alone; ``peak`` and
    the other amounts are the meter's alone; a counted request has none of them. After a cut
    (``incomplete``), or where the meter's memory was too small (``not_remembered``), what is left
    at the end is None, too, and the peak is a lower bound. It is also None where it is not known
    whether the request is garbage (``request_held``). ``name`` is the route of a request. Nothing
    here comes from a path, a query string, a header, a body or a parameter of SQL.

    Every field has a default, because a document that another release stored may lack the field.
    The default of a field that is added later is None.
    """

    kind: str = described("", "`request`, `block` or `code`")
    name: str = described(
        "",
        "the route of a request (its URL pattern, and what `ROUTE` adds), the name of a block, the "
        "code",
        255,
    )
    method: str = described("", "the HTTP method")
    view: str = described(
        "",
        "the view of a request, as `module.function` or `module.Class`; empty where none answered",
        LONGEST_VIEW,
    )
    status: int | None = described(None, "the HTTP status")
    started_at: float = described(0.0, "Unix time of the start, in seconds")
    duration: float = 0.0
    host: str = described("", "the host name of the process", 255)
    pid: int = described(0, "the process")
    thread: str = described("", "the name of the thread that opened the recording", 100)
    release: str = described("", "`RELEASE` of the settings", 100)
    engine: str = described("", "`compiled` or `python`")
    instrument: str = described("", "`meter`, `census`, or `counted` (rows and RSS only)")
    reason: str | None = described(
        None,
        "why the request was metered: "
        + ", ".join(f"`{word}`" for word in Reason)
        + "; null for one that was only counted, a block and code",
    )
    source: str = described(
        LIVE, "`live`, or `run` for what `memprofile run` measured: that is no traffic"
    )
    refused: int | None = None
    first_request: bool = described(
        False, "the first request of its route in its process: it fills caches"
    )
    incomplete: bool = described(
        False, "allocations were missed; what is left at the end is not known"
    )
    request_held: bool | None = described(
        None, "the request is alive, outside of the window; what is left at the end is not known"
    )
    in_flight: int = 0
    collected_objects: int = described(0, "objects that Python's collector freed meanwhile")
    rss_before: int | None = described(
        None, "resident memory of the process at the start, in bytes"
    )
    rss_after: int | None = None
    rows: int = 0
    statements: int = 0
    cursor_rows: int = 0
    overhead: float = 0.0
    overhead_bytes: int | None = None
    allocated: Amount | None = None
    peak: Amount | None = None
    alive: Amount | None = described(
        None, "allocated and not freed: retained, garbage and free lists together"
    )
    retained: Amount | None = None
    garbage: Amount | None = None
    free_lists: Amount | None = None
    not_remembered: Amount | None = described(
        None, "blocks that the meter only counted, because its own memory was full"
    )
    not_analysed: str | None = described(
        None,
        "why what is alive was not divided into retained, garbage and free lists: `size`, `memory` "
        "(of the analysis) or `changes` (made by other threads meanwhile)",
    )
    survival: tuple[Survival, ...] = described(
        (),
        "what became of the `retained` bytes of earlier requests of the route in this process: how "
        "many are still `alive` after so many `later` requests; the last that were freed were "
        "freed `within` so many. `types` are those of what is alive",
    )
    freed_older: int | None = described(
        None,
        "blocks that the request freed, and that were allocated before it or by others; null if "
        "Python's collector freed something meanwhile",
    )
    query_log_bytes: int | None = described(
        None, "what Django's log of statements got, with `DEBUG`: in no other figure of a meter"
    )
    net: Diff | None = None
    near_peak: NearPeak | None = described(
        None, "what was alive by type at the highest moment that was looked at"
    )
    evaluations: tuple[Evaluation, ...] = described(
        (), "each loading of rows by the ORM, in the order in which they began"
    )
    evaluations_omitted: int = described(0, "further evaluations, which are counted in `rows` only")
    omitted_instances: Instances | None = described(
        None, "model instances that the further evaluations built, by model"
    )
    evaluations_without_types: int = described(
        0, "evaluations without a table by type: the budget of overhead or memory was spent"
    )

    def __repr__(self) -> str:
        return f"<Summary: {self.kind}, {self.rows} rows, {len(self.evaluations)} evaluations>"

    @property
    def is_metered(self) -> bool:
        """Whether each allocation was credited to the span in whose context it happened."""
        return self.peak is not None

    @property
    def is_remembered(self) -> bool:
        """Whether the meter's memory had room for every block."""
        return self.not_remembered is None or not self.not_remembered.blocks

    @property
    def is_peak_exact(self) -> bool:
        """Whether the peak is the most that was alive at once, and not a lower bound of it."""
        return not self.incomplete and self.is_remembered

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
    def largest_evaluation(self) -> Evaluation | None:
        """The evaluation with most bytes at its peak, or with most rows where none was measured."""
        return max(
            self.evaluations, key=lambda each: (each.size_at_peak or -1, each.rows), default=None
        )
