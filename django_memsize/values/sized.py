"""The deep size of one object, as a tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .ownership import OwnTuple, ours


@ours
@dataclass(frozen=True, slots=True, repr=False)
class Sized:
    """The deep size of one object, and the sizes of its referents as a tree.

    ``flat`` is the object's own bytes. ``size`` is ``flat`` and the sizes of all its referents, to
    any depth. ``refs`` are the referents, largest first, down to the depth asked for. A referent
    that the tree has already counted is left out.
    """

    name: str
    size: int
    flat: int
    refs: tuple[Sized, ...] = ()

    def __repr__(self) -> str:
        return f"<Sized: {self.name}, {self.size} bytes, {len(self.refs)} referents>"

    def format(self) -> str:
        """Return the tree as text: one line an object, its referents indented by four blanks."""
        return "\n".join(self._lines(""))

    @classmethod
    def of_node(cls, node: Sequence[Any]) -> Sized:
        """Return the tree for a node of the engine: (name, size, flat, referents)."""
        name, size, flat, referents = node
        return cls(name, size, flat, OwnTuple(map(cls.of_node, referents)))

    def _lines(self, indent: str) -> Iterator[str]:
        yield f"{indent}{self.name} size={self.size} flat={self.flat}"
        for referent in self.refs:
            yield from referent._lines(indent + "    ")
