"""Whom code belongs to: the program, an installed package, Python itself, or django-memsize."""

from __future__ import annotations

import os
import sys
import sysconfig
from types import FrameType
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

TEXT: Final = "<string>"
"""The file name of code that was given as text, or generated."""

_GENERATED: Final = (
    "<frozen ",  # modules that CPython has frozen
    TEXT,  # alone this says nothing: see is_program_text()
    "<attrs generated ",  # attr/_make.py
    "<cattrs generated ",  # cattrs/gen/_lc.py
    "<decorator-gen-",  # decorator.py
    "<boltons.",  # boltons/funcutils.py
    "<makefun-gen-",  # makefun/main.py
    "<__array_function__ ",  # numpy/core/overrides.py
)
"""How names of code begin that Python or an installed package generates.

Any other name in angle brackets is that of text which a person gave: ``<stdin>``, ``<console>``,
``<python-input-0>``, ``<ipython-input-1-...>``, ``<doctest ...>``.
"""

_DJANGO_SHELL: Final = "django.core.management.commands.shell"
"""The module in whose globals ``manage.py shell`` runs text of the user (``Command.handle()``)."""


def is_library(file: str) -> bool:
    """Return whether a source file belongs to Django, an installed package or Python itself.

    So does code named ``<string>``, as far as its name tells.
    """
    if file.startswith("<"):
        return file.startswith(_GENERATED)
    django = getattr(sys.modules.get("django"), "__path__", ())
    roots = (PACKAGE, *_STANDARD, *(os.path.join(path, "") for path in django))
    return _is_installed(file) or file.startswith(roots)


def is_program_text(frame: FrameType) -> bool:
    """Return whether a frame of code named ``<string>`` runs text that belongs to the program.

    CPython gives this name to the text of ``python -c``, ``exec()`` and ``eval()``: code of the
    user in a shell, and code that a library generates. The code is the program's if

    - it is the text itself that runs, not a function that it defines,
    - or its globals are those of ``__main__``, of Django's shell or of a module of the program,
    - or the text that defines it runs further out, in the same globals.

    Code of ``dataclasses`` and ``namedtuple()`` is not the program's. It is told by its name and by
    that of its globals (``_create_fn()`` in Lib/dataclasses.py, ``namedtuple()`` in
    Lib/collections/__init__.py), checked on Python 3.11 to 3.15.
    """
    code, names = frame.f_code, frame.f_globals
    if code.co_qualname.startswith("__create_fn__"):
        return False
    if code.co_name == "<module>":
        return True
    module = names.get("__name__")
    if isinstance(module, str):
        return not module.startswith("namedtuple_") and _is_program_module(module)
    return _is_defined_further_out(frame)


def _is_program_module(name: str) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return name in ("__main__", _DJANGO_SHELL) or not isinstance(file, str) or not is_library(file)


def _is_defined_further_out(frame: FrameType) -> bool:
    names, outer = frame.f_globals, frame.f_back
    while outer is not None:
        if outer.f_globals is names and outer.f_code.co_name == "<module>":
            return True
        outer = outer.f_back
    return False


def is_called_by_memsize(file: str) -> bool:
    """Return whether a source file is of django-memsize, or of a package that it calls."""
    if _is_installed(file) and not file.startswith(PACKAGE):
        return any(f"{os.sep}{name}{os.sep}" in file for name in _CALLED_BY_MEMSIZE)
    return is_library(file)


def imported_path(file: str) -> str:
    """Return the path of a file below the entry of ``sys.path`` from which it was imported.

    A file below no entry is named by the last part of its path.
    """
    entries = (os.path.join(os.path.abspath(entry), "") for entry in sys.path)
    below = [file[len(entry) :] for entry in entries if file.startswith(entry)]
    return min(below, key=len, default=os.path.basename(file) if os.path.isabs(file) else file)


def installed_name(file: str) -> str:
    """Return the dotted name of the module in a file below ``site-packages``; "" for any other."""
    for part in _INSTALLED:
        _, found, below = file.rpartition(part)
        if found:
            path = os.path.splitext(below)[0].removesuffix(f"{os.sep}__init__")
            return path.replace(os.sep, ".")
    return ""


def _is_installed(file: str) -> bool:
    return any(part in file for part in _INSTALLED)
