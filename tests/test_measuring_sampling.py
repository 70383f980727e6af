"""Which requests are metered, over the traffic of whole processes."""

import bisect
import dataclasses
import itertools
import logging
import random
import time
from collections import Counter

import pytest

from django_memsize.measuring import overhead, sampling, tokens
from django_memsize.measuring.sampling import UNRESOLVED, IncomingRequest
from django_memsize.values import OURS, Reason


@dataclasses.dataclass(frozen=True)
class Rules:
    sample_rate: float = 0.01
    sample_first: int = 5
    sample_interval: int | None = 300
    sample_rates: dict = dataclasses.field(default_factory=dict)
    sample: str = ""
    max_overhead: float = 0.05


class Process:
    """A process that serves requests, with a clock of its own and chance that is the same."""

    def __init__(self, seed=0, **rules):
        self.rules = Rules(**rules)
        self.sampling = sampling._Sampling()
        self.choose("GET", "/")  # it learns its rules
        self.sampling._chance.seed(seed)
        self.visits = Counter()
        self.metered = Counter()
        self.reasons = Counter()

    def choose(self, method, path, source=None):
        return self.sampling.choose(self.rules, method, path, source or {})

    def visit(self, path, route, method="GET", rows=0, growth=0, source=None):
        """Serve one request whose route turns out to be this one; return why it was metered."""
        reason, guess = self.choose(method, path, source)
        found = self.sampling.conclude(guess, reason, method, route, path)
        if found is not None:
            found.note(rows, growth, time.monotonic())
        self.visits[route] += 1
        self.metered[route] += reason is not None
        self.reasons[reason] += 1
        return reason


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Have an hour be 3,600 requests, and return the present as a list of one number."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def budget(monkeypatch):
    """Return a list whose only item is whether the overhead is within its budget."""
    within = [True]
    monkeypatch.setattr(overhead, "is_within", lambda share: within[0])
    overhead._process.reset()
    return within


KINDS = ["/section{0}/", "/section{0}/<int:pk>/", "/section{0}/<slug:name>/edit/"]
PATHS = ["/section{0}/", "/section{0}/{1}/", "/section{0}/text-{1}/edit/"]


def zipf(number):
    """Return the cumulated weights of routes of which the n-th has 1/n of the first's traffic."""
    return list(itertools.accumulate(1 / rank for rank in range(1, number + 1)))


def traffic(requests, seed, weights):
    """Yield (path, route) of requests, with another key or name in each."""
    chance = random.Random(seed)
    for _ in range(requests):
        rank = bisect.bisect(weights, chance.random() * weights[-1])
        kind, key = rank % len(KINDS), chance.randrange(10**6)
        yield PATHS[kind].format(rank, key), KINDS[kind].format(rank)


def test_in_twenty_processes_every_route_with_seven_requests_has_five_metered():
    weights = zipf(30)
    for seed in range(20):
        process = Process(seed)
        for path, route in traffic(2000, seed, weights):
            process.visit(path, route)

        often = [route for route, number in process.visits.items() if number >= 7]
        assert len(often) >= 25
        assert [route for route in often if process.metered[route] < 5] == []
        assert sum(process.metered.values()) < 30 * 5 + 2000 * 0.02
        assert overhead.refusals() == 0


def test_a_route_of_one_percent_has_five_requests_metered_by_the_700th():
    process = Process()
    for number in range(1, 701):
        rare = number % 100 == 50
        process.visit(f"/{'rare' if rare else 'usual'}/{number}/", "/rare/<n>/" if rare else "/u/")

    assert process.visits["/rare/<n>/"] == 7
    assert process.metered["/rare/<n>/"] >= 5


def test_a_rare_route_has_five_of_its_first_six_requests_metered():
    rare, weights = "/section1/<int:pk>/", list(itertools.accumulate([0.99, 0.01]))
    for seed in range(20):
        process = Process(seed)
        for path, route in traffic(100_000, seed, weights):
            process.visit(path, route)
            if process.visits[rare] == 6:
                break

        assert process.metered[rare] >= 5


def test_what_is_metered_later_is_the_share_and_one_in_each_interval(clock):
    process = Process()
    for _ in range(36_000):
        process.visit("/a/", "/a/")
        clock[0] += 0.1

    assert process.reasons["first"] == 5
    assert 280 < process.reasons["rate"] < 440  # a share of 0.01
    assert process.reasons["interval"] <= 12
    quiet = Process(sample_rate=1e-9)
    for _ in range(36_000):
        quiet.visit("/a/", "/a/")
        clock[0] += 0.1
    assert quiet.reasons["interval"] == 11  # the first five began at once


def test_with_the_budget_spent_none_is_metered_and_each_refusal_is_counted(budget):
    process = Process(sample_rate=0.5)
    budget[0] = False
    for path, route in traffic(2000, 1, zipf(30)):
        process.visit(path, route)

    assert sum(process.metered.values()) == 0
    wanted = overhead.refusals()
    assert 1900 < wanted <= 2000  # every route is owed some all the time
    assert process.sampling.figures()["refused"] == wanted
    budget[0] = True
    for path, route in traffic(2000, 2, zipf(30)):
        process.visit(path, route)
    assert overhead.refusals() == wanted
    assert min(process.metered.values()) >= 5


def test_random_paths_that_nothing_serves_take_no_more_than_their_share():
    process = Process(3)
    for path, route in traffic(300, 3, zipf(10)):
        process.visit(path, route)
    before = sum(process.metered.values())
    chance = random.Random(3)
    words = ["section0", "section1", "admin", "edit", "x.php", "7", ""]
    for _ in range(10_000):
        path = "/" + "/".join(chance.choices(words, k=chance.randrange(1, 9)))
        process.visit(path, UNRESOLVED)

    figures = process.sampling.figures()
    # Up to eight wrong guesses a route that is still owed some.
    assert process.metered[UNRESOLVED] < 10_000 * 0.012 + 8 * figures["owed"]
    assert figures["routes"] <= 10
    for path, route in traffic(3000, 4, zipf(10)):
        process.visit(path, route)
    assert sum(process.metered.values()) > before
    assert min(process.metered[route] for route in process.visits) >= 5


def test_two_routes_of_the_same_paths_are_both_metered():
    """As where a middleware sets the URLconf by host: the paths say nothing."""
    process = Process(sample_rate=1e-9)
    for number in range(200):
        process.visit("/home/", "/home/" if number % 2 else "/home/<other>")
    assert min(process.metered["/home/"], process.metered["/home/<other>"]) >= 5
    assert sum(process.metered.values()) <= 2 * (5 + 8)

    chance, process = random.Random(5), Process(sample_rate=1e-9)
    for _ in range(3000):
        process.visit("/home/", "/home/<rare>" if chance.random() < 0.02 else "/home/")
    assert sum(process.metered.values()) <= 2 * (5 + 8) + process.visits["/home/<rare>"]


def test_a_route_that_a_cache_answers_nearly_always_is_metered_all_the_same():
    """The middleware of a cache answers before a request is resolved: its guess looks wrong."""
    chance, process = random.Random(6), Process(sample_rate=1e-9)
    for _ in range(3000):
        process.visit("/home/", UNRESOLVED if chance.random() < 0.9 else "/home/")

    assert process.metered["/home/"] >= 5
    assert process.metered[UNRESOLVED] <= 8 + process.visits["/home/"]


def test_routes_below_a_prefix_of_a_language_are_followed_each():
    process = Process()
    for number in range(20):
        for language in ("de", "en"):
            process.visit(f"/{language}/page/{number}/", f"/{language}/page/<int:pk>/")

    assert [process.metered[f"/{one}/page/<int:pk>/"] >= 5 for one in ("de", "en")] == [True] * 2


def test_each_method_of_a_pattern_is_a_route():
    process = Process(sample_rate=1e-9)
    for method in ("GET", "POST"):
        for _ in range(6):
            process.visit("/a/", "/a/", method)

    assert process.metered["/a/"] == 10


def test_many_rows_rising_rss_and_retained_bytes_have_a_route_metered_more_often(clock):
    process = Process(sample_rate=1e-9)
    for _ in range(600):
        process.visit("/rows/", "/rows/", rows=3090)
        process.visit("/rss/", "/rss/", growth=1024**2)
        process.visit("/usual/", "/usual/", rows=20)
        clock[0] += 1

    assert process.metered["/usual/"] == 5 + 1
    assert process.metered["/rows/"] >= 5 + 9
    assert process.metered["/rss/"] >= 5 + 8
    assert {"rows", "rss", "interval", "first"} == process.reasons.keys() - {None}


@pytest.mark.parametrize(
    ("rates", "metered"),
    [
        ({"/a/*": 0}, {"/a/": 0, "/a/<n>/": 0, "/b/": 5}),
        ({"/a/*": 1.0}, {"/a/": 100, "/a/<n>/": 100, "/b/": 5}),
        ({"/a/<n>/": 0, "/a/*": 1.0}, {"/a/": 100, "/a/<n>/": 1, "/b/": 5}),
        ({"*": 0}, {"/a/": 0, "/a/<n>/": 0, "/b/": 0}),
    ],
)
def test_the_first_pattern_that_matches_a_route_has_its_share(rates, metered):
    """The first request of a route is known by its path alone, which is matched then."""
    process = Process(sample_rate=1e-9, sample_rates=rates)
    for number in range(100):
        process.visit("/a/", "/a/")
        process.visit(f"/a/{number}/", "/a/<n>/")
        process.visit("/b/", "/b/")

    assert dict(process.metered) == metered


def test_a_pattern_matches_the_route_of_a_regular_expression_without_its_beginning():
    process = Process(sample_rate=1e-9, sample_rates={"/a/*": 0})
    for number in range(10):
        process.visit(f"/a/{number}/", "^a/([0-9]+)/$")

    assert sum(process.metered.values()) == 0


def test_a_share_of_one_by_a_pattern_is_within_the_budget_and_that_of_all_is_not(budget):
    budget[0] = False
    by_pattern = Process(sample_rates={"/a/": 1.0})
    of_all = Process(sample_rate=1.0, sample_rates={"/b/": 0})
    for process in (by_pattern, of_all):
        for _ in range(10):
            process.visit("/a/", "/a/")
            process.visit("/b/", "/b/")

    assert sum(by_pattern.metered.values()) == 0
    assert dict(of_all.metered) == {"/a/": 10, "/b/": 0}


# The callable of the settings

asked: list[IncomingRequest] = []


def sample(request):
    asked.append(request)
    answer = request.header("X-Answer")
    return {"raise": lambda: 1 / 0, "other": lambda: "yes"}.get(answer, lambda: eval(answer))()


def source_of(answer):
    return {"HTTP_X_ANSWER": answer}


@pytest.mark.parametrize(
    ("answer", "metered"),
    [("None", 5), ("True", 20), ("1", 20), ("False", 0), ("0.0", 0), ("raise", 5), ("other", 5)],
)
def test_the_callable_says_whether_a_request_is_metered(answer, metered, caplog):
    asked.clear()
    process = Process(sample_rate=1e-9, sample=f"{__name__}.sample")
    asked.clear()
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            process.visit(f"/a/{number}/", "/a/<n>/", source=source_of(answer))

    assert process.metered["/a/<n>/"] == metered
    assert [one.route for one in asked] == ["", *["/a/<n>/"] * 19]
    assert {one.method for one in asked} == {"GET"}
    assert asked[7].path == "/a/7/"
    if metered == 20:
        assert process.reasons == {"callable": 20}


def test_a_callable_that_is_not_there_changes_nothing():
    process = Process(sample_rate=1e-9, sample="no.such.callable")
    for _ in range(20):
        process.visit("/a/", "/a/")

    assert process.metered["/a/"] == 5


def test_the_callable_may_answer_with_a_share():
    process = Process(sample=f"{__name__}.sample", sample_rate=0)
    for _ in range(1000):
        process.visit("/a/", "/a/", source=source_of("0.25"))

    assert 200 < process.metered["/a/"] < 300


def test_what_the_callable_is_asked_about_shows_neither_its_path_nor_its_headers():
    source = {"REQUEST_METHOD": "GET", "HTTP_COOKIE": "sessionid=secret"}
    request = IncomingRequest("GET", "/reset/secret/", "/reset/<token>/", source)

    assert repr(request) == "IncomingRequest(method='GET', route='/reset/<token>/')"
    assert request.header("Cookie") == "sessionid=secret"
    assert len({request, IncomingRequest("GET", "/reset/secret/", "/reset/<token>/", {})}) == 1


def test_the_callable_cannot_exceed_the_budget(budget):
    process = Process(sample=f"{__name__}.sample")
    budget[0] = False

    assert process.visit("/a/", "/a/", source=source_of("True")) is None
    assert overhead.refusals() == 1


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("reason", ["token", "callable"])
def test_where_every_request_is_metered_one_that_was_asked_for_is_so_too(budget, reason, is_known):
    process = Process(sample_rate=1.0, sample=f"{__name__}.sample", sample_rates={"/b/": 0.5})
    if is_known:
        process.visit("/a/", "/a/", source=source_of("None"))
        process.visit("/b/", "/b/", source=source_of("None"))
    budget[0] = False
    token = {"HTTP_X_MEMSIZE_TOKEN": tokens.new(60)}
    source = token if reason == "token" else source_of("True")

    assert process.choose("GET", "/a/", source)[0] == reason
    assert process.choose("GET", "/b/", source)[0] is None
    assert process.choose("GET", "/a/", source_of("False"))[0] is None
    assert overhead.refusals() == 1


# Tokens


@pytest.mark.parametrize("rules", [{}, {"sample_rate": 0}, {"sample_rates": {"*": 0}}])
def test_a_token_has_one_request_metered_whatever_the_shares_say(rules):
    process = Process(**rules)
    token = {"HTTP_X_MEMSIZE_TOKEN": tokens.new(60)}

    assert process.visit("/a/", "/a/", source=token) == "token"
    assert process.visit("/a/", "/a/", source={"HTTP_X_MEMSIZE_TOKEN": "1.a"}) != "token"


def test_a_token_cannot_exceed_the_budget(budget):
    process, token = Process(), {"HTTP_X_MEMSIZE_TOKEN": tokens.new(60)}
    budget[0] = False

    assert process.visit("/a/", "/a/", source=token) is None
    assert overhead.refusals() == 1


# The state of the process


def test_a_process_tells_what_it_metered_and_why():
    process = Process(sample_rate=1e-9)
    for path in ("/a/", "/b/"):
        for _ in range(4):
            process.visit(path, path)

    figures = process.sampling.figures()
    assert {name: number for name, number in figures.items() if number} == {
        "routes": 2,
        "owed": 2,
        "first": 6,
    }
    assert set(figures) == {*sampling.FIGURES}


def test_routes_are_bounded_and_those_beyond_have_their_share(monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_ROUTES", 10)
    process = Process(1, sample_rate=0.5)
    for number in range(200):
        process.visit(f"/page{number}/", f"/page{number}/")

    assert process.sampling.figures()["routes"] == 10
    assert 60 < process.reasons["rate"] < 140


def test_two_first_requests_at_once_make_one_route(monkeypatch):
    process, made = Process(), []

    class Slow(sampling.Route):
        __slots__ = ()

        def __init__(self, *values):
            super().__init__(*values)
            made.append(self)
            if len(made) == 1:  # another thread is as far meanwhile
                process.visit("/a/", "/a/")

    monkeypatch.setattr(sampling, "Route", Slow)
    process.visit("/a/", "/a/")

    assert len(made) == 2
    (route,) = process.sampling._routes.values()
    assert process.choose("GET", "/a/")[1] is route
    assert [*process.sampling._shapes._by_shape.values()] == [(route,)]


def test_a_measurement_that_is_given_back_is_owed_until_that_was_too_often(clock):
    process = Process(sample_rate=1e-9)
    process.visit("/a/", "/a/")
    given_back = 0
    for _ in range(900):
        reason, guess = process.choose("GET", "/a/")
        sampling.give_back(guess, reason)
        given_back += reason is not None
        clock[0] += 1

    assert guess.owed == 5
    assert given_back == 8 + 2  # one in each interval then
    for reason in ("token", "callable", "rate", None):
        sampling.give_back(guess, reason)
        sampling.give_back(None, reason)
    assert guess.owed == 5
    for _ in range(9):
        process.visit("/a/", "/a/")
    assert process.metered["/a/"] == 5


def test_other_settings_and_a_fork_begin_anew():
    process = Process(sample_rate=1e-9)
    for _ in range(10):
        process.visit("/a/", "/a/")
    process.rules = Rules(sample_rate=1e-9, sample_first=1)
    for _ in range(10):
        process.visit("/a/", "/a/")
    assert process.metered["/a/"] == 5 + 1

    process.sampling.reset()
    for _ in range(10):
        process.visit("/a/", "/a/")
    assert process.metered["/a/"] == 5 + 1 + 1


def test_the_random_numbers_of_the_program_are_left_alone():
    random.seed(1)
    expected = random.Random(1).random()
    process = Process(sample_rate=0.5)
    for _ in range(10):
        process.visit("/a/", "/a/")

    assert random.random() == expected


def test_every_object_of_the_state_is_one_that_a_census_leaves_out():
    process = Process()
    process.visit("/a/7/", "/a/<int:pk>/")
    state = process.sampling
    route = state._routes[("GET", "/a/<int:pk>/")]
    kept = [state, state._chance, state._metered, state._routes, state._shapes, route]
    kept += [*state._routes, *(getattr(state._shapes, name) for name in state._shapes.__slots__)]
    kept += [*state._shapes._by_shape, *state._shapes._by_shape.values()]

    assert [type(one) for one in kept if type(one) not in OURS] == []
    assert set(Reason) < set(sampling.FIGURES)
