"""The declaration of one key of the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of one key of ``MEMSIZE``."""

    default: Any
    check: Callable[[object], bool]
    """Returns whether a value can be used."""
    wanted: str
    """Names the values that can be used, after "Set it to "."""
    help: str
    """Markdown for the table in README.md."""
    debug_default: Any = None
    """The default with ``DEBUG``, where it is another."""
    convert: Callable[[Any], Any] | None = None
    """Makes the value of the field from the value that was set."""

    def default_in_force(self, debug: bool) -> Any:
        """Return the default with ``DEBUG``, or without."""
        has_another = self.debug_default is not None and debug
        return self.debug_default if has_another else self.default

    def value(self, given: Any) -> Any:
        """Return the value of the field for a value that was set."""
        return given if self.convert is None else self.convert(given)


def setting(**declaration: Any) -> Any:
    """Return a dataclass field that declares a setting. The arguments are those of `Setting`."""
    return field(metadata={"setting": Setting(**declaration)})
