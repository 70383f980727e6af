"""The engine: counts and sizes of the objects on the heap, as plain values, without Django.

It has one interface with two implementations: ``compiled``, an extension in C, and ``fallback`` in
pure Python, which returns the same figures, slower, and has no meter. The compiled engine is used
where it was built and can be loaded.
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
    "instances",
    "limit_meter",
    "meter_bytes",
    "name",
    "sized",
    "sizeof",
    "switch_window",
]

name = os.environ.get("MEMSIZE_ENGINE") or "compiled"
"""``"compiled"`` or ``"python"``; the environment variable ``MEMSIZE_ENGINE`` selects one."""

if name != "python":
    try:
        from .compiled import (
            Sizing,
            Stream,
            Window,
            census,
            counts_instance_values,
            discard_windows,
            instances,
            limit_meter,
            meter_bytes,
            sizeof,
            switch_window,
        )
    except ImportError as error:
        logging.getLogger("django_memsize").warning(
            "django-memsize: no compiled engine (%s); the slower one in Python is used.", error
        )
        name = "python"
    else:
        name = "compiled"
        if not counts_instance_values:
            logging.getLogger("django_memsize").warning(
                "django-memsize: unknown layout of instance values in this Python; "
                "sizes do not include them."
            )
if name == "python":
    from .fallback.census import Sizing, census, instances, sizeof  # type: ignore[assignment]
    from .fallback.meter import (  # type: ignore[assignment]
        Stream,
        Window,
        discard_windows,
        limit_meter,
        meter_bytes,
        switch_window,
    )


def sized(root: Any, depth: int) -> Node:
    """Return the tree of an object: (label, size, flat, referents), largest referent first.

    An object that several referents share counts with the first; an object that is itself shown in
    the tree counts where it is shown.
    """
    return tree(root, depth, Sizing)
