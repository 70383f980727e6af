"""What this process follows: how long, of which routes, and what is known in between."""

import pytest

from django_memsize.measuring import survivors as module
from django_memsize.measuring.instruments import LEAST_FOLLOWED
from django_memsize.measuring.routes import Route
from django_memsize.measuring.survivors import ENOUGH_LATER, Survivors
from django_memsize.values import Diff, OwnTuple, Reason, Survival

KEY, OTHER = OwnTuple(("live", "GET", "/leak/")), OwnTuple(("run", "GET", "/other/"))
SIZE = 100_000


class Window:
    """Stands in for a window of survivors: what is alive of it is set."""

    def __init__(self, size=SIZE):
        self.retained = self.allocated = self.alive = (10, size)
        self.resized = (0, 0)
        self.incomplete = self.is_discarded = False

    def alive_by_type(self):
        return ({"str": 10}, {"str": self.alive[1]}), ({}, {})

    def discard(self):
        self.is_discarded = True


class Clock:
    cpu = 0.0
    now = 100.0

    def process_time(self):
        return self.cpu

    def perf_counter(self):
        self.now += 1
        return self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def survivors(clock):
    return Survivors()


class Rules:
    sample_first, sample_interval = 5, 300


def follow(survivors, key=KEY, route=None):
    window = Window()
    survivors.follow(key, window, route)
    return window


def end(survivors, clock, number=1, key=KEY):
    """End so many requests that began after all before; return what is concluded."""
    return [each for _ in range(number) for each in survivors.note_request(key, clock.now + 1)]


def test_each_later_request_counts_and_what_is_freed_is_noted(survivors, clock):
    window = follow(survivors)
    assert survivors.known(KEY) == ()
    end(survivors, clock, 2)
    window.alive = (5, 60_000)
    end(survivors, clock, 2)

    assert survivors.known(KEY) == (Survival(4, SIZE, 60_000, 3),)
    assert survivors.known(OTHER) == ()


def test_a_request_that_began_before_does_not_count(survivors, clock):
    began = clock.now
    follow(survivors)

    survivors.note_request(KEY, began)
    assert survivors.known(KEY) == ()


def test_a_request_of_another_route_does_not_count(survivors, clock):
    follow(survivors)
    end(survivors, clock, 5, OTHER)
    assert survivors.known(KEY) == ()


def test_a_buffer_that_grew_is_alive(survivors, clock):
    window = follow(survivors)
    window.alive, window.resized = (1, 20_000), (1, 80_000)
    end(survivors, clock)
    assert survivors.known(KEY) == (Survival(1, SIZE, SIZE),)


def test_where_every_nth_block_is_followed_it_stands_for_all(survivors, clock):
    window = Window()
    window.allocated = window.alive = (1, SIZE // 10)
    survivors.follow(KEY, window, None)
    end(survivors, clock)
    window.alive = (1, SIZE // 40)
    end(survivors, clock)
    assert survivors.known(KEY) == (Survival(2, SIZE, SIZE // 4, 2),)


def test_once_nothing_is_alive_nothing_more_is_to_be_learnt(survivors, clock):
    window = follow(survivors)
    window.alive = (1, LEAST_FOLLOWED - 1)

    result = Survival(1, SIZE, LEAST_FOLLOWED - 1, 1)
    assert end(survivors, clock) == [(KEY, result)]
    assert window.is_discarded
    assert survivors.known(KEY) == (result,)
    assert end(survivors, clock) == []


def test_a_request_is_followed_for_a_number_of_later_ones(survivors, clock):
    window = follow(survivors)

    assert end(survivors, clock, 149) == []
    assert not window.is_discarded
    assert end(survivors, clock) == [(KEY, Survival(150, SIZE, SIZE))]
    assert window.is_discarded


def test_cpu_time_ends_it_and_time_does_not(survivors, clock):
    windows = follow(survivors), follow(survivors, OTHER)
    clock.now += 1e6
    assert end(survivors, clock, 3) == []
    clock.cpu = 59.0
    assert end(survivors, clock) == []
    clock.cpu = 60.0
    concluded = dict(end(survivors, clock))

    assert concluded == {KEY: Survival(5, SIZE, SIZE)}  # the other one has learnt nothing
    assert all(window.is_discarded for window in windows)
    assert survivors.known(OTHER) == ()


def test_a_process_without_requests_follows_no_longer(survivors, clock):
    window = follow(survivors)
    end(survivors, clock, 4)
    assert survivors.sweep() == []
    assert survivors.is_following
    clock.cpu = 60.0

    assert survivors.sweep() == [(KEY, Survival(4, SIZE, SIZE))]
    assert window.is_discarded
    assert not survivors.is_following


def test_three_requests_of_a_route_are_followed_at_once(survivors, clock):
    for _ in range(3):
        assert survivors.wants(KEY)
        follow(survivors)
    assert not survivors.wants(KEY)
    assert survivors.wants(OTHER)


def test_so_many_are_followed_in_a_process(survivors, clock):
    keys = [OwnTuple(("live", "GET", f"/{number}/")) for number in range(24)]
    for key in keys:
        assert survivors.wants(key)
        follow(survivors, key)
    assert not survivors.wants(KEY)
    assert not survivors.wants(keys[0])
    survivors.reset()
    assert survivors.wants(KEY)


def test_a_route_with_enough_results_is_left_alone_for_some_cpu_time(survivors, clock):
    for number in range(3):
        assert survivors.wants(KEY), number
        follow(survivors).alive = (0, 0)
        end(survivors, clock)
    assert not survivors.wants(KEY)
    clock.cpu = 599.0
    assert not survivors.wants(KEY)
    clock.cpu = 600.0
    assert survivors.wants(KEY)


def test_the_latest_results_are_kept(survivors, clock):
    for number in range(7):
        window = follow(survivors)
        window.alive = (1, number)
        end(survivors, clock)
    assert [each.alive for each in survivors.known(KEY)] == [2, 3, 4, 5, 6]


def test_types_are_looked_at_once_they_tell_something(survivors, clock):
    follow(survivors)
    end(survivors, clock)
    (early,) = survivors.known(KEY)
    (asked,) = survivors.known(KEY, looks_at_types=True)
    assert (early.types, asked.types) == (None, Diff({"str": 10}, {"str": SIZE}))
    window = follow(survivors)
    end(survivors, clock, ENOUGH_LATER)
    assert survivors.known(KEY)[1].types == Diff({"str": 10}, {"str": SIZE})
    window.alive = (5, SIZE // 2)
    end(survivors, clock)
    assert survivors.known(KEY)[1].types == Diff({"str": 10}, {"str": SIZE // 2})


def test_types_that_the_engine_cannot_tell_are_none(survivors, clock, monkeypatch):
    monkeypatch.setattr(Window, "alive_by_type", lambda _: "changes")
    follow(survivors)
    end(survivors, clock)
    (known,) = survivors.known(KEY, looks_at_types=True)
    assert not known.types


def test_of_every_nth_block_the_types_are_not_told(survivors, clock):
    window = Window()
    window.retained = (20, SIZE)
    survivors.follow(KEY, window, None)
    end(survivors, clock)
    (known,) = survivors.known(KEY, looks_at_types=True)
    assert known.types is None


def test_what_the_engine_lost_tells_nothing(survivors, clock):
    window = follow(survivors)
    end(survivors, clock)
    window.alive, window.incomplete = (0, 0), True

    assert survivors.known(KEY) == ()
    assert end(survivors, clock) == []
    assert survivors.known(KEY) == ()
    assert not survivors.is_following


def test_what_is_forgotten_is_discarded(survivors, clock):
    live, run = follow(survivors), follow(survivors, OTHER)
    end(survivors, clock)
    survivors.forget("run")

    assert (live.is_discarded, run.is_discarded) == (False, True)
    survivors.reset()
    assert live.is_discarded
    assert survivors.known(KEY) == ()


@pytest.mark.parametrize(("number", "alive"), [(ENOUGH_LATER, SIZE), (1, 0)])
def test_the_route_is_metered_soon_once_something_is_known(survivors, clock, number, alive):
    """Its report carries the result."""
    route = Route("GET", "/leak/", 0.01, Rules())
    route.owed = 0
    route.meter(clock.now)
    window = follow(survivors, KEY, route)
    end(survivors, clock, number - 1)
    assert route.due_at > clock.now
    window.alive = (10, alive)
    end(survivors, clock)

    assert route.due_at <= clock.now
    assert route.reserve(clock.now) is Reason.RETAINED


def test_a_process_follows_for_a_share_of_its_cpu_time(survivors, clock):
    routes = [OwnTuple(("live", "GET", f"/{number}/")) for number in range(100)]
    times = []
    for key in routes:
        if survivors.wants(key):
            follow(survivors, key)
            times.append(clock.cpu)
        clock.cpu += module._MOST_CPU
        survivors.sweep()

    assert [time - module._FREE for time in times[:3]] == [-120.0, -60.0, 0.0]
    followed, passed = len(times) * module._MOST_CPU, clock.cpu
    allowed = module._FREE + module._SHARE * passed
    assert allowed - module._MOST_CPU <= followed <= allowed + module._MOST_CPU


def test_a_process_that_begins_anew_has_followed_nothing(survivors, clock):
    follow(survivors)
    clock.cpu += 10 * module._FREE
    assert not survivors.wants(OTHER)

    survivors.reset()
    assert survivors.wants(OTHER)
