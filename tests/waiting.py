"""Waiting for what other threads and processes do."""

import time

PATIENCE = 60
"""Seconds."""


def wait_until(condition, seconds=PATIENCE):
    """Return what a condition is once it is true, or after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            return found
        time.sleep(0.02)
    return found
