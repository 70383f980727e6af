"""How long the screens take where a million reports are stored, and what pruning costs.

    python benchmarks/million.py fill 1000000     # once: a database of its own
    python benchmarks/million.py screens          # each page, filter, order and command
    python benchmarks/million.py prune 500000     # beside one process that inserts
    python benchmarks/million.py drop

``DATABASE_URL`` names the server, as for the tests; without one it is SQLite, in a file below
``build/``. Prints seconds: the first and the second answer, and the number of queries. It asserts
nothing. The documents are those of a page that loads rows at six call sites, some 5 KB of JSON.
"""

import os
import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django  # noqa: E402
from django.conf import settings  # noqa: E402

NAME = "memsize_million"
FILE = ROOT / "build" / f"{NAME}.sqlite3"
CHUNK = 2_000

DATABASE = settings.DATABASES["default"]
SERVER = DATABASE["NAME"]
DATABASE["NAME"] = str(FILE) if SERVER == ":memory:" else NAME
settings.MEMSIZE = {"RETENTION": 1_000_000, "RETENTION_DAYS": None}
settings.MIDDLEWARE = settings.MIDDLEWARE[1:]  # nothing measures the pages themselves
django.setup()

import io  # noqa: E402

from django.core.management import call_command  # noqa: E402
from django.db import connections, transaction  # noqa: E402
from django.test import Client  # noqa: E402
from django.utils import timezone  # noqa: E402

from django_memsize import conf, values  # noqa: E402
from django_memsize.models import Report  # noqa: E402
from django_memsize.reports import build, database, retention  # noqa: E402

ALIAS = database.alias()
connection = connections[ALIAS]  # on SQLite, that of the reports' own file

ROUTES = [f"/shop/<slug:shop>/part-{number}/<int:pk>/" for number in range(200)]
TYPES = [f"shop.models.catalogue.Model{number}" for number in range(40)]
LIST = "/admin/django_memsize/report/"


def on_server(statement):
    """Run a statement beside any transaction, in the database that always exists."""
    made = DATABASE["NAME"]
    connections.close_all()
    DATABASE["NAME"] = SERVER
    connection.settings_dict["NAME"] = SERVER
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connections.close_all()
    connection.settings_dict["NAME"] = DATABASE["NAME"] = made


def fill(number):
    """Create the database with so many reports, the newest of them now."""
    if connection.vendor == "sqlite":
        FILE.parent.mkdir(exist_ok=True)
        drop()
    else:
        on_server(f"CREATE DATABASE {NAME}")
    call_command("migrate", verbosity=0)
    database.prepare(ALIAS)
    doublings = max((number // 30_000).bit_length() - 1, 0)
    first, chance = number >> doublings, random.Random(7)
    began = timezone.now() - timedelta(seconds=number)
    for start in range(0, first, CHUNK):
        chunk = range(start, min(start + CHUNK, first))
        new = (report(chance, began + timedelta(seconds=each)) for each in chunk)
        Report.objects.bulk_create(new, batch_size=200)
    columns = [field.column for field in Report._meta.fields if not field.primary_key]
    for doubling in range(doublings):
        copied = ", ".join(later(name, first << doubling) for name in columns)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO django_memsize_report ({', '.join(map(quoted, columns))}) "  # noqa: S608
                f"SELECT {copied} FROM django_memsize_report ORDER BY id"
            )
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE django_memsize_report")


def quoted(column):
    """Return the name of a column in SQL: "rows" and "release" are words of MariaDB."""
    return connection.ops.quote_name(column)


def later(column, seconds):
    """Return a column in SQL; that of the start as many seconds later, and a new identity."""
    if column == "uid":
        return {
            "sqlite": "lower(hex(randomblob(16)))",
            "postgresql": "gen_random_uuid()",
            "mysql": "uuid()",
        }[connection.vendor]
    if column != "started_at":
        return quoted(column)
    return {
        "sqlite": f"strftime('%Y-%m-%d %H:%M:%f', started_at, '+{seconds} seconds')",
        "postgresql": f"started_at + interval '{seconds} seconds'",
        "mysql": f"date_add(started_at, interval {seconds} second)",
    }[connection.vendor]


def amount(chance, types=8):
    """Return an amount by type."""
    rows = [
        (name, values.TypeTotal(chance.randrange(1, 10**4), chance.randrange(10**6)))
        for name in chance.sample(TYPES, types)
    ]
    diff = values.Diff.of(rows)
    return values.Amount(diff.total.count, diff.total.size, diff)


def evaluation(chance):
    """Return an evaluation at one of many call sites."""
    line = chance.randrange(10**3)
    small = values.Amount(chance.randrange(10**4), chance.randrange(10**6))
    return values.Evaluation(
        model=f"catalogue.Model{line}",
        kind="instances",
        rows=chance.randrange(3000),
        duration=chance.random(),
        site=values.CallSite(f"shop/views_{line}.py", line, "show_the_part"),
        sql=f'SELECT "t"."id", "t"."name" FROM "t" WHERE "t"."id" > %s LIMIT {line}',  # noqa: S608
        database="default",
        allocated=small,
        peak=small,
        alive=small,
        retained=small,
    )


_documents = []


def report(chance, started_at):
    """Return a report with figures by chance, and one of 200 documents."""
    if len(_documents) < 200:
        summary = values.Summary(
            kind="request",
            name=chance.choice(ROUTES),
            method="GET",
            status=200,
            engine="compiled",
            instrument="meter",
            host="web-1",
            pid=7,
            rows=chance.randrange(3000),
            peak=amount(chance, 1),
            allocated=amount(chance, 1),
            alive=amount(chance, 1),
            retained=amount(chance),
            garbage=amount(chance),
            free_lists=amount(chance, 3),
            evaluations=tuple(evaluation(chance) for _ in range(6)),
        )
        _documents.append(build.report_of(summary).document)
    # A few routes have most of the requests.
    return Report(
        kind="block" if chance.random() < 0.01 else "request",
        route=ROUTES[min(int(chance.expovariate(0.05)), len(ROUTES) - 1)],
        method="POST" if chance.random() < 0.1 else "GET",
        started_at=started_at,
        duration=chance.random(),
        engine="compiled",
        instrument="meter" if chance.random() < 0.9 else "census",
        release=f"2026-{started_at:%m-%d}",
        host=f"web-{chance.randrange(4)}",
        pid=chance.randrange(1, 40),
        peak_bytes=chance.randrange(10**8),
        retained_bytes=chance.randrange(10**6),
        garbage_bytes=chance.randrange(10**7),
        rows=chance.randrange(3000),
        in_flight=chance.randrange(3),
        incomplete=chance.random() < 0.01,
        first_request=chance.random() < 0.01,
        document=chance.choice(_documents),
    )


def screens():
    """Ask each question twice, and print how long it took."""
    from django.contrib.auth import get_user_model

    user, _ = get_user_model().objects.get_or_create(
        username="admin", is_staff=True, is_superuser=True
    )
    client = Client()
    client.force_login(user)
    newest = Report.objects.order_by("-pk").values_list("pk", flat=True)[0]
    oldest = Report.objects.order_by("pk").values_list("pk", flat=True)[0]
    queries = ["", "p=100", "q=part-3", "q=nothing", f"route={ROUTES[3]}", "route=/none/"]
    queries += [f"o={sign}{column}" for column in range(1, 11) for sign in ("", "-")]
    queries += ["kind__exact=block", "kind__exact=code", "method=POST", "alone=yes", "alone=no"]
    queries += ["first_request__exact=1", "incomplete__exact=1", "instrument=census"]
    queries += ["engine=python", "release=2026-11-28", "started_at__year=2026", "o=4&q=part-9"]
    pages = [f"{LIST}?{query}" for query in queries]
    pages += [f"{LIST}{pk}/change/" for pk in (newest, (oldest + newest) // 2, oldest)]
    for page in pages:
        measure(page, lambda page=page: client.get(page).status_code)
    commands = [[], ["--format", "json"], ["show", newest], ["show", oldest]]
    commands.append(["show", oldest, "--format", "json"])
    for words in commands:
        words = [str(word) for word in words]
        measure(
            " ".join(["memprofile", *words]),
            lambda words=words: call_command("memprofile", *words, stdout=io.StringIO()),
        )


def measure(name, question):
    """Ask a question twice, and print the seconds and the number of queries."""
    seconds, statements = [], []

    def timed(execute, sql, *rest):
        began = time.perf_counter()
        try:
            return execute(sql, *rest)
        finally:
            statements.append((time.perf_counter() - began, sql))

    for _ in range(2):
        statements.clear()
        with connection.execute_wrapper(timed):
            began = time.perf_counter()
            answer = question()
            seconds.append(time.perf_counter() - began)
    mark = "  <-- slow" if max(seconds) > 1 else ""
    print(
        f"{seconds[0]:8.3f} {seconds[1]:8.3f} {len(statements):4} {answer or ''} {name}{mark}",
        flush=True,
    )
    if mark:
        slowest, sql = max(statements)
        print(f"    {slowest:.3f} {sql[:1200]}")


def insert():
    """Insert one report after the other until stdin is closed, and print the longest times."""
    chance, seconds = random.Random(), []
    deadline = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < deadline and not (ROOT / "build" / f"{NAME}.over").exists():
        new = [report(chance, timezone.now()) for _ in range(5)]
        began = time.perf_counter()
        with transaction.atomic(using=ALIAS):
            Report.objects.bulk_create(new)
        seconds.append(time.perf_counter() - began)
        time.sleep(0.02)
    longest = ", ".join(f"{second:.3f}" for second in sorted(seconds)[-3:])
    print(f"{len(seconds):,} insertions of 5 reports, the longest took {longest} s", flush=True)


def prune(number):
    """Delete so many of the oldest reports while another process inserts."""
    over = ROOT / "build" / f"{NAME}.over"
    over.parent.mkdir(exist_ok=True)
    over.unlink(missing_ok=True)
    stored = Report.objects.count()
    settings.MEMSIZE["RETENTION"] = stored - number
    conf.reset()
    other = subprocess.Popen([sys.executable, __file__, "insert", "3600"])  # noqa: S603
    began, deleted, calls, pruner = time.perf_counter(), 0, [], retention.Pruner()
    is_over = False
    while not is_over:
        start = time.perf_counter()
        count, is_over = pruner.prune(ALIAS)
        calls.append(time.perf_counter() - start)
        deleted += count
    over.touch()
    other.wait()
    print(
        f"deleted {deleted:,} of {stored:,} in {time.perf_counter() - began:.1f} s, {len(calls):,} "
        f"calls, the longest took {max(calls):.3f} s"
    )


def drop():
    """Remove the database."""
    if connection.vendor == "sqlite":
        for file in FILE.parent.glob(f"{NAME}.*"):
            file.unlink()
    else:
        on_server(f"DROP DATABASE {NAME}")


if __name__ == "__main__":
    command, *numbers = sys.argv[1:]
    globals()[command](*map(int, numbers)) if command != "insert" else insert()
