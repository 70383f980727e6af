"""Who owns a source file: the program, an installed package, Python itself, or django-memsize."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import Final

PACKAGE: Final = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
"""The folder of django-memsize, with a separator at its end."""

_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STANDARD: Final = tuple(
    {
        os.path.join(os.path.realpath(sysconfig.get_paths()[key]), "")
        for key in ("stdlib", "platstdlib")
    }
    | {os.path.join(sysconfig.get_paths()[key], "") for key in ("stdlib", "platstdlib")}
)
_CALLED_BY_MEMSIZE: Final = ("django", "asgiref", "psutil")


def is_library(file: str) -> bool:
    """Return whether a source file belongs to Django, an installed package or Python itself."""
    if file.startswith("<"):
        return file.startswith(("<frozen", "<string>"))
    django = getattr(sys.modules.get("django"), "__path__", ())
    roots = (PACKAGE, *_STANDARD, *(os.path.join(path, "") for path in django))
    return _is_installed(file) or file.startswith(roots)


def is_called_by_memsize(file: str) -> bool:
    """Return whether a source file is django-memsize's, or of a package that it calls."""
    if _is_installed(file) and not file.startswith(PACKAGE):
        return any(f"{os.sep}{name}{os.sep}" in file for name in _CALLED_BY_MEMSIZE)
    return is_library(file)


def imported_path(file: str) -> str:
    """Return the path of a file below the entry of ``sys.path`` that it was imported from.

    A file below no entry is named by its last part.
    """
    entries = (os.path.join(os.path.abspath(entry), "") for entry in sys.path)
    below = [file[len(entry) :] for entry in entries if file.startswith(entry)]
    return min(below, key=len, default=os.path.basename(file) if os.path.isabs(file) else file)


def _is_installed(file: str) -> bool:
    return any(part in file for part in _INSTALLED)
