"""The subcommands of ``manage.py memprofile``, one a module of this package.

A module with a subclass of `Subcommand` is all that a new subcommand takes.
"""

from __future__ import annotations

import inspect
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from .output import Output


class Subcommand(ABC):
    """One subcommand: its arguments, and the question that it asks and prints the answer to."""

    name: ClassVar[str]
    """The word of the command line."""
    help: ClassVar[str]
    """One line for ``memprofile --help``."""

    def add_arguments(self, parser: CommandParser) -> None:  # noqa: B027 (many have none)
        """Add the arguments. The options of ``memprofile`` itself are in the parser already."""

    @abstractmethod
    def run(self, options: Mapping[str, Any], output: Output) -> None:
        """Print the answer. Raises CommandError."""


def find_subcommands() -> dict[str, Subcommand]:
    """Return the subcommands by name, sorted by the names of their modules."""
    return {subcommand.name: subcommand for subcommand in _subcommands()}


def _subcommands() -> Iterator[Subcommand]:
    for module_info in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            is_class = inspect.isclass(value) and value.__module__ == module.__name__
            if is_class and issubclass(value, Subcommand) and not inspect.isabstract(value):
                yield value()
