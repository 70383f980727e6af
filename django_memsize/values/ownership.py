"""Which classes are django-memsize's own, so that a walk of the heap leaves out their instances.

A walk leaves out the instances of the classes in ``OURS`` and what only they refer to. Therefore
every object of ours that outlives a walk is an instance of such a class, has slots, and refers only
to texts, numbers and other such instances. A plain dict or tuple would be counted as the program's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any, Final, TypeVar, cast

OURS: Final[list[type]] = []
"""The classes whose instances a walk of the heap leaves out."""

_Class = TypeVar("_Class", bound=type)
_T = TypeVar("_T", covariant=True)


_LONGEST_REPR: Final = 150

_REPRS_OF_CONTAINERS: Final = tuple(cls.__repr__ for cls in (dict, list, set, tuple))


def ours(cls: _Class) -> _Class:
    """Add a class to ``OURS``, and return it.

    The ``repr()`` of a container says how many items it has. A tool may print it among the local
    variables of a frame, and the items lead to each other, and to objects of the program.
    """
    OURS.append(cls)
    if cast("Any", cls).__repr__ in _REPRS_OF_CONTAINERS:
        cls.__repr__ = _short_repr  # type: ignore[assignment]
    return cls


def shortened(text: str) -> str:
    """Return the beginning of a text, for a ``repr()`` that has names of any length."""
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}...>"


def _short_repr(container: Sized) -> str:
    return f"<{type(container).__name__}: {len(container)} items>"


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
