"""Several ways of loading the same rows, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .. import formatting
from ..formatting import human_duration, human_size
from ..reports.thresholds import NOTHING_FOR_A_STREAM
from ..values import Alternatives, Way
from .figure import UNKNOWN
from .figures import PEAK, RETAINED, ROWS

_INSTANCES: Final = "instances"


def sentence(found: Alternatives) -> str:
    """Return which way retains least, compared with instances, in one or two sentences."""
    streams = [way for way in found.ways if way.streamed]
    held = [way for way in found.ways if not way.streamed]
    least, instances = held[0], next(way for way in held if way.name == _INSTANCES)
    if not instances.rows:
        return "There are no rows: nothing to compare."
    comparison = _comparison(least, instances)
    return " ".join([comparison, *(_stream_sentence(way, instances) for way in streams)])


def text(found: Alternatives) -> str:
    """Return the sentence, a table with one row for each way, and the notes."""
    table = formatting.table(
        ("way", ROWS.name, RETAINED.name, "bytes a row", PEAK.name, "time"),
        (
            (
                way.name,
                f"{way.rows:,}",
                human_size(way.retained),
                UNKNOWN if way.retained_each is None else f"{way.retained_each:,.0f}",
                human_size(way.peak),
                human_duration(way.duration),
            )
            for way in found.ways
        ),
    )
    notes = "\n".join(f"  {note}" for note in _notes(found))
    return f"{sentence(found)}\n\n{table}\n\nNotes:\n{notes}"


def _comparison(least: Way, instances: Way) -> str:
    size = human_size(instances.retained)
    if least is instances:
        return f"No other way that holds the rows retains less than instances: {size}."
    ratio = instances.retained / least.retained
    without = f" without {' and '.join(least.without)}" if least.without else ""
    return (
        f"{least.name}{without} retains {human_size(least.retained)} where instances retain "
        f"{size}: {ratio:,.1f} times less."
    )


def _stream_sentence(stream: Way, instances: Way) -> str:
    is_nothing = stream.retained < NOTHING_FOR_A_STREAM
    retained = "nothing" if is_nothing else human_size(stream.retained)
    return (
        f"{stream.name} retains {retained}; its peak is {human_size(stream.peak)}, "
        f"that of instances {human_size(instances.peak)}."
    )


def _notes(found: Alternatives) -> Iterator[str]:
    for omitted in found.omitted:
        yield f"{omitted.name} is omitted: {omitted.reason}"
    for way in found.ways:
        if way.without:
            yield f"{way.name} is without {' and '.join(way.without)}."
    if not found.is_fixed:
        yield (
            "The queryset is limited and has no order: the database may have returned other rows "
            "to each way."
        )
    yield (
        "Retained: what the list of all rows holds; for iterator(), what remains after its last "
        f"row. Under {human_size(NOTHING_FOR_A_STREAM)} counts as nothing, because any "
        "statement adds names to Python's caches. Memory that a database driver allocates itself "
        "is not counted."
    )
    yield (
        "Each way was loaded in turn, several times; the figures are medians. The meter makes the "
        "time longer."
    )
