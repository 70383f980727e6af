"""The overhead of evaluations: the same queries with and without them, in turn, in one process.

    python benchmarks/evaluations.py [--rounds 41]

Prints medians of CPU time, and asserts nothing. "plain" runs without the patches on Django; the
difference between "plain" and "plain, again" is the noise. Each contestant runs once before it is
timed, because CPython specialises its bytecode anew where a method of a class was replaced.
"""

import argparse
import statistics
import time
import timeit

from example import Account, compare, origin, served

from django_memsize.measuring.recording import Recording
from django_memsize.measuring.spans import in_span
from django_memsize.orm import patches

SINGLE = 1000
CALLS = 200_000


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    rounds = parser.parse_args().rounds
    served()
    keys = list(Account.objects.values_list("pk", flat=True)[:SINGLE])
    print(f"{origin()}, {rounds} rounds")
    contestants = {
        "plain": plain,
        "plain, again": plain,
        "not recorded": patched,
        "counted": counted,
    }
    report("3,090 rows in one query", compare(contestants, rounds, whole))
    report("3,090 rows and their branches", compare(contestants, rounds, related))
    report(f"{SINGLE:,} queries of a row", compare(contestants, rounds, one_by_one, keys), SINGLE)
    report("3,090 rows of an iterator", compare(contestants, rounds, streamed))
    metered = {"plain": metered_plain, "plain, again": metered_plain, "metered": metered_patched}
    report("metered: 3,090 rows in one query", compare(metered, rounds, whole))
    report("metered: 3,090 rows of an iterator", compare(metered, rounds, streamed))
    report(
        f"metered: {SINGLE:,} queries of a row", compare(metered, rounds, one_by_one, keys), SINGLE
    )
    report("a call of _fetch_all", compare({"plain": off, "not recorded": on}, rounds), CALLS)


def report(title, seconds, evaluations=1):
    """Print what each contestant took, against the plain one of the same round."""
    print(f"\n{title}")
    plain_seconds = seconds["plain"]
    for name, each in seconds.items():
        pairs = list(zip(each, plain_seconds, strict=True))
        ratio = statistics.median(one / other for one, other in pairs)
        more = statistics.median(one - other for one, other in pairs) / evaluations * 1e6
        took = statistics.median(each) * 1000
        print(f"    {name:<16} {took:>10.3f} ms {ratio:>8.3f} times {more:>10.3f} µs more of each")


def whole():
    """Load all accounts."""
    return list(Account.objects.all())


def related():
    """Load all accounts, each with its branch."""
    return list(Account.objects.select_related("branch"))


def one_by_one(keys):
    """Load some accounts, each by a query of its own."""
    return [Account.objects.get(pk=key) for key in keys]


def streamed():
    """Iterate over all accounts, and keep none."""
    return sum(1 for _ in Account.objects.iterator())


def timed(work, *arguments):
    """Return the CPU time of some work in seconds."""
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


def after(change, work, *arguments):
    """Install or uninstall the patches, and do the work once."""
    change()
    work(*arguments)


def plain(work, *arguments):
    """Time work without the patches on Django."""
    after(patches.uninstall, work, *arguments)
    return timed(work, *arguments)


def patched(work, *arguments):
    """Time work with the patches, outside of any recording."""
    after(patches.install, work, *arguments)
    return timed(work, *arguments)


def counted(work, *arguments):
    """Time work in a recording that only counts rows."""
    after(patches.install, work, *arguments)
    return recorded(Recording("counted", counted=True), work, *arguments)


def metered_plain(work, *arguments):
    """Time metered work without evaluations."""
    after(patches.uninstall, work, *arguments)
    return recorded(Recording("plain"), work, *arguments)


def metered_patched(work, *arguments):
    """Time metered work whose evaluations have a window each."""
    after(patches.install, work, *arguments)
    return recorded(Recording("metered"), work, *arguments)


def recorded(recording, work, *arguments):
    """Time work within a recording, without opening and closing the recording."""
    recording.open()
    with in_span(recording):
        seconds = timed(work, *arguments)
    recording.close()
    recording.discard()
    return seconds


def calls():
    """Return the seconds of many calls of a method that has nothing to do."""
    accounts = Account.objects.all()
    accounts._result_cache = []
    return timeit.timeit(accounts._fetch_all, number=CALLS, timer=time.process_time)


def off():
    """Time the calls without the patches."""
    patches.uninstall()
    return calls()


def on():
    """Time the calls with the patches."""
    patches.install()
    return calls()


if __name__ == "__main__":
    main()
