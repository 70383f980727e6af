"""The heap at one moment, and the deep size of objects."""

from __future__ import annotations

from .. import engine, formatting
from ..values import OURS, Sized, Snapshot

__all__ = ["Tracker", "sized", "sizeof", "snapshot"]


def snapshot() -> Snapshot:
    """Count every object on the heap of this process, by type.

    Runs no code of the objects, and no query. The time is proportional to the number of objects.
    """
    return Snapshot(*engine.census(OURS))


def sizeof(*objects: object) -> int:
    """Return the deep size of the objects in bytes; shared referents count once.

    Stops at classes, modules, functions, code objects and frames. Runs no code of the objects: an
    unevaluated queryset stays unevaluated.
    """
    return engine.sizeof(objects)


def sized(obj: object, depth: int = 1) -> Sized:
    """Return the deep size of an object as a tree that shows ``depth`` levels of referents.

    ``sized(obj).format()`` returns the tree as text.
    """
    return Sized.of_node(engine.sized(obj, depth))


class Tracker:
    """The number of instances of some classes, and their deep size, at named moments.

    Instances of subclasses count. Runs no code of the instances: a queryset is never evaluated::

        tracker = Tracker(Account, ModelState)
        tracker.snapshot("before")
        accounts = list(Account.objects.all())
        tracker.snapshot("after")
        tracker.print_summary()

    Raises TypeError without a class.
    """

    def __init__(self, *classes: type) -> None:
        if not classes:
            raise TypeError("Tracker() takes the classes to track")
        self._classes = classes
        self._snapshots: list[tuple[str, list[tuple[str, int, int]]]] = []

    def snapshot(self, name: str) -> None:
        """Count the instances alive now, and store their number and size under a name."""
        self._snapshots.append((name, engine.instances(self._classes)))

    def format_summary(self) -> str:
        """Return a table for each snapshot: class, instances alive, deep size, average size."""
        parts = []
        for name, totals in self._snapshots:
            rows = (
                (
                    class_name,
                    str(number),
                    formatting.aligned_size(size),
                    formatting.aligned_size(size / (number or 1)),
                )
                for class_name, number, size in totals
            )
            parts.append(formatting.table((name, "active", "total size", "average"), rows))
        return "\n\n".join(parts)

    def print_summary(self) -> None:
        """Print the tables of ``format_summary()``."""
        print(self.format_summary())  # noqa: T201 (printing is its purpose)
