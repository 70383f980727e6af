"""The engine: counts and sizes of what is on the heap, as plain values. Knows nothing of Django.

One face, whichever engine is behind it: ``census``, ``sizeof``, ``sized`` and ``instances``, and
``name``, which says which one it is. The engine in C is used where it was built and can be loaded;
elsewhere its twin in Python, which gives the same counts, slower.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from .tree import Node, tree

__all__ = [
    "Stream",
    "Window",
    "census",
    "discard_windows",
    "find_referrers",
    "instances",
    "meter_bytes",
    "name",
    "sized",
    "sizeof",
    "switch_window",
]

name = os.environ.get("MEMSIZE_ENGINE") or "compiled"
"""``"compiled"`` or ``"python"``; the environment variable ``MEMSIZE_ENGINE`` asks for one."""

if name != "python":
    try:
        from .compiled import (
            Sizing,
            Stream,
            Window,
            census,
            counts_instance_values,
            discard_windows,
            find_referrers,
            instances,
            meter_bytes,
            sizeof,
            switch_window,
        )
    except ImportError as error:
        logging.getLogger("django_memsize").warning(
            "django-memsize: no compiled engine (%s); Python's is used, which is slower.", error
        )
        name = "python"
    else:
        name = "compiled"
        if not counts_instance_values:
            logging.getLogger("django_memsize").warning(
                "django-memsize: this Python keeps the values of instances in a way not known; "
                "sizes are without them."
            )
if name == "python":
    from .twin import Sizing, census, instances, sizeof  # type: ignore[assignment]
    from .unmetered import (  # type: ignore[assignment]
        Stream,
        Window,
        discard_windows,
        find_referrers,
        meter_bytes,
        switch_window,
    )


def sized(root: Any, depth: int) -> Node:
    """Return the tree of an object: (name, size, flat, referents), largest referent first.

    What several referents share counts with the first of them; what is itself shown in the tree
    counts where it is shown.
    """
    return tree(root, depth, Sizing)
