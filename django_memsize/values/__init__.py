"""Frozen values: names and numbers that pass between the packages.

No value refers to a measured object or its class.
"""

from .evaluation import (
    LONGEST_VIEW,
    SQL_KEPT,
    SQL_STORED,
    CallSite,
    Evaluation,
    FollowedRelation,
    Instances,
    NearPeak,
)
from .histogram import Histogram
from .ownership import OURS, Counts, OwnTuple, ours
from .rollup import ProcessKey, ProcessRollup, RouteKey, RouteRollup
from .sized import Sized
from .summary import COUNTED, LIVE, RUN, Reason, Summary
from .survival import Survival
from .type_tables import ROWS_SHOWN, Amount, Diff, Snapshot, TypeTotal, bytes_of
from .ways import Alternatives, OmittedWay, Way

__all__ = [
    "COUNTED",
    "LIVE",
    "LONGEST_VIEW",
    "OURS",
    "ROWS_SHOWN",
    "RUN",
    "SQL_KEPT",
    "SQL_STORED",
    "Alternatives",
    "Amount",
    "CallSite",
    "Counts",
    "Diff",
    "Evaluation",
    "FollowedRelation",
    "Histogram",
    "Instances",
    "NearPeak",
    "OmittedWay",
    "OwnTuple",
    "ProcessKey",
    "ProcessRollup",
    "Reason",
    "RouteKey",
    "RouteRollup",
    "Sized",
    "Snapshot",
    "Summary",
    "Survival",
    "TypeTotal",
    "Way",
    "bytes_of",
    "ours",
]
