"""Exact memory accounting for Django: which view, which objects, which line."""

from . import engine
from .measuring.recording import Recording
from .tools.heap import Tracker, sized, sizeof, snapshot
from .tools.measure import measure
from .values import Diff, Evaluation, Sized, Snapshot, TypeTotal

__version__ = "0.1.0"

__all__ = [
    "Diff",
    "Evaluation",
    "Recording",
    "Sized",
    "Snapshot",
    "Tracker",
    "TypeTotal",
    "engine",
    "measure",
    "sized",
    "sizeof",
    "snapshot",
]
