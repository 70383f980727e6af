"""What django-memsize costs a server: CPU time of its processes, and latency.

    python benchmarks/servers.py [--rounds 20] [--requests 64] [--servers gthread uvicorn]

A page that shows 300 accounts with a template, served by gunicorn (2 workers of 4 threads) and by
uvicorn; accounts and reports are in PostgreSQL on this machine, in a database of its own. Each
round asks every contestant in turn, and each of them is compared with "without" of the same
round: a busy machine slows both down. "without, again" shows how far the ratios are to be trusted.

- **CPU**: milliseconds a request of all processes of the server, the storing of reports included.
- **p99**: of a path that is not measured (``EXCLUDE``), while another client asks for the same
  page at a path that is. Wall time: on a busy machine it tells little.

The intervals are of 95 %, by bootstrap over the rounds. At last the database sessions that the
reports of 1,000 requests took are counted. Asserts nothing.
"""

import argparse
import contextlib
import json
import math
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from tests.proxies import Proxy  # noqa: E402
from tests.served_databases import PostgreSQL  # noqa: E402
from tests.serving import Server, manage, wait_until, workers_of  # noqa: E402

PAGE, BESIDE = "/some/", "/beside/"
SERVERS = {"gthread": {"workers": 2, "threads": 4}, "uvicorn": {}}
CLIENTS = 8
PROJECT = {"DJANGO_SETTINGS_MODULE": "benchmarks.served_settings", "SERVED_DEFAULTS": "1"}
FRESH = 4
"""Rounds after which all servers are started anew: where its memory lies makes a process faster."""
RESAMPLES = 4000


def sampled(**settings):
    """Return what a server needs to measure requests with these settings."""
    return {"SERVED_MEMSIZE": json.dumps(settings | {"EXCLUDE": [BESIDE]})}


PLAIN = "without"
WITHOUT = {"WITHOUT_MEMSIZE": "1"}
CONTESTANTS = {
    PLAIN: WITHOUT,
    "without, again": WITHOUT,
    "default settings": sampled(),
    "SAMPLE_RATE 1.0": sampled(SAMPLE_RATE=1.0),
    "django-silk": WITHOUT | {"SERVED_SILK": "1"},
}


def cpu_seconds(server):
    """Return the CPU time of all processes of a server, ended threads included."""
    first = psutil.Process(server.process.pid)
    pids = [first.pid, *(child.pid for child in first.children(recursive=True))]
    # The clock of another process, in nanoseconds: clock_getcpuclockid(3) computes it like this.
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def ask(server, url, number):
    """Send requests, several at once; return the seconds that each took."""

    def seconds(url):
        began = time.perf_counter()
        answer = server.get(url)
        if answer.status != 200:
            raise RuntimeError(f"{url} answered {answer.status}: {server.log.read_text()}")
        return time.perf_counter() - began

    return server.each(seconds, [url] * number, clients=min(CLIENTS, number))


def wait_for_writers(database):
    """Wait until no report waits for its analysis or for the writer."""
    time.sleep(0.3)  # the longest that an analysis waits for the end of its request
    states = ("waiting", "queued")
    if not wait_until(lambda: not sum(w.numbers[s] for w in workers_of(database) for s in states)):
        raise RuntimeError("reports are still waiting")


def cpu_of_a_request(server, database, requests):
    """Return the CPU time of a request, in milliseconds."""
    before = cpu_seconds(server)
    ask(server, PAGE, requests)
    wait_for_writers(database)
    return 1000 * (cpu_seconds(server) - before) / requests


def latencies_beside(server, requests):
    """Return the milliseconds of each of some requests, while another client has its own."""
    over = threading.Event()

    def keep_asking():
        while not over.is_set():
            ask(server, PAGE, 1)

    other = threading.Thread(target=keep_asking)
    other.start()
    try:
        return [1000 * ask(server, BESIDE, 1)[0] for _ in range(requests)]
    finally:
        over.set()
        other.join()


@contextlib.contextmanager
def serving(kind, folder, database):
    """Yield a server of each contestant, by name, each with its caches filled."""
    database.begin_anew()
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, variables in CONTESTANTS.items():
            variables = PROJECT | {"PYTHONHASHSEED": "0"} | variables
            server = Server(kind, folder, database, **SERVERS[kind], **variables)
            servers[name] = stack.enter_context(server)
        for server in servers.values():
            ask(server, PAGE, 2 * CLIENTS)
            ask(server, BESIDE, CLIENTS)
        wait_for_writers(database)
        yield servers
        for server in servers.values():
            server.stop()


def measure(kind, folder, database, rounds, requests):
    """Return the CPU time of a request and the latencies beside, by contestant and round."""
    cpu = {name: [] for name in CONTESTANTS}
    beside = {name: [] for name in CONTESTANTS}
    names = list(CONTESTANTS)
    for first in range(0, rounds, FRESH):
        with serving(kind, folder, database) as servers:
            for number in range(first, min(first + FRESH, rounds)):
                shift = number % len(names)
                for name in names[shift:] + names[:shift]:
                    cpu[name].append(cpu_of_a_request(servers[name], database, requests))
                    beside[name].append(latencies_beside(servers[name], requests // 2))
                    wait_for_writers(database)
                found = ", ".join(f"{name} {cpu[name][-1]:.1f} ms" for name in names)
                print(f"{kind}, round {number + 1}: {found}", file=sys.stderr, flush=True)
    return cpu, beside


def interval(rounds, ratio):
    """Return a ratio of all rounds, and its interval, as text."""
    chance = random.Random(7)
    found = sorted(ratio(chance.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES))
    low, high = found[RESAMPLES // 40], found[-RESAMPLES // 40]
    return f"{ratio(rounds):.3f} ({low:.3f} to {high:.3f})"


def ratio_of_means(rounds):
    """Return the geometric mean of the ratios of the rounds, each a pair of figures."""
    return math.exp(statistics.fmean(math.log(ours / plain) for ours, plain in rounds))


def p99(latencies):
    """Return what one in a hundred exceeds."""
    return statistics.quantiles(latencies, n=100, method="inclusive")[-1]


def ratio_of_p99(rounds):
    """Return the ratio of the p99 of all rounds, each a pair of lists."""
    ours, plain = ([each for part in side for each in part] for side in zip(*rounds, strict=True))
    return p99(ours) / p99(plain)


def print_table(cpu, beside):
    """Print a table in Markdown, a line for each contestant."""
    print("| | CPU | times (95 %) | p99 beside | times (95 %) |\n|---|---|---|---|---|")
    for name in CONTESTANTS:
        cells = [name, f"{statistics.median(cpu[name]):.1f} ms", "1"]
        cells += [f"{p99([each for part in beside[name] for each in part]):.0f} ms", "1"]
        if name != PLAIN:
            cells[2] = interval(list(zip(cpu[name], cpu[PLAIN], strict=True)), ratio_of_means)
            cells[4] = interval(list(zip(beside[name], beside[PLAIN], strict=True)), ratio_of_p99)
        print(f"| {' | '.join(cells)} |", flush=True)


def print_sessions(kind, folder, database, number=1000):
    """Print how many sessions the reports of so many requests took."""
    database.begin_anew()
    with Proxy(database.port) as proxy:
        database.store_through(PORT=str(proxy.port))
        settings = database.memsize | {"SAMPLE_RATE": 1.0, "RETENTION": 10**6}
        variables = PROJECT | {"SERVED_MEMSIZE": json.dumps(settings)}
        with Server(kind, folder, database, **SERVERS[kind], **variables) as server:
            ask(server, "/read/", number)
            wait_for_writers(database)
            workers = len(workers_of(database))
            server.stop()
        stored, dropped = database.told()
        print(
            f"{number:,} requests: {stored:,} reports stored by {workers} workers in "
            f"{proxy.connections} database sessions, {dropped:,} told as dropped"
        )
    database.begin_anew()


def main():
    """Measure each server, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(PostgreSQL(folder))
        project = PROJECT | {"SERVED_SILK": "1"}
        manage(folder, database, "migrate", "--verbosity=0", **project)
        manage(folder, database, "load_bank", **project)
        for kind in options.servers:
            print(
                f"{kind}, {options.rounds} rounds of {options.requests} requests, "
                f"load of the machine before {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            print_table(*measure(kind, folder, database, options.rounds, options.requests))
            print_sessions(kind, folder, database)


if __name__ == "__main__":
    main()
