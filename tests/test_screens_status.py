"""The status in sentences, and as a table of processes."""

import dataclasses

import pytest

from django_memsize.measuring.sampling import FIGURES
from django_memsize.screens.status import Sampling, Storage, text
from django_memsize.workers.state_file import Worker
from django_memsize.workers.tally import INHERITED, MADE, NUMBERS, Cause, State, told

NOW = 1_000_000.0
SAMPLING = Sampling(
    enabled=True,
    has_middleware=True,
    sample_rate=0.01,
    is_set=False,
    debug=False,
    instrument="auto",
    max_overhead=0.05,
    exclude=(),
    sample_first=5,
    sample_interval=300,
    sample_rates={},
    sample="",
    engine="compiled",
    has_meter=True,
)
WORKER = Worker(
    numbers=dict.fromkeys(NUMBERS, 0),
    sampling=dict.fromkeys(FIGURES, 0),
    pid=41,
    started_at=NOW - 7300,
    sample_rate=0.01,
    max_overhead=0.05,
    overhead=1.0,
    cpu=100.0,
    error_at=0.0,
    engine="compiled",
    instrument="auto",
    release="",
    error="",
    is_alive=True,
)


def worker(numbers=None, **values):
    known = WORKER.numbers | (numbers or {})
    return dataclasses.replace(WORKER, numbers=known, **values)


def status(workers=(), storage=None, **sampling):
    sampled = dataclasses.replace(SAMPLING, **sampling)
    return text(sampled, storage or Storage("default"), workers, NOW)


@pytest.mark.parametrize(
    ("sampling", "sentence"),
    [
        (
            {},
            (
                "1% of the requests are measured, the default without DEBUG, by the meter of the "
                "compiled engine; of each route, 5 requests after the first (SAMPLE_FIRST) and one "
                "in each 5 min (SAMPLE_INTERVAL). The others are counted. Measuring may take 5% of "
                "the CPU time of each process (MAX_OVERHEAD)."
            ),
        ),
        ({"sample_rate": 0.0025, "max_overhead": 0.001}, "0.25% of the requests are measured,"),
        ({"sample_rate": 0.0025, "max_overhead": 0.001}, "Measuring may take 0.1% of"),
        ({"sample_rate": 1.0, "debug": True}, "Every request is measured, the default with DEBUG,"),
        (
            {"sample_rate": 0.0, "is_set": True},
            "Requests are only counted, as MEMSIZE['SAMPLE_RATE'] says.",
        ),
        ({"sample_first": 1, "sample_interval": None}, "; of each route, 1 request after the fi"),
        (
            {"sample_first": 0, "sample_interval": 90},
            "; of each route, one in each 90 s (SAMPLE_INTERVAL). The",
        ),
        ({"sample_first": 0, "sample_interval": 0}, "by the meter of the compiled engine. The"),
        (
            {"sample_rates": {"/api/*": 1.0, "/health/": 0}, "sample": "bank.memory.sample"},
            (
                "Other shares, the first that matches: 100% of /api/*, 0% of /health/ "
                "(SAMPLE_RATES). bank.memory.sample is asked first (SAMPLE). The others"
            ),
        ),
        ({"sample_rate": 0.0, "sample_rates": {"/api/*": 0.5}}, "0% of the requests are measured,"),
        ({"sample_rate": 1.0, "sample_rates": {"/a/": 0}}, "0% of /a/ (SAMPLE_RATES)."),
        ({"instrument": "census"}, "by a census of the compiled engine; of each route,"),
        (
            {"has_meter": False, "engine": "python", "instrument": "census"},
            "by a census of the python engine; of each route,",
        ),
        (
            {"has_meter": False, "engine": "python"},
            "Requests are only counted: the python engine has no meter.",
        ),
        ({"enabled": False}, "Nothing is measured: MEMSIZE['ENABLED'] is False."),
        (
            {"has_middleware": False},
            "No request is measured: MemsizeMiddleware is not in MIDDLEWARE.",
        ),
        ({"exclude": ("/static/*", "/a")}, "Not measured: /static/*, /a (EXCLUDE)."),
    ],
)
def test_the_first_line_says_what_is_measured_and_why(sampling, sentence):
    assert sentence in status(**sampling).splitlines()[0]


@pytest.mark.parametrize(
    ("storage", "sentence"),
    [
        (
            Storage("memsize", reports=1, size=2048, latest=NOW - 90),
            "1 report is stored in the database 'memsize', 2.0 KB, the latest of 90 s ago.",
        ),
        (
            Storage("memsize", file="/srv/db.memsize.sqlite3", reports=2, size=2048),
            "2 reports are stored in the file /srv/db.memsize.sqlite3, 2.0 KB.",
        ),
        (
            Storage("default", reports=10_000, has_more=True),
            "More than 10,000 reports are stored in the database 'default'.",
        ),
        (
            Storage("other", has_table=False),
            (
                "The database 'other' has no table of reports: "
                "run 'manage.py migrate django_memsize --database other'."
            ),
        ),
        (
            Storage("memsize", file="/srv/a.sqlite3", error="OperationalError: gone"),
            "The file /srv/a.sqlite3 does not answer: OperationalError: gone",
        ),
        (
            Storage("default", error="OperationalError: gone"),
            "The database 'default' does not answer: OperationalError: gone",
        ),
    ],
)
def test_the_second_line_says_what_is_stored(storage, sentence):
    assert status(storage=storage).splitlines()[1] == sentence


def test_without_processes_there_is_no_table():
    assert status().splitlines()[2:] == ["No process that runs on this host has made a report."]


def test_processes_are_a_table_and_what_they_lost_has_its_causes():
    numbers = {MADE: 12, State.STORED: 7, State.QUEUED: 2, Cause.QUEUE_FULL: 3}
    running = worker(
        numbers | {told(Cause.QUEUE_FULL): 3},
        error="OperationalError: gone",
        error_at=NOW - 5,
        overhead=7.0,
    )
    ended = worker({MADE: 9, State.STORED: 4}, pid=42, is_alive=False, cpu=0.0, overhead=0.0)

    lines = status([running, ended]).splitlines()[3:]

    assert lines == [
        "  PID |   running |   made |   stored |   queued |   dropped |   CPU overhead",
        "===== | ========= | ====== | ======== | ======== | ========= | ==============",
        "   41 |       2 h |     12 |        7 |        2 |         3 |             7%",
        "   42 |     ended |      9 |        4 |        - |         5 |              -",
        "PID 41 dropped 3 reports: queue full (3).",
        (
            "PID 41 only counts requests at present: measuring took more than 5% of its CPU time "
            "(MAX_OVERHEAD)."
        ),
        "PID 41 failed last 5 s ago: OperationalError: gone",
        "PID 42 dropped 5 reports: lost at exit (5).",
    ]


def test_what_a_process_metered_and_why_is_told_and_what_the_budget_refused():
    numbers = {"first": 1200, "rate": 3, "refused": 1500, "routes": 30, "owed": 2}

    assert status([worker(sampling=WORKER.sampling | numbers)]).splitlines()[6:] == [
        "PID 41 metered 1,203 requests: first requests of its route (1,200), sampled (3).",
        "PID 41 has yet to meter first requests of 2 of its 30 routes.",
        "PID 41 did not meter 1,500 requests, because the budget was spent (MAX_OVERHEAD).",
    ]


def test_a_process_that_measures_every_request_has_no_budget():
    assert "only counts" not in status([worker(overhead=50.0, sample_rate=1.0)])


def test_a_running_process_with_other_settings_than_the_command_is_named():
    processes = [
        worker(pid=41, sample_rate=0.5),
        worker(pid=42, engine="python", instrument="census", max_overhead=0.5),
        worker(pid=43, sample_rate=0.5, is_alive=False),
        worker(pid=44),
    ]

    assert status(processes).splitlines()[9:] == [
        "PID 41 runs with other settings: SAMPLE_RATE 0.5.",
        (
            "PID 42 runs with other settings: MAX_OVERHEAD 0.5, INSTRUMENT 'census', "
            "the python engine."
        ),
    ]


def test_drops_taken_over_from_earlier_processes_are_told_apart():
    numbers = {MADE: 3, State.STORED: 2, Cause.QUEUE_FULL: 1, Cause.LOST: 1200, INHERITED: 1200}

    assert status([worker(numbers)]).splitlines()[-1] == (
        "PID 41 dropped 1,201 reports: queue full (1), lost at exit (1,200). "
        "1,200 of them were lost by earlier processes."
    )
