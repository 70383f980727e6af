"""Routes and processes of made-up figures, to be ranked."""

from django_memsize.values import ProcessKey, RouteKey, RouteRollup
from django_memsize.values.impact import Known, RouteFigures, Worker

MB = 1024**2


def route(path="/", requests=100, first=0, known=None, **figures):
    """Return a route whose requests have these figures, each a list of numbers."""
    rollup = RouteRollup()
    rollup.requests, rollup.first_requests = requests, first
    for name, numbers in figures.items():
        for number in numbers:
            rollup.add(name, number)
    rollup.metered = rollup["peak"].count
    return RouteFigures(RouteKey("request", "GET", path, ""), rollup, known or Known())


def worker(pid=7, requests=9664, **figures):
    """Return a process that served requests for two hours, and grew."""
    known = {"start": 0, "end": 7200, "rss_first": 55 * MB, "rss_last": 283 * MB}
    sizes = known | {"rss_max": 300 * MB, "in_flight_max": 1} | figures
    return Worker(ProcessKey("web-1", pid, ""), requests=requests, **sizes)
