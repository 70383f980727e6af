"""The present process as a worker."""

import pytest

from django_memsize import process
from django_memsize.workers import state_file, worker
from django_memsize.workers.tally import MADE, Cause, State, tally

PROJECT = "a project"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(state_file.tempfile, "gettempdir", lambda: str(tmp_path))
    process.reset()
    yield
    process.reset()


def ended(**numbers):
    """Leave the file of a process that ended."""
    file = state_file.create(state_file.folder_of(PROJECT))
    for name, number in numbers.items():
        file.set_number(name.replace("_", " "), number)
    file.close()


def test_a_process_has_a_file_with_its_numbers_and_its_last_error():
    tally.made(State.WAITING, 2)
    worker.begin(PROJECT)
    tally.move(State.WAITING, State.STORED)
    worker.note_error("OperationalError: gone")

    (own,) = worker.workers(PROJECT)

    assert (own.numbers[MADE], own.numbers[State.WAITING], own.numbers[State.STORED]) == (2, 1, 1)
    assert own.error == "OperationalError: gone"
    assert own.error_at > 0
    assert own.engine in ("compiled", "python")


def test_without_a_place_for_files_there_are_none(monkeypatch):
    def nowhere():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(state_file.tempfile, "gettempdir", nowhere)
    worker.begin(PROJECT)
    worker.take_over(PROJECT)
    worker.update()

    assert worker.workers(PROJECT) == []


def test_the_losses_of_processes_that_ended_are_untold_drops_of_this_one():
    ended(made=5, stored=2)
    ended(made=9, stored=4, queue_full=3, told_queue_full=1)

    worker.begin(PROJECT)
    worker.take_over(PROJECT)

    assert tally.untold() == {"lost at exit": 5, "queue full": 2}
    assert [each.is_alive for each in worker.workers(PROJECT)] == [True]


def test_a_process_has_one_file_however_often_it_begins():
    worker.begin(PROJECT)
    worker.begin(PROJECT)

    assert len(worker.workers(PROJECT)) == 1


def test_a_process_that_lost_nothing_leaves_no_file():
    worker.begin(PROJECT)
    tally.made(State.STORED)
    worker.end()

    assert worker.workers(PROJECT) == []


def test_a_process_with_losses_that_nobody_was_told_leaves_its_file():
    worker.begin(PROJECT)
    tally.made(Cause.LOST)
    worker.end()
    process.reset()

    (left,) = worker.workers(PROJECT)

    assert (left.is_alive, left.numbers[Cause.LOST]) == (False, 1)


def test_without_a_place_for_files_everything_else_works(monkeypatch, tmp_path):
    monkeypatch.setattr(state_file.tempfile, "gettempdir", lambda: str(tmp_path / "no" / "such"))
    worker.begin(PROJECT)
    worker.take_over(PROJECT)
    worker.update()
    worker.note_error("error")
    tally.made(State.STORED)
    worker.end()

    assert tally.numbers()[State.STORED] == 1
    assert worker.workers(PROJECT) == []
