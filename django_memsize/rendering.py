"""Values as text: the sentence, the figures, the tables and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from . import layout
from .layout import counted, human_duration, human_size, signed_size
from .values import Loading, Summary

_WORTH_A_WORD: Final = 16 * 1024
"""Request and response, which are still there at the end, take this much by themselves."""


_COLLECTED_WORTH_A_WORD: Final = 100


def sentence(summary: Summary) -> str:
    """Return what a report says, in one sentence."""
    return f"{_loaded(summary)}; {_end(summary)}."


def loading_phrase(loading: Loading) -> str:
    """Return ``"3,090 bank.Account at bank/views.py:41"``."""
    where = f" at {loading.site}" if loading.site else ""
    how = "" if loading.kind == "instances" else f" as {loading.kind}"
    stream = " one after another" if loading.streamed else ""
    return f"{loading.rows:,} {loading.model}{how}{stream}{where}"


def figures(summary: Summary) -> list[tuple[str, str, str]]:
    """Return (name, value, meaning) of each figure of a report."""
    thing = _thing(summary)
    net = summary.types.total
    rows = [
        ("duration", human_duration(summary.duration), "without our own work"),
        (
            "net",
            f"{signed_size(net.size)}, {net.count:+,} objects",
            f"what the whole process had more at the end of the {thing} than at its start",
        ),
        ("rows", f"{summary.rows:,}", "loaded from the database by the ORM"),
        ("evaluations", f"{_number_of_loadings(summary):,}", "loadings of rows"),
    ]
    if summary.rss_before is not None and summary.rss_after is not None:
        change = signed_size(summary.rss_after - summary.rss_before)
        rows.append(
            (
                "RSS",
                f"{human_size(summary.rss_after)} ({change})",
                "memory of the process, from the system",
            )
        )
    rows += [
        ("overlapping", f"{summary.overlapping:,}", "other requests under way at the same time"),
        ("own cost", human_duration(summary.own_cost), "CPU time that measuring took"),
        ("instrument", f"{summary.instrument}, {summary.engine} engine", "who counted, and how"),
    ]
    return rows


def notes(summary: Summary) -> list[str]:
    """Return what a reader of this report should know about its figures, most serious first."""
    return list(_notes(summary))


def _notes(summary: Summary) -> Iterator[str]:
    thing = _thing(summary)
    if summary.incomplete:
        yield "Incomplete: measuring was cut short, and the figures with it."
    if summary.overlapping:
        yield (
            f"{counted(summary.overlapping, 'other request')} ran at the same time. A census "
            "counts the whole process and cannot tell them apart: part of what stands here may be "
            "theirs. Only figures of requests that ran alone are exact."
        )
    if not summary.types.comparable:
        yield "gc.freeze() or gc.unfreeze() ran in between: the net figures are not comparable."
    if summary.cold:
        yield (
            f"The first {thing} of its kind in this process: it filled caches, and its growth is "
            "mostly theirs."
        )
    if summary.collected_objects > _COLLECTED_WORTH_A_WORD:
        yield (
            f"Python's collector ran in between and freed {summary.collected_objects:,} objects. "
            "Some may be what earlier requests left dead: the net is less by those, and can be "
            "below zero where something did grow."
        )
    if summary.kind == "code":
        yield "The value of the last expression is still held at the end, and counted."
    if summary.kind == "request":
        yield (
            "The net figures are those of the moment after the last byte. Rows that the request "
            "loaded are gone by then, or still there for one of three reasons: the response itself "
            "holds them until it goes, right after; or they are dead, in a cycle that Python's "
            "collector has not met yet (rendering a template leaves one); or something in the "
            "program keeps them. Only the last is growth. A census cannot tell them apart: where "
            "the net stays high, look at memsize.Tracker(Model) after a gc.collect() of your own."
        )
    if summary.loadings_unmeasured:
        yield (
            f"{counted(summary.loadings_unmeasured, 'evaluation')} were listed without a table of "
            "their own: measuring them would have taken more than MAX_OVERHEAD allows."
        )
    if any(loading.streamed for loading in summary.loadings):
        yield (
            "Rows of an iterator() come and go while the program works on them: a census cannot "
            "tell the two apart, so such an evaluation has no table."
        )


def evaluation_lines(summary: Summary) -> list[str]:
    """Return a line for each evaluation: rows, model, place, bytes."""
    lines = []
    for loading in summary.loadings:
        size = "not measured" if loading.size is None else human_size(loading.size)
        inside = f" in {loading.site.function}" if loading.site else ""
        lines.append(
            f"{'  ' * loading.depth}{loading_phrase(loading)}{inside}: {size}, "
            f"{human_duration(loading.duration)}"
        )
    if summary.loadings_left_out:
        lines.append(f"and {counted(summary.loadings_left_out, 'smaller evaluation')}")
    return lines


def report(summary: Summary, top: int, heading: str) -> str:
    """Return a whole report as text: the sentence, the figures, the tables, the notes."""
    largest = summary.largest_loading
    parts = [heading, sentence(summary), _figures_block(summary)]
    if summary.loadings:
        parts.append("Evaluations:\n" + _indented(evaluation_lines(summary)))
    if largest is not None and largest.types is not None:
        title = f"On the heap after loading {loading_phrase(largest)}:"
        parts.append(f"{title}\n\n{largest.types.table(top)}")
    if summary.types.rows:
        title = f"At the end of the {_thing(summary)}, against its start:"
        parts.append(f"{title}\n\n{summary.types.table(top)}")
    said = notes(summary)
    if said:
        parts.append("Notes:\n" + _indented(said))
    return "\n\n".join(parts)


def runs_table(runs: Iterable[tuple[str, Summary]]) -> str:
    """Return several runs of the same, each a row under its heading."""
    return layout.table(
        ("run", "net", "largest load", "rows", "duration"),
        (
            (
                heading,
                signed_size(summary.types.total.size),
                _optional_size(max(_sizes(summary), default=None)),
                f"{summary.rows:,}",
                human_duration(summary.duration),
            )
            for heading, summary in runs
        ),
    )


def routes_table(routes: Iterable[Mapping[str, Any]]) -> str:
    """Return routes, as ``Report.objects.by_route()`` has them, as a table."""
    return layout.table(
        ("route", "reports", "average net", "largest net", "largest load", "rows", "latest ID"),
        (
            (
                f"{route['method']} {route['route']}".strip(),
                f"{route['reports']:,}",
                _optional_size(route["average_net_bytes"]),
                _optional_size(route["largest_net_bytes"]),
                _optional_size(route["largest_evaluation_bytes"]),
                f"{route['most_rows']:,}",
                str(route["latest"]),
            )
            for route in routes
        ),
    )


def _loaded(summary: Summary) -> str:
    largest = summary.largest_loading
    if largest is None:
        return "No rows were loaded"
    size = "" if largest.size is None else f" put {human_size(largest.size)} on the heap"
    others = summary.rows - largest.rows
    were = "was" if others == 1 else "were"
    elsewhere = ""
    if others > 0:
        elsewhere = f" ({counted(others, 'more row')} {were} loaded by other queries)"
    return f"Loading {loading_phrase(largest)}{size}{elsewhere}"


def _thing(summary: Summary) -> str:
    return summary.kind if summary.kind in ("request", "block") else "run"


def _end(summary: Summary) -> str:
    change = summary.types.total.size
    thing = _thing(summary)
    if abs(change) < _WORTH_A_WORD:
        return (
            f"nothing to speak of remained at the end of the {thing} "
            f"({signed_size(change)} against its start)"
        )
    direction = "more" if change > 0 else "less"
    size = human_size(abs(change))
    return f"{size} {direction} on the heap at the end of the {thing} than at its start"


def _number_of_loadings(summary: Summary) -> int:
    return len(summary.loadings) + summary.loadings_left_out


def _figures_block(summary: Summary) -> str:
    rows = figures(summary)
    names, values = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    return "\n".join(
        f"  {name:<{names}}  {value:<{values}}  {meaning}" for name, value, meaning in rows
    )


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _sizes(summary: Summary) -> Iterator[int]:
    return (loading.size for loading in summary.loadings if loading.size is not None)


def _optional_size(size: float | None) -> str:
    return "-" if size is None else human_size(size)
