"""Which methods of Django are replaced, and how the replacements go on and off.

The methods are replaced once for the process. Whether anything is measured is decided at each call,
in its own context; outside of any recording a call goes straight through.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Final

from django.db.backends.utils import CursorDebugWrapper, CursorWrapper
from django.utils.module_loading import import_string

from .. import process
from . import cursors, evaluations
from .methods import METHODS

_WRAPPERS: Final[dict[tuple[type, str], Callable[[Any], Any]]] = {
    **{
        (import_string(entry_point.cls), entry_point.name): evaluations.WRAPPERS[
            entry_point.wrapper
        ]
        for method in METHODS
        for entry_point in method.entry_points
    },
    **{(CursorWrapper, name): wrapper for name, wrapper in cursors.WRAPPERS.items()},
    **{(CursorDebugWrapper, name): wrapper for name, wrapper in cursors.DEBUG_WRAPPERS.items()},
}
"""By class and name of a method, the function that makes a replacement from the original."""


class _Patches:
    """Replacements of methods, installed together at most once."""

    def __init__(self, wrappers: dict[tuple[type, str], Callable[[Any], Any]]) -> None:
        self._wrappers = wrappers
        self._replaced: dict[tuple[type, str], tuple[Any, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Make a new lock. A child process inherits the replacements."""
        self._lock = threading.Lock()

    def install(self) -> None:
        """Replace the methods. Does nothing, and takes no lock, if all are replaced already."""
        if len(self._replaced) == len(self._wrappers):
            return
        with self._lock:
            for (cls, name), wrapper in self._wrappers.items():
                if (cls, name) not in self._replaced:
                    original = cls.__dict__.get(name)
                    replacement = wrapper(original)
                    if original is not None:
                        functools.update_wrapper(replacement, original)
                    self._replaced[cls, name] = original, replacement
                    setattr(cls, name, replacement)

    def uninstall(self) -> None:
        """Restore the original methods.

        A replacement under another library's patch stays, because the patch calls it; there it
        passes each call through.
        """
        with self._lock:
            for (cls, name), (original, replacement) in list(self._replaced.items()):
                if cls.__dict__.get(name) is replacement:
                    if original is None:
                        delattr(cls, name)
                    else:
                        setattr(cls, name, original)
                    del self._replaced[cls, name]


_patches: Final = process.register(_Patches(_WRAPPERS))

install: Final = _patches.install
uninstall: Final = _patches.uninstall
