"""Whether `memprofile` names the three harms of a shop with ten routes, and accuses no others.

    python benchmarks/shop.py [--runs 20] [--requests 2000] [--servers 1x4 2x2] [--leave-out]

Serves `benchmarks/shop_project` by gunicorn's gthread workers (workers x threads), with the default
settings of django-memsize, and PostgreSQL on this machine, where it makes a database of its own and
drops it. Each run is a fresh server, and so many requests of a mix of all routes, from clients on
this machine. Then it asks `memprofile --format json`, and the reports' documents, for

- the leak, the bloat and the N+1: is each found at its line, and in its view where reports have
  views; and which place has its route in the order of harm;
- the other routes: is any of them accused of a leak, bloat or an N+1.

With ``--leave-out`` it also measures the RSS at the end with each harm left out, and with each
alone, to compare the order of harm with the truth. Exits with 1 unless all is found and nobody is
accused.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = ROOT / "benchmarks" / "shop_project"
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402

from django_memsize.formatting import human_size  # noqa: E402
from tests import serving  # noqa: E402
from tests.served_databases import PostgreSQL  # noqa: E402
from tests.serving import Kind, Server, manage  # noqa: E402

serving.PATIENCE = 600
"""A busy machine starts a server slowly, and an export may wait for others."""

CLIENTS = 6

WEIGHTS = {
    "/recommended/": 3,
    "/export/": 1,
    "/orders/": 8,
    "/compared/": 8,
    "/category/": 10,
    "/statistics/": 8,
    "/catalogue/": 12,
    "/account/": 10,
    "/": 20,
    "/products/7/": 20,
}
"""How often each page is asked for, in a hundred requests."""

VARIABLES = {
    "DJANGO_SETTINGS_MODULE": "shop_settings",
    "PYTHONPATH": os.pathsep.join([str(PROJECT), str(ROOT)]),
}
KIND = Kind("gunicorn", [*serving.KINDS["gthread"].command[:-1], "shop_wsgi:application"])
DOCUMENTS = """
import django, json, sys
django.setup()
from django_memsize.models import Report
from django_memsize.screens.documents import document_of
json.dump([document_of(each) for each in Report.objects.filter(source="live").order_by("pk")],
          sys.stdout)
"""
ACCUSING = frozenset({"leak", "bloat", "n-plus-one"})
"""Findings that none of the other routes deserves. "leak-or-cache" asks for more requests."""


@dataclass(frozen=True)
class Harm:
    """What one view does, and how it is to be named."""

    name: str
    """Of its finding."""
    route: str
    view: str
    file: str
    """The file with a mark at its line."""
    harm: str = ""
    """Of the list of routes; none for an N+1, which takes time and no bytes."""

    @property
    def line(self):
        """The line that does it."""
        lines = (PROJECT / self.file).read_text().splitlines()
        return next(n for n, line in enumerate(lines, 1) if f"line: {self.name}" in line)

    @property
    def place(self):
        """File and line, as reports name them."""
        return f"{self.file.removeprefix('shop/templates/')}:{self.line}"


HARMS = (
    Harm("leak", "/recommended/", "shop.views.recommended", "shop/views.py", "retained"),
    Harm("bloat", "/export/", "shop.views.export", "shop/views.py", "peak"),
    Harm("n-plus-one", "/orders/", "shop.views.orders", "shop/templates/shop/orders.html"),
)


@dataclass
class Found:
    """What one run says of one harm."""

    place: int | None = None
    """In the order of harm, from 1."""
    impact: int = 0
    reason: str = ""
    is_listed: bool = False
    """Whether the list names this harm of its route."""
    is_named: bool = False
    has_line: bool = False
    has_view: bool | None = None
    """None where the reports have no views."""

    @property
    def is_whole(self):
        """Whether all that a developer needs is said."""
        return self.is_listed and self.is_named and self.has_line and self.has_view is not False


@dataclass
class Run:
    """What one run says, and the RSS of its workers at the end."""

    found: dict[str, Found] = field(default_factory=dict)
    accused: list[str] = field(default_factory=list)
    doubted: list[str] = field(default_factory=list)
    rss: list[int] = field(default_factory=list)
    seconds: float = 0.0


class Shop(PostgreSQL):
    """A database of the shop, filled."""

    def make(self):
        """Make the database; return its settings, as in ``DATABASES``."""
        self._administer(f"CREATE DATABASE {self.name}")
        settings = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "USER": self.administrator,
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "CONN_MAX_AGE": 60,
        }
        self.settings = {"default": settings}
        manage(self.folder, self, "migrate", "--run-syncdb", "--verbosity=0", **VARIABLES)
        manage(self.folder, self, "fill_shop", **VARIABLES)
        return settings

    def forget(self):
        """Delete all that django-memsize has stored."""
        for table in ("report", "rollup", "processrollup"):
            self.execute(f"TRUNCATE django_memsize_{table}")


class Client:
    """One visitor, with a session."""

    def __init__(self, server, seed):
        self.server = server
        self.chance = random.Random(seed)
        self.cookie = ""

    def visit(self, number):
        """Send so many requests, one after another."""
        urls = self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=number)
        with contextlib.closing(http.client.HTTPConnection(*self.server.address, 600)) as to:
            for url in urls:
                to.request("GET", url, headers={"Cookie": self.cookie} if self.cookie else {})
                response = to.getresponse()
                response.read()
                if response.status != 200:
                    raise RuntimeError(f"{url}: {response.status}\n{self.server.log.read_text()}")
                if cookie := response.getheader("Set-Cookie"):
                    self.cookie = cookie.partition(";")[0]


def load(server, requests, seed):
    """Have all clients send their requests, the same ones for the same seed."""
    server.get("/products/7/")  # once it is there
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(server, seed * 1000 + n) for n in range(CLIENTS)]
        list(pool.map(lambda client: client.visit(requests // CLIENTS), clients))


def resident(server):
    """Return the RSS of each worker."""
    children = psutil.Process(server.process.pid).children()
    return [child.memory_info().rss for child in children]


def measure(folder, shop, shape, requests, seed, without=()):
    """Serve so many requests, and return what is said of them."""
    workers, threads = map(int, shape.split("x"))
    shop.forget()
    serving.KINDS["shop"] = KIND
    variables = VARIABLES | {"SHOP_WITHOUT": ",".join(without)}
    options = {"workers": workers, "threads": threads}
    began = time.monotonic()
    with Server("shop", folder, shop, **options, **variables) as server:
        load(server, requests, seed)
        seconds, rss = time.monotonic() - began, resident(server)
        server.stop()
    run = judge(*asked(folder, shop))
    run.rss, run.seconds = rss, seconds
    return run


def asked(folder, shop):
    """Return the list of routes, and all documents of reports."""
    listed = manage(folder, shop, "memprofile", "--format=json", "--top=50", **VARIABLES)
    documents = manage(folder, shop, "shell", "-v0", "-c", DOCUMENTS, **VARIABLES)
    return json.loads(listed)["routes"], json.loads(documents)


def judge(routes, documents):
    """Return what the list and the reports say of the harms, and of the others."""
    run = Run()
    for harm in HARMS:
        found = run.found[harm.name] = Found()
        for place, route in enumerate(routes, 1):
            if route["route"] == harm.route:
                found.place, found.impact = place, route["impact_bytes"]
                found.reason = route["reason"]
                names = [each["name"] for each in route["harms"]]
                found.is_listed = not harm.harm or harm.harm in names[:2]
        for document in documents:
            if document["name"] == harm.route:
                look(found, harm, document)
    guilty = {harm.route for harm in HARMS}
    for document in documents:
        if document["name"] not in guilty:
            for finding in document["findings"]:
                charge = f"{finding['name']} of {document['name']}"
                into = run.accused if finding["name"] in ACCUSING else run.doubted
                into.append(charge)
    return run


def look(found, harm, document):
    """Look for the finding of a harm in a report, and for the line and the view that it names."""
    for finding in document["findings"]:
        if finding["name"] == harm.name:
            found.is_named = True
            found.has_line = found.has_line or harm.place in places(finding, document)
            if document.get("view"):
                found.has_view = bool(found.has_view) or document["view"] == harm.view


def places(finding, document):
    """Return the places that a finding names: of its evaluation, or its own."""
    sites = [finding.get("site")]
    index = finding.get("evaluation")
    if index is not None:
        sites.append(document["evaluations"][index]["site"])
    found = set()
    for site in filter(None, sites):
        found.add(f"{site['file']}:{site['line']}")
        found.add(f"{site['template']}:{site['template_line']}")
    return found


def print_run(name, run):
    """Print what a run says, a line for each harm."""
    rss = ", ".join(map(human_size, run.rss))
    print(f"{name}: {run.seconds:.0f} s, RSS at the end {rss}")
    for harm in HARMS:
        found = run.found[harm.name]
        marks = {"listed": found.is_listed, "named": found.is_named, "line": found.has_line}
        if found.has_view is not None:
            marks["view"] = found.has_view
        missing = ", ".join(mark for mark, is_there in marks.items() if not is_there)
        verdict = "found" if found.is_whole else f"NOT FOUND ({missing})"
        print(f"    {harm.name:12}{verdict}; place {found.place}: {found.reason}")
    for word, charges in (("ACCUSED", run.accused), ("doubted", run.doubted)):
        for charge in sorted(set(charges)):
            print(f"    {word}: {charge} ({charges.count(charge)} reports)")
    sys.stdout.flush()


def print_table(shape, runs):
    """Print how often each harm was found, and the others accused; return whether all is well."""
    print(f"\n| {shape} | found | median place | median impact |\n|---|---|---|---|")
    is_well = True
    for harm in HARMS:
        each = [run.found[harm.name] for run in runs]
        number = sum(found.is_whole for found in each)
        place = statistics.median([found.place or 99 for found in each])
        impact = statistics.median([found.impact for found in each])
        print(f"| {harm.name} | {number} of {len(runs)} | {place:g} | {human_size(impact)} |")
        is_well = is_well and number == len(runs)
    accused = sum(bool(run.accused) for run in runs)
    print(f"| others accused in | {accused} of {len(runs)} | | |", flush=True)
    return is_well and not accused


def leave_out(folder, shop, shape, requests):
    """Print the RSS at the end without each harm and with it alone, beside what the list says."""

    def measured(without):
        return measure(folder, shop, shape, requests, 1, without)

    names = [harm.name for harm in HARMS]
    whole, none = measured([]), measured(names)
    print(
        f"\n{shape}, the largest worker: with all {human_size(max(whole.rss))}, with no harm "
        f"{human_size(max(none.rss))}"
    )
    print("\n| harm | less without it | more with it alone | impact as listed |\n|---|---|---|---|")
    for name in names:
        without, alone = measured([name]), measured([each for each in names if each != name])
        cells = (
            max(whole.rss) - max(without.rss),
            max(alone.rss) - max(none.rss),
            alone.found[name].impact,
        )
        print(f"| {name} | {' | '.join(map(human_size, cells))} |", flush=True)


def main():
    """Run the shop, and print what is said of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--servers", nargs="+", default=["1x4", "2x2"], metavar="WORKERSxTHREADS")
    parser.add_argument("--leave-out", action="store_true")
    options = parser.parse_args()
    is_well = True
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shop = stack.enter_context(Shop(folder))
        for shape in options.servers:
            runs = []
            for number in range(1, options.runs + 1):
                runs.append(measure(folder, shop, shape, options.requests, number))
                print_run(f"{shape}, run {number}", runs[-1])
            is_well = print_table(shape, runs) and is_well
            if options.leave_out:
                leave_out(folder, shop, shape, options.requests)
    sys.exit(not is_well)


if __name__ == "__main__":
    main()
