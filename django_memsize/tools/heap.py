"""The heap at one moment, and the size of some objects: the questions asked by hand."""

from __future__ import annotations

from .. import engine, formatting
from ..values import OURS, Sized, Snapshot

__all__ = ["Tracker", "sized", "sizeof", "snapshot"]


def snapshot() -> Snapshot:
    """Count every object on the heap of this process, by type.

    Runs no code of the objects, and no query. Takes longer the larger the heap.
    """
    return Snapshot(*engine.census(OURS))


def sizeof(*objects: object) -> int:
    """Return the deep size of the objects in bytes; what they share counts once.

    Stops at classes, modules, functions, code and frames. Runs no code of the objects: an
    unevaluated queryset is measured as it is.
    """
    return engine.sizeof(objects)


def sized(obj: object, depth: int = 1) -> Sized:
    """Return the deep size of an object as a tree, ``depth`` levels of referents shown.

    ``sized(obj).format()`` is the tree as text.
    """
    return Sized.of_node(engine.sized(obj, depth))


class Tracker:
    """How many instances of some classes there are, and their deep size, at named moments.

    Instances of subclasses count. Runs no code of theirs: a queryset is never evaluated::

        tracker = Tracker(Account, ModelState)
        tracker.snapshot("before")
        accounts = list(Account.objects.all())
        tracker.snapshot("after")
        tracker.print_summary()
    """

    def __init__(self, *classes: type) -> None:
        if not classes:
            raise TypeError("Tracker() takes the classes to track")
        self._classes = classes
        self._moments: list[tuple[str, list[tuple[str, int, int]]]] = []

    def snapshot(self, name: str) -> None:
        """Count the instances now, under a name."""
        self._moments.append((name, engine.instances(self._classes)))

    def format_summary(self) -> str:
        """Return a table for each moment: class, instances alive, deep size, average."""
        parts = []
        for name, totals in self._moments:
            rows = (
                (
                    kind,
                    str(number),
                    formatting.aligned_size(size),
                    formatting.aligned_size(size / (number or 1)),
                )
                for kind, number, size in totals
            )
            parts.append(formatting.table((name, "active", "total size", "average"), rows))
        return "\n\n".join(parts)

    def print_summary(self) -> None:
        """Print the tables."""
        print(self.format_summary())  # noqa: T201 (that is what it is for)
