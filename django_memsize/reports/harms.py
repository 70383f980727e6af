"""The harms of one route to a worker, in bytes, each by a rule of its own.

- The highest peak of one request: a worker never becomes smaller than that again (`_peak`).
- The retained bytes of all its requests, estimated from those that were metered (`_retained`).
- The garbage of the requests that pile up until Python's collector frees it (`_garbage`).
- The growth of its RSS, where it is steady: memory outside of Python shows only there (`_rss`).

A first request of a route in a process fills caches and imports modules. It counts as a request,
and with its rows, but has a part in no figure of bytes (see `values.rollup.FIGURES`).
"""

from __future__ import annotations

import math
from typing import Final

from ..values import Histogram, RouteRollup
from ..values import rollup as names
from ..values.impact import Basis, Harm, Impact, Known, RouteFigures, Workers
from .thresholds import MUCH, NOTHING_FOR_A_REQUEST, REPORTS_TO_COMPARE

BYTES_OF_A_ROW: Final = 800
"""Bytes of a row as a plain instance, where none of the route was metered: see ``MUCH``."""

ROWS_THAT_TELL: Final = 1_000
"""Rows from which the bytes of a row are taken from a metered request: else the rest of it counts
more than the rows."""

PROMOTING: Final = 2 * 1024**2
"""Bytes of garbage from which all of it waits for a full collection.

CPython examines its oldest objects in a full collection only. An object becomes one of these if
two younger collections run while it is alive: with the default thresholds (700, 10) one of the
middle generation in 7,700 new containers, some 2 MB. Of less garbage a proportional share waits,
and the younger collections free the rest within some requests.
"""

STEADY: Final = 0.75
"""Share of the requests of a route that must raise the RSS by half of the average at least. A peak
raises it as well, but less and less: the room of an earlier one is used again."""

REQUESTS_TO_TELL: Final = 10
"""Requests of a route that have to raise the RSS by less than ``MUCH`` each before that counts: a
process that serves its first requests grows anyway."""

_STUDENT: Final = (math.inf, math.inf, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for 95 % by degrees of freedom, as in any table of it."""


def harms_of(figures: RouteFigures, workers: Workers) -> tuple[Impact, ...]:
    """Return the harms of a route, the largest first."""
    peak = _peak(figures.rollup, figures.known)
    found = (
        peak,
        _retained(figures.rollup, figures.known, workers),
        _garbage(figures.rollup, figures.known, workers),
        _rss(figures.rollup, workers, 0 if peak is None else peak.bytes),
        _net(figures.known),
    )
    harms = [impact for impact in found if impact is not None and impact.bytes > 0]
    return tuple(sorted(harms, key=lambda impact: -impact.bytes))


def _peak(rollup: RouteRollup, known: Known) -> Impact | None:
    """Return the highest peak; an estimate where more rows were loaded than in any metered one."""
    metered = max(rollup[names.PEAK].maximum or 0, known.peak)
    rows = rollup[names.ROWS].maximum or 0
    sample = rollup[names.PEAK].count
    size, basis, report = metered, Basis.METERED, known.peak_report
    if known.evaluation > size:
        size, basis, report = known.evaluation, Basis.EVALUATION, known.evaluation_report
    has_more_rows = rows >= ROWS_THAT_TELL and rows > 1.25 * known.metered_rows
    if has_more_rows or not size:
        estimate = round(rows * _bytes_of_a_row(known))
        if estimate > size:
            size, basis, report = estimate, Basis.ROWS, known.rows_report
    if not size:
        return None
    return Impact(Harm.PEAK, size, size, size, size, 1.0, sample, basis, report)


def _bytes_of_a_row(known: Known) -> float:
    if known.metered_rows < ROWS_THAT_TELL:
        return BYTES_OF_A_ROW
    return known.metered_peak / known.metered_rows


def _retained(rollup: RouteRollup, known: Known, workers: Workers) -> Impact | None:
    """Return what the requests of a worker retain.

    Metered requests count with what they retain. Each other request counts with the mean of the
    metered ones without the first few of a process, which may still fill caches. If only these
    few were metered, their mean counts if all of at least three retain something. The range
    is that of the mean at 95 % (Student's t); of fewer than three requests, from the least to the
    most; and where only the first few were metered, from what these retain alone to their mean. A
    mean that may as well be nothing counts as nothing: only the metered requests are left.
    All of it is no more than what the process accumulated in at least ten minutes: a cache whose
    entries replace others retains as much in each request, and does not grow. Where requests were
    followed, only the share that survived counts.
    """
    metered, later = rollup[names.RETAINED], rollup[names.RETAINED_LATER]
    share = _surviving(rollup)
    requests = rollup.requests - rollup.first_requests
    others = max(0, requests - metered.count)
    if not metered.count:
        return None
    low, mean, high = _interval(later) if later.count else _of_the_first_few(metered)
    if share * max(metered.mean or 0, mean, high) < NOTHING_FOR_A_REQUEST:
        return None
    low, mean, high = share * low, share * mean, share * high
    surviving = share * metered.sum
    most = max(workers.busiest.accumulated, surviving)
    sizes = [min(most, (surviving + others * each) * workers.share) for each in (low, mean, high)]
    least, size, greatest = map(workers.within, sizes)
    in_worker = requests * workers.share
    return Impact(
        Harm.RETAINED,
        *(size, least, greatest, mean, in_worker, metered.count),
        report=known.retained_report,
    )


def _surviving(rollup: RouteRollup) -> float:
    """Return the share of retained bytes that outlives later requests; 1 if it is not known."""
    retained = rollup[names.FOLLOWED].sum
    return rollup[names.SURVIVED].sum / retained if retained else 1.0


def _interval(later: Histogram) -> tuple[float, float, float]:
    """Return the least, the mean and the most that a request retains; nothing below 16 KB."""
    mean, least, most = later.mean or 0.0, later.quantile(0.0) or 0.0, float(later.maximum or 0)
    if later.count >= REPORTS_TO_COMPARE:
        freedom = later.count - 1
        student = _STUDENT[freedom] if freedom < len(_STUDENT) else 1.96 + 2.5 / freedom
        margin = student * later.deviation / math.sqrt(later.count)
        least, most = max(least, mean - margin), min(most, mean + margin)
    least = _something(min(least, mean))
    return least, mean if least else 0.0, _something(max(most, mean))


def _of_the_first_few(metered: Histogram) -> tuple[float, float, float]:
    mean = _something(metered.mean or 0.0)
    least = metered.quantile(0.0) or 0.0
    is_steady = metered.count >= REPORTS_TO_COMPARE and least >= NOTHING_FOR_A_REQUEST
    return 0.0, mean if is_steady else 0.0, mean


def _something(size: float) -> float:
    return size if size >= NOTHING_FOR_A_REQUEST else 0.0


def _garbage(rollup: RouteRollup, known: Known, workers: Workers) -> Impact | None:
    """Return the garbage that piles up in a worker.

    The requests between two full collections pile up, as many as the process had in the period;
    without any, those of the whole period: the collector has yet to run. Of less than
    ``PROMOTING`` bytes a request only a share does.
    """
    garbage = rollup[names.GARBAGE]
    mean = garbage.mean or 0.0
    if mean < NOTHING_FOR_A_REQUEST:
        return None
    requests = rollup.requests * workers.share / (workers.busiest.full_collections + 1)
    piling = max(1.0, requests * min(1.0, mean / PROMOTING))
    size = workers.within(mean * piling)
    most = workers.within(mean * max(1.0, requests))
    return Impact(
        Harm.GARBAGE,
        *(size, min(size, round(mean)), most, mean, piling, garbage.count),
        report=known.garbage_report,
    )


def _rss(rollup: RouteRollup, workers: Workers, peak: int) -> Impact | None:
    """Return by how much the requests of a worker raised its RSS, if nearly each of them did.

    With several requests in flight in a process, each sees the growth by all of them: so the least
    that it can be is a part of the sum, and that counts. It does not where the peaks of as many
    requests at once explain it.
    """
    change = rollup[names.RSS_CHANGE]
    each, usual = change.mean or 0.0, change.quantile(1 - STEADY) or 0.0
    least = REPORTS_TO_COMPARE if each >= MUCH else REQUESTS_TO_TELL
    is_steady = change.count >= least and usual >= each / 2
    total = change.sum * workers.share
    if not is_steady or total < MUCH or each < NOTHING_FOR_A_REQUEST:
        return None
    low, high = workers.within(total / workers.in_flight_max), workers.within(total)
    if low <= peak * workers.in_flight_max:
        return None
    requests = change.count * workers.share
    return Impact(Harm.RSS, low, low, high, each, requests, change.count, Basis.RSS)


def _net(known: Known) -> Impact | None:
    """Return the average net of a census, which cannot tell what is retained."""
    if known.net is None or known.net <= 0:
        return None
    size = round(known.net)
    return Impact(Harm.NET, size, size, size, known.net, basis=Basis.CENSUS, report=known.latest)
