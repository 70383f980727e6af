"""What the figures of routes cost and take: in a process, in the database, and to merge.

    python benchmarks/rollups.py [--workers 1000] [--routes 200] [--requests 10] [--minutes 2]

``DATABASE_URL`` names the server, as for the tests. Makes a database of its own and drops it. Each
of the workers serves each of the routes so often in a minute, and one request of a hundred is
metered. Prints the error of the quantiles against the truth, the time that a request takes, and
rows, bytes and seconds of the database. It asserts nothing.
"""

import argparse
import math
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402
from django.conf import settings  # noqa: E402

NAME = "memsize_rollups"
DATABASE = settings.DATABASES["default"]
SERVER = DATABASE["NAME"]
if SERVER == ":memory:":
    sys.exit("DATABASE_URL names no server")
DATABASE["NAME"] = NAME
django.setup()

from django.db import connection, connections  # noqa: E402

from django_memsize import models  # noqa: E402
from django_memsize.measuring.recording import Recording  # noqa: E402
from django_memsize.reports import rollup_merging, rollup_storage  # noqa: E402
from django_memsize.reports.rollup_periods import Row, Sample  # noqa: E402
from django_memsize.reports.rollup_storage import Batch  # noqa: E402
from django_memsize.reports.rollups import Rollups  # noqa: E402
from django_memsize.values import (  # noqa: E402
    Histogram,
    OwnTuple,
    ProcessKey,
    ProcessRollup,
    RouteKey,
    RouteRollup,
)
from django_memsize.values.rollup import Level  # noqa: E402

TABLES = (models.Rollup, models.ProcessRollup)
MIDNIGHT = 1_800_000_000 // 86_400 * 86_400
RESIDENT = 200 * 1024**2


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10)
    parser.add_argument("--minutes", type=int, default=2)
    options = parser.parse_args()
    source = random.Random(1)
    errors(source)
    process()
    on_server(f"DROP DATABASE IF EXISTS {NAME}")
    on_server(f"CREATE DATABASE {NAME}")
    try:
        with connection.schema_editor() as editor:
            for model in TABLES:
                editor.create_model(model)
        fleet(source, options)
    finally:
        connections.close_all()
        on_server(f"DROP DATABASE {NAME}")


def on_server(statement):
    """Run a statement in the database that always exists."""
    DATABASE["NAME"] = connections["default"].settings_dict["NAME"] = SERVER
    connections.close_all()
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connections.close_all()
    DATABASE["NAME"] = connections["default"].settings_dict["NAME"] = NAME


def errors(source):
    """Print the largest error of quantiles of made-up requests."""
    print("100,000 requests: largest error of p50, p90, p95 and p99")
    for name, draw in FIGURES.items():
        numbers = [draw(source) for _ in range(100_000)]
        histogram = Histogram()
        for number in numbers:
            histogram.add(number)
        numbers.sort()
        worst = 0.0
        for share in (0.5, 0.9, 0.95, 0.99):
            truth = numbers[math.ceil(share * len(numbers)) - 1]
            worst = max(worst, abs(histogram.quantile(share) - truth) / max(1, abs(truth)))
        is_exact = (histogram.sum, histogram.maximum) == (sum(numbers), numbers[-1])
        exact = "sum and maximum exact" if is_exact else "WRONG SUM"
        print(f"    {name:<12}{worst:>8.2%}  {exact}, {len(str(histogram.document())):,} bytes")


FIGURES = {
    "duration": lambda source: int(source.lognormvariate(math.log(0.03), 0.8) * 1e9),
    "rows": lambda source: int(source.lognormvariate(3, 1)),
    "statements": lambda source: int(source.lognormvariate(1.5, 0.5)),
    "rss_change": lambda source: source.choice((0, 0, 0, 0, 4096, 135_168, -65_536)),
    "peak": lambda source: int(source.lognormvariate(13, 1.2)),
    "allocated": lambda source: int(source.lognormvariate(15, 1)),
    "retained": lambda source: source.choice((0, 0, 0, source.randrange(50_000))),
    "garbage": lambda source: int(source.lognormvariate(11, 1)),
}


def process(number=20_000):
    """Print what a request costs where it ends, and in the writer's thread."""
    recording = Recording("/", "request", counted=True)
    recording.first_request, recording.duration = False, 0.03
    keys = [OwnTuple(("GET", f"/route-{number}/")) for number in range(20)]
    seconds = []
    for _ in range(7):
        own = Rollups()
        began = time.process_time()
        for place in range(number // 4):
            own.add(recording, keys[place % 20], place % 7, 0)
        added = time.process_time()
        own.requests_left()
        seconds.append((added - began, time.process_time() - added))
    names = ("where it ends", "added up, in the writer's thread")
    print("\none request")
    for name, each in zip(names, zip(*seconds, strict=True), strict=True):
        print(f"    {name:<34}{min(each) / (number // 4) * 1e6:>8.2f} µs")


def fleet(source, options):
    """Print what a fleet of workers stores and merges."""
    routes = [f"/shop/<slug:shop>/part-{number}/<int:pk>/" for number in range(options.routes)]
    print(f"\n{options.workers:,} workers x {options.routes:,} routes, {connection.vendor}")
    made = [minute_of_process(source, routes, options.requests) for _ in range(10)]
    began, cpu = time.monotonic(), time.process_time()
    for minute in range(options.minutes):
        for pid in range(options.workers):
            store(Level.PROCESS, MIDNIGHT + 60 * minute, made[pid % len(made)], pid)
    cpu = (time.process_time() - cpu) / options.minutes / options.workers
    report("stored, all through one connection", began, options.minutes, "minute")
    print(f"    {'':<36}{cpu:>8.3f} s CPU of each worker a minute")
    merged("processes into minutes", MIDNIGHT + 3600, options.minutes, "minute")
    (minute,) = sums(Level.MINUTE, 1)
    for number in range(60):
        store(Level.MINUTE, MIDNIGHT + 3600 + 60 * number, minute)
    merged("minutes into hours", MIDNIGHT + 6 * 3600, 1, "hour")
    (hour,) = sums(Level.HOUR, 1)
    for number in range(22):
        store(Level.HOUR, MIDNIGHT + 2 * 3600 + 3600 * number, hour)
    merged("hours into days", MIDNIGHT + 30 * 86_400, 1, "day")
    (day,) = sums(Level.DAY, 1)
    steady(options, made[0], minute, hour, day)


def minute_of_process(source, routes, requests):
    """Return the rollups of one process and minute."""
    rollups = {}
    for route in routes:
        rollup = rollups[route] = RouteRollup()
        for _ in range(requests):
            rollup.requests += 1
            is_metered = source.random() < 0.01
            rollup.metered += is_metered
            for name, draw in FIGURES.items():
                if is_metered or name in ("duration", "rows", "statements", "rss_change"):
                    rollup.add(name, draw(source))
    return rollups


def store(level, start, rollups, pid=0):
    """Insert rows as a process does."""
    rows = [
        Row(level, start, RouteKey("request", "GET", route, "1.0"), rollup)
        for route, rollup in rollups.items()
    ]
    figures = ProcessRollup(samples=1, requests=1000, rss_sum=RESIDENT, rss_max=RESIDENT)
    sample = Sample(level, start, ProcessKey("web-1.example.org", pid, "1.0"), figures)
    size = rollup_storage.BATCH_ROWS
    for place in range(0, len(rows), size):
        rollup_storage.insert(Batch(rows[place : place + size], [sample], start), "default")


def sums(level, number):
    """Return the rollups of some periods of a level, by route."""
    starts = models.Rollup.objects.filter(level=level).values_list("start", flat=True).distinct()
    for start in list(starts.order_by("start"))[:number]:
        rows = models.Rollup.objects.filter(level=level, start=start)
        columns = ("route", "requests", "first_requests", "metered", "histograms")
        found = {}
        for route, *figures in rows.values_list(*columns):
            found.setdefault(route, RouteRollup()).merge(RouteRollup.of(*figures))
        yield found


def report(what, began, number, unit):
    """Print seconds, and the rows that there are, for each of a number of periods."""
    seconds = (time.monotonic() - began) / number
    rows = [model.objects.count() for model in TABLES]
    print(f"    {what:<36}{seconds:>8.2f} s a {unit}; now {rows[0]:,} and {rows[1]:,} rows")


def merged(what, at, number, unit):
    """Merge, as of a moment, and print what that takes."""
    rollup_merging.now = lambda: at
    began = time.monotonic()
    cpu = time.process_time()
    replaced, _ = rollup_merging.merge_all("default")
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    rows = [model.objects.count() for model in TABLES]
    print(
        f"    {what:<36}{seconds / number:>8.2f} s a {unit}, {cpu / number:.2f} s CPU of ours; "
        f"{replaced:,} rows replaced, now {rows[0]:,} and {rows[1]:,}"
    )


def steady(options, process_minute, minute, hour, day):
    """Print what is stored once the fleet has run for a year, from the bytes of a row."""
    minutes, hours = 3 + options.minutes, 180
    kept = (
        ("minutes of processes", Level.PROCESS, process_minute, options.workers * minutes),
        ("minutes, of 4 hours", Level.MINUTE, minute, 240),
        ("hours, of 9 days", Level.HOUR, hour, 24 * 9),
        ("days, of a year", Level.DAY, day, 365),
    )
    print("\nkept after a year: rows of routes, bytes a row with its index, MB")
    total = 0
    for what, level, rollups, times in kept:
        each = bytes_of_row(level, rollups)
        rows = times * options.routes
        total += rows * each
        print(f"    {what:<24}{rows:>12,}{each:>8,.0f}{rows * each / 1024**2:>10,.1f}")
    raw = bytes_of_row(Level.PROCESS, process_minute) * options.workers * options.routes
    print(f"    {'in all':<44}{total / 1024**2:>10,.1f}")
    print(f"    stored and merged away: {raw / 1024**2:,.1f} MB a minute")
    samples = options.workers * (60 * 4 + hours + 365)
    print(f"    and of processes {samples:,} rows")


def bytes_of_row(level, rollups):
    """Return the bytes that a row takes, with its indexes."""
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {models.Rollup._meta.db_table}")
    for number in range(40):
        store(level, MIDNIGHT + 60 * number, rollups)
    sql = "SELECT pg_total_relation_size(%s::regclass)"
    if connection.vendor == "mysql":
        sql = (
            "SELECT data_length + index_length FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = %s"
        )
    with connection.cursor() as cursor:
        cursor.execute(sql, [models.Rollup._meta.db_table])
        return cursor.fetchone()[0] / models.Rollup.objects.count()


if __name__ == "__main__":
    main()
