"""The engine: counts and sizes of what is on the heap, as plain values. Knows nothing of Django.

One face, whichever engine is behind it: ``census``, ``sizeof``, ``sized`` and ``instances``, and
``name``, which says which one it is.
"""

from __future__ import annotations

import logging
import os

from .twin import census, instances, sized, sizeof

__all__ = ["census", "instances", "name", "sized", "sizeof"]

name = "python"
"""``"python"``, or ``"compiled"``; the environment variable ``MEMSIZE_ENGINE`` asks for one."""

if os.environ.get("MEMSIZE_ENGINE", name) != name:
    logging.getLogger("django_memsize").warning(
        "MEMSIZE_ENGINE=%s: this build of django-memsize has no such engine; Python's is used.",
        os.environ["MEMSIZE_ENGINE"],
    )
