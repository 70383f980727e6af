"""What Python's collector has done in this process so far."""

from __future__ import annotations

import gc


def collected_so_far() -> int:
    """Return how many objects the collector has freed."""
    return sum(generation["collected"] for generation in gc.get_stats())


def full_collections_so_far() -> int:
    """Return how often the collector has examined all objects."""
    return int(gc.get_stats()[-1]["collections"])
