"""What the meter costs: requests with a window beside the same without, in turn, in one process.

    python benchmarks/meter.py [--rounds 41] [--closings 5] [--blocks 1000000] [--json results.json]

Prints medians, and asserts nothing. Times are those of the processor. A request's cost is a
multiple of what the plain request took in the same round; the second plain one says how far such
multiples are to be trusted.
"""

import argparse
import contextvars
import gc
import importlib
import itertools
import json
import os
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

import django
from example import compare, loaded, origin, served

from django_memsize.engine import compiled

PATHS = {
    "template, 300 rows": "/some/",
    "list view, 3,090 rows": "/accounts/list/",
    "JSON of `values()`, 3,090 rows": "/accounts/values/",
    "nothing": "/nothing/",
}
LEAST_SECONDS = 0.02  # a clock that ticks in microseconds, and interruptions
OTHERS = 3_000_000


def main():
    """Measure requests, then the closing of windows, and print both."""
    options = parse(sys.argv[1:])
    results = {
        "benchmark": "meter",
        "python": f"{sys.version.split()[0]}, {origin()}",
        "tables": {},
    }
    print(f"Python {results['python']}, Django {django.__version__}, {options.rounds} rounds")
    measured = (requests(options.rounds), closings(options.blocks, options.closings))
    for title, rows in itertools.chain(*measured):
        results["tables"][title] = rows
        print(f"\n{title}")
        for name, value, unit in rows:
            print(f"    {name:<72} {value:>12,.3f} {unit}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results))


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--closings", type=int, default=5, help="0 leaves them out")
    parser.add_argument("--blocks", type=int, default=1_000_000, help="of the largest window")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    return parser.parse_args(arguments)


def requests(rounds):
    """Yield a table of multiples for each kind of request, as soon as there is one."""
    if not rounds:
        return
    answer, kept = served(), []
    contestants = {
        "plain": plain,
        "plain, again": plain,
        "in a window": armed,
        "in a window, analysed": analysed,
        "while another is in a window": beside(kept),
        "tracemalloc": traced,
        "memray": tracked(),
        "memray, Python's allocators": tracked(trace_python_allocators=True),
    }
    contestants = {name: run for name, run in contestants.items() if run}
    for title, path in PATHS.items():
        answer(path)
        blocks = allocated(answer, path)
        times = how_often(answer, path)
        seconds = compare(contestants, rounds, answer, path, times)
        ratios = {name: median_ratio(each, seconds["plain"]) for name, each in seconds.items()}
        plain_ms = statistics.median(seconds["plain"]) / times * 1000
        extra = (ratios["in a window"] - 1) * plain_ms * 1e6 / blocks
        rows = [
            ("plain", plain_ms, "ms"),
            ("allocations", blocks, ""),
            ("an allocation in a window", extra, "ns"),
            *((name, ratio, "times") for name, ratio in ratios.items() if name != "plain"),
        ]
        yield title, rows


def median_ratio(seconds, plain_seconds):
    """Return the median of the multiples, each of the same round."""
    return statistics.median(
        each / plain_each for each, plain_each in zip(seconds, plain_seconds, strict=True)
    )


def how_often(answer, path):
    """Return how many requests take long enough to be timed."""
    times = 1
    while plain(answer, path, times) < LEAST_SECONDS:
        times *= 2
    return times


def allocated(answer, path):
    """Return how many blocks a request allocates."""
    window = entered()
    answer(path)
    left(window)
    return window.allocated[0]


def entered():
    """Open a window, and make it the innermost of this context."""
    window = compiled.Window()
    window.open()
    compiled.switch_window(window)
    return window


def left(window):
    """Close a window, and leave it."""
    window.close()
    compiled.switch_window(None)


def plain(answer, path, times):
    """Time requests by themselves."""
    began = time.process_time()
    for _ in range(times):
        answer(path)
    return time.process_time() - began


def armed(answer, path, times, is_analysed=False):
    """Time requests with a window around each, its opening and closing included."""
    began = time.process_time()
    for _ in range(times):
        window = entered()
        answer(path)
        left(window)
        if is_analysed:
            window.alive_by_type()
            window.analyse()
        else:
            window.discard()
    return time.process_time() - began


def analysed(answer, path, times):
    """Time the same, with an analysis of each window."""
    return armed(answer, path, times, is_analysed=True)


def beside(kept):
    """Return what times requests while another one, with its 3,090 rows, is in its window."""

    def other():
        window = entered()
        kept.extend(map(loaded, range(3090)))
        return window

    def timed(answer, path, times):
        window = contextvars.copy_context().run(other)
        seconds = plain(answer, path, times)
        kept.clear()
        window.close()
        return seconds

    return timed


def traced(answer, path, times):
    """Time requests under tracemalloc."""
    tracemalloc.start()
    seconds = plain(answer, path, times)
    tracemalloc.stop()
    return seconds


def tracked(**options):
    """Return what times requests under memray, whose file is thrown away; None without it."""
    try:
        memray = importlib.import_module("memray")
    except ImportError:
        return None

    def timed(answer, path, times):
        destination = memray.FileDestination(os.devnull, overwrite=True, compress_on_exit=False)
        with memray.Tracker(destination=destination, **options):
            return plain(answer, path, times)

    return timed


def closings(most, rounds):
    """Yield tables of what closing takes, with few and with many other objects alive."""
    if not rounds:
        return
    yield "Closing", closing(most, rounds)
    others = ["%047d" % number for number in range(2 * OTHERS)]  # noqa: UP031 - quick
    del others[::2]
    yield f"Closing, with {OTHERS:,} other objects alive", closing(most, rounds)
    del others


def closing(most, rounds):
    """Return a table for windows of several sizes."""
    rows = []
    (outer, alive), kept = filled(1000, 1)
    outer.alive_by_type()  # lists the classes, which is done once
    blocks_of_one = alive / 1000
    del kept, outer
    for blocks in sorted({most // 100, most // 10, most}):
        rows += sized(blocks, blocks_of_one, 1, rounds)
    rows += sized(most // 10, blocks_of_one, 1000, rounds)
    filled(3090, 1, loaded)[0][0].analyse()
    took = []
    for _ in range(max(rounds, 9)):
        (outer, _), accounts = filled(3090, 1, loaded)
        took.append(timed(outer.analyse)[0] * 1000)
        del accounts
    rows.append(("3,090 accounts, `analyse()`", statistics.median(took), "ms"))
    rows.append(("an allocation in a window", allocation(max(rounds, 9)), "ns"))
    return rows


def sized(blocks, blocks_of_one, inner, rounds):
    """Return rows for windows of about so many blocks, in so many windows inside."""
    found = {
        "closing and `alive_by_type()`, a block": [],
        "`analyse()`, a block": [],
        "overhead, a block": [],
    }
    for _ in range(rounds):
        (outer, alive), kept = filled(round(blocks / blocks_of_one), inner)
        bytes_a_block = compiled.meter_bytes() / alive
        closed, _ = timed(outer.close)
        by_type, _ = timed(outer.alive_by_type)
        analysed_in, _ = timed(outer.analyse)
        found["closing and `alive_by_type()`, a block"].append((closed + by_type) / alive * 1e9)
        found["`analyse()`, a block"].append(analysed_in / alive * 1e9)
        found["overhead, a block"].append(bytes_a_block)
        del kept, outer
    after = compiled.meter_bytes()
    title = f"{blocks:,} blocks" + (f", {inner:,} windows inside" if inner > 1 else "")
    units = {"overhead, a block": "bytes"}
    return [
        *(
            (f"{title}: {name}", statistics.median(each), units.get(name, "ns"))
            for name, each in found.items()
        ),
        (f"{title}: overhead afterwards", after, "bytes"),
    ]


class Plain:
    """An object with slots."""

    __slots__ = ("number", "others")

    def __init__(self, number):
        self.number = number
        self.others = [number, number * 0.5]


def mixed(number):
    """Return what programs hold: for every two accounts, data as of JSON, and one plain object."""
    if number % 4 < 2:
        return loaded(number)
    if number % 4 == 2:
        return {"number": number, "name": f"name {number}", "rows": [[number], {number}]}
    return Plain(number)


def filled(number, inner, make=mixed):
    """Return a window and its live blocks, and the objects made in it, in windows inside."""
    gc.collect()
    outer, kept = entered(), []
    for begin in range(0, number, -(-number // inner)):
        window = compiled.Window() if inner > 1 else None
        if window:
            window.open()
            compiled.switch_window(window)
        kept.extend(map(make, range(begin, min(number, begin + -(-number // inner)))))
        if window:
            window.close()
            compiled.switch_window(outer)
    compiled.switch_window(None)
    if inner == 1:
        outer.close()
    return (outer, outer.alive[0]), kept


def timed(call):
    """Return the seconds of the processor that a call takes, and its result."""
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def allocation(rounds):
    """Return what an allocation takes more in a window, where nothing but accounts are made."""
    took = {True: [], False: []}
    for number in range(2 * rounds):
        in_window = number % 2 == 0
        gc.collect()
        window = entered() if in_window else None
        began = time.process_time()
        for begin in range(10):
            list(map(loaded, range(1000 * begin, 1000 * begin + 1000)))
        took[in_window].append(time.process_time() - began)
        if window:
            left(window)
            blocks = window.allocated[0]
            window.discard()
    return (statistics.median(took[True]) - statistics.median(took[False])) / blocks * 1e9


if __name__ == "__main__":
    main()
