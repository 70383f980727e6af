"""Which line of the user's program is running."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType
from typing import Any, Final

from asgiref.sync import SyncToAsync

from ..measuring.source_files import PACKAGE, imported_path, is_library
from ..values import CallSite, OwnTuple, ours

_BOUNDARIES: Final = (
    PACKAGE + "middleware.py",
    os.path.join(PACKAGE, "management", ""),
)
_HANDLER: Final = SyncToAsync.thread_handler.__code__
_CALLER: Final = SyncToAsync.__call__.__code__

_LIBRARY: Final = "library"
_PROGRAM: Final = "program"
_BOUNDARY: Final = "boundary"
_TEMPLATE: Final = "template"
_THREAD: Final = "thread"

_BRACKET: Final = "bracket"

_SITES_KEPT: Final = 10_000

_ROLES_KEPT: Final = 10_000

_PATIENCE: Final = (0, 0.0001, 0.0003, 0.001)
"""Seconds before each look at the coroutine that gave a thread its work. The thread may have begun
before that is suspended, and can be looked at."""

_PURPOSES: Final = {
    "/django/contrib/contenttypes/fields.py": {"__get__": "lazy", "fetch_many": "lazy"},
    "/django/db/models/base.py": {"refresh_from_db": "refresh"},
    "/django/db/models/deletion.py": {"collect": "delete"},
    "/django/db/models/fields/related_descriptors.py": {"__get__": "lazy", "fetch_many": "lazy"},
    "/django/db/models/query.py": {"prefetch_one_level": "prefetch"},
    "/django/db/models/query_utils.py": {"__get__": "deferred"},
}
"""Where Django loads rows for a purpose of its own: by the end of a file's name and function."""


@ours
class _Roles(dict[str, Any]):
    """By file of code what is to be made of its frames: one of the words above, or purposes."""

    __slots__ = ()

    def __missing__(self, file: str) -> Any:
        if len(self) >= _ROLES_KEPT:  # a program that runs text under a new name each time
            self.clear()
        role = self[file] = _role_of(file)
        return role


@ours
class _Sites(dict[tuple[object, ...], CallSite]):
    __slots__ = ()


_roles: Final = _Roles()
_call_sites: Final = _Sites()


def current_call_site(frame: FrameType | None) -> tuple[CallSite | None, str]:
    """Return the nearest frame outside Django, installed packages and the standard library.

    Looks outwards from the frame, no further than the request or command that is being measured.
    None if there is no such frame: Django itself, a generic view say, was at work. If a template
    was being rendered on the way, the site has the line of its innermost node, of the program's own
    templates if there are any.

    With it the purpose for which Django loads rows there, if it is one of its own: ``"lazy"``,
    ``"deferred"``, ``"refresh"``, ``"prefetch"``, ``"delete"``.
    """
    purpose, template, template_line, is_inside, is_theirs = "", "", 0, True, False
    while frame is not None:
        code = frame.f_code
        role = _roles[code.co_filename]
        if role is _LIBRARY:
            pass
        elif type(role) is dict:
            if is_inside and code.co_name in role:
                purpose = role[code.co_name]
        elif role is _PROGRAM:
            return _site(code, frame.f_lineno, template, template_line), purpose
        elif role is _BOUNDARY:
            break
        elif role is _THREAD:
            if code is _HANDLER:
                for outer, line in reversed(_awaiting(frame)):
                    if _roles[outer.co_filename] is _PROGRAM:
                        return _site(outer, line, template, template_line), purpose
        elif role is _TEMPLATE:
            if code.co_name == "render_annotated" and not is_theirs:
                name, at, is_theirs = _template_of(frame)
                if name and (is_theirs or not template):
                    template, template_line = name, at
        elif role is _BRACKET:
            is_inside = False  # what is further out is the purpose of another loading
        frame = frame.f_back
    return CallSite("", 0, "", template, template_line) if template else None, purpose


def _template_of(frame: FrameType) -> tuple[str, int, bool]:
    """Return template and line of the node that a frame renders, and whether it is the program's.

    "" if it has no name.
    """
    node = frame.f_locals.get("self")
    origin = getattr(node, "origin", None)
    name = getattr(origin, "template_name", None)
    line = getattr(getattr(node, "token", None), "lineno", None)
    if not name or not line:
        return "", 0, False
    role = _roles[str(getattr(origin, "name", ""))]
    return str(name), int(line), role is _PROGRAM


def _site(code: CodeType, line: int, template: str, template_line: int) -> CallSite:
    """Return the site: the same one for the same place, as long as not too many are known."""
    # A plain tuple finds what is kept by one of ours, and is made in a fraction of the time.
    key = (code.co_filename, line, code.co_qualname, template, template_line)
    site = _call_sites.get(key)
    if site is None:
        if len(_call_sites) >= _SITES_KEPT:
            _call_sites.clear()
        file = imported_path(code.co_filename)
        site = CallSite(file, line, code.co_qualname, template, template_line)
        _call_sites[OwnTuple(key)] = site
    return site


def _role_of(file: str) -> Any:
    if file.startswith(_BOUNDARIES):
        return _BOUNDARY
    if file == os.path.join(PACKAGE, "orm", "patches.py"):
        return _BRACKET
    if file == _HANDLER.co_filename:
        return _THREAD
    if not is_library(file):
        return _PROGRAM
    below = file.replace(os.sep, "/")
    if below.endswith("/django/template/base.py"):
        return _TEMPLATE
    return next((of for end, of in _PURPOSES.items() if below.endswith(end)), _LIBRARY)


def _awaiting(handler: FrameType) -> list[tuple[CodeType, int]]:
    """Return the frames of the coroutine for which this thread works, the innermost last.

    A thread of ``sync_to_async`` does not have it on its stack. It may have what runs the loop.
    """
    caller, loop = handler.f_locals["self"], handler.f_locals["loop"]
    for seconds in _PATIENCE:
        if seconds:
            time.sleep(seconds)
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
