import os
import socket
import sys
from unittest.mock import Mock

import psutil
import pytest

import django_memsize as memsize
from django_memsize.measuring import rss
from tests.programs import ended_well

WITHOUT_PROC = """
import psutil
psutil.PROCFS_PATH = "/nowhere"
import django_memsize as memsize

class Thing:
    pass

with memsize.measure("block") as recording:
    things = [Thing() for _ in range(77)]
assert recording.diff["__main__.Thing"].count == 77
print(recording.rss_before, recording.rss_after, recording.incomplete)
"""

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="psutil reads /proc on Linux only")


@pytest.fixture
def statm(monkeypatch):
    """Return a file in /proc that nobody has opened yet, and close it at the end."""
    statm = rss._Statm()
    monkeypatch.setattr(rss, "_statm", statm)
    yield statm
    statm.reset()


def is_near(size, expected):
    return size is not None and abs(size - expected) < 16 * 1024**2


def test_the_rss_is_that_of_psutil(monkeypatch):
    size, expected = rss.size(), psutil.Process().memory_info().rss
    assert abs(size - expected) < 16 * 1024**2

    monkeypatch.setattr(rss, "_STATM", "")
    assert abs(rss.size() - expected) < 16 * 1024**2


@on_linux
def test_the_rss_is_none_where_no_proc_is_mounted():
    assert ended_well(WITHOUT_PROC) == "None None False\n"


@pytest.mark.usefixtures("instrument")
@pytest.mark.parametrize("error", [FileNotFoundError, psutil.NoSuchProcess(1)])
@pytest.mark.parametrize("reads_proc", [True, False])
def test_the_rss_is_none_once_it_can_no_longer_be_read(monkeypatch, error, reads_proc):
    monkeypatch.setattr(rss, "_STATM", "/nowhere/statm" if reads_proc else "")
    monkeypatch.setattr(psutil.Process, "memory_info", Mock(side_effect=error))
    with memsize.measure("block") as recording:
        pass

    assert (recording.rss_before, recording.rss_after, recording.incomplete) == (None, None, False)


@on_linux
def test_the_file_in_proc_is_opened_once_and_programs_that_are_started_do_not_inherit_it(
    statm, monkeypatch
):
    opened = Mock(side_effect=os.open)
    monkeypatch.setattr(os, "open", opened)

    assert {type(rss.size()) for _ in range(3)} == {int}
    assert opened.call_count == 1
    assert not os.get_inheritable(statm._file)


def open_file(path, text):
    path.write_bytes(text)
    return os.open(path, os.O_RDONLY)


OTHERS = {
    "numbers": lambda path: open_file(path, b"1 2 3 4 5 6 7\n"),
    "fewer numbers": lambda path: open_file(path, b"1 2 3 4 0 6\n"),
    "nothing": lambda path: open_file(path, b""),
    "text": lambda path: open_file(path, b"one two three four five six seven"),
    "bytes": lambda path: open_file(path, bytes(range(256))),
    "a device": lambda path: os.open("/dev/zero", os.O_RDONLY),
    "a folder": lambda path: os.open(path.parent, os.O_RDONLY),
    "an event": lambda path: os.eventfd(0),
    "a socket": lambda path: socket.socket().detach(),
}


@on_linux
@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_a_program_may_close_every_descriptor_and_use_the_number_again(statm, tmp_path, make):
    """As one does that becomes a daemon: its next files have the numbers of those it closed."""
    rss.size()
    number = statm._file
    other = make(tmp_path / "other")
    os.dup2(other, number)
    os.close(other)
    taken = os.fstat(number)

    statm.reset()
    assert os.path.samestat(os.fstat(number), taken)
    statm._file = number
    assert is_near(rss.size(), psutil.Process().memory_info().rss)
    assert os.path.samestat(os.fstat(number), taken)
    os.close(number)


@on_linux
def test_the_rss_is_read_again_after_every_descriptor_was_closed(statm):
    rss.size()
    os.close(statm._file)

    assert is_near(rss.size(), psutil.Process().memory_info().rss)


@on_linux
def test_a_child_process_reads_its_own_rss_and_closes_the_file_of_its_parent():
    rss.size()
    inherited = rss._statm._file
    child = os.fork()
    if child == 0:
        code = 2
        try:
            ballast = b"x" * 64 * 1024**2
            is_closed = rss._statm._file == -1
            is_own = is_near(rss.size(), psutil.Process(os.getpid()).memory_info().rss)
            code = int(not (is_own and is_closed and ballast))
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert rss._statm._file == inherited
    assert is_near(rss.size(), psutil.Process().memory_info().rss)
