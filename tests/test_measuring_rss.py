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


def test_the_rss_is_that_of_psutil(monkeypatch):
    size, expected = rss.size(), psutil.Process().memory_info().rss
    assert abs(size - expected) < 16 * 1024**2

    monkeypatch.setattr(rss, "_STATM", "")
    assert abs(rss.size() - expected) < 16 * 1024**2


@pytest.mark.skipif(sys.platform != "linux", reason="psutil reads /proc on Linux only")
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
