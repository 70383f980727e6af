"""What it costs to decide whether a request is metered, beside resolving its path.

    python benchmarks/sampling.py [--rounds 21]

The decision is made before Django resolves the path. Prints the median CPU time of a call, for
URLconfs of several sizes: the last of their routes, which takes Django longest. Asserts nothing.
"""

import argparse
import statistics
import time

from django.conf import settings

settings.configure()

from django.http import HttpResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.urls import include, path, resolve  # noqa: E402

from django_memsize import conf  # noqa: E402
from django_memsize.measuring import sampling  # noqa: E402

CALLS = 1000


def urlconf(number):
    """Return a URLconf of sections, each of ten routes."""
    section = [
        *[path(f"page{page}/", HttpResponse) for page in range(5)],
        *[path(f"<int:pk>/part{part}/", HttpResponse) for part in range(5)],
    ]
    return tuple(path(f"section{n}/", include(section)) for n in range(number // 10))


def seconds(function):
    """Return the seconds of one of some calls."""
    began = time.thread_time()
    for _ in range(CALLS):
        function()
    return (time.thread_time() - began) / CALLS


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    config, method = conf.config(), "GET"
    for number in (30, 300, 1000):
        urls = urlconf(number)
        for name, of_all in (("a fixed path", "page4/"), ("a path with a number", "7/part4/")):
            asked = f"/section{number // 10 - 1}/{of_all}"
            environ = RequestFactory().get(asked).environ
            route = f"/{resolve(asked, urls).route}"
            for _ in range(8):  # then it is owed nothing
                reason, guess = sampling.choose(config, method, asked, environ)
                sampling.conclude(guess, reason, method, route, asked)

            def choose(asked=asked, environ=environ):
                sampling.choose(config, method, asked, environ)

            def resolved(asked=asked, urls=urls):
                resolve(asked, urls)

            times = [(seconds(choose), seconds(resolved)) for _ in range(rounds)]
            decision, resolution = map(statistics.median, zip(*times, strict=True))
            print(
                f"{number:>5,} routes, {name:<21} to decide {decision * 1e6:>6.2f} µs, "
                f"resolve() {resolution * 1e6:>7.2f} µs, {resolution / decision:>5.1f} times"
            )


if __name__ == "__main__":
    main()
