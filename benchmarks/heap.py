"""The whole heap of a Django process: ours beside other tools, in turn, in one process.

    python benchmarks/heap.py [--objects 1000000] [--rounds 7] [--json results.json]

Prints medians, and asserts nothing: times on a shared machine prove little. What one tool leaves
behind is collected before the next begins, outside the time taken.
"""

import argparse
import gc
import importlib
import json
import statistics
import sys
import time
from pathlib import Path

import django
from example import loaded, origin

from django_memsize import engine
from django_memsize.engine.fallback import census as twin

PARTS = 10  # instance, state and dict; number, two texts, amount, date and two moments
MEASURED = 3090


def main():
    """Build the heap, measure it in turn, print what it took."""
    options = parse(sys.argv[1:])
    contestants = (
        {
            "django-memsize `snapshot()`": census,
            "its twin in Python": twin_census,
            "pympler `muppy.get_objects()`, `summarize`": summarize(
                "pympler.muppy", "pympler.summary"
            ),
            "guppy3 `heap().bytype`": heap_by_type("guppy"),
            "objgraph `typestats()`, counts only": typestats("objgraph"),
        },
        {
            "django-memsize `sizeof()`": engine.sizeof,
            "its twin in Python": twin.sizeof,
            "pympler `asizeof()`": asizeof("pympler.asizeof"),
        },
    )
    accounts = [loaded(number) for number in range((options.objects - census()) // PARTS)]
    measured = accounts[:MEASURED]
    results = {
        "benchmark": "heap",
        "python": f"{sys.version.split()[0]}, {origin()}",
        "engine": engine.name,
        "tables": {
            "The whole heap": compare(contestants[0], options.rounds),
            f"{len(measured):,} model instances": compare(contestants[1], options.rounds, measured),
        },
    }
    print(f"Python {results['python']}, Django {django.__version__}, {options.rounds} rounds")
    for title, rows in results["tables"].items():
        print_table(title, rows)
    if options.json:
        options.json.write_text(json.dumps(results))


def parse(arguments):
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the results there, too")
    return parser.parse_args(arguments)


def census():
    """Count the heap with our engine."""
    return sum(engine.census()[0].values())


def twin_census():
    """Count the heap with our engine in Python."""
    return sum(twin.census()[0].values())


def summarize(*names):
    """Return what counts the heap with pympler."""
    if not (tools := optional(*names)):
        return None
    muppy, summary = tools

    def measure():
        objects = muppy.get_objects()
        summary.summarize(objects)
        return len(objects)

    return measure


def heap_by_type(name):
    """Return what counts the heap with guppy3."""
    if not (tools := optional(name)):
        return None

    def measure():
        heap = tools[0].hpy().heap()
        str(heap.bytype)
        return heap.count

    return measure


def typestats(name):
    """Return what counts with objgraph: only what the collector lists, and no bytes."""
    tools = optional(name)
    return tools and (lambda: sum(tools[0].typestats().values()))


def asizeof(name):
    """Return what takes a deep size with pympler."""
    tools = optional(name)
    return tools and tools[0].asizeof


def optional(*names):
    """Import modules of another tool, or say that it is not there."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        print(f"left out: {error}")
        return None


def compare(contestants, rounds, *arguments):
    """Return (name, median seconds, what it saw) of each; every round runs each once."""
    present = {name: measure for name, measure in contestants.items() if measure}
    seconds, seen = {name: [] for name in present}, {}
    for _ in range(rounds):
        for name, measure in present.items():
            gc.collect()
            began = time.perf_counter()
            seen[name] = measure(*arguments)
            seconds[name].append(time.perf_counter() - began)
    return [(name, statistics.median(seconds[name]), seen[name]) for name in present]


def print_table(title, rows):
    """Print seconds, what was seen, and the time as a multiple of ours, which is the first."""
    ours = rows[0][1]
    print(f"\n{title:<48} {'seconds':>9} {'saw':>12} {'times ours':>11}")
    for name, seconds, number in rows:
        print(f"{name:<48} {seconds:>9.4f} {number:>12,} {seconds / ours:>11.2f}")


if __name__ == "__main__":
    main()
