"""Which line of the user's program is running."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType
from typing import Any, Final

from asgiref.sync import SyncToAsync

from .values import Site, ours

_PACKAGE: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep
_BOUNDARIES: Final = (
    _PACKAGE + "middleware.py",
    os.path.join(_PACKAGE, "management", ""),
)
_HANDLER: Final = SyncToAsync.thread_handler.__code__
_CALLER: Final = SyncToAsync.__call__.__code__
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STANDARD: Final = tuple(
    {
        os.path.join(os.path.realpath(sysconfig.get_paths()[key]), "")
        for key in ("stdlib", "platstdlib")
    }
    | {os.path.join(sysconfig.get_paths()[key], "") for key in ("stdlib", "platstdlib")}
)


@ours
class _Verdicts(dict[str, bool]):
    __slots__ = ()


_of_a_library: Final = _Verdicts()


def current_site(frame: FrameType | None) -> Site | None:
    """Return the nearest frame outside Django, installed packages and the standard library.

    Looks outwards from the frame, no further than the request or command that is being measured.
    None if there is no such frame: Django itself, a generic view say, was at work.
    """
    return _first(_outwards(frame))


def _outwards(frame: FrameType | None) -> Iterator[tuple[CodeType, int]]:
    while frame is not None:
        if frame.f_code is _HANDLER:
            yield from reversed(_awaiting(frame))
        yield frame.f_code, frame.f_lineno
        frame = frame.f_back


def _awaiting(handler: FrameType) -> list[tuple[CodeType, int]]:
    """Return the frames of the coroutine for which this thread works, the innermost last.

    A thread of ``sync_to_async`` does not have it on its stack. It may have what runs the loop.
    """
    caller, loop = handler.f_locals["self"], handler.f_locals["loop"]
    for task in asyncio.all_tasks(loop):
        frames = list(_suspended(task.get_coro()))
        if any(one.f_code is _CALLER and one.f_locals["self"] is caller for one in frames):
            return [(one.f_code, one.f_lineno) for one in frames]
    return []


def _suspended(awaited: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine and of those that it awaits in turn."""
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            # What stands between "async for" and its generator has no attribute for it.
            inside = gc.get_referents(awaited)
            awaited = next((one for one in inside if isinstance(one, AsyncGeneratorType)), None)
            continue
        if frame is not None:
            yield frame


def _first(places: Iterable[tuple[CodeType, int]]) -> Site | None:
    for code, line in places:
        file = code.co_filename
        if file.startswith(_BOUNDARIES):
            return None
        library = _of_a_library.get(file)
        if library is None:
            library = _of_a_library[file] = is_library(file)
        if not library:
            return Site(_as_imported(file), line, code.co_qualname)
    return None


def is_library(file: str) -> bool:
    """Tell whether a file of code belongs to Django, an installed package or Python itself."""
    if file.startswith("<"):
        return file.startswith(("<frozen", "<string>"))
    django = getattr(sys.modules.get("django"), "__path__", ())
    roots = (_PACKAGE, *_STANDARD, *(os.path.join(path, "") for path in django))
    return any(part in file for part in _INSTALLED) or file.startswith(roots)


def is_called_by_us(file: str) -> bool:
    """Tell whether a file of code is ours, or of one of the few packages that we call."""
    if any(part in file for part in _INSTALLED) and not file.startswith(_PACKAGE):
        return any(f"{os.sep}{name}{os.sep}" in file for name in ("django", "asgiref", "psutil"))
    return is_library(file)


def _as_imported(file: str) -> str:
    """Return the file's path below the entry of ``sys.path`` that it was imported from."""
    entries = (os.path.join(os.path.abspath(entry), "") for entry in sys.path)
    below = [file[len(entry) :] for entry in entries if file.startswith(entry)]
    return min(below, key=len, default=os.path.basename(file) if os.path.isabs(file) else file)
