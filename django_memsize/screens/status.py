"""What is measured, stored and dropped, in sentences and as a table of processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..formatting import (
    counted,
    human_size,
    migrate_command,
    named_database,
    percentage,
    plain,
    table,
)
from ..measuring.sampling import OWED, REFUSED, ROUTES
from ..values import Counts
from ..workers.state_file import Worker
from ..workers.tally import INHERITED, MADE, Cause, State
from .phrases import REASONS


@dataclass(frozen=True, slots=True)
class Sampling:
    """What the settings say, and what the interpreter can do."""

    enabled: bool
    has_middleware: bool
    sample_rate: float
    is_set: bool
    """Whether the settings have a sample rate, so that it is no default."""
    debug: bool
    instrument: str
    max_overhead: float
    exclude: tuple[str, ...]
    sample_first: int
    sample_interval: int | None
    sample_rates: Mapping[str, float]
    sample: str
    engine: str
    has_meter: bool


@dataclass(frozen=True, slots=True)
class Storage:
    """What the database of the reports has."""

    alias: str
    file: str = ""
    """The file of a SQLite database that has only the reports."""
    reports: int = 0
    has_more: bool = False
    """Whether there are more reports than were counted."""
    size: int | None = None
    latest: float | None = None
    has_table: bool = True
    error: str = ""


def text(sampling: Sampling, storage: Storage, workers: Sequence[Worker], now: float) -> str:
    """Return the whole status. ``now`` is the time as of ``time.time()``."""
    lines = [
        " ".join(_sampled(sampling)),
        *_stored(storage, now),
        *_processes(sampling, workers, now),
    ]
    return "\n".join(lines)


def _sampled(sampling: Sampling) -> Iterator[str]:
    """Return what is measured and why, in sentences."""
    if not sampling.enabled:
        yield "Nothing is measured: MEMSIZE['ENABLED'] is False."
        return
    if not sampling.has_middleware:
        yield "No request is measured: MemsizeMiddleware is not in MIDDLEWARE."
        return
    yield from _measured(sampling)
    if sampling.exclude:
        yield f"Not measured: {', '.join(sampling.exclude)} (EXCLUDE)."


def _measured(sampling: Sampling) -> Iterator[str]:
    is_census = sampling.instrument == "census"
    if not is_census and not sampling.has_meter:
        yield f"Requests are only counted: the {sampling.engine} engine has no meter."
        return
    if sampling.is_set:
        reason = "as MEMSIZE['SAMPLE_RATE'] says"
    else:
        reason = f"the default {'with' if sampling.debug else 'without'} DEBUG"
    share = max(sampling.sample_rate, *sampling.sample_rates.values(), 0.0)
    if share <= 0 and not sampling.sample:
        yield f"Requests are only counted, {reason}."
        return
    instrument = f"{'a census' if is_census else 'the meter'} of the {sampling.engine} engine"
    if sampling.sample_rate >= 1:
        yield f"Every request is measured, {reason}, by {instrument}."
        yield from _exceptions(sampling)
        return
    yield (
        f"{percentage(sampling.sample_rate)} of the requests are measured, {reason}, by "
        f"{instrument}{_of_each_route(sampling)}."
    )
    yield from _exceptions(sampling)
    yield (
        f"The others are counted. Measuring may take {percentage(sampling.max_overhead)} of the "
        "CPU time of each process (MAX_OVERHEAD)."
    )


def _of_each_route(sampling: Sampling) -> str:
    """Return what a process measures of each route beside its share, as a part of a sentence."""
    first, interval = sampling.sample_first, sampling.sample_interval
    parts = [
        f"{counted(first, 'request')} after the first (SAMPLE_FIRST)" if first else "",
        f"one in each {_age(interval)} (SAMPLE_INTERVAL)" if interval else "",
    ]
    wanted = " and ".join(filter(None, parts))
    return f"; of each route, {wanted}" if wanted else ""


def _exceptions(sampling: Sampling) -> Iterator[str]:
    if sampling.sample_rates:
        shares = (f"{percentage(rate)} of {name}" for name, rate in sampling.sample_rates.items())
        yield f"Other shares, the first that matches: {', '.join(shares)} (SAMPLE_RATES)."
    if sampling.sample:
        yield f"{sampling.sample} is asked first (SAMPLE)."


def _stored(storage: Storage, now: float) -> Iterator[str]:
    place = named_database(storage.alias, storage.file)
    if storage.error:
        yield f"The {place} does not answer: {plain(storage.error, 300)}"
        return
    if not storage.has_table:
        yield (
            f"The database {storage.alias!r} has no table of reports: "
            f"run '{migrate_command(storage.alias)}'."
        )
        return
    number = counted(storage.reports, "report")
    size = "" if storage.size is None else f", {human_size(storage.size)}"
    more = "More than " if storage.has_more else ""
    latest = "" if storage.latest is None else f", the latest of {_age(now - storage.latest)} ago"
    is_one = storage.reports == 1 and not storage.has_more
    verb = "is" if is_one else "are"
    yield f"{more}{number} {verb} stored in the {place}{size}{latest}."


def _processes(sampling: Sampling, workers: Sequence[Worker], now: float) -> Iterator[str]:
    if not workers:
        yield "No process that runs on this host has made a report."
        return
    yield ""
    header = ("PID", "running", "made", "stored", "queued", "dropped", "CPU overhead")
    yield table(header, (_row(worker, now) for worker in workers))
    for worker in workers:
        yield from _remarks(worker, now)
        yield from _differences(worker, sampling)


def _row(worker: Worker, now: float) -> tuple[str, ...]:
    numbers = worker.numbers
    dropped = sum(worker.dropped.values()) + worker.lost
    waiting = numbers[State.WAITING] + numbers[State.QUEUED]
    overhead = percentage(worker.overhead / worker.cpu) if worker.cpu else "-"
    return (
        str(worker.pid),
        _age(now - worker.started_at) if worker.is_alive else "ended",
        f"{numbers[MADE]:,}",
        f"{numbers[State.STORED]:,}",
        f"{waiting:,}" if worker.is_alive else "-",
        f"{dropped:,}",
        overhead,
    )


def _remarks(worker: Worker, now: float) -> Iterator[str]:
    drops = Counts(worker.dropped)
    if worker.lost:
        drops.add({Cause.LOST: worker.lost})
    name = f"PID {worker.pid}"
    if drops:
        causes = ", ".join(f"{cause} ({number:,})" for cause, number in drops.items())
        text = f"{name} dropped {counted(sum(drops.values()), 'report')}: {causes}."
        inherited = worker.numbers[INHERITED]
        yield f"{text} {inherited:,} of them were lost by earlier processes." if inherited else text
    yield from _metered(worker)
    if worker.is_over_budget:
        yield (
            f"{name} only counts requests at present: measuring took more than "
            f"{percentage(worker.max_overhead)} of its CPU time (MAX_OVERHEAD)."
        )
    if worker.error:
        yield f"{name} failed last {_age(now - worker.error_at)} ago: {plain(worker.error, 300)}"


def _metered(worker: Worker) -> Iterator[str]:
    """Return how many requests a process metered and why, and how many the budget refused."""
    name, sampling = f"PID {worker.pid}", worker.sampling
    by_reason = {phrase: sampling[word] for word, phrase in REASONS.items() if sampling[word]}
    if by_reason:
        reasons = ", ".join(f"{phrase} ({number:,})" for phrase, number in by_reason.items())
        yield f"{name} metered {counted(sum(by_reason.values()), 'request')}: {reasons}."
    if sampling[OWED]:
        routes = counted(sampling[ROUTES], "route")
        yield f"{name} has yet to meter first requests of {sampling[OWED]:,} of its {routes}."
    if sampling[REFUSED]:
        yield (
            f"{name} did not meter {counted(sampling[REFUSED], 'request')}, because the budget was "
            "spent (MAX_OVERHEAD)."
        )


def _differences(worker: Worker, sampling: Sampling) -> Iterator[str]:
    """Name the settings of a running process that the command does not have.

    The process began before they were changed, or in another environment.
    """
    if not worker.is_alive or not worker.instrument:
        return
    settings = {
        f"SAMPLE_RATE {worker.sample_rate:g}": worker.sample_rate != sampling.sample_rate,
        f"MAX_OVERHEAD {worker.max_overhead:g}": worker.max_overhead != sampling.max_overhead,
        f"INSTRUMENT {worker.instrument!r}": worker.instrument != sampling.instrument,
        f"the {worker.engine} engine": worker.engine != sampling.engine,
    }
    others = [setting for setting, is_other in settings.items() if is_other]
    if others:
        yield f"PID {worker.pid} runs with other settings: {', '.join(others)}."


def _age(seconds: float) -> str:
    """Return a duration in the largest unit of which there are two: ``"90 s"``, ``"3 h"``."""
    seconds = max(0, round(seconds))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} s"
