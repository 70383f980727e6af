"""The tally: what becomes of each report, counted exactly, by any thread and by finalisers."""

import gc
import threading

import pytest

from django_memsize.workers import tally as tallies
from django_memsize.workers.tally import INHERITED, MADE, NUMBERS, Cause, State, Tally, told


class Mirror:
    def __init__(self):
        self.numbers = {}

    def set_number(self, name, number):
        self.numbers[name] = number


def test_a_report_is_in_one_state_at_a_time():
    tally = Tally()
    tally.made(State.WAITING, 3)
    tally.move(State.WAITING, State.QUEUED, 2)
    tally.move(State.QUEUED, State.STORED)
    tally.move(State.QUEUED, Cause.REFUSED)

    numbers = tally.numbers()

    assert {name: number for name, number in numbers.items() if number} == {
        MADE: 3,
        State.WAITING: 1,
        State.STORED: 1,
        Cause.REFUSED: 1,
    }
    assert numbers[MADE] == sum(numbers[name] for name in (*State, *Cause))


def test_a_report_that_was_counted_as_lost_is_not_counted_again_when_it_is_stored_after_all():
    tally = Tally()
    tally.made(State.QUEUED, 3)
    tally.move(State.QUEUED, State.STORED)
    tally.move(State.QUEUED, Cause.LOST, 3)  # as many as were queued a moment ago
    tally.move(State.QUEUED, State.STORED, 2)

    numbers = tally.numbers()

    assert numbers[MADE] == numbers[State.STORED] + numbers[Cause.LOST] == 3
    assert numbers[State.QUEUED] == 0


def test_drops_are_untold_until_a_report_tells_them():
    tally = Tally()
    tally.made(Cause.REFUSED, 2)
    tally.made(Cause.QUEUE_FULL)
    drops = tally.untold()
    assert drops == {"refused by the database": 2, "queue full": 1}

    tally.made(Cause.REFUSED)
    tally.tell(drops)

    assert tally.untold() == {"refused by the database": 1}
    assert tally.numbers()[told(Cause.REFUSED)] == 2


def test_the_losses_of_another_process_are_told_and_not_made_here():
    tally = Tally()
    tally.inherit(Cause.LOST, 4)

    numbers = tally.numbers()

    assert (numbers[MADE], numbers[INHERITED]) == (0, 4)
    assert tally.untold() == {"lost at exit": 4}
    assert tallies.lost(numbers) == 0


def test_what_is_neither_stored_nor_dropped_is_lost_if_the_process_ends():
    tally = Tally()
    tally.inherit(Cause.LOST, 4)
    tally.made(State.WAITING, 5)
    tally.made(State.STORED, 7)
    tally.made(Cause.FAULT, 2)

    assert tallies.lost(tally.numbers()) == 5


def test_threads_that_count_together_lose_nothing():
    tally = Tally()

    def count():
        for _ in range(2000):
            tally.made(State.WAITING)
            tally.move(State.WAITING, State.QUEUED)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert tally.numbers()[State.QUEUED] == tally.numbers()[MADE] == 16_000
    assert tally.numbers()[State.WAITING] == 0


def test_nobody_waits_who_counts_while_the_lock_is_held():
    tally, mirror = Tally(), Mirror()
    tally.mirror_to(mirror)
    with tally._lock:
        tally.made(State.WAITING)  # as a finaliser may, in the middle of another count
        assert mirror.numbers[MADE] == 0

    tally.made(State.WAITING)

    assert mirror.numbers[MADE] == 2


def test_a_finaliser_that_counts_during_a_count_is_counted():
    tally = Tally()

    class Counting(Mirror):
        """Behaves as if a finaliser ran in the middle of a count."""

        def set_number(self, name, number):
            super().set_number(name, number)
            if name == State.QUEUED and number == 1:
                tally.made(Cause.FAULT)

    mirror = Counting()
    tally.mirror_to(mirror)
    tally.made(State.QUEUED)

    assert mirror.numbers[Cause.FAULT] == 1
    assert tally.numbers()[Cause.FAULT] == 1


@pytest.mark.parametrize("name", NUMBERS)
def test_a_mirror_has_every_number_from_the_beginning(name):
    tally, mirror = Tally(), Mirror()
    tally.made(State.WAITING)
    tally.mirror_to(mirror)

    assert mirror.numbers[name] == tally.numbers()[name]


def test_what_a_tally_holds_is_no_object_of_the_program():
    tally = Tally()
    tally.made(State.WAITING)

    held = [type(each).__name__ for each in gc.get_referents(tally)]

    assert set(held) <= {"type", "Counts", "_Changes", "lock", "NoneType"}
