import time

from django_memsize.measuring import overhead
from django_memsize.measuring.overhead import Overhead, OverheadTimer


def test_the_budget_is_a_share_of_the_cpu_time_of_the_process(monkeypatch):
    monkeypatch.setattr(time, "process_time", lambda: 10.0)
    overhead.add(1.0)

    assert overhead.is_within(1.0)
    assert overhead.is_within(0.1)
    assert not overhead.is_within(0.09)
    assert not overhead.is_within(0.0)


def test_the_overhead_of_an_inner_recording_belongs_to_those_around_it_and_the_process():
    outermost, outer, inner = Overhead(), Overhead(), Overhead()
    inner.outer, outer.outer = outer, outermost

    inner.add(1.0, 2.0)
    outer.add(0.25, 0.5)

    assert (inner.cpu, inner.wall) == (1.0, 2.0)
    assert (outer.cpu, outer.wall) == (1.25, 2.5)
    assert (outermost.cpu, outermost.wall) == (1.25, 2.5)
    assert overhead._process.cpu == 1.25


def test_a_timer_adds_the_cpu_time_and_the_time_of_its_block():
    measured = Overhead()
    with OverheadTimer(measured):
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        time.sleep(0.02)

    assert 0.01 <= measured.cpu < 0.02 + measured.cpu / 2
    assert measured.wall >= measured.cpu + 0.015


def test_a_timer_adds_the_time_of_a_block_that_raises():
    measured = Overhead()
    try:
        with OverheadTimer(measured):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass

    assert measured.wall > 0


def test_the_overhead_of_a_child_process_begins_at_nothing():
    overhead.add(5.0)
    overhead._process.reset()

    assert overhead.is_within(0.0)
