"""What our own work has cost this process, and whether there is room for more."""

from __future__ import annotations

import os
import time

_spent = 0.0


def spend(seconds: float) -> None:
    """Add CPU seconds of our own work."""
    global _spent
    _spent += seconds


def within(share: float) -> bool:
    """Tell whether our work so far is at most this share of the CPU time of the process."""
    return _spent <= share * time.process_time()


def _forget() -> None:
    global _spent
    _spent = 0.0


os.register_at_fork(after_in_child=_forget)
