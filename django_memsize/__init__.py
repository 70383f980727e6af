"""Exact memory accounting for Django: which view, which objects, which line."""

from . import engine
from .heap import Tracker, sized, sizeof, snapshot
from .ledger import Evaluation
from .measuring import measure
from .recording import Recording
from .values import Diff, Sized, Snapshot, TypeTotal

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
