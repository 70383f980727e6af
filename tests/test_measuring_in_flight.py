import threading

from django_memsize.measuring import in_flight
from django_memsize.measuring.in_flight import InFlight


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


def test_the_numbers_in_flight_need_no_lock():
    first, second = InFlight(), InFlight()
    assert in_flight.number_in_flight() == 2

    with in_flight._now.lock:
        assert in_a_thread(in_flight.number_in_flight) == 2
        assert in_a_thread(first.others) == in_a_thread(second.others) == 1
    first.close()
    second.close()

    assert in_flight.number_in_flight() == 0


def test_a_second_close_ends_nothing():
    first, second = InFlight(), InFlight()

    assert first.close() == first.close() == 1

    assert second.close() == 1
    assert InFlight().close() == 0


def test_a_span_may_be_closed_by_another_thread_than_opened_it():
    span = InFlight()
    in_a_thread(span.close)

    assert in_flight._now.number == 0


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
