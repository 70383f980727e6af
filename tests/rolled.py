"""Rollups as tests store them."""

import random

from django_memsize import models
from django_memsize.reports import rollup_storage
from django_memsize.reports.rollup_periods import Row, Sample
from django_memsize.reports.rollup_storage import Batch
from django_memsize.values import ProcessKey, ProcessRollup, RouteKey, RouteRollup
from django_memsize.values.rollup import Level

MIDNIGHT = 1_800_000_000 // 86_400 * 86_400


def rollup(*rows, metered=0, **figures):
    """Return the rollup of requests that loaded so many rows."""
    made = RouteRollup()
    for number in rows:
        made.requests += 1
        made.add("rows", number)
        made.add("duration", 1_000_000 * (number + 1))
    made.metered = metered
    for name, number in figures.items():
        made.add(name, number)
    return made


def row(start, route="/a/", *rows, level=Level.PROCESS, method="GET", release="", **figures):
    """Return a row of a route."""
    key = RouteKey("request", method, route, release)
    return Row(level, start, key, rollup(*(rows or (1,)), **figures))


def sample(start, pid=1, level=Level.PROCESS, **figures):
    """Return a sample of a process."""
    rolled = ProcessRollup(**{"samples": 1, "rss_sum": 100, "rss_max": 100} | figures)
    return Sample(level, start, ProcessKey("host", pid, ""), rolled)


def insert(*rows, samples=(), now=MIDNIGHT, database="default"):
    """Insert rows as one batch, and return it."""
    batch = Batch(rows, samples, now)
    rollup_storage.insert(batch, database)
    return batch


def process(source, start, routes=5):
    """Return the rows of one process and minute, of made-up requests."""
    return [
        row(
            start,
            f"/{number}/",
            *(source.randrange(1000) for _ in range(source.randrange(1, 9))),
            peak=source.randrange(10**8),
            rss_change=source.randrange(-(10**6), 10**6),
        )
        for number in range(routes)
    ]


def total(rows):
    """Return the sum of rows by key."""
    found = {}
    for one in rows:
        found.setdefault(one.key, RouteRollup()).merge(one.rollup)
    return found


def stored(level=None):
    """Return level, start and route of the stored rows, in their order."""
    rows = models.Rollup.objects.order_by("level", "start", "route", "pk")
    rows = rows if level is None else rows.filter(level=level)
    return list(rows.values_list("level", "start", "route"))


def made_up(seed=1):
    """Return a source of made-up figures."""
    return random.Random(seed)
