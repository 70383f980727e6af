import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from django_memsize.measuring import in_flight
from django_memsize.measuring.in_flight import InFlight, in_flight_elsewhere, none_in_flight


def in_a_thread(function):
    """Return what a function returns in another thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(30)
    return found[0]


def test_a_span_alone_has_no_other_in_flight():
    assert InFlight().close() == 0
    assert InFlight().close() == 0


def test_spans_are_counted_whenever_they_were_in_flight_at_any_moment_of_another():
    before = InFlight()
    span = InFlight()
    meanwhile = InFlight()
    meanwhile.close()
    InFlight().close()
    before.close()

    assert span.close() == 3
    assert InFlight().close() == 0


def test_a_second_close_ends_nothing():
    first, second = InFlight(), InFlight()

    assert first.close() == first.close() == 1

    assert second.close() == 1
    assert InFlight().close() == 0


def test_spans_of_other_threads_are_told_from_those_of_this_one():
    with ThreadPoolExecutor(1) as other:  # alive: the identity of a thread that ended is reused
        here, elsewhere = InFlight(), other.submit(InFlight).result()

        assert in_flight_elsewhere() == 1
        assert other.submit(in_flight_elsewhere).result() == 1
        assert in_a_thread(in_flight_elsewhere) == 2

        elsewhere.close()
        assert in_flight_elsewhere() == 0
        here.close()


def test_a_span_may_be_closed_by_another_thread_than_opened_it():
    span = InFlight()
    in_a_thread(span.close)

    assert in_flight_elsewhere() == 0
    assert in_a_thread(in_flight_elsewhere) == 0
    assert not in_flight._now.by_thread


@pytest.mark.parametrize("number", [0, 1])
def test_whether_none_is_in_flight_stays_so_during_the_block(number):
    spans = [InFlight() for _ in range(number)]
    opened = threading.Event()
    thread = threading.Thread(target=lambda: (InFlight().close(), opened.set()))
    with none_in_flight() as is_none:
        thread.start()
        assert is_none is (number == 0)
        assert not opened.wait(0.05)

    assert opened.wait(10)
    thread.join(10)
    for span in spans:
        span.close()


def test_a_span_of_the_parent_process_does_not_count_in_its_child():
    inherited = InFlight()
    in_flight._now.reset()
    own = InFlight()

    inherited.close()

    assert in_flight._now.number == 1
    assert own.close() == 0
    assert in_flight._now.number == 0


def test_a_finaliser_may_close_a_span_while_another_one_is_opened():
    """The lock is reentrant: a collection may start while it is held."""
    span = InFlight()
    with in_flight._now.lock:
        span.close()

    assert in_flight._now.number == 0
