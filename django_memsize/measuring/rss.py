"""The resident set size (RSS) of this process: its memory as the operating system sees it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

import psutil

from .. import process
from ..values import ours
from .errors import was_raised_by_signal_handler

_STATM: Final = f"{psutil.PROCFS_PATH}/self/statm" if sys.platform == "linux" else ""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if _STATM else 0


def size() -> int | None:
    """Return the RSS in bytes; None where the system hides it, as without /proc in a container."""
    try:
        return _statm.resident() if _STATM else int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError) as error:
        if was_raised_by_signal_handler(error):  # TimeoutError is an OSError
            raise
        return None


@ours
class _Statm:
    """The file of this process in /proc, open once: opening takes three times as long as reading.

    A program that becomes a daemon closes every descriptor, and its next file has the same number.
    So what is read is looked at: only a statm of Linux is like one, and whose statm it is would be
    one more system call each time. Only our own file is closed.
    """

    __slots__ = ("_device", "_file", "_inode")

    def __init__(self) -> None:
        self._file = -1
        self._device = self._inode = 0

    def reset(self) -> None:
        """Close the file of the parent process."""
        with contextlib.suppress(OSError):
            if self._is_open():
                os.close(self._file)
        self._file = -1

    def resident(self) -> int:
        """Return the resident bytes. Raises OSError."""
        try:
            found = os.pread(self._file, 200, 0).split()
        except OSError as error:  # it is closed, or now of another kind
            if was_raised_by_signal_handler(error):
                raise
            found = []
        if not _is_statm(found):
            if not self._is_open():
                self._open()
            found = os.pread(self._file, 200, 0).split()
        return int(found[1]) * _PAGE

    def _is_open(self) -> bool:
        if self._file < 0:
            return False
        try:
            found = os.fstat(self._file)
        except OSError as error:
            if was_raised_by_signal_handler(error):
                raise
            return False
        return found.st_ino == self._inode and found.st_dev == self._device

    def _open(self) -> None:
        file = os.open(_STATM, os.O_RDONLY)
        found = os.fstat(file)
        self._device, self._inode, self._file = found.st_dev, found.st_ino, file


def _is_statm(found: list[bytes]) -> bool:
    """Return whether a file has the words of a statm: seven, two of them 0 since Linux 2.6."""
    return len(found) == 7 and found[4] == found[6] == b"0"  # Documentation/filesystems/proc.rst


_statm: Final = process.register(_Statm())
