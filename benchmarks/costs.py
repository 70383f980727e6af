"""What django-memsize costs a request, and an evaluation: counted, and metered.

    python benchmarks/costs.py [--rounds 41]
    python benchmarks/costs.py --instructions

Whole requests, through the handler of a WSGI server: signals, middleware, report. Prints medians
and asserts nothing. "plain" runs without django-memsize, in turn with the others in one process;
"plain, again" is the noise. ``--instructions`` counts instructions with valgrind instead, which
are the same whatever else the machine does.
"""

import argparse
import functools
import statistics
import time
import warnings

from callgrind import instructions
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.test import RequestFactory
from example import Account, compare, loaded, origin

from django_memsize import conf
from django_memsize.measuring import arrivals, deferred
from django_memsize.measuring.recording import Recording
from django_memsize.measuring.spans import in_span
from django_memsize.models import ProcessRollup, Report, Rollup
from django_memsize.orm import patches
from django_memsize.reports import writer
from django_memsize.reports.rollups import Rollups, rollups

MIDDLEWARE = "django_memsize.middleware.MemsizeMiddleware"


class Site:
    """The example project, served with and without django-memsize."""

    def __init__(self):
        create(Account._meta.get_field("branch").related_model, Account)
        create(Report, Rollup, ProcessRollup, database="reports")
        warnings.filterwarnings("ignore", "DateTimeField .* received a naive datetime")
        Account.objects.bulk_create(map(loaded, range(300)))
        self.requests = RequestFactory()
        self.plain = WSGIHandler()
        settings.MIDDLEWARE = [MIDDLEWARE]
        self.measured = WSGIHandler()
        arrivals.uninstall()
        self.key = Account.objects.values_list("pk", flat=True)[0]

    def request(self, how, path, times):
        """Return the seconds of some requests of a path."""
        handler = self.plain
        if how != "plain":
            settings.MEMSIZE = settings.MEMSIZE | {"SAMPLE_RATE": int(how == "metered")}
            conf.reset()
            handler = self.measured
            handler.load_middleware()
        environs = [self.requests.get(path).environ for _ in range(times)]
        answer(handler, dict(environs[0]))
        began = time.process_time()
        for environ in environs:
            answer(handler, environ)
        deferred.analyse_now()
        writer.flush(60)
        seconds = time.process_time() - began
        arrivals.uninstall()
        patches.uninstall()
        return seconds

    def evaluation(self, how, _, times):
        """Return the seconds of some queries of a row each, in one recording."""
        if how == "plain":
            patches.uninstall()
            return self.queries(times)
        patches.install()
        recording = Recording("queries", counted=how == "counted")
        recording.open()
        with in_span(recording):
            seconds = self.queries(times)
        recording.close()
        recording.discard()
        patches.uninstall()
        return seconds

    def queries(self, times):
        """Return the seconds of some queries of a row each."""
        Account.objects.get(pk=self.key)
        began = time.process_time()
        for _ in range(times):
            Account.objects.get(pk=self.key)
        return time.process_time() - began


def create(*models, database="default"):
    """Create the tables of some models: all migrations would take minutes under valgrind."""
    with connections[database].schema_editor() as editor:
        for model in models:
            editor.create_model(model)


COSTS = {
    "a view that does nothing": (Site.request, "/nothing/", 50),
    "a template of 300 rows": (Site.request, "/some/", 1),
    "a query of a row": (Site.evaluation, "", 100),
}
"""What is run, and how often at once."""


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--instructions", action="store_true", help="count them with valgrind")
    parser.add_argument("--run", nargs=3, metavar=("WHAT", "HOW", "TIMES"), help="and nothing else")
    options = parser.parse_args()
    if options.run:
        # A process writes its rollups once a minute, and for two seconds at its end: as many
        # instructions as there is time for. Here they are only added up.
        Rollups.seconds_until_due = lambda self, now: 1e6
        what, how, times = options.run
        run, path, _ = COSTS[what]
        run(Site(), how, path, int(times))
        rollups.requests_left()
        rollups.reset()
    elif options.instructions:
        count()
    else:
        measure(options.rounds)


def measure(rounds):
    """Print the CPU time."""
    print(f"{origin()}, {rounds} rounds")
    site = Site()
    for what, (run, path, times) in COSTS.items():
        contestants = {
            name: functools.partial(run, site, name.partition(",")[0], path, times)
            for name in ("plain", "plain, again", "counted", "metered")
        }
        seconds = compare(contestants, rounds)
        print(f"\n{what}")
        for name, each in seconds.items():
            pairs = list(zip(each, seconds["plain"], strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            more = statistics.median(one - other for one, other in pairs) / times * 1e6
            took = statistics.median(each) / times * 1e6
            print(f"    {name:<16}{took:>12,.1f} µs {ratio:>8.3f} times {more:>10,.1f} µs more")


def answer(handler, environ):
    """Answer a request as a server does."""
    response = handler(environ, lambda *_: None)
    for _ in response:
        pass
    response.close()


def count():
    """Print the instructions."""
    print(f"{origin()}, instructions")
    for what, (_, _, times) in COSTS.items():
        plain = None
        print(f"\n{what}")
        for how in ("plain", "counted", "metered"):
            once, twice = (
                instructions(__file__, "--run", what, how, str(number))
                for number in (times, 2 * times)
            )
            taken = (twice - once) / times
            plain = plain or taken
            more = taken - plain
            print(f"    {how:<16}{taken:>14,.0f} {taken / plain:>8.3f} times {more:>12,.0f} more")


if __name__ == "__main__":
    main()
