"""What a figure of a report is: its name, value, unit and meaning, and where it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any, Final

from ..formatting import (
    capitalized,
    counted,
    human_duration,
    human_size,
    lower_bound,
    signed_size,
)
from ..values import Amount, Diff, Summary

UNKNOWN: Final = "-"
"""The cell of a figure whose value is not known."""


class Instrument(Flag):
    """What produced a report, because each instrument knows other figures."""

    METER = auto()
    CENSUS = auto()
    COUNTED = auto()
    NONE = 0
    ANY = METER | CENSUS | COUNTED

    @classmethod
    def of(cls, summary: Summary) -> Instrument:
        """Return the instrument of a report. A report without any figure of bytes is a census's."""
        if summary.is_counted:
            return cls.COUNTED
        return cls.METER if summary.is_metered else cls.CENSUS


@dataclass(frozen=True, slots=True)
class Unit:
    """How a value becomes text: ``whole`` in a list of figures, ``cell`` in a column of a table."""

    whole: Callable[[Any], str]
    cell: Callable[[Any], str]


def _amount(amount: Amount) -> str:
    return f"{human_size(amount.bytes)}, {counted(amount.blocks, 'block')}"


def _change(diff: Diff) -> str:
    return f"{signed_size(diff.total.size)}, {diff.total.count:+,} objects"


BYTES: Final = Unit(human_size, human_size)
CHANGE_IN_BYTES: Final = Unit(signed_size, signed_size)
BLOCKS_AND_BYTES: Final = Unit(_amount, lambda amount: human_size(amount.bytes))
TYPES: Final = Unit(_change, lambda diff: signed_size(diff.total.size))
SECONDS: Final = Unit(human_duration, human_duration)
NUMBER: Final = Unit("{:,}".format, "{:,}".format)
TEXT: Final = Unit(str, str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a report.

    ``value`` is the name of an attribute of ``Summary``, or a function of a ``Summary``; None means
    that the figure is not known. In ``meaning`` and ``details``, ``{thing}`` is the noun for the
    measured span and ``{nothing}`` the size below which retained bytes count as nothing.
    ``details`` is shown in the README only. A report of one of the instruments in ``shown_by``
    shows the figure, but not a zero where ``hides_zero``. A figure that is not known is left out,
    or shown as ``unknown`` if that is a text. A value for which ``is_exact`` returns False is a
    lower bound.
    """

    name: str
    value: str | Callable[[Summary], Any]
    unit: Unit
    meaning: str
    details: str = ""
    shown_by: Instrument = Instrument.ANY
    hides_zero: bool = False
    unknown: str = ""
    is_exact: Callable[[Summary], bool] = lambda _: True

    @property
    def heading(self) -> str:
        """The name as the heading of a column: ``"Free lists"``."""
        return capitalized(self.name)

    def value_of(self, summary: Summary) -> Any:
        """Return the value in a report; None if it is not known."""
        return getattr(summary, self.value) if isinstance(self.value, str) else self.value(summary)

    def cell(self, summary: Summary) -> str:
        """Return the value as the cell of a table."""
        value = self.value_of(summary)
        return UNKNOWN if value is None else self.unit.cell(value)

    def text(self, summary: Summary) -> str:
        """Return the value as a list of figures has it; an empty text if it is left out."""
        value = self.value_of(summary)
        if value is None:
            return self.unknown
        if self.hides_zero and not value:
            return ""
        whole = self.unit.whole(value)
        return whole if self.is_exact(summary) else lower_bound(whole)


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """One figure of one report, as text."""

    name: str
    text: str
    meaning: str
