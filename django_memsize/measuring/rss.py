"""How much memory this process has, as the system sees it."""

from __future__ import annotations

import os
import sys
from typing import Final

import psutil

_STATM: Final = f"{psutil.PROCFS_PATH}/self/statm" if sys.platform == "linux" else ""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE") if _STATM else 0


def size() -> int | None:
    """Return the bytes of it; None where the system does not tell: no /proc, say."""
    try:
        return _in_statm() if _STATM else int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return None


def _in_statm() -> int:
    # As psutil reads it, in less than half of the time: it is read twice for every request.
    file = os.open(_STATM, os.O_RDONLY)
    try:
        return int(os.read(file, 200).split(maxsplit=2)[1]) * _PAGE
    finally:
        os.close(file)
