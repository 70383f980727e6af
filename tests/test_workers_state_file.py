"""The files of processes: what they say, whose process ended, and who counts it."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from django_memsize.workers import state_file
from django_memsize.workers.tally import MADE, NUMBERS, Cause, State

ROOT = Path(__file__).parent.parent

HOLD = """
import os, sys, time
from pathlib import Path
from django_memsize.workers import state_file

file = state_file.create(Path(sys.argv[1]))
file.set_number("made", 5)
file.set_number("stored", 2)
file.set_text("error", "OperationalError: gone")
if sys.argv[2] == "fork":
    parent = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == parent:
        time.sleep(0.01)
print("ready", flush=True)
sys.stdin.readline()
os._exit(0)
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "files"


@pytest.fixture
def begin(folder):
    """Return a function that begins a process with a file; each is ended at the end."""
    begun = []

    def begin(how=""):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        )
        begun.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield begin
    for process in begun:
        with process:
            process.kill()


def end(process):
    process.kill()
    process.wait(30)


def test_a_file_says_what_was_written(folder):
    file = state_file.create(folder)
    for place, name in enumerate(NUMBERS):
        file.set_number(name, place)
    for name in ("sample_rate", "overhead", "error_at"):
        file.set_float(name, 0.5)
    file.set_text("engine", "compiled")
    file.set_text("error", "Fehler: \N{SNAKE}" * 500)

    (worker,) = state_file.workers(folder, file)
    file.remove()
    file.close()

    assert worker.numbers == {name: place for place, name in enumerate(NUMBERS)}
    assert (worker.pid, worker.sample_rate, worker.overhead) == (os.getpid(), 0.5, 0.5)
    assert (worker.engine, worker.instrument) == ("compiled", "")
    assert worker.error.startswith("Fehler: \N{SNAKE}Fehler")
    assert worker.is_alive
    assert worker.lost == 0
    assert not list(folder.iterdir())


def test_the_file_of_a_process_that_runs_is_left_alone(folder, begin):
    begin()

    assert state_file.take_ended(folder) == []
    (worker,) = state_file.workers(folder)
    assert worker.is_alive
    assert worker.lost == 0


def test_the_file_of_a_process_that_ended_is_taken_once(folder, begin):
    process = begin()
    end(process)
    assert [worker.lost for worker in state_file.workers(folder)] == [3]

    (worker,) = state_file.take_ended(folder)

    assert (worker.pid, worker.lost, worker.error) == (process.pid, 3, "OperationalError: gone")
    assert worker.numbers[MADE] - worker.numbers[State.STORED] == 3
    assert worker.numbers[Cause.LOST] == 0
    assert state_file.take_ended(folder) == []
    assert state_file.workers(folder) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_child_does_not_keep_the_file_of_its_parent(folder, begin):
    parent = begin("fork")
    parent.wait(30)  # its child may be quicker

    (worker,) = state_file.take_ended(folder)

    assert worker.lost == 3


def test_looking_at_the_own_file_does_not_release_its_lock(folder):
    file = state_file.create(folder)
    state_file.workers(folder, file)
    state_file.take_ended(folder, file)
    program = (
        "import sys; from pathlib import Path; from django_memsize.workers import state_file;"
        "print(len(state_file.take_ended(Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "tests.settings"},
        timeout=60,
    )
    file.close()

    assert done.stdout == "0\n", done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="is about what Linux tells")
def test_a_file_has_its_place_on_the_disk_before_it_is_mapped(folder, monkeypatch):
    class Mapping(mmap.mmap):
        def __new__(cls, file, size):
            # What has no place here is a signal that kills the process, where the disk is full.
            assert os.fstat(file).st_blocks * 512 >= size
            return super().__new__(cls, file, size)

    monkeypatch.setattr(mmap, "mmap", Mapping)
    file = state_file.create(folder)
    file.remove()
    file.close()


def test_on_a_full_disk_there_is_no_file(folder, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, content: len(content) // 2)
    with pytest.raises(OSError, match="space"):
        state_file.create(folder)

    assert not list(folder.iterdir())


@pytest.mark.parametrize("content", [b"", b"MEMSIZE1", b"\xff" * 5000])
def test_what_is_no_file_of_ours_is_left_out(folder, content):
    folder.mkdir(mode=0o700)
    (folder / "1.worker").write_bytes(content)

    assert state_file.workers(folder) == []


def test_a_folder_is_of_one_user_and_one_project():
    assert state_file.folder_of("one") == state_file.folder_of("one") != state_file.folder_of("two")
    assert str(os.getuid()) in state_file.folder_of("one").name


def test_a_folder_that_others_may_use_is_not_used(folder, tmp_path):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError):
        state_file.create(folder)
    assert state_file.workers(folder) == []

    folder.chmod(0o700)
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(PermissionError):
        state_file.create(link)


def test_a_new_folder_and_its_files_are_of_this_user_alone(folder):
    file = state_file.create(folder)

    assert folder.stat().st_mode & 0o777 == 0o700
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.close()
