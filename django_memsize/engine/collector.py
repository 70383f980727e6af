"""The collector pauses while we measure, so that it is never us who set it off.

Two functions and no context manager: its parts would be on the heap while it is listed.
"""

from __future__ import annotations

import gc


def pause() -> bool:
    """Switch the collector off; return what ``resume`` needs to know."""
    was_enabled = gc.isenabled()
    gc.disable()
    return was_enabled


def resume(was_enabled: bool) -> None:
    """Leave the collector as it was before ``pause``."""
    if was_enabled:
        gc.enable()
