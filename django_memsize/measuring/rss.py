"""The resident set size (RSS) of this process: its memory as the operating system sees it."""

from __future__ import annotations

import os
import sys
from typing import Final

import psutil

_STATM: Final = f"{psutil.PROCFS_PATH}/self/statm" if sys.platform == "linux" else ""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if _STATM else 0


def size() -> int | None:
    """Return the RSS in bytes; None where the system hides it, as without /proc in a container."""
    try:
        return _resident_in_statm() if _STATM else int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return None


def _resident_in_statm() -> int:
    # psutil reads the same file in more than twice the time; each request reads it twice.
    file = os.open(_STATM, os.O_RDONLY)
    try:
        return int(os.read(file, 200).split(maxsplit=2)[1]) * _PAGE
    finally:
        os.close(file)
