"""Builds the engine in C where there is a compiler. Everything else is in pyproject.toml."""

import os
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

SOURCES = Path("django_memsize/engine/src")
STRICT = os.environ.get("MEMSIZE_STRICT") == "1"  # a warning, or no compiler, is an error


def can_be_compiled():
    """Tell whether this interpreter is one that the engine in C is written for."""
    has_lock = not sysconfig.get_config_var("Py_GIL_DISABLED")
    return sys.implementation.name == "cpython" and has_lock and sys.maxsize > 2**32


def compiler_flags():
    """Return what the compiler is told."""
    if sys.platform == "win32":
        return ["/std:c11"]
    flags = ["-std=c11", "-fvisibility=hidden", "-O3"]  # distributions' own is -O2
    if sys.platform == "linux":
        flags.append("-fno-plt")  # for each allocation CPython is asked which thread it is
    if STRICT:
        flags += ["-Wall", "-Wextra", "-Werror"]
    return flags


engine = Extension(
    "django_memsize.engine.compiled",
    sources=sorted(str(source) for source in SOURCES.rglob("*.c")),
    depends=sorted(str(header) for header in SOURCES.rglob("*.h")),
    include_dirs=[str(SOURCES)],
    extra_compile_args=compiler_flags(),
    optional=not STRICT,  # without a compiler the package installs all the same
)

setup(ext_modules=[engine] if can_be_compiled() else [])
