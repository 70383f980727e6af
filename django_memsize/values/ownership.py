"""Which classes are django-memsize's own, so that a walk of the heap leaves out their instances.

A walk leaves out the instances of the classes in ``OURS`` and what only they refer to. Therefore
every object of ours that outlives a walk is an instance of such a class, has slots, and refers only
to texts, numbers and other such instances. A plain dict or tuple would be counted as the program's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

OURS: Final[list[type]] = []
"""The classes whose instances a walk of the heap leaves out."""

_Class = TypeVar("_Class", bound=type)
_T = TypeVar("_T", covariant=True)


def ours(cls: _Class) -> _Class:
    """Add a class to ``OURS``, and return it."""
    OURS.append(cls)
    return cls


@ours
class Counts(dict[str, int]):
    """A dict from names to numbers that a walk of the heap leaves out."""

    __slots__ = ()

    def add(self, others: Mapping[str, int]) -> None:
        """Add the numbers of another mapping, name by name."""
        for name, number in others.items():
            self[name] = self.get(name, 0) + number


@ours
class OwnTuple(tuple[_T, ...]):
    """A tuple that a walk of the heap leaves out."""

    __slots__ = ()
