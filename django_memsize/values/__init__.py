"""Frozen values: names and numbers that pass between the packages.

No value refers to a measured object or its class.
"""

from .evaluation import SQL_STORED, CallSite, Evaluation, Instances, NearPeak
from .ownership import OURS, Counts, OwnTuple, ours
from .sized import Sized
from .summary import COUNTED, Summary
from .type_tables import ROWS_SHOWN, Amount, Diff, Snapshot, TypeTotal, bytes_of
from .ways import Alternatives, OmittedWay, Way

__all__ = [
    "COUNTED",
    "OURS",
    "ROWS_SHOWN",
    "SQL_STORED",
    "Alternatives",
    "Amount",
    "CallSite",
    "Counts",
    "Diff",
    "Evaluation",
    "Instances",
    "NearPeak",
    "OmittedWay",
    "OwnTuple",
    "Sized",
    "Snapshot",
    "Summary",
    "TypeTotal",
    "Way",
    "bytes_of",
    "ours",
]
