"""Values as text: the sentence, the figures, the tables and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .. import formatting
from ..formatting import counted, human_duration, human_size, signed_size
from ..reports.findings import RetainedAt as Kept
from ..reports.findings import findings as verdicts
from ..reports.thresholds import NOTHING_FOR_A_REQUEST as KEPT_BY_A_REQUEST
from ..values import Alternatives, Amount, Diff, Evaluation, NearPeak, Summary, Way

_KEPT: Final = 1024
"""Less than this that is retained counts as nothing where there is no request."""

_HOW: Final = {
    "instances": "",
    "prefetch": " by prefetch_related()",
    "lazy": " by a relation not loaded yet",
    "deferred": " for deferred fields",
    "refresh": " by refresh_from_db()",
    "update": " for update()",
    "delete": " for delete()",
}

_OUTSIDE: Final = (
    "those of cursors, those that write, count(), exists(). Rows fetched past Django's cursors are "
    "not seen"
)

_COLLECTED_WORTH_A_WORD: Final = 100

_MOST_OF: Final = 0.75
"""A loading that stood so high against the peak is what made it."""

_LEFT_BY_A_STATEMENT: Final = 4 * 1024
"""Making and sending SQL leaves so much by itself in Python's own caches: names of methods."""

_INSTANCES: Final = "instances"

_BUFFERS: Final = "(buffers)"
_FREE_LISTS: Final = "(free lists)"


def sentence(summary: Summary) -> str:
    """Return what a report says, in one sentence."""
    if summary.is_counted:
        return f"{_rows_counted(summary)}; {_grown(summary)}."
    if summary.peak is not None:
        return f"{_peak_phrase(summary, summary.peak.bytes)}; {_left_phrase(summary)}."
    return f"{_loaded(summary)}; {_end(summary)}."


def loading_phrase(loading: Evaluation) -> str:
    """Return ``"3,090 bank.Overhead at bank/views.py:41"``."""
    where = f" at {loading.site}" if loading.site else ""
    how = _HOW.get(loading.kind, f" as {loading.kind}")
    stream = " one after another" if loading.streamed else ""
    times = f" \N{MULTIPLICATION SIGN}{loading.times:,}" if loading.times > 1 else ""
    return f"{loading.rows:,} {loading.model}{how}{stream}{times}{where}"


def related_phrase(loading: Evaluation) -> str:
    """Return ``"with 3,090 bank.Branch"``: what was built beside one instance a row; else ""."""
    instances = dict(loading.instances)
    if instances.get(loading.model) == loading.rows:
        del instances[loading.model]
    ranked = sorted(instances.items(), key=lambda item: (-item[1], item[0]))
    built = ", ".join(f"{number:,} {model}" for model, number in ranked)
    return f"with {built}" if built else ""


def figures(summary: Summary) -> list[tuple[str, str, str]]:
    """Return (name, value, meaning) of each figure of a report."""
    return [
        ("duration", human_duration(summary.duration), "without our own work"),
        *_measured_figures(summary),
        (
            "rows",
            f"{summary.rows:,}",
            "loaded from the database by the ORM, in "
            + counted(len(summary.evaluations) + summary.evaluations_omitted, "evaluation"),
        ),
        *_statement_figures(summary),
        *_rss_figures(summary),
        (
            "in_flight",
            f"{summary.in_flight:,}",
            "other requests under way at the same time"
            + ("; each allocation is credited to its own request" if summary.is_metered else ""),
        ),
        ("own cost", human_duration(summary.overhead), "CPU time that measuring took"),
        *_own_memory(summary),
        ("instrument", _instrument(summary), "who counted, and how"),
    ]


def _measured_figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    if summary.is_metered:
        yield from _metered_figures(summary)
    elif not summary.is_counted:
        yield from _net_figures(summary)


def _statement_figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    if summary.statements:
        yield (
            "statements",
            f"{summary.statements:,}",
            f"outside of evaluations: {_OUTSIDE}",
        )
    if summary.cursor_rows:
        yield (
            "cursor rows",
            f"{summary.cursor_rows:,}",
            "fetched by Django's cursors, past the ORM",
        )


def _instrument(summary: Summary) -> str:
    return "none" if summary.is_counted else f"{summary.instrument}, {summary.engine} engine"


def _net_figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    net = summary.net.total
    yield (
        "net",
        f"{signed_size(net.size)}, {net.count:+,} objects",
        f"what the whole process had more at the end of the {thing(summary)} than at its start",
    )


def _metered_figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    what = thing(summary)
    nothing = f"{_nothing(summary) // 1024} KB"
    for name, amount, meaning in (
        ("peak", summary.peak, f"the most that was alive at once of what the {what} allocated"),
        ("allocated", summary.allocated, "all that it ever allocated"),
        (
            "retained",
            summary.retained,
            f"still reachable once the {what} was over: growth. Under {nothing} counts as nothing",
        ),
        ("garbage", summary.garbage, "no longer reachable; waits for Python's collector"),
        (
            "free_lists",
            summary.free_lists,
            "freed objects that Python keeps for the next of their type",
        ),
    ):
        if amount is None:
            yield name, "not known", meaning
        else:
            yield name, f"{human_size(amount.bytes)}, {counted(amount.blocks, 'block')}", meaning


def _rss_figures(summary: Summary) -> Iterator[tuple[str, str, str]]:
    if summary.rss_before is None or summary.rss_after is None:
        return
    change = summary.rss_after - summary.rss_before
    yield (
        "RSS",
        f"{human_size(summary.rss_after)} ({signed_size(change)})",
        "memory of the process, from the system, and its change",
    )
    if summary.alive is not None:
        yield (
            "outside Python",
            signed_size(change - summary.alive.bytes),
            "change of RSS less what is retained, dead, parked: C libraries, other requests",
        )


def _own_memory(summary: Summary) -> Iterator[tuple[str, str, str]]:
    if summary.overhead_bytes is not None:
        size = human_size(summary.overhead_bytes)
        yield ("own memory", size, "what the meter itself took at the end, to be given back")


def notes(summary: Summary) -> list[str]:
    """Return what a reader of this report should know about its figures, most serious first."""
    if summary.is_counted:
        return list(_counted_notes(summary))
    return list(_metered_notes(summary) if summary.is_metered else _notes(summary))


def words(summary: Summary) -> list[str]:
    """Return what words in this report mean, where they matter in it."""
    return list(_words(summary)) if summary.is_metered else []


def _metered_notes(summary: Summary) -> Iterator[str]:
    what = thing(summary)
    if summary.incomplete:
        yield (
            "Incomplete: our hooks on Python's allocators were taken off before the end. "
            "tracemalloc and memray do that when they stop. What is left of this "
            f"{what} is not known, and its peak may have been higher."
        )
    if summary.first_request:
        yield (
            f"The first {what} of its kind in this process: it filled caches, and what it keeps "
            "is mostly theirs."
        )
    if summary.kind == "code":
        yield (
            "The value of the last expression is still held at the end, and counted as retained."
        )
    if summary.evaluations_without_types:
        yield (
            f"{counted(summary.evaluations_without_types, 'evaluation')} were told in sum, without "
            "a table by type: that would have taken more than MAX_OVERHEAD allows."
        )


def _counted_notes(summary: Summary) -> Iterator[str]:
    yield (
        "Not chosen to be measured, but kept: it loaded more rows, or the process grew more "
        "meanwhile, than with any other request of its route in the hour before. Rows were "
        "counted, bytes were not: for those make it again with memprofile run, or raise "
        "SAMPLE_RATE."
    )
    if summary.in_flight:
        yield (
            f"{counted(summary.in_flight, 'other request')} ran at the same time: the process "
            "may have grown by theirs. Rows are its own."
        )
    if summary.first_request:
        yield "The first request of its kind in this process: it filled caches."


def _words(summary: Summary) -> Iterator[str]:
    what = thing(summary)
    if is_kept(summary) and summary.kind != "code":
        yield (
            f"Retained: something outside of this {what} refers to it: a list or a cache of the "
            "program, or with DEBUG the connection's log of queries, which the next request "
            "empties. A cache is filled once: what grows with each request is a leak."
        )
    if is_worth_a_word(summary.garbage):
        yield (
            "Dead: these objects refer to each other in a circle (rendering a template leaves "
            "one), and are freed only when Python's collector comes. No leak; but until then "
            f"the dead of one {what} add to those of the one before."
        )
    names = _names(summary)
    if _BUFFERS in names:
        yield (
            f"{_BUFFERS}: memory that no object of this {what} owns: that of C code, or of an "
            "object that is older, a list that grows, say. Counted as retained."
        )
    if _FREE_LISTS in names:
        yield (
            f"{_FREE_LISTS}: what is parked. Freed objects of a few types, from which Python makes "
            "the next ones: no growth."
        )


def _notes(summary: Summary) -> Iterator[str]:
    what = thing(summary)
    if summary.incomplete:
        yield "Incomplete: measuring was cut short, and the figures with it."
    if summary.in_flight:
        yield (
            f"{counted(summary.in_flight, 'other request')} ran at the same time. A census "
            "counts the whole process and cannot tell them apart: part of what stands here may be "
            "theirs. Only figures of requests that ran alone are exact."
        )
    if not summary.net.comparable:
        yield "gc.freeze() or gc.unfreeze() ran in between: the net figures are not comparable."
    if summary.first_request:
        yield (
            f"The first {what} of its kind in this process: it filled caches, and its growth is "
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
    if summary.evaluations_without_types:
        yield (
            f"{counted(summary.evaluations_without_types, 'evaluation')} were listed without a "
            "table of their own: measuring them would have taken more than MAX_OVERHEAD allows."
        )
    if any(loading.streamed for loading in summary.evaluations):
        yield (
            "Rows of an iterator() come and go while the program works on them: a census cannot "
            "tell the two apart, so such an evaluation has no table."
        )


def evaluation_lines(summary: Summary, others: Sequence[Kept] = ()) -> list[str]:
    """Return a line for each evaluation: rows, model, place, bytes; below it what they suggest."""
    lines = []
    for loading, found in zip(summary.evaluations, verdicts(summary, others), strict=True):
        function = loading.site.function if loading.site else ""
        inside = f" in {function}" if function else ""
        related = related_phrase(loading)
        built = f", {related}" if related else ""
        sizes = "" if summary.is_counted else f"{_sizes_of(loading)}, "
        lines.append(
            f"{'  ' * loading.depth}{loading_phrase(loading)}{inside}{built}: {sizes}"
            f"{human_duration(loading.duration)}"
        )
        indent = "  " * (loading.depth + 1)
        lines += [f"{indent}{verdict.label} {verdict.sentence}" for verdict in found]
    if summary.evaluations_omitted:
        lines.append(f"and {counted(summary.evaluations_omitted, 'smaller evaluation')}")
    return lines


def report(summary: Summary, top: int, heading: str, others: Sequence[Kept] = ()) -> str:
    """Return a whole report as text: the sentence, the figures, the tables, the notes.

    ``others`` is what other requests of its route keep, as ``verdicts`` takes it.
    """
    parts = [heading, sentence(summary), _figures_block(summary)]
    if summary.evaluations:
        parts.append("Evaluations:\n" + _indented(evaluation_lines(summary, others)))
    tables = _metered_tables(summary) if summary.is_metered else _tables(summary)
    parts += [f"{title}:\n\n{_table(types, top)}" for title, types in tables]
    said = [*notes(summary), *words(summary)]
    if said:
        parts.append("Notes:\n" + _indented(said))
    return "\n\n".join(parts)


def thing(summary: Summary) -> str:
    """Return what a report calls what it is about."""
    return summary.kind if summary.kind in ("request", "block") else "run"


def is_kept(summary: Summary) -> bool:
    """Tell whether it keeps something to speak of."""
    return summary.retained is not None and summary.retained.bytes >= _nothing(summary)


def is_worth_a_word(amount: Amount | None) -> bool:
    """Tell whether there is more of it than in every request."""
    return amount is not None and amount.bytes >= KEPT_BY_A_REQUEST


def moment_phrase(summary: Summary, moment: NearPeak) -> str:
    """Return of which moment its table is."""
    where = f" at {moment.site}" if moment.site else ""
    size = human_size(moment.diff.total.size)
    return (
        f"{size} of the {thing(summary)} alive after loading {moment.rows:,} {moment.model}{where}"
    )


def _tables(summary: Summary) -> Iterator[tuple[str, Diff]]:
    largest = summary.largest_evaluation
    if largest is not None and largest.diff is not None:
        yield f"On the heap after loading {loading_phrase(largest)}", largest.diff
    if summary.net is not None and len(summary.net):
        yield f"At the end of the {thing(summary)}, against its start", summary.net


def _metered_tables(summary: Summary) -> Iterator[tuple[str, Diff]]:
    if summary.near_peak is not None:
        yield (
            f"The largest moment: {moment_phrase(summary, summary.near_peak)}",
            summary.near_peak.types,
        )
    if is_kept(summary):
        yield "Retained", summary.retained.types
    if is_worth_a_word(summary.garbage):
        yield "Dead, waiting for Python's collector", summary.garbage.types


def runs_table(runs: Iterable[tuple[str, Summary]]) -> str:
    """Return several runs of the same, each a row under its heading."""
    runs = tuple(runs)
    if any(summary.is_metered for _, summary in runs):
        return formatting.table(
            ("run", "peak", "retained", "garbage", "rows", "duration"),
            (
                (
                    heading,
                    *map(_optional_amount, (summary.peak, summary.retained, summary.garbage)),
                    f"{summary.rows:,}",
                    human_duration(summary.duration),
                )
                for heading, summary in runs
            ),
        )
    return formatting.table(
        ("run", "net", "largest load", "rows", "duration"),
        (
            (
                heading,
                signed_size(summary.net.total.size),
                _optional_size(max(_sizes(summary), default=None)),
                f"{summary.rows:,}",
                human_duration(summary.duration),
            )
            for heading, summary in runs
        ),
    )


def routes_table(routes: Iterable[Mapping[str, Any]]) -> str:
    """Return routes, as ``Report.objects.by_route()`` has them, as a table.

    What only one of the two instruments can know has a column where it was at work.
    """
    routes = tuple(routes)
    sizes = [
        (title, name)
        for title, name in _SIZES_OF_ROUTES
        if name == "largest_evaluation_bytes" or any(route[name] is not None for route in routes)
    ]
    return formatting.table(
        ("route", "reports", *(title for title, _ in sizes), "rows", "latest ID"),
        (
            (
                f"{route['method']} {route['route']}".strip(),
                f"{route['reports']:,}",
                *(_optional_size(route[name]) for _, name in sizes),
                f"{route['most_rows']:,}",
                str(route["latest"]),
            )
            for route in routes
        ),
    )


_SIZES_OF_ROUTES: Final = (
    ("average retained", "average_retained_bytes"),
    ("largest peak", "largest_peak_bytes"),
    ("average dead", "average_garbage_bytes"),
    ("average net", "average_net_bytes"),
    ("largest net", "largest_net_bytes"),
    ("largest load", "largest_evaluation_bytes"),
)


def alternatives_sentence(found: Alternatives) -> str:
    """Return which way of loading keeps least, against instances, in a sentence or two."""
    streams = [way for way in found.ways if way.streamed]
    held = [way for way in found.ways if not way.streamed]
    least, instances = (
        held[0],
        next(way for way in held if way.name == _INSTANCES),
    )
    if not instances.rows:
        return "There are no rows: nothing to compare."
    kept = human_size(instances.retained)
    if least is instances:
        said = f"No other way that holds the rows keeps less than instances: {kept}."
    else:
        ratio = instances.retained / least.retained
        size = human_size(least.retained)
        said = f"{_way_phrase(least)} keeps {size} where instances keep {kept}: "
        said += f"{ratio:,.1f} times less."
    return " ".join([said, *(_stream_sentence(stream, instances) for stream in streams)])


def alternatives(found: Alternatives) -> str:
    """Return ways of loading the same rows as text: the sentence, the table, the notes."""
    table = formatting.table(
        ("way", "rows", "kept", "bytes a row", "peak", "time"),
        (
            (
                way.name,
                f"{way.rows:,}",
                human_size(way.retained),
                "-" if way.retained_each is None else f"{way.retained_each:,.0f}",
                human_size(way.peak),
                human_duration(way.duration),
            )
            for way in found.ways
        ),
    )
    notes = _indented(_alternatives_notes(found))
    return f"{alternatives_sentence(found)}\n\n{table}\n\nNotes:\n{notes}"


def _way_phrase(way: Way) -> str:
    return f"{way.name} without {' and '.join(way.without)}" if way.without else way.name


def _stream_sentence(stream: Way, instances: Way) -> str:
    kept = "nothing" if stream.retained < _LEFT_BY_A_STATEMENT else human_size(stream.retained)
    return (
        f"{stream.name} keeps {kept}; its peak is {human_size(stream.peak)}, "
        f"that of instances {human_size(instances.peak)}."
    )


def _alternatives_notes(found: Alternatives) -> Iterator[str]:
    for way in found.omitted:
        yield f"{way.name} is left out: {way.reason}"
    for loaded in found.ways:
        if loaded.without:
            yield f"{loaded.name} is without {' and '.join(loaded.without)}."
    if not found.is_fixed:
        yield "Some of the rows, in no order: the database may have given others to each way."
    yield (
        "Kept: what the list of all rows holds; of iterator(), what is left after its last row. "
        f"Under {_LEFT_BY_A_STATEMENT // 1024} KB counts as nothing: any statement leaves names in "
        "Python's caches. What a database's driver takes by itself is not counted."
    )
    yield "Each way was loaded in turn; the medians. Time is with the meter on, which adds to it."


def _peak_phrase(summary: Summary, peak: int) -> str:
    size = f"Peak {'at least ' if summary.incomplete else ''}{human_size(peak)}"
    largest = summary.largest_evaluation
    if largest is None:
        return f"{size}, no rows loaded"
    phrase = f"{loading_phrase(largest)}{_elsewhere(summary, largest)}"
    highest = largest.size_at_peak
    if highest is None or highest >= _MOST_OF * peak:
        return f"{size} loading {phrase}"
    return f"{size}; loading {phrase} took {human_size(highest)} at its highest"


def _left_phrase(summary: Summary) -> str:
    if summary.retained is None:
        return "what is left of it is not known"
    garbage = 0 if summary.garbage is None else summary.garbage.bytes
    waiting = f"{human_size(garbage)} dead, waiting for Python's collector; "
    kept = f"{human_size(summary.retained.bytes)} kept" if is_kept(summary) else "nothing kept"
    return f"{waiting if garbage >= KEPT_BY_A_REQUEST else ''}{kept}"


def _nothing(summary: Summary) -> int:
    return KEPT_BY_A_REQUEST if summary.kind == "request" else _KEPT


def _names(summary: Summary) -> set[str]:
    """Return the names of all types in the tables of a report."""
    tables = [
        amount.types for amount in (summary.retained, summary.garbage, summary.free_lists) if amount
    ] + ([summary.net] if summary.net else [])
    tables += [loading.diff for loading in summary.evaluations if loading.diff is not None]
    if summary.near_peak is not None:
        tables.append(summary.near_peak.types)
    return {name for table in tables for name, _ in table.rows(50)}


def _sizes_of(loading: Evaluation) -> str:
    if loading.allocated is None or loading.peak is None:
        return "not measured" if loading.size_at_end is None else human_size(loading.size_at_end)
    kept = "" if loading.retained is None else f", {human_size(loading.retained.bytes)} kept"
    return (
        f"{human_size(loading.allocated.bytes)} allocated, "
        f"{human_size(loading.peak.bytes)} at its highest, "
        f"{_optional_size(loading.size_at_end)} at its end{kept}"
    )


def _optional_amount(amount: Amount | None) -> str:
    return _optional_size(None if amount is None else amount.bytes)


def _rows_counted(summary: Summary) -> str:
    largest = summary.largest_evaluation
    by_cursors = f"{counted(summary.cursor_rows, 'row')} fetched by cursors"
    if largest is None:
        return by_cursors if summary.cursor_rows else "No rows were loaded"
    loaded = f"Loaded {loading_phrase(largest)}{_elsewhere(summary, largest)}"
    return f"{loaded}, {by_cursors}" if summary.cursor_rows else loaded


def _grown(summary: Summary) -> str:
    if summary.rss_before is None or summary.rss_after is None:
        return "not measured"
    change = summary.rss_after - summary.rss_before
    if change <= 0:
        return "not measured, the process did not grow"
    return f"not measured, the process grew by {human_size(change)}"


def _loaded(summary: Summary) -> str:
    largest = summary.largest_evaluation
    if largest is None:
        return "No rows were loaded"
    size = (
        "" if largest.size_at_end is None else f" put {human_size(largest.size_at_end)} on the heap"
    )
    return f"Evaluation {loading_phrase(largest)}{size}{_elsewhere(summary, largest)}"


def _elsewhere(summary: Summary, largest: Evaluation) -> str:
    others = summary.rows - largest.rows
    if others <= 0:
        return ""
    were = "was" if others == 1 else "were"
    return f" ({counted(others, 'more row')} {were} loaded by other queries)"


def _end(summary: Summary) -> str:
    change = summary.net.total.size
    what = thing(summary)
    if abs(change) < KEPT_BY_A_REQUEST:
        return (
            f"nothing to speak of remained at the end of the {what} "
            f"({signed_size(change)} against its start)"
        )
    direction = "more" if change > 0 else "less"
    size = human_size(abs(change))
    return f"{size} {direction} on the heap at the end of the {what} than at its start"


def _figures_block(summary: Summary) -> str:
    rows = figures(summary)
    names, values = max(len(row[0]) for row in rows), max(len(row[1]) for row in rows)
    return "\n".join(
        f"  {name:<{names}}  {value:<{values}}  {meaning}" for name, value, meaning in rows
    )


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


def _sizes(summary: Summary) -> Iterator[int]:
    return (
        loading.size_at_end for loading in summary.evaluations if loading.size_at_end is not None
    )


def _optional_size(size: float | None) -> str:
    return "-" if size is None else human_size(size)


def _table(types: Diff, top: int) -> str:
    rows = types.rows(top)
    return layout_table(rows)


def layout_table(rows):
    return formatting.type_table((name, total.count, total.size) for name, total in rows)
