"""Mixed load on two servers while the database of their reports fails in every way in turn.

    python benchmarks/load.py [seconds] [--without]

Two gunicorns (2 workers of 4 threads) serve the tests' project and measure every request: one
with PostgreSQL, one with SQLite, where one client reads and then writes in a transaction. Meanwhile

- sessions of the reports are terminated, refused, cut, or never answered, and their table is
  locked (PostgreSQL); their file is locked (SQLite);
- the workers are reloaded (SIGHUP), and the servers are stopped (SIGTERM) and started again.

Prints how many answers differ from those of a server without django-memsize, and whether each
report that was made is stored, or told as dropped. Exits with 1 if not. With ``--without`` nothing
is measured: what then differs is the server's own doing.
"""

import argparse
import collections
import contextlib
import http.client
import itertools
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests import serving
from tests.proxies import Proxy
from tests.served_databases import PostgreSQL, SQLite
from tests.servers.successors import accounted
from tests.serving import Server

PAGES = (
    ["/read/"] * 4
    + ["/nothing/", "/accounts/template/", "/accounts/template/", "/accounts/stream/", "/file/"]
    + ["/accounts/1/", "/accounts/kept/none/", "/raises/404/", "/raises/denied/", "/raises/value/"]
)
WRITES = "/read-and-write/"
CLIENTS = 4
serving.PATIENCE = 600
"""A client that gives up is counted as a difference, and a busy machine starts a server slowly."""
FAULT, QUIET = 4, 4
"""Seconds that a fault lasts, and that nothing happens after it."""


class Hindered:
    """The database of the reports of PostgreSQL's server, to be hindered."""

    def __init__(self, database, proxy, role):
        self.database = database
        self.proxy = proxy
        self.role = role

    def terminated(self):
        """Terminate the sessions, once a second."""
        for _ in range(FAULT):
            self._terminate()
            time.sleep(1)

    def exhausted(self):
        """Terminate the sessions and leave the role none."""
        self.database.execute(f"ALTER ROLE {self.role} CONNECTION LIMIT 0")
        self._terminate()
        time.sleep(FAULT)
        self.database.execute(f"ALTER ROLE {self.role} CONNECTION LIMIT -1")

    def read_only(self):
        """Have new sessions read only."""
        with self.database.read_only(self.role):
            self._terminate()
            time.sleep(FAULT)
        self._terminate()

    def unanswered(self):
        """Cut the connections, and accept others without an answer."""
        self.proxy.is_silent = True
        self.proxy.cut()
        time.sleep(FAULT)
        self.proxy.is_silent = False
        self.proxy.cut()

    def cut(self):
        """Cut the connections, perhaps between a commit and its answer, many times."""
        for _ in range(10 * FAULT):
            self.proxy.cut()
            time.sleep(0.1)

    def locked(self):
        """Lock the table."""
        with self.database.locked():
            time.sleep(FAULT)

    def _terminate(self):
        self.database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'django-memsize'"
        )


class Load:
    """A server, its clients, and what they saw."""

    def __init__(self, server, has_writer):
        self.server = server
        self.has_writer = has_writer
        self.answers = []
        """(the step meanwhile, seconds)"""
        self.differences = collections.Counter()
        self.stops = []
        """Seconds from SIGTERM to the end of the server."""
        self.step = "nothing"
        self.over = threading.Event()

    def keep_asking(self, number, expected):
        """Send requests until the load is over."""
        chance = random.Random(number)
        while not self.over.is_set():
            url = WRITES if self.has_writer and number == 0 else chance.choice(PAGES)
            step, began = self.step, time.perf_counter()
            try:
                answer = self.server.get(url)
            except (http.client.HTTPException, OSError) as error:
                self.differences[f"{type(error).__name__} during {step}: {url}"] += 1
                continue
            self.answers.append((step, time.perf_counter() - began))
            if answer != expected[url]:
                self.differences[f"{answer} during {step}: {url}"] += 1

    def keep_failing(self, faults):
        """Have each fault alone, then with a reload and with a stop of the server in its midst."""
        operations = {"": lambda: None, ", reload": self.reload, ", restart": self.restart}
        for operation, fault in itertools.cycle(itertools.product(operations, faults)):
            if self.over.is_set():
                return
            self.step = fault.__name__ + operation
            failing = threading.Thread(target=fault)
            failing.start()
            time.sleep(FAULT / 2)
            operations[operation]()
            failing.join()
            self.step = "nothing"
            time.sleep(QUIET)

    def reload(self):
        """Have gunicorn exchange its workers."""
        self.server.send(signal.SIGHUP)

    def restart(self):
        """Stop gunicorn and start it again, while its clients go on connecting."""
        began = time.monotonic()
        code = self.server.stop()
        self.stops.append(time.monotonic() - began)
        if code != 0:
            self.differences[f"exit code {code} during {self.step}"] += 1
        self.server.start()


def expected_answers(folder, database):
    """Return the answer to each URL without django-memsize."""
    with Server("gthread", folder, database, measured=False) as server:
        return {url: server.get(url) for url in {*PAGES, WRITES}}


def run(loads, seconds, expected):
    """Have all clients and faults for so long; what fails here is raised."""
    with ThreadPoolExecutor(len(loads) * (1 + CLIENTS)) as threads:
        running = []
        for load, faults in loads:
            running.append(threads.submit(load.keep_failing, faults))
            running += [
                threads.submit(load.keep_asking, number, expected) for number in range(CLIENTS)
            ]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not any(each.done() for each in running):
            time.sleep(0.1)
        for load, _ in loads:
            load.over.set()
        for each in running:
            each.result()


def is_kept(name, folder, load, measured):
    """Print what became of the answers and the reports of a server; return whether all is well."""
    load.server.stop()
    log = load.server.log.read_text()
    print(f"{name}: {len(load.answers):,} answers, {sum(load.differences.values())} differ")
    for difference, number in load.differences.most_common(10):
        print(f"    {number} times {difference}")
    steps = sorted({step for step, _ in load.answers})
    for step in steps:
        seconds = [1000 * each for found, each in load.answers if found == step]
        print(
            f"    {step:22}{len(seconds):8,} answers, median {statistics.median(seconds):6.1f} ms, "
            f"longest {max(seconds):8.1f} ms"
        )
    if load.stops:
        print(f"    {len(load.stops)} stops, the longest took {max(load.stops):.1f} s")
    if not measured:
        return not load.differences
    stored, dropped = accounted(folder, load.server.database)
    warnings = log.count("django-memsize: ")
    print(
        f"    made {len(load.answers):,}, stored {stored:,}, told as dropped {dropped:,}; "
        f"{warnings} warnings in the log",
        flush=True,
    )
    return not load.differences and stored + dropped == len(load.answers)


def main():
    """Run the load, and print what became of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--without", action="store_true", help="measure nothing: the control")
    options = parser.parse_args()
    measured = not options.without
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgresql = stack.enter_context(PostgreSQL(folder))
        sqlite = stack.enter_context(SQLite(folder))
        expected = expected_answers(folder, sqlite)
        proxy = stack.enter_context(Proxy(postgresql.port))
        role = stack.enter_context(postgresql.user())
        postgresql.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        postgresql.store_through(USER=role, PORT=str(proxy.port))
        for database in (postgresql, sqlite):
            database.memsize |= {"RETENTION": 10**7}
        loads = {}
        for database, has_writer in ((postgresql, False), (sqlite, True)):
            server = Server("gthread", folder, database, measured=measured, workers=2, threads=4)
            stack.enter_context(server)
            server.get("/up/")
            loads[database.vendor] = Load(server, has_writer)
        hindered = Hindered(postgresql, proxy, role)
        faults = [
            hindered.terminated,
            hindered.exhausted,
            hindered.read_only,
            hindered.unanswered,
            hindered.cut,
            hindered.locked,
        ]

        def file_locked():
            with sqlite.locked():
                time.sleep(FAULT)

        both = [(loads["postgresql"], faults), (loads["sqlite"], [file_locked])]
        run(both, options.seconds, expected)
        kept = [is_kept(name, folder, load, measured) for name, load in loads.items()]
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
