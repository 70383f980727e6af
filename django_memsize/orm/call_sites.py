"""Call sites: which line of the program made the ORM load rows."""

from __future__ import annotations

import os
from types import FrameType
from typing import Any, Final

from ..measuring.source_files import PACKAGE, TEXT, imported_path, is_library, is_program_text
from ..values import CallSite, OwnTuple, ours
from . import methods
from .coroutines import THREAD_HANDLER, awaiting_frames
from .templates import ENGINE_FILE, rendered_line

_BOUNDARIES: Final = (
    PACKAGE + "middleware.py",
    os.path.join(PACKAGE, "commands", ""),
    os.path.join(PACKAGE, "management", ""),
)
"""Where a measured request or command begins: frames further out belong to the server."""

# Roles of source files: what the walk does at a frame of the file. A file in the table of methods
# has a dict as its role: the kind of evaluation by the name of the function.
_LIBRARY: Final = "library"
_PROGRAM: Final = "program"
_TEXT: Final = "text"
_BOUNDARY: Final = "boundary"
_TEMPLATE: Final = "template"
_THREAD: Final = "thread"
_EVALUATION: Final = "evaluation"

_MAX_CALL_SITES: Final = 10_000
_MAX_ROLES: Final = 10_000
"""A program that compiles text under a new file name each time must not fill the memory."""

_CALLERS: Final = methods.callers_by_file()


@ours
class _Roles(dict[str, Any]):
    """The role of each source file seen, by the file name of the code."""

    __slots__ = ()

    def __missing__(self, file: str) -> Any:
        if len(self) >= _MAX_ROLES:
            self.clear()
        role = self[file] = _role_of(file)
        return role


@ours
class _CallSites(dict[tuple[object, ...], CallSite]):
    __slots__ = ()


_roles: Final = _Roles()
_call_sites: Final = _CallSites()


def find_call_site(frame: FrameType | None) -> tuple[CallSite | None, str]:
    """Return the call site, and the kind of evaluation if the stack tells it, else "".

    The call site is the nearest frame, from ``frame`` outwards to the request or command being
    measured, that is outside Django, installed packages and the standard library. There is none if
    Django itself was at work, in a generic view for example: the call site is None then, or has the
    template alone. If a template was being rendered in between, the call site has the line of its
    innermost node; nodes of the program's templates come before those of libraries.
    """
    kind, template, template_line = "", "", 0
    is_inside = True  # until a frame of another evaluation around this one
    is_program_template = False
    while frame is not None:
        code = frame.f_code
        role = _roles[code.co_filename]
        if role is _LIBRARY:
            pass
        elif type(role) is dict:
            if is_inside and code.co_name in role:
                kind = role[code.co_name]
        elif _is_program(role, frame):
            return _call_site(frame, template, template_line), kind
        elif role is _BOUNDARY:
            break
        elif role is _THREAD:
            if code is THREAD_HANDLER:
                for outer in reversed(awaiting_frames(frame)):
                    if _is_program(_roles[outer.f_code.co_filename], outer):
                        return _call_site(outer, template, template_line), kind
        elif role is _TEMPLATE:
            rendered = None if is_program_template else rendered_line(frame)
            if rendered is not None:
                is_program_template = _roles[rendered.path] is _PROGRAM
                if is_program_template or not template:
                    template, template_line = rendered.name, rendered.line
        elif role is _EVALUATION:
            is_inside = False
        frame = frame.f_back
    return CallSite("", 0, "", template, template_line) if template else None, kind


def _is_program(role: Any, frame: FrameType) -> bool:
    """Return whether a frame is code of the program, and so can be a call site."""
    return role is _PROGRAM or (role is _TEXT and is_program_text(frame))


def _call_site(frame: FrameType, template: str, template_line: int) -> CallSite:
    """Return the call site of a frame: the same object each time, up to ``_MAX_CALL_SITES``."""
    code, line = frame.f_code, frame.f_lineno
    # A plain tuple finds the stored key, which is an OwnTuple, and is made in less time.
    key = (code.co_filename, line, code.co_qualname, template, template_line)
    call_site = _call_sites.get(key)
    if call_site is None:
        if len(_call_sites) >= _MAX_CALL_SITES:
            _call_sites.clear()
        file = imported_path(code.co_filename)
        call_site = CallSite(file, line, code.co_qualname, template, template_line)
        _call_sites[OwnTuple(key)] = call_site
    return call_site


def _role_of(file: str) -> Any:
    """Return the role of a source file: a text from above, or kinds by function name."""
    if file == TEXT:
        return _TEXT
    if file.startswith(_BOUNDARIES):
        return _BOUNDARY
    if file == os.path.join(PACKAGE, "orm", "evaluations.py"):
        return _EVALUATION
    if file == THREAD_HANDLER.co_filename:
        return _THREAD
    if not is_library(file):
        return _PROGRAM
    path = file.replace(os.sep, "/")
    if path.endswith(ENGINE_FILE):
        return _TEMPLATE
    return next((kinds for end, kinds in _CALLERS.items() if path.endswith(end)), _LIBRARY)
