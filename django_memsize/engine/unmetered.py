"""What stands for the meter where there is none: in Python nobody sees an allocation."""

from __future__ import annotations

from typing import Final

Window: Final = None
"""The class of windows; None means that there is no meter."""


def switch_window(window: None, /) -> None:
    """Do nothing: there are no windows."""


def forget_windows() -> None:
    """Do nothing: there are no windows."""


def meter_bytes() -> int:
    """Return the bytes that the meter takes: none."""
    return 0
