"""Pauses the collector during a walk, which allocates enough to trigger a collection.

Two functions and no context manager: the manager's objects would be on the heap that is listed.
"""

from __future__ import annotations

import gc


def pause() -> bool:
    """Disable the collector; return the argument for ``resume``."""
    was_enabled = gc.isenabled()
    gc.disable()
    return was_enabled


def resume(was_enabled: bool) -> None:
    """Enable the collector if it was enabled before ``pause``."""
    if was_enabled:
        gc.enable()
